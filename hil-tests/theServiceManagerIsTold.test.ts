/** systemd is told when the gateway is ready, that it stops, and that it needs time while its pose runs. systemd is played by a script. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { projectRoot } from "../schemas/testData.ts";
import { testFolder } from "./daemon.ts";
import { LinesOfChild } from "./lines.ts";
import { eventually, isAlive, killIfThere, standsStill } from "./waiting.ts";

const skip = spawnSync("python3", ["--version"]).status === 0 ? false : "needs python3";

/** A gateway started by the script, which lies beside the source; `environment`: more of what a unit would give it. */
async function started(t: TestContext, environment: readonly string[] = []): Promise<{ pid: number; said(): Promise<string[]> }> {
  const folder = testFolder();
  const config = join(folder.path, "ipcnet.yaml");
  writeFileSync(config, `version: 1\nrobot: told\nsocket: { path: "${join(folder.path, "ipcnet.sock")}", mode: "0600" }\n`);
  const daemon = ["env", ...environment, process.execPath, join(import.meta.dirname, "../gateway/bin/ipcnetd.js"), "--config", config];
  let pid: number | undefined;
  // Before the script is waited for: it has its stderr too.
  t.after(async () => {
    if (pid !== undefined) killIfThere(pid);
    await systemd.kill();
    folder.remove();
  });
  const systemd = new LinesOfChild(t, spawn("python3", [join(projectRoot(), "hil-tests/fakeSystemd.py"), join(folder.path, "notify.sock"), ...daemon], { stdio: ["pipe", "pipe", "pipe"] }));
  const order = <T>(what: object): Promise<T> => systemd.ask<T>(JSON.stringify(what));
  pid = await order<number>({ do: "start" });
  return { pid, said: () => order<string[]>({ do: "said" }) };
}

test("ready, stopping, more time, in this order", { skip }, async (t) => {
  const { pid, said } = await started(t);
  await eventually("that it is ready", async () => (await said()).includes("READY=1"), { timeoutMs: 60_000 });
  process.kill(pid, "SIGTERM");
  await eventually("its end", async () => !(await isAlive(pid)), { timeoutMs: 60_000 });
  const [ready, stopping, more] = await said();
  assert.equal(ready, "READY=1");
  assert.match(stopping!, /^STOPPING=1\nSTATUS=stopped \(SIGTERM\)/);
  assert.match(more!, /^EXTEND_TIMEOUT_USEC=[1-9]\d+$/);
});

test("that the event loop turns is said as often as the manager wants to hear it", { skip }, async (t) => {
  // As a unit with WatchdogSec= hands it on.
  const { pid, said } = await started(t, ["WATCHDOG_USEC=150000"]);
  const alive = async (): Promise<number> => (await said()).filter((text) => text === "WATCHDOG=1").length;
  await eventually("that it lives, three times", async () => (await alive()) >= 3, { timeoutMs: 60_000 });
  // A process that is stopped says nothing: what has been sent is counted once it stands still.
  process.kill(pid, "SIGSTOP");
  await standsStill(pid);
  const before = await alive();
  process.kill(pid, "SIGCONT");
  await eventually("that it lives again", async () => (await alive()) > before, { timeoutMs: 60_000 });
});
