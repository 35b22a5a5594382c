/** The Python peer, if this machine has it. $IPCNET_BENCH_PYTHON names another interpreter. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { formatCandumpLine } from "../../drivers/can/candump.ts";
import type { BenchContext, Table } from "../harness.ts";
import { projectRoot } from "../paths.ts";
import type { Traffic } from "../traffic.ts";

interface PythonResult {
  python: string;
  can: string;
  messageNs: number;
  cantools?: string;
  decodeNs?: number;
}

const execute = promisify(execFile);
const SECONDS = 2;
const title = "What Debian offers, CPU time per frame of the same recording";

export async function pythonTable(traffic: Traffic, { scale }: Pick<BenchContext, "scale">): Promise<Table> {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-bench-"));
  const dbc = join(folder, "bench.dbc");
  const log = join(folder, "bench.log");
  writeFileSync(dbc, traffic.dbc);
  const frames = Math.max(1, Math.round(Math.min(traffic.frames.count, 6000 * scale)));
  writeFileSync(log, Array.from({ length: frames }, (_, i) => `${formatCandumpLine({ timeS: 1 + i / 1e4, bus: "can0", frame: traffic.frames.get(i) })}\n`).join(""));
  try {
    for (const python of [process.env["IPCNET_BENCH_PYTHON"], "/usr/bin/python3", "python3"]) {
      const result = python && (await measure(python, [join(projectRoot, "bench/peers/python_can.py"), dbc, log, String(SECONDS * Math.min(1, scale))]));
      if (result) return table(result);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { title, rows: [], notes: ["Skipped: no Python with the module `can` (Debian: apt install python3-can; cantools comes from PyPI)."] };
}

async function measure(python: string, args: string[]): Promise<PythonResult | undefined> {
  try {
    return JSON.parse((await execute(python, args)).stdout) as PythonResult;
  } catch {
    // Not there, or without the module: the next one, and in the end a line that says so.
    return undefined;
  }
}

function table({ python, can, messageNs, cantools, decodeNs }: PythonResult): Table {
  const rows: Table["rows"] = [{ what: `python-can ${can}: a Message per frame`, ns: messageNs, "per second": 1e9 / messageNs }];
  if (decodeNs !== undefined) rows.push({ what: `cantools ${cantools}: decode_message`, ns: decodeNs, "per second": 1e9 / decodeNs }, { what: "both", ns: messageNs + decodeNs, "per second": 1e9 / (messageNs + decodeNs) });
  return { title, rows, notes: [`Python ${python}; no integrity check, no range check, no delivery to another process.${decodeNs === undefined ? " cantools is not installed: decoding skipped." : ""}`] };
}
