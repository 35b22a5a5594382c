import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../schemas/clock.ts";
import type { ServerMessage } from "../../../shm/protocol/messages.ts";
import { noDescriptors } from "../../../shm/sockets/index.ts";
import { TopicTable } from "../../topics/table.ts";
import { defaultLimits } from "../limits.ts";
import type { Peer, ServiceAnswer } from "../ports.ts";
import { FairShare } from "../quota/quota.ts";
import { openPolicy } from "../testRig.ts";
import { ServiceDesk, type ServiceClient } from "./desk.ts";
import { serviceLimits } from "./limits.ts";

const peer: Peer = { pid: 1, uid: 1, gid: 1, groups: [], component: "test" };

class FakeClient implements ServiceClient {
  readonly peer = peer;
  readonly name = "fake";
  readonly isGreeted = true;
  readonly told: string[] = [];
  readonly replies: ServiceAnswer[] = [];
  onReply: () => void = () => undefined;
  tell(message: ServerMessage): void {
    this.told.push(message.op);
  }
  reply(_seq: number, answer: ServiceAnswer): void {
    this.replies.push(answer);
    this.onReply();
  }
  leave(): void {
    this.told.push("left");
  }
}

function makeDesk(): { desk: ServiceDesk; clock: ManualClock } {
  const clock = new ManualClock();
  const services = { names: ["own"], call: () => Promise.resolve({ status: 100, body: 1 }) };
  const resources = { list: () => [], open: () => Promise.resolve({ status: 203, text: "" }) };
  return { clock, desk: new ServiceDesk({ clock, policy: openPolicy, services, topics: new TopicTable(), resources, quota: new FairShare(defaultLimits.shared), limits: serviceLimits }) };
}

const offer = (seq: number, service: string) => ({ op: "offer", seq, service, group: "", capacity: 1, allow: undefined, deny: [], rateHzMax: undefined, callsMax: undefined, description: "" }) as const;
const request = (seq: number, service: string) => ({ op: "request", seq, service, group: undefined, body: undefined, timeoutMs: 1_000, stream: undefined, idempotent: true }) as const;
const payload = { body: undefined, bytes: 10, descriptors: noDescriptors };

test("a caller that ends by its own reply, while its next call begins: the provider hears of both and gets its place back", () => {
  const { desk } = makeDesk();
  const provider = new FakeClient();
  const caller = new FakeClient();
  const [p, c] = [desk.join(provider), desk.join(caller)];
  desk.offer(p, offer(1, "work"));
  desk.request(c, request(1, "work"), payload);
  desk.request(c, request(2, "work"), payload);
  caller.onReply = () => desk.left(c);
  desk.result(p, { op: "result", call: 1, status: 100, text: "", body: 1, more: false }, payload);
  assert.deepEqual(provider.told, ["call", "call", "callCancelled"]);
  desk.result(p, { op: "result", call: 2, status: 100, text: "", body: 1, more: false }, payload);
  const next = new FakeClient();
  desk.request(desk.join(next), request(1, "work"), payload);
  assert.deepEqual(provider.told.slice(3), ["call"]);
});

test("the gateway's own services answer by the same way, and nobody else may offer them", async () => {
  const { desk } = makeDesk();
  const client = new FakeClient();
  const number = desk.join(client);
  desk.offer(number, offer(1, "own"));
  assert.equal(client.replies[0]!.status, 202);
  const answered = new Promise<void>((resolve) => {
    client.onReply = resolve;
  });
  desk.request(number, request(2, "own"), payload);
  await answered;
  assert.deepEqual(client.replies[1], { status: 100, text: "", body: 1 });
  desk.close();
});

test("time alone answers: the desk sets its own timer", () => {
  const { desk, clock } = makeDesk();
  const provider = new FakeClient();
  const caller = new FakeClient();
  const p = desk.join(provider);
  const c = desk.join(caller);
  desk.offer(p, offer(1, "work"));
  desk.request(c, request(1, "work"), payload);
  clock.advanceMs(999);
  assert.equal(caller.replies.length, 0);
  clock.advanceMs(1);
  assert.equal(caller.replies[0]!.status, 204);
  assert.deepEqual(provider.told, ["call", "callCancelled"]);
});
