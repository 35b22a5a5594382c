/** The gateway's ends against the C kit as a process: reading who it is, a whole update, lost frames, crashes, power cuts. Time is simulated. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { e2eProtector } from "../../schemas/e2e/index.ts";
import { toHex } from "../../schemas/testData.ts";
import { seededRandom } from "../../schemas/random.ts";
import { canopenIds, decodeEmcy, encodeNmt, type NodeFrame } from "./canopen.ts";
import { decodeImage, encodeImage, IMAGE_HEADER_BYTES, SIGNATURE_BYTES } from "./image.ts";
import { SdoTransfer, type SdoRequest, type SdoResult } from "./sdoTransfer.ts";
import { SIM_NODE, SimNode } from "./simNode.ts";
import { decodeReport, NodeUpdate, type UpdateOptions, type UpdateResult } from "./update.ts";

const info = { vendor: 0x1234, product: 0x5678, version: 0x01000000, securityCounter: 1 };
const program = (seed: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 13 + (i >> 8)) & 0xff);
const oldImage = encodeImage(info, program(1, 3_000));
const newImage = encodeImage({ ...info, version: 0x02000000, securityCounter: 2 }, program(2, 5_001));

/** A bus with one node on it, and a clock that both ends read. */
class Bench {
  readonly node = new SimNode();
  nowUs = 4_294_000_000; // its 32 bits wrap during the tests
  /** Chance of a frame to be lost, either way. */
  loss = 0;
  /** After so many µs of an outage the node is switched on again. */
  restartUs = 50_000;
  /** What the boot loader said each time. */
  readonly slots: string[] = [];
  framesToNode = 0;
  readonly #random = seededRandom(20261123);

  async begin(): Promise<void> {
    await this.node.do(`image 0 ${toHex(oldImage)}`);
    await this.powerUp();
  }

  async powerUp(): Promise<string | undefined> {
    const [slot] = await this.node.do(`power ${this.nowUs % 2 ** 32}`);
    this.slots.push(slot ?? "");
    for (let i = 0; i < 3; i++) await this.node.poll((this.nowUs += 1_000));
    return slot;
  }

  lost(): boolean {
    return this.#random() < this.loss;
  }

  /** Hands frames over and lets time pass; `stepUs` when nobody has anything to say. */
  async turn(client: { take(max: number): NodeFrame[]; hear(frame: NodeFrame, nowUs: number): void; poll(nowUs: number): void }, stepUs: number): Promise<void> {
    const frames = client.take(16);
    for (const frame of frames) {
      this.nowUs += 250;
      this.framesToNode += 1;
      if (!this.lost()) await this.node.frame(frame, this.nowUs);
    }
    await this.node.poll((this.nowUs += frames.length > 0 ? 1_000 : stepUs));
    for (const frame of this.node.sent.splice(0)) if (!this.lost()) client.hear(frame, this.nowUs);
    client.poll(this.nowUs);
    if (!this.node.said.splice(0).some((line) => line === "reset" || line === "cut")) return;
    this.nowUs += this.restartUs;
    await this.powerUp();
  }

  async sdo(request: SdoRequest): Promise<SdoResult> {
    const transfer = new SdoTransfer(SIM_NODE, request, this.nowUs);
    while (!transfer.result) await this.turn(transfer, 10_000);
    return transfer.result;
  }

  async update(options: Partial<UpdateOptions> = {}): Promise<UpdateResult> {
    const update = new NodeUpdate({ node: SIM_NODE, image: newImage, steadyUs: 1e6, ...options }, this.nowUs);
    for (let turns = 0; !update.result; turns++) {
      assert.ok(turns < 20_000, "the update comes to no end");
      await this.turn(update, 20_000);
    }
    await this.turn(update, 20_000); // what it still has to say
    return update.result;
  }

  async report(): Promise<ReturnType<typeof decodeReport>> {
    const result = await this.sdo({ type: "read", index: 0x2f00, subindex: 1 });
    assert.ok(result.ok);
    return decodeReport(result.bytes);
  }
}

async function onBench(run: (bench: Bench) => Promise<void>): Promise<void> {
  const bench = new Bench();
  await bench.begin();
  await run(bench);
  assert.equal(await bench.node.end(), 0, "the node kept the flash's rules");
}

test("the gateway reads who a node is", () => onBench(async (bench) => {
  const word = async (index: number, subindex: number): Promise<string> => {
    const result = await bench.sdo({ type: "read", index, subindex });
    return result.ok ? toHex(result.bytes) : result.code;
  };
  assert.deepEqual([await word(0x1018, 0), await word(0x1018, 1), await word(0x1018, 4), await word(0x1017, 0), await word(0x1001, 0)], ["04", "34120000", "feca0000", "6400", "00"]);
  const name = await bench.sdo({ type: "read", index: 0x1008, subindex: 0 });
  assert.equal(name.ok && Buffer.from(name.bytes).toString(), "elbow joint");
  assert.deepEqual(await bench.sdo({ type: "read", index: 0x1f50, subindex: 1 }), { ok: false, code: "aborted", abortCode: 0x06010001 });
  assert.deepEqual(await bench.sdo({ type: "write", index: 0x1017, subindex: 0, bytes: Uint8Array.of(1, 0) }), { ok: false, code: "aborted", abortCode: 0x06010002 });
  const report = await bench.report();
  assert.ok(report);
  const { slot, version, onProbation, outcome, sha256 } = report;
  const decoded = decodeImage(oldImage);
  assert.deepEqual({ slot, version, onProbation, outcome }, { slot: 0, version: info.version, onProbation: false, outcome: "never" });
  assert.ok(!("fault" in decoded) && toHex(sha256) === toHex(decoded.sha256));
}));

test("a new image is brought, started, proven and confirmed, and survives a power cut", () => onBench(async (bench) => {
  const result = await bench.update();
  assert.ok(result.ok, JSON.stringify(result));
  assert.deepEqual([result.report.slot, result.report.version, result.report.onProbation, result.report.otherGood], [1, 0x02000000, false, true]);
  assert.equal(await bench.powerUp(), "slot 1");
  const again = await bench.update();
  assert.equal(!again.ok && again.code, "sameImage");
  // The old one is too old now.
  const back = await bench.update({ image: oldImage });
  assert.deepEqual(!back.ok && back.code === "refused" && back.refusal, "tooOld");
}));

test("one frame in a hundred lost, both ways: the update still comes to its end", () => onBench(async (bench) => {
  bench.loss = 0.01;
  let result = await bench.update({ steadyWithinUs: 60e6 });
  // A transfer that is given up three times is the caller's to begin again.
  for (let i = 0; i < 5 && !result.ok && result.code !== "sameImage"; i++) result = await bench.update({ steadyWithinUs: 60e6 });
  bench.loss = 0;
  const report = await bench.report();
  assert.equal(report?.version, 0x02000000, JSON.stringify(result));
}));

test("power is cut in the middle of an update: the old image runs, and the next update works", () => onBench(async (bench) => {
  for (const steps of [0, 5, 20, 700, 4_000, 5_190]) {
    await bench.node.do(`cut ${steps}`);
    const cut = await bench.update();
    assert.ok(!cut.ok, `cut after ${steps} steps`);
    const report = await bench.report();
    assert.deepEqual([report?.slot, report?.version, report?.staged], [0, info.version, false], `cut after ${steps} steps`);
  }
  assert.ok((await bench.update()).ok);
}));

test("an image that restarts on probation is not confirmed, and the old one returns", () => onBench(async (bench) => {
  const update = new NodeUpdate({ node: SIM_NODE, image: newImage, steadyUs: 5e6 }, bench.nowUs);
  while (bench.slots.at(-1) !== "slot 1") await bench.turn(update, 20_000);
  for (let i = 0; i < 50; i++) await bench.turn(update, 20_000);
  assert.equal(update.result, undefined);
  await bench.powerUp();
  while (!update.result) await bench.turn(update, 20_000);
  assert.deepEqual(update.result, { ok: false, code: "unsteady" });
  const pending = await bench.update({ image: encodeImage({ ...info, version: 0x0300_0000, securityCounter: 2 }, program(3, 500)) });
  assert.equal(!pending.ok && pending.code, "onProbation");
  await bench.powerUp();
  await bench.powerUp();
  assert.deepEqual(bench.slots, ["slot 0", "slot 1", "slot 1", "slot 1", "slot 0"]);
  const report = await bench.report();
  assert.deepEqual([report?.version, report?.outcome, report?.onProbation], [info.version, "reverted", false]);
}));

test("whoever is cut off before the new image is proven goes on there when it is brought again", () => onBench(async (bench) => {
  const first = new NodeUpdate({ node: SIM_NODE, image: newImage, steadyUs: 5e6 }, bench.nowUs);
  while (bench.slots.at(-1) !== "slot 1") await bench.turn(first, 20_000);
  const frames = bench.framesToNode;
  const result = await bench.update({ steadyUs: 3e6 });
  assert.ok(result.ok);
  assert.deepEqual([result.report.slot, result.report.version, result.report.onProbation, result.report.outcome], [1, 0x0200_0000, false, "confirmed"]);
  assert.ok(bench.framesToNode - frames < 60, "it was not sent again");
  assert.deepEqual(bench.slots, ["slot 0", "slot 1"]);
}));

test("what is no image, or not for this node, is refused before anything is sent", () => onBench(async (bench) => {
  const damaged = newImage.slice();
  damaged[IMAGE_HEADER_BYTES + 7]! ^= 1;
  const result = await bench.update({ image: damaged });
  assert.deepEqual(result, { ok: false, code: "badImage", fault: "programCrc" });
  const other = await bench.update({ image: encodeImage({ ...info, product: 9 }, program(3, 100)) });
  assert.deepEqual(other, { ok: false, code: "wrongNode", vendor: 0x1234, product: 0x5678 });
  const tooLong = await bench.update({ image: encodeImage({ ...info, version: 3 }, program(3, 17_000)) });
  assert.deepEqual(!tooLong.ok && tooLong.code === "refused" && tooLong.refusal, "tooLong");
  // And the node is back at work.
  assert.equal(await heartbeatState(bench), 5);
}));

test("a node that moves takes no image", () => onBench(async (bench) => {
  const wrong = await bench.sdo({ type: "writeBlock", index: 0x1f50, subindex: 1, bytes: newImage });
  assert.deepEqual(wrong, { ok: false, code: "aborted", abortCode: 0x08000022 });
  // Started again in the middle of a transfer.
  await bench.node.frame(encodeNmt("enterPreOperational", SIM_NODE), bench.nowUs);
  const transfer = new SdoTransfer(SIM_NODE, { type: "writeBlock", index: 0x1f50, subindex: 1, bytes: newImage }, bench.nowUs);
  while (transfer.progress < 0.5) await bench.turn(transfer, 10_000);
  await bench.node.frame(encodeNmt("start", 0), bench.nowUs);
  while (!transfer.result) await bench.turn(transfer, 10_000);
  assert.deepEqual(transfer.result, { ok: false, code: "aborted", abortCode: 0x08000022 });
}));

test("a signature is 64 bytes over the first 64", () => {
  const signed = encodeImage(info, program(1, 10), (header) => { assert.equal(header.length, 64); return new Uint8Array(SIGNATURE_BYTES).fill(7); });
  const decoded = decodeImage(signed);
  assert.ok(!("fault" in decoded) && decoded.signature.every((byte) => byte === 7));
  assert.throws(() => encodeImage(info, program(1, 10), () => new Uint8Array(3)), RangeError);
  for (let i = 0; i < signed.length; i++) {
    if (i >= 64 && i < IMAGE_HEADER_BYTES) continue; // the signature is judged by who has the key
    const damaged = signed.slice();
    damaged[i]! ^= 0x10;
    assert.ok("fault" in decodeImage(damaged), `byte ${i}`);
  }
});

/** NMT state in its next heartbeat. */
async function heartbeatState(bench: Bench): Promise<number | undefined> {
  for (let i = 0; i < 40; i++) {
    await bench.node.poll((bench.nowUs += 10_000));
    const beat = bench.node.sent.splice(0).findLast(({ id }) => id === canopenIds.heartbeat + SIM_NODE);
    if (beat) return beat.data[0];
  }
  return undefined;
}

test("a motion command that fails to come: one safe pose, told as EMCY", () => onBench(async (bench) => {
  await bench.node.do("command 205 1234");
  await bench.powerUp();
  const frame = new Uint8Array(8);
  e2eProtector({ profile: "P05", dataId: 0x1234, lengthBytes: 8 }).protect(frame, 0, 8, 0);
  bench.node.said.length = 0;
  bench.node.sent.length = 0;
  assert.equal(await bench.node.frame({ id: 0x205, data: frame }, bench.nowUs), 0);
  for (let i = 0; i < 50; i++) await bench.node.poll((bench.nowUs += 10_000));
  assert.deepEqual(bench.node.said.filter((line) => line.startsWith("pose")), ["pose 1"]);
  const messages = bench.node.sent.map((sent) => decodeEmcy(sent)).filter((emcy) => emcy !== undefined);
  assert.deepEqual(messages, [{ node: SIM_NODE, code: 0x8250, errorRegister: 0x11, info: new Uint8Array(5) }]);
  assert.equal(decodeEmcy({ id: 0x80, data: new Uint8Array(8) }), undefined);
  assert.equal(decodeEmcy({ id: 0x85, data: new Uint8Array(7) }), undefined);
}));

test("the late answer to a transfer that was given up is not taken for the next one's", () => {
  const transfer = new SdoTransfer(SIM_NODE, { type: "read", index: 0x1018, subindex: 2 }, 0);
  assert.equal(transfer.take().length, 1);
  const answer = (first: number, index: number, subindex: number, value: number): NodeFrame => ({ id: canopenIds.sdoAnswer + SIM_NODE, data: Uint8Array.of(first, index & 0xff, index >> 8, subindex, value, 0, 0, 0) });
  transfer.hear(answer(0x43, 0x1018, 1, 9), 10);
  transfer.hear(answer(0x80, 0x1008, 0, 1), 20);
  assert.equal(transfer.result, undefined);
  transfer.hear(answer(0x43, 0x1018, 2, 7), 30);
  assert.deepEqual(transfer.result, { ok: true, bytes: Uint8Array.of(7, 0, 0, 0) });
});
