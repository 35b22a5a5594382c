/** Frames of a node, as rows that the C kit as a process must give for the same questions, and that the TypeScript ends read and write. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, toHex, vectors } from "../../schemas/testData.ts";
import { decodeEmcy, encodeNmt, sdoAborts, type NmtCommand } from "./canopen.ts";
import { decodeImage, encodeImage } from "./image.ts";
import { SimNode } from "./simNode.ts";
import { decodeTime, encodeTime, type TimeFrame } from "./timeSync.ts";

interface Vectors {
  nmt: { name: NmtCommand; node: number; frame: string }[];
  emcy: { name: string; frame: string; node: number; code: number; errorRegister: number; info: string }[];
  sdo: { name: string; request: string; answers: string[] }[];
  time: (TimeFrame & { name: string; bytes: string })[];
  image: { name: string; vendor: number; product: number; version: number; securityCounter: number; program: string; header: string }[];
  life: { name: string; steps: { at: number; frame?: string; power?: true; says: string[] }[] }[];
}

const rows = vectors("node-can.json") as Vectors;
/** "585#4318100134120000": as candump writes it. */
const frameOf = (text: string): { id: number; data: Uint8Array } => ({ id: parseInt(text.split("#")[0]!, 16), data: fromHex(text.split("#")[1]!) });
const textOf = ({ id, data }: { id: number; data: Uint8Array }): string => `${id.toString(16).padStart(3, "0")}#${toHex(data)}`;

test("NMT, EMCY, time and image rows are read and written by the TypeScript ends", () => {
  assert.ok(rows.nmt.length >= 5 && rows.emcy.length >= 3 && rows.time.length >= 4 && rows.image.length >= 1);
  for (const { name, node, frame } of rows.nmt) assert.equal(textOf(encodeNmt(name, node)), frame, name);
  for (const { name, frame, info, ...expected } of rows.emcy) assert.deepEqual(decodeEmcy(frameOf(frame)), { ...expected, info: fromHex(info) }, name);
  for (const { name, bytes, ...frame } of rows.time) {
    assert.equal(toHex(encodeTime(frame)), bytes, name);
    assert.deepEqual(decodeTime(fromHex(bytes)), frame, name);
    for (let bit = 0; bit < 64; bit++) {
      const damaged = fromHex(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(decodeTime(damaged), undefined, `${name}, bit ${bit}`);
    }
  }
  for (const { name, program, header, ...info } of rows.image) {
    const bytes = encodeImage(info, fromHex(program));
    assert.equal(toHex(bytes.subarray(0, 128)), header, name);
    const decoded = decodeImage(bytes);
    assert.ok(!("fault" in decoded) && decoded.version === info.version, name);
  }
});

test("the C kit says what the rows say", async () => {
  const node = new SimNode();
  const { header, program } = rows.image[0]!;
  await node.do(`image 0 ${header}${program}`);
  for (const { name, steps } of rows.life) {
    for (const { at, frame, power, says } of steps) {
      node.sent.length = 0;
      node.said.length = 0;
      if (power) await node.do(`power ${at}`);
      else if (frame !== undefined) await node.frame(frameOf(frame), at);
      else await node.poll(at);
      const said = node.said.filter((line) => !line.startsWith("heard"));
      assert.deepEqual([...said, ...node.sent.map(textOf)], says, `${name} at ${at}`);
    }
  }
  for (const { name, request, answers } of rows.sdo) {
    node.sent.length = 0;
    await node.frame(frameOf(request), 1_000_000);
    assert.deepEqual(node.sent.map(textOf), answers, name);
  }
  assert.equal(await node.end(), 0);
});

test("every abort code that the rows show has a word", () => {
  const codes = rows.sdo.flatMap(({ answers }) => answers).filter((answer) => answer.startsWith("585#80")).map((answer) => Buffer.from(fromHex(answer.slice(4))).readUInt32LE(4));
  assert.ok(codes.length >= 3);
  for (const code of codes) assert.ok(sdoAborts[code], code.toString(16));
});
