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
