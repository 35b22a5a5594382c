import assert from "node:assert/strict";
import { test } from "node:test";
import { Quarantine } from "../../failsafe/failover/quarantine.ts";
import { Status } from "../../schemas/status.ts";
import { failoverService, type PairPort, type PairReport } from "./pairServices.ts";

function rig({ disturbs, ready = true }: { disturbs?: string; ready?: boolean } = {}) {
  const log: string[] = [];
  const report: PairReport = { active: "a", pid: 1, epoch: 5, standby: { instance: "b", pid: 2, ready }, progressMs: 500, drills: true, supervision: "ok", since: { how: "started" }, turns: 0, journalBytes: 0 };
  const port: PairPort = { report: () => report, disturbs, switchOver: () => void log.push("switch"), kill: (instance) => log.push(`kill ${instance}`) > 0, quarantine: new Quarantine(), saveQuarantine: () => {} };
  return { log, ask: (body: Record<string, unknown>) => failoverService({ action: "switch", from: "a", ...body }, port) };
}

/** A hand-over that has begun is answered by the successor. */
const refusal = (reply: ReturnType<typeof failoverService>): string | undefined => (reply instanceof Promise ? undefined : `${reply.status} ${reply.text ?? ""}`);

test("a hand-over that disturbs nothing needs no force, armed or not; one that disturbs says what, and is done if it is forced", () => {
  const quiet = rig();
  assert.equal(refusal(quiet.ask({})), undefined);
  assert.deepEqual(quiet.log, ["switch"]);
  const moving = rig({ disturbs: "the gateway is armed, and its successor begins disarmed" });
  assert.equal(refusal(moving.ask({})), `${Status.preconditionFailed} the gateway is armed, and its successor begins disarmed: disarm first, or force it`);
  assert.deepEqual(moving.log, []);
  assert.equal(refusal(moving.ask({ force: true })), undefined);
  assert.deepEqual(moving.log, ["switch"]);
});

test("nobody hands over to a standby that is not ready, forced or not; and the successor of who was asked says that it has happened", () => {
  const { log, ask } = rig({ ready: false });
  for (const force of [false, true]) assert.match(refusal(ask({ force })) ?? "", /no standby/);
  assert.match(refusal(rig().ask({ from: "b" })) ?? "", new RegExp(`^${Status.ok} `));
  assert.deepEqual(log, []);
});
