/**
 * `restart-in-order [--upgrade] [--dry-run]`: restarts what runs of IPCNet without leaving the buses or the programs alone. postinst calls it after an upgrade; a person may at any time.
 * Exit codes: 0 done, or nothing runs; 1 it was not done, nothing is half way that would not work; 2 wrong usage.
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { askGateway } from "../../gateway/setup/ask.ts";
import { connect } from "../../shm/client/index.ts";
import { isThere, order, type Running, type Step } from "./order.ts";

const ipcnet = "/usr/bin/ipcnet";
const instances = ["ipcnet-purge.service", "ipcnet-reflex@a.service", "ipcnet-reflex@b.service", "ipcnetd@a.service", "ipcnetd@b.service"];
/** A Node process on a small computer starts within seconds; a takeover takes milliseconds. */
const WAIT_MS = 60_000;
const LOOK_MS = 200;

async function look(): Promise<Running> {
  const answer = await askGateway(connect);
  return {
    gateway: answer?.state === undefined ? undefined : { state: answer.state, active: answer.active ?? "a", standby: answer.standby },
    reflexes: (answer?.reflexes ?? []) as Running["reflexes"],
    units: instances.filter((unit) => spawnSync("systemctl", ["is-active", "--quiet", unit]).status === 0),
  };
}

async function perform(step: Step): Promise<string | undefined> {
  switch (step.do) {
    case "restart":
      return spawnSync("systemctl", ["restart", step.unit], { stdio: "inherit" }).status === 0 ? undefined : `${step.unit} does not start`;
    case "switch": {
      const { status, stderr } = spawnSync(ipcnet, ["failover", "switch", step.which], { encoding: "utf8", timeout: 40_000 });
      return status === 0 ? undefined : `no hand-over of the ${step.which}: ${stderr.trim()}`;
    }
    case "wait": {
      const untilMs = performance.now() + WAIT_MS;
      while (!isThere(step.for, await look())) {
        if (performance.now() > untilMs) return `nobody can take over after ${WAIT_MS / 1e3} s`;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
      return undefined;
    }
    default:
      return step satisfies never;
  }
}

function say(text: string): void {
  process.stderr.write(`ipcnet: ${text}\n`);
}

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({ options: { upgrade: { type: "boolean", default: false }, "dry-run": { type: "boolean", default: false } } }));
  } catch (error) {
    say((error as Error).message);
    return 2;
  }
  const later = "        remedy: bring the robot to rest (ipcnet safe-pose, or ipcnet disarm), then: sudo /usr/lib/ipcnet/restart-in-order";
  const plan = order(await look());
  if (!plan.ok) {
    say(`what runs goes on${values.upgrade ? " as the version before" : ""}: ${plan.why}\n${later}`);
    return 1;
  }
  for (const gap of plan.gaps) say(gap);
  for (const step of plan.steps) {
    say(step.do === "restart" ? `restart ${step.unit}` : step.do === "switch" ? `hand-over of the ${step.which}` : "wait until the other one can take over");
    if (values["dry-run"]) continue;
    const trouble = await perform(step);
    if (trouble !== undefined) {
      say(`stopped there, what has not been restarted goes on as it was: ${trouble}\n${later}`);
      return 1;
    }
  }
  return 0;
}

process.exitCode = await main();
