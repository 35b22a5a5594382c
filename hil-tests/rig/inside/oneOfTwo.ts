/**
 * In the machine: one of two hosts of the arm's base joint, a reflex and the gateway's end of it. `oneOfTwo.js INTERFACE HOST STATE`; a program on it commands the joint to where standard input says,
 * one JSON object a line: {target: rad} or {target: null}, {arm: true}. Whatever changes is one line on standard output, see Told.
 */
import { mkdirSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { writeArmFiles } from "../../armFiles.ts";
import { yamlOf } from "../../armRig.ts";
import { BEAT_MS, SELF_FENCE_MS } from "./hostTimes.ts";
import { Pair, pairConfiguration } from "./pair.ts";

export interface Told {
  role: string | undefined;
  phase: string | undefined;
  state: string;
  missing: string[];
  /** Commands that were refused here, by reason. */
  refused: Record<string, number>;
}

const LOOK_MS = 50;
const [canInterface, host, state] = process.argv.slice(2) as [string, "0" | "1", string];
const folder = "/tmp/host";
const configuration = pairConfiguration(canInterface);
Object.assign(configuration["redundancy"] as object, { reflex: "single", beatPeriodMs: BEAT_MS });
Object.assign(configuration.buses[0]!, { host: Number(host), selfFenceMs: SELF_FENCE_MS });

// A predecessor's sockets may lie there.
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder);
writeArmFiles(folder);
const pair = await Pair.start(folder, yamlOf(configuration), { state, instances: ["a"] });
let program: ReturnType<Pair["commanding"]> | undefined;
let told = "";

createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line) as { target?: number | null; arm?: true };
  if (order.target !== undefined) {
    program?.silence();
    program = order.target === null ? undefined : pair.commanding(order.target);
  }
  if (order.arm) arm().catch((error: Error) => process.stderr.write(`${error.message}\n`));
}).on("close", () => process.exit(0));

/** As a person does, once: whoever asked sees what came of it. */
async function arm(): Promise<void> {
  const { supervisor } = pair;
  if (supervisor.state === "posed" || supervisor.state === "fault") await supervisor.reset("test");
  if (supervisor.state === "disarmed") await supervisor.arm("test");
}

setInterval(() => {
  const now: Told = { role: pair.client.ends[0]?.role, phase: pair.phase, state: pair.supervisor.state, missing: pair.supervisor.missing(), refused: Object.fromEntries(pair.refused) };
  // Numbers that count come along, and are no news.
  const text = JSON.stringify({ ...now, refused: Object.keys(now.refused) });
  if (text === told) return;
  told = text;
  process.stdout.write(`${JSON.stringify(now)}\n`);
}, LOOK_MS);
