/** `npm start` as a person runs it: it arms, moves, ends with Ctrl-C in the safe pose, and leaves nothing behind, however it ends. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { StatusReport } from "../schemas/messages/statusReport.ts";
import { connect } from "../shm/client/index.ts";
import { armIfPossible } from "../bench/failover/demoRobot.ts";
import { testFolder } from "./daemon.ts";
import { eventually, isAlive, killIfThere } from "./waiting.ts";

interface Demonstration {
  folder: string;
  runner: ChildProcess;
  ended: Promise<[number | null, string | null]>;
  output: () => string;
  /** The robot's, the gateways' and the keeper's processes, and the two bus processes. */
  children: number[];
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(/\s+/).filter((text) => text !== "").map(Number);
}

/** Starts it in a folder of its own and waits until it is armed and has commanded. */
async function start(t: TestContext): Promise<Demonstration> {
  const folder = testFolder();
  const runner = spawn(process.execPath, ["--enable-source-maps", join(import.meta.dirname, "../examples/arm/run.js")], { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, IPCNET_RUN_FOLDER: folder.path } });
  let output = "";
  for (const stream of [runner.stdout, runner.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const ended = once(runner, "close") as Demonstration["ended"];
  let children: number[] = [];
  t.after(async () => {
    for (const pid of [...(runner.exitCode === null && runner.signalCode === null ? [runner.pid!] : []), ...children]) {
      if (await isAlive(pid)) killIfThere(pid);
    }
    await ended;
    folder.remove();
  });
  const socketPath = join(folder.path, "ipcnet.sock");
  const client = await eventually("the gateway", () => connect({ socketPath, name: "test", timeoutMs: 20_000 }).catch(() => undefined), { timeoutMs: 120_000, last: () => output });
  let last: StatusReport | undefined;
  await eventually("armed and moving", async () => {
    last = (await client.request("gateway/status")) as StatusReport;
    // A machine that stands still for longer than a set-point lives has let the robot pose: that is what it is for, and a person arms it again.
    if (last.state === "posed") await armIfPossible(client, "the machine stood still");
    return last.state === "armed" && last.commands.sent > 50;
  }, { timeoutMs: 120_000, last: () => last && [last.state, last.missingForArming] });
  await client.close();
  children = childrenOf(runner.pid!);
  assert.equal(children.length, 4);
  // The keeper's own: the bus processes.
  children.push(...children.flatMap(childrenOf));
  assert.equal(children.length, 6);
  return { folder: folder.path, runner, ended, output: () => output, children };
}

async function assertNothingIsLeft({ folder, children }: Demonstration): Promise<void> {
  for (const pid of children) await eventually(`process ${pid} ended`, async () => !(await isAlive(pid)), { timeoutMs: 120_000 });
  assert.deepEqual(readdirSync(folder).filter((name) => name.endsWith(".sock") || name === "hand"), [], "no socket, no terminal");
}

test("it arms, moves, and Ctrl-C ends it in the safe pose", async (t) => {
  const demonstration = await start(t);
  demonstration.runner.kill("SIGINT");
  const [code] = await demonstration.ended;
  assert.match(demonstration.output(), /safe pose reached/);
  assert.equal(code, 0, demonstration.output());
  await assertNothingIsLeft(demonstration);
  assert.deepEqual(readdirSync(demonstration.folder).filter((name) => name.includes("password")), [], "and no password");
});

test("kill -9 of it ends the robot and the gateway too", async (t) => {
  const demonstration = await start(t);
  demonstration.runner.kill("SIGKILL");
  await demonstration.ended;
  await assertNothingIsLeft(demonstration);
  assert.match(readFileSync(join(demonstration.folder, "ipcnetd.log"), "utf8"), /safePose|the safe pose first/);
});
