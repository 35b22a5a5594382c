/** Care of nodes against the C kit as a process, in simulated time: what is said when, and what is not. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { NodeFrame } from "../../drivers/nodekit/canopen.ts";
import { encodeImage } from "../../drivers/nodekit/image.ts";
import { SIM_NODE, SimNode } from "../../drivers/nodekit/simNode.ts";
import { toHex } from "../../schemas/testData.ts";
import type { Node, NodeIdentity } from "../../schemas/messages/config.ts";
import type { EventInput } from "../observe/events.ts";
import { NodeCare, type CareLine } from "./care.ts";
import type { NodeEvent, WatchedNode } from "./monitor.ts";

const info = { vendor: 0x1234, product: 0x5678, version: 0x0100_0000, securityCounter: 1 };
const oldImage = encodeImage(info, new Uint8Array(500).fill(1));
const newImage = encodeImage({ ...info, version: 0x0200_0000 }, new Uint8Array(3_000).fill(2));
const watched: WatchedNode = { name: "elbow", link: "arm", timeoutMs: 500, required: true };

class Bench implements CareLine {
  readonly kit = new SimNode();
  readonly events: EventInput[] = [];
  /** What a successor was told of. */
  readonly updating: string[] = [];
  /** Every frame that was said, and whether it was allowed then. */
  readonly said: { frame: NodeFrame; allowed: boolean }[] = [];
  allowed = true;
  nowUs = 1_000_000;
  /** The node hears nothing. */
  deaf = false;
  readonly care: NodeCare;
  #queue: NodeFrame[] = [];

  constructor(node: Partial<Node> = {}) {
    const config: Node = { name: "elbow", link: "arm", heartbeat: { canopen: SIM_NODE }, timeoutMs: 500, required: true, update: true, identity: { onMismatch: "refuseArming" }, ...node };
    this.care = new NodeCare([{ ...config, name: "other", heartbeat: { topic: "x" } }, config], {
      nowUs: () => this.nowUs, allowed: () => this.allowed, line: (bus) => (bus === "arm" ? this : undefined), event: (input) => void this.events.push(input), reschedule: () => undefined, updatesChanged: () => void this.updating.push(this.care.updating().join()),
    });
  }

  static async start(t: TestContext, node: Partial<Node> = {}): Promise<Bench> {
    const bench = new Bench(node);
    t.after(async () => assert.equal(await bench.kit.end(), 0));
    await bench.kit.do(`image 0 ${toHex(oldImage)}`);
    await bench.kit.do(`power ${bench.nowUs}`);
    await bench.turn();
    return bench;
  }

  room(): number {
    return 2 - this.#queue.length;
  }

  send(frame: NodeFrame): boolean {
    this.said.push({ frame, allowed: this.allowed });
    this.#queue.push(frame);
    return true;
  }

  heard(type: "appeared" | "lost" | "returned"): void {
    const of = { node: watched, atUs: this.nowUs };
    this.care.nodeEvent((type === "returned" ? { type, ...of, state: "bootUp" } : { type, ...of }) satisfies NodeEvent);
  }

  /** The bus carries what waits, the node turns, time passes. */
  async turn(stepUs = 2_000): Promise<void> {
    this.nowUs += stepUs;
    for (const frame of this.#queue.splice(0)) if (!this.deaf) await this.kit.frame(frame, this.nowUs);
    await this.kit.poll(this.nowUs);
    for (const frame of this.kit.sent.splice(0)) this.care.hear("arm", frame, this.nowUs);
    if (this.kit.said.splice(0).includes("reset")) await this.kit.do(`power ${this.nowUs}`);
    this.care.moved("arm");
    this.care.poll(this.nowUs);
  }

  async until(what: string, done: () => boolean, { turns = 3_000, stepUs = 2_000 } = {}): Promise<void> {
    for (let i = 0; i < turns; i++) {
      if (done()) return;
      await this.turn(stepUs);
    }
    assert.fail(`${what}: not within ${turns} turns: ${JSON.stringify(this.events)}`);
  }

  missing(): string[] {
    return this.care.missing(() => true);
  }

  codes(): string[] {
    return this.events.map(({ code }) => code);
  }
}

const refuses = (answer: ReturnType<NodeCare["update"]>, why: RegExp): void => assert.match(typeof answer === "string" ? answer : "it has begun", why);
const wants = (identity: Partial<NodeIdentity>): Partial<Node> => ({ identity: { onMismatch: "refuseArming", ...identity } });

test("who a node is, is read when it appears, while the robot is disarmed and not before", async (t) => {
  const bench = await Bench.start(t, wants({ vendor: 0x1234, firmware: "1.0.0" }));
  bench.allowed = false;
  bench.heard("appeared");
  for (let i = 0; i < 20; i++) await bench.turn();
  assert.equal(bench.said.length, 0);
  assert.deepEqual(bench.missing(), ["node elbow has not said who it is yet"]);
  assert.deepEqual(bench.care.missing(() => false), [], "one that is away is missing already");
  bench.allowed = true;
  await bench.until("it is known", () => bench.care.identityOf("elbow")?.state === "known");
  const { firmware, name, serial } = bench.care.identityOf("elbow")!;
  assert.deepEqual([firmware, name, serial, bench.missing()], ["1.0.0", "elbow joint", 0xcafe, []]);
  assert.deepEqual(bench.codes(), ["nodeIdentified"]);
  // Read, not written: the first byte says so.
  assert.ok(bench.said.every(({ frame }) => frame.id === 0x600 + SIM_NODE && [0x40, 0x60, 0x70].includes(frame.data[0]!)));
  // Lost: whoever comes back may be another.
  bench.heard("lost");
  assert.equal(bench.care.identityOf("elbow")?.state, "unread");
  assert.deepEqual([bench.care.identityOf("other"), bench.care.identityOf("nobody")], [undefined, undefined]);
});

test("who arms waits for what a node is about to say, and not for one that says nothing", async (t) => {
  const bench = await Bench.start(t);
  const asked = async (): Promise<() => boolean> => {
    let isOver = false;
    void bench.care.identitiesRead().then(() => (isOver = true));
    await Promise.resolve();
    return () => isOver;
  };
  assert.ok((await asked())(), "nobody is there");
  bench.allowed = false;
  bench.heard("appeared");
  assert.ok((await asked())(), "nothing may be said");
  bench.allowed = true;
  const first = await asked();
  assert.ok(!first());
  await bench.until("it is let go", first);
  assert.deepEqual([bench.care.identityOf("elbow")?.state, bench.missing()], ["known", []]);
  assert.ok((await asked())(), "all is known");
  bench.heard("lost");
  bench.heard("returned");
  bench.deaf = true;
  const sinceUs = bench.nowUs;
  const second = await asked();
  assert.ok(!second());
  await bench.until("it is let go", second, { stepUs: 50_000 });
  assert.ok(bench.nowUs - sinceUs <= 3_100_000, `${bench.nowUs - sinceUs}`);
  assert.equal(bench.missing().length, 1);
});

test("another node than the configured one is told, and keeps the robot from being armed unless it is only to be told", async (t) => {
  const bench = await Bench.start(t, wants({ product: 9, serial: 1 }));
  bench.heard("appeared");
  await bench.until("it is another", () => bench.care.identityOf("elbow")?.state === "mismatch");
  assert.deepEqual(bench.missing(), ["node elbow is not the configured one: product 0x5678, not 0x9, serial 0xcafe, not 0x1"]);
  assert.deepEqual(bench.events.map(({ code, severity }) => [code, severity]), [["nodeMismatch", "error"]]);
  const told = await Bench.start(t, { identity: { onMismatch: "tell", product: 9 } });
  told.heard("appeared");
  await told.until("it is another", () => told.care.identityOf("elbow")?.state === "mismatch");
  assert.deepEqual([told.missing(), told.events[0]?.severity], [[], "warning"]);
});

test("a node that does not answer is told once, asked again, and keeps the robot from being armed", async (t) => {
  const bench = await Bench.start(t);
  bench.deaf = true;
  bench.heard("appeared");
  await bench.until("it is given up", () => bench.care.identityOf("elbow")?.state === "noAnswer", { stepUs: 100_000 });
  assert.deepEqual(bench.missing(), ["node elbow does not say who it is"]);
  for (let i = 0; i < 200; i++) await bench.turn(100_000);
  assert.deepEqual(bench.codes(), ["nodeIdentityUnread"]);
  bench.deaf = false;
  await bench.until("it is known", () => bench.care.identityOf("elbow")?.state === "known", { stepUs: 20_000 });
});

test("an update that the robot's state cuts off says nothing more until it is disarmed again, and then puts the node back to work", async (t) => {
  const bench = await Bench.start(t);
  const state = bench.care.update("elbow", newImage, 1e6);
  assert.ok(typeof state === "object");
  refuses(bench.care.update("elbow", newImage, 1e6), /is being replaced on the same bus/);
  assert.match(bench.care.start("elbow") ?? "", /is being replaced/);
  await bench.until("half of it is there", () => (bench.care.progressOf("elbow") ?? 0) > 0.5);
  assert.deepEqual(bench.missing(), ["the firmware of node elbow is being replaced"]);
  bench.allowed = false;
  const before = bench.said.length;
  for (let i = 0; i < 50; i++) await bench.turn(10_000);
  assert.equal(bench.said.length, before);
  assert.deepEqual(state.now, { state: "ended", result: { ok: false, code: "interrupted", why: "the robot is not disarmed any more" } });
  bench.allowed = true;
  await bench.until("it is told", () => bench.said.slice(before).some(({ frame }) => frame.id === 0 && frame.data[0] === 1 && frame.data[1] === SIM_NODE));
  assert.ok(bench.said.every(({ allowed }) => allowed));
  await bench.until("it is known again", () => bench.care.identityOf("elbow")?.state === "known");
  assert.equal(bench.care.identityOf("elbow")?.firmware, "1.0.0");
  assert.deepEqual(bench.codes(), ["nodeUpdate", "nodeUpdateFailed", "nodeIdentified"]);
  assert.deepEqual(bench.updating, ["elbow", ""]);
  // Had this one ended instead, its successor would say so, and no more.
  bench.care.wereCut(["elbow"]);
  assert.equal(bench.codes().at(-1), "nodeUpdateCut");
  assert.deepEqual(bench.missing(), []);
});

test("new firmware is brought, proven and confirmed, and read again", async (t) => {
  const bench = await Bench.start(t);
  const state = bench.care.update("elbow", newImage, 1e6);
  assert.ok(typeof state === "object");
  await bench.until("it has ended", () => state.now.state === "ended");
  assert.ok(state.now.state === "ended" && state.now.result.ok, JSON.stringify(state.now));
  await bench.until("it is known", () => bench.care.identityOf("elbow")?.firmware === "2.0.0");
  assert.deepEqual(bench.missing(), []);
  assert.equal(bench.care.abort("elbow", "too late"), false);
});

test("whom the configuration does not list for it gets no firmware, nor does anybody while the robot is not disarmed", async (t) => {
  const bench = await Bench.start(t, { update: false });
  refuses(bench.care.update("elbow", newImage, undefined), /update: true/);
  refuses(bench.care.update("nobody", newImage, undefined), /update: true/);
  const armed = await Bench.start(t);
  armed.allowed = false;
  refuses(armed.care.update("elbow", newImage, undefined), /only while the robot is disarmed/);
  assert.match(armed.care.start("elbow") ?? "", /only while the robot is disarmed/);
  assert.equal(armed.said.length, 0);
});
