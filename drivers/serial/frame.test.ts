import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CobsDecoder } from "./cobs.ts";
import { FRAME_BYTES_MAX, HELLO_ID, SerialFrameWriter, bodyOf, decodeHello, directionDataId, encodeHello, frameFault, idOf, serialCodec } from "./frame.ts";

const DATA_ID = 0x48414e44;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** What a receiver of `sender`'s direction makes of the wire: "id:body" for each frame that is right. */
function receive(wire: Uint8Array, { dataId = DATA_ID, sender = "gateway" as const } = {}): string[] {
  const codec = serialCodec(dataId, sender);
  const seen: string[] = [];
  new CobsDecoder({ maxFrameBytes: FRAME_BYTES_MAX }).push(wire, {
    frame: (frame) => {
      if (frameFault(codec, frame) === undefined) seen.push(`${idOf(frame)}:${hex(bodyOf(frame))}`);
    },
  });
  return seen;
}

test("the layout on the wire, byte by byte", () => {
  const wire = new SerialFrameWriter(serialCodec(DATA_ID, "gateway")).write(2, Uint8Array.of(0xaa, 0x00, 0xbb));
  const frame: number[] = [];
  new CobsDecoder({ maxFrameBytes: 64 }).push(wire, { frame: (bytes) => frame.push(...bytes) });
  assert.equal(wire[0], 0);
  assert.equal(wire.at(-1), 0);
  assert.equal(hex(Uint8Array.from(frame.slice(4))), ["00000015", "00000000", "48414e44", "0200", "aa00bb"].join(""), "length, counter, Data ID, id, body; behind the CRC");
});

test("the examples of docs/specs/serial-link.md", () => {
  assert.equal(hex(new SerialFrameWriter(serialCodec(DATA_ID, "gateway")).write(2, Uint8Array.of(0xaa, 0x00, 0xbb))), "000575bb3316010102150101010648414e440202aa02bb00");
  const hello = encodeHello({ role: "device", bodyBytesMax: 64, session: 0x11223344, heardSession: 0, name: "hand" });
  assert.equal(hex(new SerialFrameWriter(serialCodec(DATA_ID, "device")).write(HELLO_ID, hello)), "0005125d7f0a010102230101010ac8414e44ffff0101400544332211010101060468616e6400");
});

const bodies = fc.uint8Array({ maxLength: 300 });

test("what is written is received; the counter rises by one", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 0xfffe }), bodies), { maxLength: 5 }), (many) => {
    const writer = new SerialFrameWriter(serialCodec(DATA_ID, "gateway"));
    const wire = Buffer.concat(many.map(([id, body]) => writer.write(id, body)));
    assert.deepEqual(receive(wire), many.map(([id, body]) => `${id}:${hex(body)}`));
  }));
});

test("no single flipped bit on the wire gets a changed frame through", () => {
  fc.assert(fc.property(bodies, (body) => {
    const wire = new SerialFrameWriter(serialCodec(DATA_ID, "gateway")).write(7, body);
    const expected = `7:${hex(body)}`;
    for (let bit = 0; bit < wire.length * 8; bit++) {
      wire[bit >> 3]! ^= 1 << (bit & 7);
      // A delimiter in front that became noise may cost nothing; the frame is then the very same.
      for (const seen of receive(wire)) assert.equal(seen, expected);
      const insideFrame = bit >= 8 && bit < (wire.length - 1) * 8;
      if (insideFrame) assert.deepEqual(receive(wire), [], `bit ${bit}`);
      wire[bit >> 3]! ^= 1 << (bit & 7);
    }
  }), { numRuns: 20 });
});

test("our own echo, and another link's frames, are refused", () => {
  const wire = new SerialFrameWriter(serialCodec(DATA_ID, "gateway")).write(7, Uint8Array.of(1));
  assert.equal(receive(wire).length, 1);
  assert.deepEqual(receive(wire, { sender: "device" as "gateway" }), []);
  assert.deepEqual(receive(wire, { dataId: DATA_ID + 1 }), []);
  assert.equal(directionDataId(0xffff_ffff, "device"), 0x7fff_ffff);
});

test("hello: there and back; anything else is refused", () => {
  const hello = { role: "device" as const, bodyBytesMax: 512, session: 0xdeadbeef, heardSession: 1, name: "hand" };
  assert.deepEqual(decodeHello(encodeHello(hello)), { ok: true, hello });
  const long = decodeHello(encodeHello({ ...hello, name: "x".repeat(100) }));
  assert.equal(long.ok && long.hello.name.length, 32);
  const good = encodeHello(hello);
  assert.deepEqual(decodeHello(Uint8Array.from([2, ...good.slice(1)])), { ok: false, code: "otherVersion" });
  for (const bad of [new Uint8Array(0), good.slice(0, 12), good.slice(0, -1), Uint8Array.from([1, 9, ...good.slice(2)]), encodeHello({ ...hello, session: 0 })]) assert.deepEqual(decodeHello(bad), { ok: false, code: "badHello" });
});
