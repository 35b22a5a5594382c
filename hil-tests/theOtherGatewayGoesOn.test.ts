/** Two gateways, one of which dies: programs keep their connection, what they have asked is answered once, what they have subscribed to goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pairConfiguration, PairRig } from "../bench/failover/pairRig.ts";
import { eventually } from "./waiting.ts";

test("kill -9: a subscription, an offer, a call under way and a lane go on over the same connections", async (t) => {
  const rig = new PairRig({ configuration: pairConfiguration });
  t.after(() => rig.close());
  await rig.startBoth();
  const [provider, caller, listener] = await Promise.all([rig.connect("provider"), rig.connect("caller"), rig.connect("listener")]);
  const gone: string[] = [];
  for (const client of [provider, caller, listener]) client.onClose((why) => gone.push(why));
  const held: (() => void)[] = [];
  await provider.offer("app/wait", { capacity: 8 }, (body) => new Promise((resolve) => held.push(() => resolve(body))));
  await provider.offer("app/echo", { capacity: 8 }, (body) => body);
  const heard: unknown[] = [];
  await listener.subscribe("app/state", { policy: { queue: 100 } }, ({ value }) => heard.push(value));
  await caller.publish("app/state", { before: 1 });
  const answers: unknown[] = [];
  const call = caller.request("app/wait", { a: 1 }, { timeoutMs: 60_000 }).then((answer) => answers.push(answer));
  await eventually("the call is under way", () => held.length === 1);
  const first = await rig.active();
  first.child.kill("SIGKILL");
  await first.exited;
  assert.deepEqual(await caller.request("app/echo", "hello", { timeoutMs: 60_000 }), "hello");
  await caller.publish("app/state", { after: 2 });
  held[0]!();
  await call;
  await eventually("both samples", () => heard.length === 2, { last: () => [heard, rig.logs()] });
  assert.deepEqual(heard, [{ before: 1 }, { after: 2 }]);
  assert.deepEqual(answers, [{ a: 1 }]);
  assert.equal(held.length, 1);
  assert.deepEqual(gone, [], rig.logs());
  await Promise.all([provider, caller, listener].map((client) => client.close()));
});

interface Report {
  active: string;
  standby?: { instance: string; ready: boolean };
  since: { how: string; death?: string };
}

test("a planned switch: who asks is answered by the successor, once", async (t) => {
  const rig = new PairRig({ configuration: pairConfiguration });
  t.after(() => rig.close());
  await rig.startBoth();
  const client = await rig.connect("operator");
  let gone = false;
  client.onClose(() => (gone = true));
  const before = (await client.request("gateway/failover")) as Report;
  assert.deepEqual([before.active, before.standby?.instance, before.standby?.ready], ["a", "b", true]);
  await assert.rejects(client.request("gateway/failover", { action: "kill", instance: "a" }), /202/);
  const after = (await client.request("gateway/failover", { action: "switch", from: "a" }, { timeoutMs: 60_000 })) as Report;
  assert.deepEqual([after.active, after.standby, after.since.death], ["b", undefined, "handover"]);
  await rig.instances.get("a")!.exited;
  // Its successor may have killed it before it has ended by itself: what it had to say is said.
  const { exitCode, signalCode } = rig.instances.get("a")!.child;
  assert.ok(exitCode === 0 || signalCode === "SIGKILL", `${exitCode ?? signalCode}\n${rig.logs()}`);
  // Without a standby nobody is handed over to.
  await assert.rejects(client.request("gateway/failover", { action: "switch", from: "b" }), /207/);
  assert.equal(gone, false);
  await client.close();
});

test("drills, where the configuration allows them: the instance is killed after the answer", async (t) => {
  const rig = new PairRig({ configuration: `${pairConfiguration}redundancy: { drills: true }\n` });
  t.after(() => rig.close());
  await rig.startBoth();
  const client = await rig.connect("operator");
  assert.deepEqual(await client.request("gateway/failover", { action: "kill", instance: "a" }), { killed: "a" });
  const [, signal] = (await rig.instances.get("a")!.exited) as [number | null, string | null];
  assert.equal(signal, "SIGKILL");
  const report = (await client.request("gateway/failover", {}, { timeoutMs: 60_000 })) as Report;
  assert.deepEqual([report.active, report.since.how, report.since.death], ["b", "tookOver", "killed"]);
  rig.start("a");
  await rig.standby();
  await client.request("gateway/failover", { action: "kill", instance: "a" });
  await rig.instances.get("a")!.exited;
  await eventually("the active knows", async () => ((await client.request("gateway/failover")) as Report).standby === undefined);
  await client.close();
});

test("an instance of another major version, or with other topics, stays out and says why; the active goes on", async (t) => {
  const rig = new PairRig({ configuration: pairConfiguration, env: (name): Record<string, string> => (name === "b" ? { IPCNETD_PAIR_VERSION: "9.0" } : {}) });
  t.after(() => rig.close());
  rig.start("a");
  await rig.active();
  const client = await rig.connect("operator");
  const stranger = rig.start("b");
  await eventually("the refusal is reported", () => stranger.log.includes("[pairRefused]"), { timeoutMs: 60_000, last: () => rig.logs() });
  assert.match(stranger.log, /speaks version 1\.\d+ of the pair's protocol, this instance 9\.0|speaks version 9\.0/);
  assert.equal(((await client.request("gateway/failover")) as Report).standby, undefined);
  await client.close();
});
