/** `npm run bench -- [NAME…] [--json] [--long] [--scale X]`: runs the benches and prints their tables. */
import type { Bench, BenchContext, Table } from "./harness.ts";
import { machineFacts, renderTable } from "./harness.ts";
import { bench as decode } from "./decode.ts";
import { bench as pipeline } from "./pipeline.ts";
import { bench as throughput } from "./throughput.ts";
import { bench as latency } from "./latency.ts";
import { bench as memory } from "./memory.ts";
import { bench as isolation } from "./isolation.ts";
import { bench as fabric } from "./fabric.ts";

export const benches: readonly Bench[] = [decode, pipeline, throughput, latency, memory, isolation, fabric];

interface Arguments {
  names: string[];
  json: boolean;
  long: boolean;
  scale: number;
}

export async function main(argv: readonly string[]): Promise<number> {
  const parsed = parseArguments(argv);
  if (typeof parsed === "string") {
    process.stderr.write(`${parsed}\nusage: npm run bench -- [NAME…] [--json] [--long] [--scale X]; names: ${benches.map(({ name }) => name).join(" ")}\n`);
    return 2;
  }
  const { names, json, long, scale } = parsed;
  const machine = machineFacts();
  if (!json) process.stdout.write(`${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}, commit ${machine.commit}, load ${machine.load.toFixed(2)} before\n\n`);
  const context: BenchContext = { scale, long, progress: (text) => void process.stderr.write(`  ${text}\n`) };
  const results: { bench: string; tables: Table[] }[] = [];
  for (const bench of benches) {
    if (names.length > 0 && !names.includes(bench.name)) continue;
    context.progress(`${bench.name} …`);
    const tables = await bench.run(context);
    results.push({ bench: bench.name, tables });
    if (!json) process.stdout.write(`${tables.map(renderTable).join("\n")}\n`);
  }
  if (json) process.stdout.write(`${JSON.stringify({ machine, results }, undefined, 1)}\n`);
  return 0;
}

function parseArguments(argv: readonly string[]): Arguments | string {
  const parsed: Arguments = { names: [], json: false, long: false, scale: 1 };
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === "--json") parsed.json = true;
    else if (word === "--long") parsed.long = true;
    else if (word === "--scale") {
      parsed.scale = Number(argv[++i]);
      if (!(parsed.scale > 0 && parsed.scale <= 100)) return "--scale wants a number above 0 and up to 100";
    } else if (benches.some(({ name }) => name === word)) parsed.names.push(word);
    else return `unknown: ${word}`;
  }
  return parsed;
}
