/**
 * `npm run virtual`: the reflexes on the CAN and with the watchdog of a real kernel, in a virtual machine. One boot; a few minutes. `--fetch` gets the kernel first.
 * Exit code 0 also where there is nothing to boot: one line says what is missing.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fetchKernel, findKernel, Machine, prepare } from "./machine.ts";

/** The whole of it; a machine that hangs is switched off. */
const TIME_MS = 20 * 60_000;
/** Of the watchdog in it, until it resets. */
const HEARTBEAT_S = 10;

function script(here: string, dcan: string, only: string | undefined): string {
  const node = `node --enable-source-maps`;
  return `set -e
for m in can can-raw can-dev; do modprobe $m; done
insmod /host${dcan} frame_us=150
cd /tmp
set +e
${only === "watchdog" ? "code=0" : `${node} --test-reporter=tap --test ${only ? `--test-name-pattern=${JSON.stringify(only)} ` : ""}/host${here}/inside.js
code=$?`}
echo $code >/shared/inside
modprobe i6300esb heartbeat=${HEARTBEAT_S} || exit 1
${node} /host${here}/insideWatchdog.js
echo "the watchdog did not bite"
exit 1
`;
}

async function main(): Promise<number> {
  if (process.argv.includes("--fetch")) fetchKernel();
  const only = process.argv.slice(2).find((word) => !word.startsWith("--"));
  const kernel = findKernel();
  if (typeof kernel === "string") {
    process.stdout.write(`skipped: ${kernel}\n`);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-virtual-"));
  const startedMs = performance.now();
  const machine = await Machine.start({ kernel, folder, script: script(import.meta.dirname, prepare(kernel).dcan, only) });
  const timer = setTimeout(() => void machine.stop(), TIME_MS);
  try {
    await machine.ended;
  } finally {
    clearTimeout(timer);
  }
  const bitten = machine.events.some(({ event, data }) => event === "WATCHDOG" && data?.["action"] === "reset");
  const inside = machine.read("inside").trim();
  process.stdout.write(`${machine.read("out")}\n${machine.read("watchdog")}`);
  if (inside !== "0") process.stdout.write(`${machine.read("logs")}\n`);
  process.stdout.write(`kernel ${kernel.version}; user space after ${machine.read("booted").trim()} s; whole run ${Math.round((performance.now() - startedMs) / 1e3)} s; tests inside: ${inside === "0" ? "passed" : `FAILED (${inside})`}; ${bitten ? "the watchdog reset the machine when nobody fed it" : "the watchdog did NOT reset the machine"}\n`);
  const ok = inside === "0" && bitten && machine.read("watchdog").includes("are standing still");
  if (ok) rmSync(folder, { recursive: true });
  else process.stdout.write(`${folder} keeps what it left\n`);
  return ok ? 0 : 1;
}

process.exit(await main());
