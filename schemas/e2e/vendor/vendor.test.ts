import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Verdict } from "../codec.ts";
import { loadChecks } from "../checks.ts";
import type { FrameCheck } from "../frameCheck.ts";
import { CheckResult } from "../status.ts";
import { fromHex, sharedData, toHex, vectors } from "../../testData.ts";
import { vendorCodec } from "./checksum.ts";
import { vendorChecksum } from "./index.ts";
import type { ParameterValue } from "./index.ts";

interface Row {
  name: string;
  checksum: string;
  parameters?: Record<string, ParameterValue>;
  canId: number;
  extended: boolean;
  frame: string;
  counter: number | null;
}

const { rows } = vectors("e2e-vendor.json") as { rows: Row[] };

test("every plug-in gives its known frames, and refuses each with one bit changed", () => {
  for (const { name, checksum, parameters, canId, extended, frame, counter } of rows) {
    const bytes = fromHex(frame);
    const made = vendorCodec(vendorChecksum(checksum, parameters)!, { lengthBytes: bytes.length, canId, extended });
    assert.ok(made.ok);
    const { codec } = made;
    assert.equal(codec.inspect(bytes, 0, bytes.length, canId), Verdict.ok, `${checksum} ${name}`);
    assert.equal(codec.counterCount, counter === null ? 1 : 4);
    assert.equal(codec.counterOf(bytes, 0, bytes.length, canId), counter ?? 0);
    const again = new Uint8Array(bytes);
    codec.protect(again, 0, bytes.length, canId, counter ?? 0);
    assert.equal(toHex(again), frame);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >>> 3]! ^= 1 << (bit & 7);
      assert.equal(codec.inspect(bytes, 0, bytes.length, canId), Verdict.crcMismatch, `${checksum} ${name}: bit ${bit}`);
      bytes[bit >>> 3]! ^= 1 << (bit & 7);
    }
    assert.equal(codec.inspect(bytes, 0, bytes.length - 1, canId), Verdict.badLength);
  }
});

test("a name nobody knows makes nothing", () => {
  assert.equal(vendorChecksum("hondo"), undefined);
  assert.equal(vendorChecksum("constructor"), undefined);
});

test("a counter may be placed elsewhere, but not on the checksum or outside the frame", () => {
  const message = { lengthBytes: 8, canId: 1, extended: false };
  const made = vendorCodec(vendorChecksum("sum8")!, { ...message, counter: { byte: 6, shiftBits: 4, lengthBits: 4 } });
  assert.ok(made.ok && made.codec.counterCount === 16);
  assert.equal(vendorCodec(vendorChecksum("sum8")!, { ...message, counter: { byte: 7, shiftBits: 0, lengthBits: 4 } }).ok, false);
  assert.equal(vendorCodec(vendorChecksum("sum8")!, { ...message, counter: { byte: 8, shiftBits: 0, lengthBits: 4 } }).ok, false);
  assert.equal(vendorCodec(vendorChecksum("sum8")!, { ...message, lengthBytes: 0 }).ok, false);
});

const recording = sharedData("can/car-with-checksums.candump.log");
test("the car recording: 6,158 of 6,158 frames accepted in order, none with any one bit changed", { skip: recording === undefined && "../shared/data/can is not on this machine" }, () => {
  const loaded = loadChecks('version: 1\nmessages: { "*": { checksum: honda } }', { file: "car.checks.yaml" });
  assert.ok(loaded.ok);
  const receivers = new Map<string, FrameCheck>();
  let accepted = 0;
  let flipped = 0;
  for (const line of readFileSync(recording!, "utf8").split("\n")) {
    const match = /^\(([\d.]+)\) \S+ ([0-9A-F]+)#([0-9A-F]*)/.exec(line);
    if (!match) continue;
    const [, time, id, hex] = match;
    const canId = Number.parseInt(id!, 16);
    const bytes = fromHex(hex!);
    const message = { name: id!, canId, extended: false, lengthBytes: bytes.length };
    const receiver: FrameCheck = receivers.get(id!) ?? loaded.checks.forMessage(message)!;
    receivers.set(id!, receiver);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >>> 3]! ^= 1 << (bit & 7);
      assert.equal(receiver.check(bytes, 0, bytes.length, canId, Number(time) * 1e6), CheckResult.crcMismatch);
      bytes[bit >>> 3]! ^= 1 << (bit & 7);
      flipped += 1;
    }
    if (receiver.check(bytes, 0, bytes.length, canId, Number(time) * 1e6) === CheckResult.ok) accepted += 1;
  }
  assert.equal(accepted, 6158);
  assert.ok(flipped > 300_000);
});
