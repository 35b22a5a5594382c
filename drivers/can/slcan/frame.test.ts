import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { CanFrame } from "../frame.ts";
import { CanFlag, FD_LENGTHS_BYTES } from "../frame.ts";
import type { SlcanEvent } from "./frame.ts";
import { AdapterClock, decodeFrame, encodeFrame, LINE_BYTES_MAX, SlcanDecoder } from "./frame.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");
const decode = (text: string, fd = false) => new SlcanDecoder({ fd }).push(bytes(text));
const { extended, remote, fd: FD, bitRateSwitch } = CanFlag;

test("lines as Lawicel's manual spells them", () => {
  const frame = (canId: number, flags: number, data: number[], lengthBytes = data.length): CanFrame => ({ timeUs: 0, canId, flags, lengthBytes, data: Uint8Array.from(data) });
  const rows: [string, CanFrame, number?][] = [
    ["t10021133\r", frame(0x100, 0, [0x11, 0x33])],
    ["T0000010021133\r", frame(0x100, extended, [0x11, 0x33], 2)],
    ["t7FF0\r", frame(0x7ff, 0, [])],
    ["r1003\r", frame(0x100, remote, [], 3)],
    ["R1FFFFFFF8\r", frame(0x1fff_ffff, remote | extended, [], 8)],
    ["T1111222281122334455667788EA5F\r", frame(0x1111_2222, extended, [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]), 0xea5f],
    ["d1239000102030405060708090A0B\r", frame(0x123, FD, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])],
    [`B12345678F${"5A".repeat(64)}\r`, frame(0x1234_5678, FD | extended | bitRateSwitch, Array.from({ length: 64 }, () => 0x5a))],
  ];
  for (const [line, expected, timestampMs] of rows) {
    assert.deepEqual(decode(line, true), [{ type: "frame", frame: expected, timestampMs }], line);
    assert.equal(encodeFrame(expected, timestampMs), line);
  }
  assert.deepEqual(decode("t10021a3B\r")[0], { type: "frame", frame: frame(0x100, 0, [0x1a, 0x3b]), timestampMs: undefined }, "small letters are read");
});

test("a remote frame without length code is read, as some tools send it", () => {
  assert.deepEqual(decode("r123\rR12345678\r").map((event) => event.type === "frame" && [event.frame.canId, event.frame.lengthBytes]), [[0x123, 0], [0x1234_5678, 0]]);
});

test("replies, status, identity", () => {
  assert.deepEqual(decode("\r\x07z\rZ\rF24\rV1013\rNA123\rA\r"), [
    { type: "ok" }, { type: "error" }, { type: "taken", extended: false }, { type: "taken", extended: true }, { type: "status", flags: 0x24 },
    { type: "identity", text: "V1013" }, { type: "identity", text: "NA123" }, { type: "pollEnd" },
  ] satisfies SlcanEvent[]);
});

test("what is not exactly a line is skipped whole and counted", () => {
  for (const line of ["t1239001122334455667788\r", "t12\r", "t8001AA\r", "T2000000001\r", "t1232AA\r", "t1232AABBC\r", "t1232AABBCCD\r", "t1232AAG0\r", "x\r", "F2\r", "zz\r", "d1231AA\r", "t123\r", "r123900\r"]) {
    assert.deepEqual(decode(line), [{ type: "bad", skippedBytes: line.length }], line);
  }
  assert.equal(decodeFrame(bytes(""), true), undefined);
});

test("after garbage the next line is read again; an endless line costs no memory", () => {
  const decoder = new SlcanDecoder();
  for (let round = 0; round < 1000; round++) assert.deepEqual(decoder.push(Buffer.alloc(1000, "t")), []);
  assert.deepEqual(decoder.push(bytes("t\rt1000\r")), [{ type: "bad", skippedBytes: 1_000_001 }, ...decode("t1000\r")]);
  assert.deepEqual(decode("t1002AA\x07t1000\r"), [{ type: "bad", skippedBytes: 7 }, { type: "error" }, ...decode("t1000\r")]);
});

const anyFrame = fc.record({ wide: fc.boolean(), isRemote: fc.boolean(), isFd: fc.boolean(), fast: fc.boolean(), canId: fc.nat(0x1fff_ffff), length: fc.nat(15), fill: fc.uint8Array({ minLength: 64, maxLength: 64 }) })
  .map(({ wide, isRemote, isFd, fast, canId, length, fill }): CanFrame => {
    const flags = (wide ? extended : 0) | (isFd ? FD | (fast ? bitRateSwitch : 0) : isRemote ? remote : 0);
    const lengthBytes = FD_LENGTHS_BYTES[isFd ? length : length % 9]!;
    return { timeUs: 0, canId: wide ? canId : canId & 0x7ff, flags, lengthBytes, data: isRemote && !isFd ? new Uint8Array(0) : fill.slice(0, lengthBytes) };
  });

test("decode after encode is identity, however the bytes are cut", () => {
  fc.assert(fc.property(fc.array(fc.tuple(anyFrame, fc.option(fc.nat(59_999), { nil: undefined })), { maxLength: 20 }), fc.integer({ min: 1, max: 40 }), (frames, chunk) => {
    const wire = bytes(frames.map(([frame, stamp]) => encodeFrame(frame, stamp)!).join(""));
    const decoder = new SlcanDecoder({ fd: true });
    const events: SlcanEvent[] = [];
    for (let at = 0; at < wire.length; at += chunk) events.push(...decoder.push(wire.subarray(at, at + chunk)));
    assert.deepEqual(events, frames.map(([frame, timestampMs]) => ({ type: "frame", frame, timestampMs })));
    for (const [frame, stamp] of frames) assert.ok(encodeFrame(frame, stamp)!.length <= LINE_BYTES_MAX + 1);
  }));
});

test("any bytes: no exception, and what is read can be written again", () => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.constantFrom(...Array.from("tTrRdDbBzZFVNA0123456789abcdefABCDEF\r\r\r\x07")), fc.string()), { maxLength: 80 }), (parts) => {
    for (const event of decode(parts.join(""), true)) {
      if (event.type !== "frame") continue;
      const line = encodeFrame(event.frame, event.timestampMs)!;
      assert.deepEqual(decode(line, true), [event]);
    }
  }));
});

test("adapter time becomes host time: monotonic over the wrap, without the line's delays, following drift", () => {
  const clock = new AdapterClock();
  let worst = 0;
  let before = 0;
  let seed = 7;
  for (let ms = 0; ms < 600_000; ms += 250) {
    seed = (seed * 48_271) % 2_147_483_647;
    const trueUs = 1e9 + ms * 1000 * 1.0001;
    const nowUs = trueUs + 500 + (seed % 20_000);
    const hostUs = clock.toHostUs(ms % 60_000, nowUs);
    assert.ok(hostUs <= nowUs && hostUs >= before);
    before = hostUs;
    if (ms > 60_000) worst = Math.max(worst, Math.abs(hostUs - trueUs - 500));
  }
  assert.ok(worst < 5000, `${worst} µs off where the line delays by up to 20,000`);
});
