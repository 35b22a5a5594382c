import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { CanFrame } from "../frame.ts";
import { CanFlag, FD_LENGTHS_BYTES } from "../frame.ts";
import { clientMessages, encodeReceived, encodeSend, MESSAGE_BYTES_MAX, serverMessages } from "./protocol.ts";

const server = (text: string) => serverMessages().push(Buffer.from(text, "latin1"));
const client = (text: string) => clientMessages().push(Buffer.from(text, "latin1"));
const { extended, remote, fd, bitRateSwitch, error } = CanFlag;
const frame = (canId: number, flags: number, data: number[], lengthBytes = data.length): CanFrame => ({ timeUs: 0, canId, flags, lengthBytes, data: Uint8Array.from(data) });

test("messages as the protocol's description and the server's source spell them", () => {
  assert.deepEqual(server("< hi >< ok >< echo >"), [{ type: "hi" }, { type: "ok" }, { type: "echo" }]);
  assert.deepEqual(server("< frame 123 23.424242 11 22 33 44 >"), [{ type: "frame", frame: frame(0x123, 0, [0x11, 0x22, 0x33, 0x44]), wallTimeUs: 23_424_242 }]);
  assert.deepEqual(server("< frame 1AAAAAAA 23.424242 11223344 >"), [{ type: "frame", frame: frame(0x1aaa_aaaa, extended, [0x11, 0x22, 0x33, 0x44]), wallTimeUs: 23_424_242 }]);
  assert.deepEqual(server("< frame 123 1.5  >"), [{ type: "frame", frame: frame(0x123, 0, []), wallTimeUs: 1_500_000 }]);
  assert.deepEqual(server("< rtr 123 23.424242 4 >"), [{ type: "frame", frame: frame(0x123, remote, [], 4), wallTimeUs: 23_424_242 }]);
  assert.deepEqual(server("< fdframe 123 01 1.000000 AABBCCDDEEFF00112233445566 >"), [{ type: "bad", skippedBytes: 54 }], "13 bytes are no FD length");
  assert.deepEqual(server("< error 004 1.000000 >"), [{ type: "frame", frame: frame(4, error, [0, 0, 0, 0, 0, 0, 0, 0]), wallTimeUs: 1e6 }]);
  assert.deepEqual(server("< error could not open bus >"), [{ type: "refused", text: "could not open bus" }]);
  assert.deepEqual(client("< open can0 >< rawmode >< send 123 0 >< send 1AAAAAAA 2 1 F1 >< sendrtr 123 0 >< fdsend 123 1 12 0 1 2 3 4 5 6 7 8 9 a B >"), [
    { type: "open", bus: "can0" }, { type: "mode", mode: "rawmode" }, { type: "send", frame: frame(0x123, 0, []) }, { type: "send", frame: frame(0x1aaa_aaaa, extended, [1, 0xf1]) },
    { type: "send", frame: frame(0x123, remote, [], 0) }, { type: "send", frame: frame(0x123, fd | bitRateSwitch, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) },
  ]);
  assert.equal(encodeReceived(frame(0x123, 0, []), 1_500_000), "< frame 123 1.500000  >", "two spaces, as python-can needs");
});

test("identifiers that 11 bits cannot hold are extended even when not padded", () => {
  assert.deepEqual(client("< send 1ABC 1 5 >"), [{ type: "send", frame: frame(0x1abc, extended, [5]) }]);
});

test("what is not understood is skipped and counted; what follows is read", () => {
  for (const text of ["< send 123 9 >", "< send 123 2 1 >", "< send XYZ 0 >", "< send 20000000 0 >", "< send 123 1 100 >", "< send >", "<>", "< open a b >", "< nonsense >"]) {
    assert.deepEqual(client(`${text}< echo >`), [{ type: "bad", skippedBytes: text.length }, { type: "echo" }], text);
  }
  assert.deepEqual(server("junk\n< send 12< ok >"), [{ type: "bad", skippedBytes: 4 + 9 }, { type: "ok" }]);
  const long = `< frame ${"1".repeat(MESSAGE_BYTES_MAX)} >`;
  assert.deepEqual(server(`${long}< ok >`), [{ type: "bad", skippedBytes: long.length }, { type: "ok" }]);
});

const anyFrame = fc.record({ wide: fc.boolean(), kind: fc.constantFrom(0, remote, fd, fd | bitRateSwitch), canId: fc.nat(0x1fff_ffff), length: fc.nat(15), fill: fc.uint8Array({ minLength: 64, maxLength: 64 }) })
  .map(({ wide, kind, canId, length, fill }): CanFrame => {
    const lengthBytes = FD_LENGTHS_BYTES[(kind & fd) === 0 ? length % 9 : length]!;
    return { timeUs: 0, canId: wide ? canId : canId & 0x7ff, flags: kind | (wide ? extended : 0), lengthBytes, data: kind === remote ? new Uint8Array(0) : fill.slice(0, lengthBytes) };
  });

test("decode after encode is identity in both directions, however the bytes are cut", () => {
  fc.assert(fc.property(fc.array(anyFrame, { maxLength: 12 }), fc.nat(2 ** 40), fc.integer({ min: 1, max: 50 }), (frames, wallTimeUs, chunk) => {
    const cut = <Message>(reader: { push(bytes: Uint8Array): Message[] }, text: string) => {
      const bytes = Buffer.from(text);
      return Array.from({ length: Math.ceil(bytes.length / chunk) }, (_, index) => reader.push(bytes.subarray(index * chunk, (index + 1) * chunk))).flat();
    };
    assert.deepEqual(cut(clientMessages(), frames.map((each) => encodeSend(each)!).join("")), frames.map((each) => ({ type: "send", frame: each })));
    assert.deepEqual(cut(serverMessages(), frames.map((each) => encodeReceived(each, wallTimeUs)!).join("\n")), frames.map((each) => ({ type: "frame", frame: each, wallTimeUs })));
  }));
});

test("any bytes: no exception, and every byte that is no message is counted", () => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.constantFrom("<", ">", " ", "frame", "send", "123", "8", "1.5", "AA", "< ok >"), fc.string()), { maxLength: 60 }), (parts) => {
    for (const reader of [serverMessages(), clientMessages()]) reader.push(Buffer.from(parts.join("")));
  }));
});
