/**
 * `npm run sim -- --seeds N [--from S] [--faults N] [--kinds a,b] [--hosts 1|2] [--core FILE] [--json] [--trace]`
 *
 * Runs N worlds one after the other, each from its own seed; prints events, faults and the coverage of state × fault. A violated invariant prints its seed and the
 * smallest schedule of faults that still violates it, with what happened, and ends with exit code 1.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { loadCoreAddon } from "../reflex/addon/core.ts";
import { coverageTable, gatewayStates, mergeCoverage, states } from "./coverage.ts";
import { type FaultKind, faultKinds } from "./faults.ts";
import { minimise, worldOf } from "./run.ts";
import { World } from "./world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" }, from: { type: "string", default: "1" }, faults: { type: "string", default: "100" }, kinds: { type: "string" }, hosts: { type: "string" },
    core: { type: "string" }, json: { type: "boolean", default: false }, trace: { type: "boolean", default: false },
  },
});
process.exitCode = await main();

async function main(): Promise<number> {
  const addon = loadCoreAddon(values.core);
  const [seeds, from, faultCount] = [Number(values.seeds), Number(values.from), Number(values.faults)];
  const kinds = values.kinds?.split(",") as FaultKind[] | undefined;
  const unknown = kinds?.find((kind) => !faultKinds.includes(kind));
  if (unknown !== undefined || !(seeds > 0) || !Number.isInteger(from) || !(faultCount >= 0)) {
    process.stderr.write(unknown === undefined ? "sim: --seeds, --from and --faults are numbers\n" : `sim: there is no fault ${unknown}; there are ${faultKinds.join(", ")}\n`);
    return 2;
  }
  const hosts = values.hosts === "1" ? 1 : values.hosts === "2" ? 2 : undefined;
  const startedMs = performance.now();
  const total = { seeds: 0, events: 0, faults: 0, frames: 0, acceptedCommands: 0, takeovers: 0, verdicts: 0, answers: 0, gatewayTakeovers: 0, virtualS: 0 };
  const coverage = new Map<string, number>();
  let toldMs = startedMs;
  for (let seed = from; seed < from + seeds; seed++) {
    const world = worldOf({ addon, seed, faultCount, kinds, hosts });
    const outcome = new World(values.trace ? { ...world, trace: tracer() } : world).run();
    total.seeds += 1;
    total.events += outcome.events;
    total.faults += outcome.faults;
    total.frames += outcome.frames;
    total.acceptedCommands += outcome.acceptedCommands;
    total.takeovers += outcome.takeovers;
    total.verdicts += outcome.verdicts;
    total.answers += outcome.answers;
    total.gatewayTakeovers += outcome.gatewayTakeovers;
    total.virtualS += outcome.virtualUs / 1e6;
    mergeCoverage(coverage, outcome.coverage);
    // The addon's memory is given back between turns of the event loop, and only then: without this a seed keeps 2 MB.
    await nextTurn();
    if (outcome.violation) return failed(seed, world, outcome.violation.code);
    if (!values.json && performance.now() - toldMs > 5_000) {
      toldMs = performance.now();
      process.stderr.write(`sim: ${total.seeds} of ${seeds} seeds, ${total.faults.toLocaleString("en")} faults, ${total.events.toLocaleString("en")} events\n`);
    }
  }
  const wallS = (performance.now() - startedMs) / 1e3;
  if (values.json) process.stdout.write(`${JSON.stringify({ ...total, wallS, violations: 0, coverage: Object.fromEntries(coverage) })}\n`);
  else {
    process.stdout.write(`${total.seeds.toLocaleString("en")} seeds (${from}…${from + seeds - 1}), ${total.faults.toLocaleString("en")} faults, ${total.events.toLocaleString("en")} events, ${total.frames.toLocaleString("en")} frames, ` +
      `${total.acceptedCommands.toLocaleString("en")} accepted commands, ${total.takeovers.toLocaleString("en")} takeovers, ${total.verdicts.toLocaleString("en")} verdicts, ${total.answers.toLocaleString("en")} answered requests, ${total.gatewayTakeovers.toLocaleString("en")} times that a gateway began to serve, in ${Math.round(total.virtualS).toLocaleString("en")} s of virtual time, ${wallS.toFixed(1)} s: 0 violations\n\n`);
    process.stdout.write(`Faults by the state of the reflex process:\n${coverageTable(coverage, states).join("\n")}\n\nFaults by the state of the gateway:\n${coverageTable(coverage, gatewayStates).join("\n")}\n`);
  }
  return 0;
}

function tracer(): (line: string) => void {
  return (line) => process.stdout.write(`  ${line}\n`);
}

function failed(seed: number, world: ReturnType<typeof worldOf>, code: string): number {
  const { faults, outcome } = minimise(world, code);
  const lines: string[] = [];
  const again = new World({ ...world, faults, trace: (line) => lines.push(line) });
  const { violation } = again.run();
  const repeat = `npm run sim -- --seeds 1 --from ${seed} --faults ${values.faults}${values.hosts === undefined ? "" : ` --hosts ${values.hosts}`}${values.kinds === undefined ? "" : ` --kinds ${values.kinds}`}`;
  if (values.json) process.stdout.write(`${JSON.stringify({ violations: 1, seed, code, text: (violation ?? outcome.violation)?.message, faults, trace: lines })}\n`);
  else {
    process.stdout.write(`seed ${seed} (${world.hosts} ${world.hosts === 1 ? "host" : "hosts"}, ${world.joints} joints${world.resumeArmed ? ", resumes armed" : ""}): ${(violation ?? outcome.violation)?.message}\n`);
    process.stdout.write(`${faults.length} of ${world.faults.length} faults are enough:\n${faults.map((fault) => `  ${(fault.atUs / 1e3).toFixed(3)} ms ${fault.kind} which ${fault.which} for ${fault.forUs} µs, ${fault.much}`).join("\n")}\n`);
    process.stdout.write(`what happened then:\n${lines.slice(-60).map((line) => `  ${line}`).join("\n")}\nagain: ${repeat}\n`);
  }
  return 1;
}
