/**
 * The last act in the virtual machine: a pair of reflexes feeds the kernel's watchdog. One dies, and the other opens the device and goes on feeding; both are told to stop, and the watchdog
 * ends with them; then both of a new pair stand still, and the machine is reset. It writes to /shared/watchdog how far it came: the reset itself is seen from outside.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { testFolder } from "../daemon.ts";
import { eventually } from "../waiting.ts";

const program = join(import.meta.dirname, "../../../native/ipcnet-reflex");
const PATIENCE_MS = 60_000;
/** Of the device, as run.ts loads its driver. */
const HEARTBEAT_MS = 10_000;

const say = (text: string): void => appendFileSync("/shared/watchdog", `${text}\n`);
const folder = testFolder();

/** Whether this process has the device open. */
function feeds(child: ChildProcess): boolean {
  try {
    const descriptors = `/proc/${child.pid}/fd`;
    return readdirSync(descriptors).some((fd) => linkOf(`${descriptors}/${fd}`).startsWith("/dev/watchdog"));
  } catch {
    // It has ended.
    return false;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // Closed between the two looks.
    return "";
  }
}

function start(instance: "a" | "b"): ChildProcess {
  return spawn(program, ["--instance", instance, "--run", folder.path, "--state", folder.path, "--watchdog", "/dev/watchdog"], { stdio: "inherit" });
}

const feeder = (pair: readonly ChildProcess[]): Promise<ChildProcess> => eventually("one of them feeds", () => pair.find(feeds), { timeoutMs: PATIENCE_MS });

const first = [start("a"), start("b")];
const dead = await feeder(first);
dead.kill("SIGKILL");
const next = await feeder(first.filter((child) => child !== dead));
// Nobody else feeds: were it not fed, the machine would be gone before this ends.
await sleep(2.5 * HEARTBEAT_MS);
say("the owner was killed; its twin has fed the watchdog ever since");
next.kill("SIGTERM");
await once(next, "close");
await sleep(2.5 * HEARTBEAT_MS);
say("told to stop at rest, it ended the watchdog");
const second = [start("a"), start("b")];
await feeder(second);
say("both are standing still");
for (const child of second) child.kill("SIGSTOP");
await sleep(PATIENCE_MS);
for (const child of second) child.kill("SIGKILL");
folder.remove();
