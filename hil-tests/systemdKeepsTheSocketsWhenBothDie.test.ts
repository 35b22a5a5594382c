/** The second net: every instance is dead, the next start of the unit gets the descriptors back from systemd's store, and clients go on all the same. systemd is played by a script. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "../shm/client/index.ts";
import { pairConfiguration } from "../bench/failover/pairRig.ts";
import { testFolder } from "./daemon.ts";
import { LinesOfChild } from "./lines.ts";
import { eventually, killIfThere } from "./waiting.ts";
import { projectRoot } from "../schemas/testData.ts";

const hasPython = spawnSync("python3", ["--version"]).status === 0;

test("both instances are gone: the next one goes on with the same connections", { skip: hasPython ? false : "needs python3" }, async (t) => {
  const folder = testFolder();
  const socketPath = join(folder.path, "ipcnet.sock");
  const config = join(folder.path, "ipcnet.yaml");
  writeFileSync(config, `socket: { path: "${socketPath}", mode: "0600" }\n${pairConfiguration}redundancy: { brains: pair }\n`);
  const daemon = [process.execPath, join(import.meta.dirname, "../gateway/bin/ipcnetd.js"), "--config", config, "--instance", "a"];
  // Before the script is waited for: they have its stderr too.
  let first: number | undefined;
  let second: number | undefined;
  t.after(async () => {
    for (const pid of [first, second]) if (pid !== undefined) killIfThere(pid);
    await systemd.kill();
    folder.remove();
  });
  const systemd = new LinesOfChild(t, spawn("python3", [join(projectRoot(), "hil-tests/fakeSystemd.py"), join(folder.path, "notify.sock"), ...daemon], { stdio: ["pipe", "pipe", "pipe"] }));
  const order = <T>(what: object): Promise<T> => systemd.ask<T>(JSON.stringify(what));
  first = await order<number>({ do: "start" });
  const client = await eventually("a client is in", () => connect({ socketPath, name: "client" }).catch(() => undefined), { timeoutMs: 60_000 });
  const gone: string[] = [];
  client.onClose((why) => gone.push(why));
  await client.offer("app/echo", {}, (body) => body);
  const heard: unknown[] = [];
  await client.subscribe("app/state", { policy: { queue: 10 } }, ({ value }) => heard.push(value));
  await client.publish("app/state", 1);
  const names = await eventually("the store has what a successor needs", async () => {
    const stored = await order<string[]>({ do: "list" });
    return ["page", "listener", "journal"].every((name) => stored.includes(name)) && stored.some((name) => /^d\d+$/.test(name)) ? stored : undefined;
  }, { timeoutMs: 60_000 });
  await order({ do: "kill", pid: first });
  // What is said while nobody lives waits in the socket.
  const answer = client.request("app/echo", "still there?", { timeoutMs: 60_000 });
  second = await order<number>({ do: "start", extra: ["somebody-elses"] });
  assert.equal(await answer, "still there?");
  await client.publish("app/state", 2);
  await eventually("both values", () => heard.length === 2, { timeoutMs: 60_000, last: () => heard });
  assert.deepEqual(heard, [1, 2]);
  assert.deepEqual(gone, []);
  // The store holds the new one's, and nothing twice.
  let stored: string[] = [];
  await eventually("as many as before", async () => {
    stored = await order<string[]>({ do: "list" });
    return stored.length === names.length && new Set(stored).size === stored.length;
  }, { timeoutMs: 60_000, last: () => [names, stored] });
  assert.ok(readFileSync(`/proc/${second}/cmdline`, "latin1").includes("ipcnetd"));
  await client.close();
  await eventually("the client's descriptors leave the store", async () => (await order<string[]>({ do: "list" })).every((name) => ["page", "listener", "journal"].includes(name)), { timeoutMs: 60_000 });
});
