import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { e2eCodec } from "../../schemas/e2e/index.ts";
import { Channel, type PacketTransport, type SendVerdict } from "./channel.ts";
import { fuzzTargets } from "./fuzz.ts";
import { PACKET_BYTES_MAX } from "./limits.ts";
import { claimedDataId, dataId, type PacketSeal } from "./packet.ts";

/** P07 in TypeScript. */
const seal: PacketSeal = {
  seal: (bytes, at, lengthBytes, id, counter) => e2eCodec({ profile: "P07", dataId: id }).protect(bytes, at, lengthBytes, 0, counter),
  open: (bytes, at, lengthBytes, id, counter) => {
    const codec = e2eCodec({ profile: "P07", dataId: id });
    const verdict = codec.inspect(bytes, at, lengthBytes, 0);
    if (verdict !== 0) return verdict === 4 ? "crc" : verdict === 5 ? "length" : "dataId";
    return codec.counterOf(bytes, at, lengthBytes, 0) === counter ? "ok" : "counter";
  },
};

class Wire implements PacketTransport {
  readonly packets: Uint8Array[] = [];
  verdict: SendVerdict = "sent";
  send(bytes: Uint8Array, at: number, lengthBytes: number): SendVerdict {
    if (this.verdict === "sent") this.packets.push(bytes.slice(at, at + lengthBytes));
    return this.verdict;
  }
  hasRoomFor(bytes: number): boolean {
    return bytes < 1_000_000;
  }
}

function ends(): { wire: Wire; client: Channel; gateway: Channel } {
  const wire = new Wire();
  const make = (role: "client" | "gateway"): Channel => new Channel({ role, seal, transport: wire, controlBytesMax: 262_144, scratch: new Uint8Array(PACKET_BYTES_MAX) });
  return { wire, client: make("client"), gateway: make("gateway") };
}

const bodyOf = (channel: Channel): Uint8Array => channel.body.slice(channel.bodyAt, channel.bodyAt + channel.bodyBytes);

test("control messages of any size arrive as they were sent, one packet or many", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 200_000 }), { maxLength: 3 }), (sizes) => {
    const { wire, client, gateway } = ends();
    for (const size of sizes) {
      const message = new Uint8Array(size).map((_, i) => i * 7);
      assert.equal(client.sendControl(message), "sent");
      const results = wire.packets.splice(0).map((packet) => gateway.receive(packet, 0, packet.length));
      assert.deepEqual(results, [...Array.from({ length: Math.ceil(size / (PACKET_BYTES_MAX - 24)) - 1 }, () => "more"), "control"]);
      assert.deepEqual(bodyOf(gateway), message);
    }
  }), { numRuns: 8 });
});

test("a packet that was not taken leaves no hole in the numbers", () => {
  const { wire, client, gateway } = ends();
  client.sendControl(Uint8Array.of(1));
  wire.verdict = "full";
  assert.equal(client.sendControl(Uint8Array.of(2)), "full");
  assert.equal(client.sendControl(new Uint8Array(2_000_000)), "full");
  wire.verdict = "sent";
  client.sendControl(Uint8Array.of(3));
  assert.deepEqual(wire.packets.map((packet) => gateway.receive(packet, 0, packet.length)), ["control", "control"]);
});

test("repeated, missing, reflected, foreign and damaged packets are faults", () => {
  const { wire, client, gateway } = ends();
  for (let i = 0; i < 3; i++) client.sendControl(Uint8Array.of(i));
  const [first, second, third] = wire.packets as [Uint8Array, Uint8Array, Uint8Array];
  assert.equal(gateway.receive(first, 0, first.length), "control");
  assert.equal(gateway.receive(first, 0, first.length), "counter");
  assert.equal(gateway.receive(third, 0, third.length), "counter");
  assert.equal(client.receive(second, 0, second.length), "dataId");
  assert.equal(gateway.receive(second, 0, 23), "tooShort");
  const other = second.slice();
  seal.seal(other, 0, other.length, dataId("toGateway", "control", 2), 1);
  assert.equal(claimedDataId(other, 0), dataId("toGateway", "control", 2));
  assert.equal(gateway.receive(other, 0, other.length), "dataId");
  for (let bit = 0; bit < second.length * 8; bit++) {
    const damaged = second.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    assert.ok(["crc", "length", "dataId"].includes(gateway.receive(damaged, 0, damaged.length)));
  }
  // None of them moved the receiver.
  assert.equal(gateway.receive(second, 0, second.length), "control");
});

test("fragments are bounded: no flags but one, none empty, no more than agreed, none in a handshake", () => {
  const flagged = (kind: "control" | "handshake", flags: number, bodyBytes: number, counter: number): Uint8Array => {
    const packet = new Uint8Array(24 + bodyBytes);
    packet[20] = flags;
    seal.seal(packet, 0, packet.length, dataId("toGateway", kind), counter);
    return packet;
  };
  const receive = (packets: Uint8Array[]): string => {
    const { gateway } = ends();
    return packets.map((packet) => gateway.receive(packet, 0, packet.length)).at(-1)!;
  };
  assert.equal(receive([flagged("control", 2, 4, 0)]), "fragment");
  assert.equal(receive([flagged("control", 1, 0, 0)]), "fragment");
  assert.equal(receive([flagged("handshake", 1, 4, 0)]), "fragment");
  assert.equal(receive(Array.from({ length: 4 }, (_, i) => flagged("control", 1, 65_512, i))), "more");
  assert.equal(receive(Array.from({ length: 5 }, (_, i) => flagged("control", 1, 65_512, i))), "fragment");
});

test("fuzz targets hold on random input", () => {
  for (const target of fuzzTargets) fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (input) => target.run(input)), { numRuns: 2000 });
});
