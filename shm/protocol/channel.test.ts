import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import * as fc from "fast-check";
import { e2eCodec } from "../../schemas/e2e/index.ts";
import { Descriptor } from "../sockets/index.ts";
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
  /** How many descriptors went with each packet. */
  readonly attached: number[] = [];
  verdict: SendVerdict = "sent";
  send(bytes: Uint8Array, at: number, lengthBytes: number, descriptors: readonly Descriptor[] = []): SendVerdict {
    if (this.verdict === "sent") this.packets.push(bytes.slice(at, at + lengthBytes));
    if (this.verdict === "sent") this.attached.push(descriptors.length);
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

test("descriptors go with the last packet of a control message and belong to whoever takes them", () => {
  const { wire, client, gateway } = ends();
  const null_ = Descriptor.open("/dev/null", 0);
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  client.sendControl(new Uint8Array(150_000), "control", [null_, null_]);
  assert.deepEqual(wire.attached.splice(0), [0, 0, 2]);
  client.sendControl(Uint8Array.of(1), "control", [null_]);
  client.sendControl(Uint8Array.of(2));
  const [a, b, c, d, e] = wire.packets.splice(0);
  assert.equal(gateway.receive(a!, 0, a!.length, []), "more");
  assert.equal(gateway.receive(b!, 0, b!.length, []), "more");
  assert.equal(gateway.receive(c!, 0, c!.length, [null_.dup(), null_.dup()]), "control");
  const taken = gateway.takeDescriptors();
  assert.equal(taken.length, 2);
  assert.equal(gateway.takeDescriptors().length, 0);
  assert.equal(gateway.receive(d!, 0, d!.length, [null_.dup()]), "control");
  assert.equal(open(), before + 3);
  // Not taken: closed with the next packet.
  assert.equal(gateway.receive(e!, 0, e!.length), "control");
  assert.ok(taken.every(({ isOpen }) => isOpen));
  for (const descriptor of taken) descriptor.close();
  assert.equal(open(), before);
  null_.close();
});

test("descriptors on fragments, data, handshakes and broken packets are a fault, and are closed", () => {
  const open = (): number => readdirSync("/proc/self/fd").length;
  const null_ = Descriptor.open("/dev/null", 0);
  const before = open();
  const outcome = (send: (client: Channel, wire: Wire) => Uint8Array): string => {
    const { wire, client, gateway } = ends();
    const packet = send(client, wire);
    const result = gateway.receive(packet, 0, packet.length, [null_.dup(), null_.dup()]);
    assert.equal(gateway.takeDescriptors().length, 0);
    assert.equal(open(), before);
    return result;
  };
  assert.equal(outcome((client, wire) => (client.sendControl(new Uint8Array(70_000)), wire.packets[0]!)), "descriptors");
  assert.equal(outcome((client, wire) => (client.sendControl(Uint8Array.of(1), "handshake"), wire.packets[0]!)), "descriptors");
  assert.equal(outcome((client, wire) => (client.sendData(new Uint8Array(64), 0, 64), wire.packets[0]!)), "descriptors");
  assert.equal(outcome((client, wire) => (client.sendControl(Uint8Array.of(1)), wire.packets[0]!.fill(9, 0, 8))), "crc");
  assert.equal(outcome(() => new Uint8Array(3)), "tooShort");
  null_.close();
});

test("fuzz targets hold on random input", () => {
  for (const target of fuzzTargets) fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (input) => target.run(input)), { numRuns: 2000 });
});
