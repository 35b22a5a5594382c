import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as fc from "fast-check";
import { Verdict } from "./codec.ts";
import type { E2eConfig } from "./config.ts";
import { layoutOf, profileFacts, profileNames, validateE2eConfig } from "./config.ts";
import { E2eConfigError, e2eCodec } from "./profiles.ts";
import { fromHex, sharedData, toHex, vectors } from "../testData.ts";

interface Row {
  name: string;
  config: E2eConfig;
  counter: number;
  input: string;
  frame: string;
}

const { rows } = vectors("e2e-profiles.json") as { rows: Row[] };

function expectProtected({ name, config, counter, input, frame }: Row): void {
  const codec = e2eCodec(config);
  const expected = fromHex(frame);
  // In the middle of a larger buffer, whose other bytes must stay.
  const buffer = new Uint8Array(expected.length + 8).fill(0xa5);
  buffer.set(fromHex(input), 3);
  codec.protect(buffer, 3, expected.length, 0, counter);
  assert.equal(toHex(buffer.subarray(3, 3 + expected.length)), frame, `${name}, counter ${counter}`);
  assert.deepEqual([...buffer.subarray(0, 3), ...buffer.subarray(3 + expected.length)], Array(8).fill(0xa5));
  assert.equal(codec.inspect(buffer, 3, expected.length, 0), Verdict.ok);
  assert.equal(codec.counterOf(buffer, 3, expected.length, 0), counter);
}

function expectEveryFlipRefused(config: E2eConfig, frame: Uint8Array, name: string): void {
  const codec = e2eCodec(config);
  for (let bit = 0; bit < frame.length * 8; bit++) {
    frame[bit >>> 3]! ^= 1 << (bit & 7);
    assert.notEqual(codec.inspect(frame, 0, frame.length, 0), Verdict.ok, `${name}: bit ${bit} flipped in ${toHex(frame)}`);
    frame[bit >>> 3]! ^= 1 << (bit & 7);
  }
}

test("all published examples come out of protect and pass the check", () => {
  assert.ok(rows.length >= 50);
  for (const row of rows) expectProtected(row);
});

test("every single-bit change of every published example is refused", () => {
  for (const row of rows) expectEveryFlipRefused(row.config, fromHex(row.frame), row.name);
});

const independent = sharedData("e2e/e2e-vectors.json");
test("the independent implementation's examples agree", { skip: independent === undefined && "../shared/data/e2e is not on this machine" }, () => {
  const data = JSON.parse(readFileSync(independent!, "utf8")) as Record<string, { dataId: number; counter: number; mode?: E2eConfig["dataIdMode"]; frame: string }[]>;
  let count = 0;
  for (const profile of profileNames) {
    for (const { dataId, counter, mode, frame } of data[profile.toLowerCase()] ?? []) {
      const config: E2eConfig = { profile, dataId, ...(mode ? { dataIdMode: mode } : {}) };
      expectProtected({ name: profile, config, counter, input: "00".repeat(frame.length / 2), frame });
      expectEveryFlipRefused(config, fromHex(frame), profile);
      count += 1;
    }
  }
  assert.equal(count, 22);
});

/** Any valid configuration of a profile with a frame length that fits it. */
export function configurations(): fc.Arbitrary<{ config: E2eConfig; lengthBytes: number }> {
  return fc
    .record({
      profile: fc.constantFrom(...profileNames),
      dataId: fc.nat(0xffffffff),
      dataIdList: fc.array(fc.nat(255), { minLength: 16, maxLength: 16 }),
      mode: fc.nat(3),
      offsetBytes: fc.nat(12),
      extra: fc.nat(40),
    })
    .map(({ profile, dataId, dataIdList, mode, offsetBytes, extra }) => {
      const facts = profileFacts[profile];
      const dataIdMode = facts.dataIdModes[mode % Math.max(1, facts.dataIdModes.length)];
      const bits = dataIdMode === "nibble" ? 12 : facts.dataIdBits;
      const config: E2eConfig = { profile, offsetBytes, ...(facts.dataIdBits === 0 ? { dataIdList } : { dataId: bits === 32 ? dataId : dataId % 2 ** bits }), ...(dataIdMode ? { dataIdMode } : {}) };
      return { config, lengthBytes: Math.min(facts.maxLengthBytes, offsetBytes + facts.headerBytes + extra) };
    });
}

test("protect then inspect is ok for any configuration; header bits aside, the payload is untouched", () => {
  fc.assert(
    fc.property(configurations(), fc.nat(), fc.uint8Array({ minLength: 80, maxLength: 80 }), ({ config, lengthBytes }, n, noise) => {
      const codec = e2eCodec(config);
      const counter = n % codec.counterCount;
      const frame = noise.slice(0, lengthBytes);
      codec.protect(frame, 0, lengthBytes, 0, counter);
      assert.equal(codec.inspect(frame, 0, lengthBytes, 0), Verdict.ok);
      assert.equal(codec.counterOf(frame, 0, lengthBytes, 0), counter);
      const { offsetBytes } = layoutOf(config);
      const headerEnd = offsetBytes + profileFacts[config.profile].headerBytes;
      assert.deepEqual(frame.slice(0, offsetBytes), noise.slice(0, offsetBytes));
      assert.deepEqual(frame.slice(headerEnd), noise.slice(headerEnd, lengthBytes));
      assert.equal(codec.inspect(frame, 0, offsetBytes + 1, 0), Verdict.badLength, "too short for its header");
    }),
    { seed: 20260802, numRuns: 500 },
  );
});

test("every single-bit change is refused for any frame (P02, P22 and mode alt: outside the counter, whose change also changes the Data ID)", () => {
  fc.assert(
    fc.property(configurations(), fc.nat(), fc.uint8Array({ minLength: 80, maxLength: 80 }), ({ config, lengthBytes }, n, noise) => {
      const codec = e2eCodec(config);
      const frame = noise.slice(0, lengthBytes);
      codec.protect(frame, 0, lengthBytes, 0, n % codec.counterCount);
      const idByCounter = config.profile === "P02" || config.profile === "P22" || config.dataIdMode === "alt";
      const counterByte = layoutOf(config).offsetBytes + 1;
      for (let bit = 0; bit < lengthBytes * 8; bit++) {
        if (idByCounter && bit >>> 3 === counterByte && (bit & 7) < 4) continue;
        frame[bit >>> 3]! ^= 1 << (bit & 7);
        assert.notEqual(codec.inspect(frame, 0, lengthBytes, 0), Verdict.ok, `${JSON.stringify(config)}: bit ${bit} of ${toHex(frame)}`);
        frame[bit >>> 3]! ^= 1 << (bit & 7);
      }
    }),
    { seed: 20260803, numRuns: 300 },
  );
});

test("a valid frame of somebody else is told apart where the Data ID is sent", () => {
  for (const profile of ["P04", "P07", "P08"] as const) {
    const frame = new Uint8Array(24);
    e2eCodec({ profile, dataId: 1 }).protect(frame, 0, 24, 0, 0);
    assert.equal(e2eCodec({ profile, dataId: 2 }).inspect(frame, 0, 24, 0), Verdict.wrongDataId);
  }
  const frame = new Uint8Array(8);
  e2eCodec({ profile: "P01", dataId: 0x123, dataIdMode: "nibble" }).protect(frame, 0, 8, 0, 0);
  assert.equal(e2eCodec({ profile: "P01", dataId: 0x223, dataIdMode: "nibble" }).inspect(frame, 0, 8, 0), Verdict.wrongDataId);
});

test("a right CRC over a wrong length field is a bad length", () => {
  for (const profile of ["P04", "P06", "P07", "P08"] as const) {
    const codec = e2eCodec({ profile, dataId: 1 });
    // Protected with trailing bytes that the lower layer then cuts off cannot pass; nor can a frame padded after protection.
    const frame = new Uint8Array(40);
    codec.protect(frame, 0, 32, 0, 0);
    assert.equal(codec.inspect(frame, 0, 36, 0), Verdict.crcMismatch);
    const long = new Uint8Array(frame);
    codec.protect(long, 0, 36, 0, 0);
    assert.equal(codec.inspect(long, 0, 36, 0), Verdict.ok);
    assert.notEqual(codec.inspect(long, 0, 32, 0), Verdict.ok);
  }
});

test("P01 fields go where the bit offsets say", () => {
  const config: E2eConfig = { profile: "P01", dataId: 0x345, dataIdMode: "nibble", crcOffsetBits: 56, counterOffsetBits: 52, dataIdNibbleOffsetBits: 4, lengthBytes: 8 };
  const frame = Uint8Array.from([0x0f, 0, 0, 0, 0, 0, 0x0a, 0]);
  const codec = e2eCodec(config);
  codec.protect(frame, 0, 8, 0, 9);
  assert.deepEqual([...frame.subarray(0, 7)], [0x3f, 0, 0, 0, 0, 0, 0x9a]);
  assert.equal(codec.inspect(frame, 0, 8, 0), Verdict.ok);
  expectEveryFlipRefused(config, frame, "P01 at odd places");
});

test("protect refuses counters and lengths the layout cannot have", () => {
  const codec = e2eCodec({ profile: "P01", dataId: 1, lengthBytes: 8 });
  assert.throws(() => codec.protect(new Uint8Array(8), 0, 8, 0, 15), RangeError);
  assert.throws(() => codec.protect(new Uint8Array(8), 0, 7, 0, 0), RangeError);
  assert.throws(() => codec.protect(new Uint8Array(8), 0, 8, 0, 0.5), RangeError);
});

test("faults of a configuration name their keys, all at once", () => {
  const keys = (config: unknown): string[] => validateE2eConfig(config as E2eConfig).map((fault) => fault.key);
  assert.deepEqual(keys({ profile: "P05", dataId: 0x1234 }), []);
  assert.deepEqual(keys({ profile: "P5", dataId: 1 }), ["profile"]);
  assert.deepEqual(keys({ profile: "constructor", dataId: 1 }), ["profile"]);
  assert.deepEqual(keys({ profile: "P05" }), ["dataId"]);
  assert.deepEqual(keys({ profile: "P05", dataId: 0x12345, maxDeltaCounter: 255, resyncFrames: 1, timeoutMs: 0 }), ["dataId", "maxDeltaCounter", "resyncFrames", "timeoutMs"]);
  assert.deepEqual(keys({ profile: "P02", dataId: 1 }), ["dataId", "dataIdList"]);
  assert.deepEqual(keys({ profile: "P02", dataIdList: [1, 2] }), ["dataIdList"]);
  assert.deepEqual(keys({ profile: "P11", dataId: 1, dataIdMode: "alt" }), ["dataIdMode"]);
  assert.deepEqual(keys({ profile: "P01", dataId: 0x1000, dataIdMode: "nibble" }), ["dataId"]);
  assert.deepEqual(keys({ profile: "P08", dataId: 1, crcOffsetBits: 8 }), ["crcOffsetBits"]);
  assert.deepEqual(keys({ profile: "P01", dataId: 1, counterOffsetBits: 0 }), ["counterOffsetBits"]);
  assert.deepEqual(keys({ profile: "P01", dataId: 1, counterOffsetBits: 10 }), ["counterOffsetBits"]);
  assert.deepEqual(keys({ profile: "P07", dataId: 1, lengthBytes: 19 }), ["lengthBytes"]);
  assert.deepEqual(keys({ profile: "P07", dataId: 1, minLengthBytes: 30, maxLengthBytes: 20 }), ["minLengthBytes"]);
  assert.deepEqual(keys({ profile: "P07", dataId: 1, stateMachine: { windowSizeInit: 4, windowSizeValid: 2 } }), ["stateMachine.windowSizeInit"]);
  assert.throws(() => e2eCodec({ profile: "P05" }), E2eConfigError);
});
