/** When nodes at serial lines are given new firmware, and what is said of it. The course itself is drivers/nodekit/serialUpdate.test.ts, against the kit in C. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeImage } from "../../drivers/nodekit/image.ts";
import { orders } from "../../drivers/nodekit/serialUpdate.ts";
import { ManualClock } from "../../schemas/clock.ts";
import type { Node } from "../../schemas/messages/config.ts";
import { Status } from "../../schemas/status.ts";
import type { ServiceAnswer } from "../broker/ports.ts";
import type { EventInput } from "../observe/events.ts";
import { NodeCare, type UpdateState } from "./care.ts";

const image = encodeImage({ vendor: 1, product: 2, version: 2 ** 24, securityCounter: 0 }, new Uint8Array(3_000));
/** Byte 0 of a piece. */
const DATA = 3;
const node = (name: string, link = "line"): Node => ({ name, link, heartbeat: { message: "Telemetry" }, timeoutMs: 1_000, required: true, update: true });

/** What a device of vendor 1, product 2 reports: slots of 8 KiB, pages of 1 KiB, and no image that one would know. */
function report(): Uint8Array {
  const bytes = new Uint8Array(68);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of [1, 2, 8_192, 1_024, 0].entries()) view.setUint32(i * 4, word, true);
  bytes[20] = 1;
  return bytes;
}

class Bench {
  readonly clock = new ManualClock({ nowUs: 1_000_000 });
  readonly events: EventInput[] = [];
  readonly updating: string[] = [];
  allowed = true;
  asked: Uint8Array[] = [];
  answer: (body: Uint8Array) => ServiceAnswer | Promise<ServiceAnswer> = () => ({ status: Status.serviceUnavailable });
  readonly care: NodeCare;

  constructor(nodes: readonly Node[] = [node("hand"), node("foot"), node("head", "other")]) {
    this.care = new NodeCare(nodes, {
      nowUs: () => this.clock.nowUs(), allowed: () => this.allowed, line: () => undefined, event: (input) => void this.events.push(input), reschedule: () => undefined,
      updatesChanged: () => void this.updating.push(this.care.updating().join()),
      serial: {
        device: (link) => (link === "line" ? (body) => this.#ask(body as Uint8Array) : undefined),
        isOperational: () => true,
        wait: (ms) => new Promise((resolve) => void this.clock.at(this.clock.nowUs() + ms * 1e3, resolve)),
      },
    });
  }

  async #ask(body: Uint8Array): Promise<ServiceAnswer> {
    this.asked.push(body);
    return this.answer(body);
  }

  /** So much time, in steps, with everything that comes of each. */
  async pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i += 50) {
      this.clock.advanceMs(50);
      this.care.poll(this.clock.nowUs());
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  }

  missing(): string[] {
    return this.care.missing(() => true);
  }
}

const begun = (state: ReturnType<NodeCare["update"]>): { now: UpdateState } => (typeof state === "string" ? assert.fail(state) : state);
const refuses = (answer: ReturnType<NodeCare["update"]>, why: RegExp): void => assert.match(typeof answer === "string" ? answer : "it has begun", why);
const resting = ["node hand is still giving up the firmware that it was sent (2.5 s)"];

test("one at a time on a line, only while the robot is disarmed, and nothing is armed meanwhile or while the device may rest", async () => {
  const it = new Bench();
  it.allowed = false;
  refuses(it.care.update("hand", image, undefined), /only while the robot is disarmed/);
  it.allowed = true;
  refuses(it.care.update("head", image, undefined), /no line to head/);
  const state = begun(it.care.update("hand", image, undefined));
  refuses(it.care.update("foot", image, undefined), /the firmware of hand is being replaced on the same line/);
  assert.deepEqual([it.missing(), it.care.updating()], [["the firmware of node hand is being replaced"], ["hand"]]);
  await it.pass(1_100);
  assert.ok(state.now.state === "ended" && !state.now.result.ok && state.now.result.code === "noAnswer", JSON.stringify(state.now));
  assert.deepEqual([it.missing(), it.care.updating()], [resting, []]);
  await it.pass(2_500);
  assert.deepEqual(it.missing(), []);
  assert.deepEqual([it.events.map(({ code }) => code), it.updating], [["nodeUpdate", "nodeUpdateFailed"], ["hand", ""]]);
});

test("a robot that leaves the state ends a transfer: nothing more is sent, and whoever asked is told", async () => {
  const it = new Bench();
  const good: ServiceAnswer = { status: Status.ok, body: new Uint8Array(4) };
  let release: ((answer: ServiceAnswer) => void) | undefined;
  it.answer = (body) => {
    if (body[0] === orders.report[0]) return { status: Status.ok, body: report() };
    // In the transfer the answer to a piece is late.
    return body[0] === DATA && it.asked.length > 12 ? new Promise((resolve) => (release = resolve)) : good;
  };
  const state = begun(it.care.update("hand", image, undefined));
  await it.pass(200);
  assert.ok(release && state.now.state === "running" && state.now.progress > 0 && it.care.progressOf("hand") === state.now.progress, JSON.stringify(state.now));
  it.allowed = false;
  await it.pass(50);
  const asked = it.asked.length;
  release(good);
  await it.pass(50);
  assert.deepEqual(state.now, { state: "ended", result: { ok: false, code: "interrupted", why: "the robot is not disarmed any more" } });
  assert.equal(it.asked.length, asked);
  assert.deepEqual(it.missing(), resting);
});

test("what a gateway before has cut is said, with what one does about it; there is nothing to start at a line", async () => {
  const it = new Bench();
  it.care.wereCut(["hand"]);
  assert.deepEqual(it.events.map(({ code, source }) => [code, source]), [["nodeUpdateCut", "hand"]]);
  assert.match(it.events[0]!.text, /ipcnet node update goes on where it stands$/);
  assert.deepEqual(it.missing(), resting);
  await it.pass(2_500);
  assert.deepEqual(it.missing(), []);
  assert.match(it.care.start("hand") ?? "", /there is nothing to start/);
  assert.equal(it.care.abort("hand", "nobody asked"), false);
});
