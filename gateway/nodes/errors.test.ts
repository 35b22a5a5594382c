import assert from "node:assert/strict";
import { test } from "node:test";
import { emcyText, errorRegisterWords } from "../../drivers/nodekit/canopen.ts";
import { NodeErrors } from "./errors.ts";

const emcy = (code: number, errorRegister: number, over = 0): { code: number; errorRegister: number; info: Uint8Array } => ({ code, errorRegister, info: Uint8Array.of(over & 0xff, over >> 8, 0, 0, 0) });

test("an error is told once, counted, and shown until the node says that it is over", () => {
  const errors = new NodeErrors();
  assert.deepEqual(errors.hear(emcy(0x4210, 0x09), 10), { type: "error", code: 0x4210, text: "temperature of the device", register: 9 });
  assert.equal(errors.hear(emcy(0x4210, 0x09), 20), undefined);
  assert.deepEqual(errors.hear(emcy(0x8130, 0x19), 30), { type: "error", code: 0x8130, text: "the gateway's heartbeat is missing", register: 0x19 });
  assert.deepEqual(errors.codes.map(({ code, sinceUs, count }) => [code, sinceUs, count]), [[0x4210, 10, 2], [0x8130, 30, 1]]);
  assert.deepEqual(errors.register, ["generic", "temperature", "communication"]);
  // The node kit names the one that is over; the register says that others are not.
  assert.deepEqual(errors.hear(emcy(0, 0x09, 0x8130), 40), { type: "over", codes: [0x8130], register: 9 });
  assert.equal(errors.hear(emcy(0, 0x09, 0x8130), 50), undefined);
  // An empty register: nothing is left, whatever is named.
  assert.deepEqual(errors.hear(emcy(0, 0), 60), { type: "over", codes: [0x4210], register: 0 });
  assert.deepEqual([errors.codes, errors.register], [[], []]);
});

test("a node that starts anew has told nothing; one that tells without end keeps sixteen", () => {
  const errors = new NodeErrors();
  for (let code = 0x1000; code < 0x1014; code++) errors.hear(emcy(code, 1), code);
  assert.deepEqual([errors.codes.length, errors.codes[0]!.code], [16, 0x1004]);
  errors.clear();
  assert.deepEqual([errors.codes, errors.register], [[], []]);
});

test("every code has words: its own, those of its class, or none that are known", () => {
  assert.deepEqual([0x8140, 0x8122, 0x2310, 0x2410, 0x5001, 0x7300, 0xff01, 0xf0ff, 0xa000].map(emcyText), [
    "back from bus-off", "communication", "current, on the device's output side", "current", "hardware of the device", "additional modules", "specific to the device", "additional functions", "unknown error",
  ]);
  assert.equal(errorRegisterWords(0xff).length, 8);
});
