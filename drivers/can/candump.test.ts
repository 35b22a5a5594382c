import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { formatCandumpLine, parseCandumpLine } from "./candump.ts";
import { CanFlag, FD_LENGTHS_BYTES, type CanFrame } from "./frame.ts";

function parsed(line: string): { timeS: number; timeText: string; bus: string; frame: CanFrame } {
  const result = parseCandumpLine(line);
  assert.ok(result.ok, JSON.stringify(result));
  const { ok: _ok, ...record } = result;
  return record;
}

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

test("the log format's frames", () => {
  assert.deepEqual(parsed("(1398128223.803317) can0 166#D0320009"), { timeS: 1398128223.803317, timeText: "1398128223.803317", bus: "can0", frame: { timeUs: 1398128223803317, canId: 0x166, flags: 0, data: bytes("D0320009"), lengthBytes: 4 } });
  assert.deepEqual(parsed("(1.5) vcan1 18FEF100#").frame, { timeUs: 1.5e6, canId: 0x18fef100, flags: CanFlag.extended, data: bytes(""), lengthBytes: 0 });
  assert.deepEqual(parsed("(0) can0 00000123#R4").frame, { timeUs: 0, canId: 0x123, flags: CanFlag.extended | CanFlag.remote, data: bytes(""), lengthBytes: 4 });
  assert.deepEqual(parsed("(0) can0 123#R").frame.lengthBytes, 0);
  assert.deepEqual(parsed(`(0) can0 123##3${"AB".repeat(12)}`).frame, { timeUs: 0, canId: 0x123, flags: CanFlag.fd | CanFlag.bitRateSwitch | CanFlag.errorStateIndicator, data: bytes("AB".repeat(12)), lengthBytes: 12 });
  assert.deepEqual(parsed("(0) can0 20000004#0001000000000000").frame, { timeUs: 0, canId: 4, flags: CanFlag.error, data: bytes("0001000000000000"), lengthBytes: 8 });
  assert.deepEqual(parsed("(0) can0 123#1122334455667788_E").frame.data, bytes("1122334455667788"));
  assert.deepEqual(parsed("(0) can0 123#11.22 T").frame.data, bytes("1122"));
});

test("the screen format's frames", () => {
  assert.deepEqual(parsed("  can0  123   [4]  DE AD BE EF").frame, { timeUs: 0, canId: 0x123, flags: 0, data: bytes("DEADBEEF"), lengthBytes: 4 });
  assert.deepEqual(parsed(" (1436509052.249713)  can0  RX - -  18FEF100   [2]  01 02   '..'").frame, { timeUs: 1436509052249713, canId: 0x18fef100, flags: CanFlag.extended, data: bytes("0102"), lengthBytes: 2 });
  assert.deepEqual(parsed("  can0  123  [08]  01 02 03 04 05 06 07 08").frame.flags, CanFlag.fd);
  assert.deepEqual(parsed("  can0  123   [3]  remote request").frame, { timeUs: 0, canId: 0x123, flags: CanFlag.remote, data: bytes(""), lengthBytes: 3 });
  assert.deepEqual(parsed("  can0  123   [0]").frame.lengthBytes, 0);
});

test("what is no frame is refused with a code", () => {
  const code = (line: string) => {
    const result = parseCandumpLine(line);
    return result.ok ? "ok" : result.code;
  };
  assert.equal(code(""), "syntax");
  assert.equal(code("hello"), "syntax");
  assert.equal(code("(1.0) can0 123"), "syntax");
  assert.equal(code("(1.0) can0 123##"), "syntax");
  assert.equal(code("(1.0) can0 1234#00"), "badId");
  assert.equal(code("(1.0) can0 800#00"), "badId");
  assert.equal(code("(1.0) can0 40000000#00"), "badId");
  assert.equal(code("(1.0) can0 123#0"), "badData");
  assert.equal(code("(1.0) can0 123#0G"), "badData");
  assert.equal(code("(1.0) can0 123#001122334455667788"), "badLength");
  assert.equal(code("(1.0) can0 123##0001122334455667788"), "badLength");
  assert.equal(code("  can0  123   [4]  DE AD"), "badLength");
  assert.equal(code(`(1.0) can0 123#${"0".repeat(600)}`), "lineTooLong");
});

const frames = fc.record({ extended: fc.boolean(), kind: fc.constantFrom("classic", "fd", "remote", "error"), id: fc.nat(0x1fff_ffff), length: fc.nat(15), byte: fc.nat(255), brs: fc.boolean() }).map(({ extended, kind, id, length, byte, brs }): CanFrame => {
  const wide = extended || kind === "error";
  const base = kind === "error" ? CanFlag.error : extended ? CanFlag.extended : 0;
  const canId = wide ? id : id & 0x7ff;
  if (kind === "remote") return { timeUs: 1_000_001, canId, flags: base | CanFlag.remote, data: new Uint8Array(0), lengthBytes: length & 7 };
  const lengthBytes = kind === "fd" ? FD_LENGTHS_BYTES[length]! : Math.min(length, 8);
  const flags = base | (kind === "fd" ? CanFlag.fd | (brs ? CanFlag.bitRateSwitch : 0) : 0);
  return { timeUs: 1_000_001, canId, flags, data: new Uint8Array(lengthBytes).fill(byte), lengthBytes };
});

test("every frame survives being written and read", () => {
  fc.assert(fc.property(frames, (frame) => {
    assert.deepEqual(parsed(formatCandumpLine({ timeText: "1.000001", bus: "can0", frame })).frame, frame);
    assert.equal(formatCandumpLine({ timeS: 1.000001, bus: "can0", frame }), formatCandumpLine({ timeText: "1.000001", bus: "can0", frame }));
  }));
});

test("no line throws", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...Array.from("() 0123456789ABCDEF#R_.canx[]'")) })), (line) => {
    parseCandumpLine(line);
  }));
});
