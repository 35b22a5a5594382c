import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { FRAME_STRIDE_BYTES, writeFrame } from "../../../drivers/can/frame.ts";
import { cLayoutCheck, writeStruct } from "../table/struct.ts";
import { answers, drills, helloStruct, orders, PacketCodec, packetKinds } from "./packets.ts";
import { commandStruct, decodeCommand, decodeReport, encodeCommand, REPORT_FLAG, reportKinds, stateStruct } from "./records.ts";
import { armings, lackStruct, malfunctions, missingReasons, refusals, roles, statusStruct, stepStates, verdicts } from "./status.ts";

const folder = join(import.meta.dirname, "../../../../../failsafe/reflex");

function compiles(text: string): void {
  const include = ["core", "process", "../../schemas/e2e/c"].map((name) => `-I${join(folder, name)}`);
  execFileSync(process.env["CC"] ?? "gcc", ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", ...include, "-x", "c", "-"], { input: text, stdio: ["pipe", "ignore", "pipe"] });
}

test("a C compiler lays commands, states, packets and the status out as they are described here", () => {
  compiles(cLayoutCheck(["reflex.h", "packet.h", "status.h"], [commandStruct, stateStruct, helloStruct, statusStruct, lackStruct]));
});

test("a C compiler counts every list of words as it is counted here", () => {
  const upper = (word: string): string => word.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  const numbered = (prefix: string, words: readonly string[], from = 0): string[] => words.flatMap((word, index) => (index < from ? [] : [`_Static_assert(IPCNET_${prefix}${upper(word)} == ${index}, "${word}");`]));
  const lines = [
    '#include "reflex.h"', '#include "packet.h"',
    ...numbered("TWIN_", roles), ...numbered("", armings), ...numbered("STEP_", stepStates), ...numbered("VERDICT_", verdicts), ...numbered("MALFUNCTION_", malfunctions), ...numbered("MISSING_", missingReasons, 1),
    ...numbered("REPORT_", reportKinds), ...numbered("ORDER_", orders), ...numbered("ANSWER_", answers), ...numbered("PACKET_", packetKinds, 1),
    `_Static_assert(IPCNET_REFUSALS == ${refusals.length} && IPCNET_ORDERS == ${orders.length} && IPCNET_PACKET_KINDS == ${packetKinds.length} && IPCNET_REFLEX_REPORT == ${REPORT_FLAG}, "");`,
    `_Static_assert(IPCNET_REFUSED_NOT_OWNER == ${refusals.indexOf("notOwner")} && IPCNET_REFUSED_EXPIRED == ${refusals.indexOf("expired")} && IPCNET_REFUSED_QUEUE_FULL == ${refusals.indexOf("queueFull")}, "");`,
  ];
  compiles(`${lines.join("\n")}\n`);
  assert.equal(drills.kill, 0);
});

test("a command and its bytes", () => {
  const command = { deadlineUs: 123_456_789, sequence: 7, brainEpoch: 3, token: 9, tableHash: 0x1122_3344_5566_7788n, message: 2, lengthBytes: 8, data: new Uint8Array(64).fill(5, 0, 8) };
  assert.deepEqual(decodeCommand(encodeCommand(command)), command);
});

test("each kind of report is read; what is not known is passed over", () => {
  const bytes = new Uint8Array(FRAME_STRIDE_BYTES);
  const view = new DataView(bytes.buffer);
  const report = (kind: number, data: number[], token = 0): unknown => {
    writeFrame(bytes, view, 0, { timeUs: 5, canId: kind, flags: REPORT_FLAG, token, data: Uint8Array.from(data) });
    view.setUint16(14, 3, true);
    return decodeReport(bytes, 0);
  };
  assert.deepEqual(report(0, [8, 0, 4, 1], 77), { kind: "refused", timeUs: 5, token: 77, reason: "expired", message: 260 });
  assert.deepEqual(report(1, [1], 78), { kind: "settled", timeUs: 5, token: 78, how: "purged" });
  assert.deepEqual(report(3, [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]), { kind: "bus", timeUs: 5, bus: 3, state: 1, phase: 2, reason: 3, cause: 4 });
  assert.deepEqual(report(6, [3, 0, 0, 0, 0xe8, 3, 0, 0], 2), { kind: "step", timeUs: 5, step: 2, state: "reached", tookMs: 1 });
  assert.deepEqual(report(7, [1, 0, 0, 0, 0, 0, 0, 0, 2]), { kind: "verdict", timeUs: 5, runId: 1n, verdict: "cut" });
  assert.deepEqual(report(9, [4, 0, 1, 0]), { kind: "role", timeUs: 5, role: "owner", epoch: 1 });
  assert.equal(report(99, []), undefined);
  assert.equal(report(9, [200]), undefined);
  writeStruct(stateStruct, view, 24, { arming: 1, role: 4, triggerLatched: 1, malfunction: 0, epoch: 9, trigger: 0xffff, plan: 0xffff, missingCount: 0, generation: 3, sinceUs: 11 });
  view.setUint32(8, 2, true);
  assert.deepEqual(decodeReport(bytes, 0), { kind: "state", timeUs: 5, state: { arming: "armed", role: "owner", triggerLatched: true, malfunction: 0, epoch: 9, trigger: 0xffff, plan: 0xffff, missingCount: 0, generation: 3, sinceUs: 11 } });
});

test("packets: what one side writes the other reads; a flipped bit, a gap and an unknown kind are refused", () => {
  const [a, b] = [new PacketCodec(), new PacketCodec()];
  const read = (bytes: Uint8Array, codec = b): unknown => codec.read(bytes, 0, bytes.length);
  const order = { order: "trigger", a: 1, b: 2, c: 3n, why: "drill" } as const;
  assert.deepEqual(read(a.order(order, 4)), { ok: true, packet: { kind: "order", request: 4, order } });
  assert.deepEqual(read(a.answer({ code: "refused", lacks: [{ reason: 5, subject: 1 }] }, 4)), { ok: true, packet: { kind: "answer", request: 4, answer: { code: "refused", count: 1, lacks: [{ reason: 5, subject: 1 }], text: "" } } });
  assert.deepEqual(read(a.answer({ code: "fault", text: "busy" }, 5)), { ok: true, packet: { kind: "answer", request: 5, answer: { code: "fault", count: 0, lacks: [], text: "busy" } } });
  const hello = a.hello({ major: 1, minor: 0, who: 0, instance: 0, brainEpoch: 7, bootId: new Uint8Array(16).fill(1), tableHash: new Uint8Array(8) });
  for (let bit = 0; bit < hello.length * 8; bit++) {
    const flipped = hello.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const refused = new PacketCodec().read(flipped, 0, flipped.length);
    assert.ok(!refused.ok && refused.code !== "unknownKind", `bit ${bit}`);
  }
  assert.ok((read(hello) as { ok: boolean }).ok);
  assert.deepEqual(read(a.switchOver("twin", 6)), { ok: true, packet: { kind: "switch", request: 6, to: "twin" } });
  assert.deepEqual(read(a.switchOver("host", 7)), { ok: true, packet: { kind: "switch", request: 7, to: "host" } });
  a.bare("statusAsked", 1);
  assert.deepEqual((read(a.bare("statusAsked", 2)) as { code: string }).code, "wrongSequence");
});
