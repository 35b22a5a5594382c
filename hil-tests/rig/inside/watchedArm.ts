/**
 * In the machine: `watchedArm.js INTERFACE` is the arm's base joint on an interface of the kernel. As a unit that ends after all others it sees how a system stops: one line of JSON for each thing
 * that the joint is told for the first time since something else, and for each place where it comes to rest, with those of our services that live at that moment.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { jointCodecs } from "../../../examples/arm/messages.ts";
import { commandId } from "../../armRig.ts";
import { Motor } from "./motor.ts";

const [canInterface] = process.argv.slice(2) as [string];
const examples = join(import.meta.dirname, "../../../../../examples/arm");
const LOOK_MS = 10;
/** As the plan's steps have it. */
const AT_REST = { positionRad: 0.02, velocityRadS: 0.02 };
const { command } = jointCodecs(examples).base;

/** A unit lives as long as its cgroup has a process. */
const services = { "ipcnetd@a": "system-ipcnetd", "ipcnetd@b": "system-ipcnetd", "ipcnet-reflex@a": "system-ipcnet\\x2dreflex", "ipcnet-reflex@b": "system-ipcnet\\x2dreflex" } as const;

function alive(): string[] {
  return Object.entries(services).flatMap(([unit, slice]) => (read(`/sys/fs/cgroup/system.slice/${slice}.slice/${unit}.service/cgroup.procs`) === "" ? [] : [unit]));
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has never been started, or its cgroup is gone
  }
}

const say = (message: object): void => void process.stdout.write(`${JSON.stringify({ arm: message, alive: alive() })}\n`);

for (const words of [["down"], ["type", "can", "bitrate", "500000"], ["txqueuelen", "64"]]) execFileSync("ip", ["link", "set", canInterface, ...words]);
const motor = new Motor(examples, canInterface);
motor.setPower(true);
let told = "";
let isAtRest = true;
setInterval(() => {
  // What was seen is judged and forgotten: it runs until the machine ends.
  for (const { canId, data } of motor.seen.splice(0)) {
    if (canId !== commandId("base")) continue;
    const decoded = command.decode(data, 0, data.length);
    const mode = decoded.ok ? String(decoded.signals["mode"]) : "";
    if (mode === "" || mode === told) continue;
    told = mode;
    say({ told });
  }
  const { positionRad, velocityRadS } = motor.joint;
  const rests = Math.abs(velocityRadS) < AT_REST.velocityRadS;
  if (rests === isAtRest) return;
  isAtRest = rests;
  say(rests ? { rests: Math.abs(positionRad) < AT_REST.positionRad ? 0 : positionRad } : { moves: velocityRadS });
}, LOOK_MS);
say({ ready: true });
