import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CanFlag, FD_LENGTHS_BYTES } from "../frame.ts";
import { arbitrationKey, wireLength } from "./bits.ts";

const { extended, remote, fd, bitRateSwitch } = CanFlag;
const bitsOf = (canId: number, flags: number, data: number[], lengthBytes = data.length) => ({ ...wireLength(canId, flags, lengthBytes, Uint8Array.from(data), 0) });

test("classic frames have the length that counting by hand gives", () => {
  // SOF, id, RTR, IDE, r0, DLC: 19 zeros, and the CRC of zeros is zero: 34 equal bits, a stuff bit after each 5; then 10 of tail and 3 of intermission.
  assert.deepEqual(bitsOf(0, 0, []), { nominalBits: 34 + 6 + 13, dataBits: 0 });
  // 64 zero bits of data, DLC 1000: 15 zeros (3 stuffed), 1, 3 + 64 zeros, then the CRC.
  const eight = bitsOf(0, 0, [0, 0, 0, 0, 0, 0, 0, 0]).nominalBits;
  assert.ok(eight > 111 + 13 && eight <= 135, `${eight}`);
  // 0x555 and 0x55 alternate: hardly anything to stuff.
  const alternating = bitsOf(0x555, 0, Array.from({ length: 8 }, () => 0x55)).nominalBits;
  assert.ok(alternating >= 111 && alternating <= 114, `${alternating}`);
});

test("a remote frame carries no data whatever its length code says", () => {
  assert.ok(bitsOf(0x123, remote, [], 8).nominalBits < 60);
});

test("every classic frame lies within ISO 11898's bounds", () => {
  const frame = fc.record({ canId: fc.nat(0x1fff_ffff), wide: fc.boolean(), data: fc.uint8Array({ maxLength: 8 }) });
  fc.assert(fc.property(frame, ({ canId, wide, data }) => {
    const stuffable = (wide ? 54 : 34) + 8 * data.length;
    const { nominalBits } = wireLength(wide ? canId : canId & 0x7ff, wide ? extended : 0, data.length, data, 0);
    assert.ok(nominalBits >= stuffable + 13 && nominalBits <= stuffable + 13 + Math.floor((stuffable - 1) / 4));
  }));
});

test("an FD frame with bit-rate switch is short at the nominal rate, and its data phase grows with the payload", () => {
  let before = 0;
  for (const length of FD_LENGTHS_BYTES) {
    const data = Array.from({ length }, (_, index) => (index * 37) & 0xff);
    const { nominalBits, dataBits } = bitsOf(0x123, fd | bitRateSwitch, data);
    assert.ok(nominalBits >= 30 && nominalBits <= 35, `${nominalBits}`);
    assert.ok(dataBits > before);
    before = dataBits;
    const slow = bitsOf(0x123, fd, data);
    assert.equal(slow.dataBits, 0);
    assert.ok(Math.abs(slow.nominalBits - nominalBits - dataBits) <= 1, "the BRS bit itself may move a stuff bit");
  }
});

test("arbitration: lower identifiers first, data before remote, standard before extended", () => {
  const inOrder: [number, number][] = [
    [0x000, 0], [0x001, 0], [0x001, remote], [0x001 << 18, extended], [(0x001 << 18) + 1, extended], [(0x001 << 18) + 1, extended | remote],
    [0x002, 0], [0x7fe, 0], [0x7ff, 0], [0x7ff, remote], [0x1fff_ffff, extended], [0x1fff_ffff, extended | remote],
  ];
  const keys = inOrder.map(([canId, flags]) => arbitrationKey(canId, flags));
  assert.deepEqual(keys, [...keys].sort((a, b) => a - b));
  assert.equal(new Set(keys).size, keys.length);
});
