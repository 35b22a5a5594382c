import assert from "node:assert/strict";
import { constants } from "node:fs";
import { test } from "node:test";
import { Descriptor } from "../sockets/index.ts";
import { checkReaderPage, describeLane, type LaneBatch, LaneError, LaneReader, LaneWriter, makeBell } from "./index.ts";
import { bytes, join, mappingCount, small, text, turn, until } from "./testLane.ts";
import { noMoreDescriptorsThan, openDescriptors } from "../../schemas/testing.ts";

const code = (error: unknown): string => (error instanceof LaneError ? error.code : String(error));

test("what is published is read, with all that came with it", async () => {
  const writer = await LaneWriter.create({ ...small, firstSequence: 5n });
  const { reader } = join(writer);
  assert.equal(writer.publish(bytes("plain")), "published");
  const lineage = [{ origin: 1n, topic: 2n ** 64n - 1n, sequence: 3n }, { origin: 4n, topic: 5n, sequence: 6n }];
  writer.publish(bytes("full"), { timeNs: 123_456n, wallTimeNs: -5n, origin: 7, ttlMs: 8, quality: 2, keyFrame: true, kind: 255, lineage });
  const large = new Uint8Array(300_000).map((_, i) => i * 7);
  writer.publish(large, { kind: 1 });
  const [plain, full, big] = [reader.read()!, reader.read()!, reader.read()!];
  assert.equal(text(plain.payload), "plain");
  assert.deepEqual([plain.sequence, plain.lostBefore, plain.schemaHash, plain.origin, plain.quality, plain.keyFrame, plain.lineage], [5n, 0, 7n, 0, 0, false, []]);
  assert.ok(plain.timeNs > 0n && plain.timeNs <= process.hrtime.bigint());
  assert.ok(Math.abs(Number(plain.wallTimeNs / 1_000_000n) - Date.now()) < 60_000);
  assert.deepEqual({ ...full, payload: text(full.payload) }, { sequence: 6n, lostBefore: 0, timeNs: 123_456n, wallTimeNs: -5n, schemaHash: 7n, origin: 7, ttlMs: 8, quality: 2, keyFrame: true, kind: 255, lineage, payload: "full" });
  assert.deepEqual(big.payload, large);
  assert.equal(reader.read(), undefined);
  assert.equal(writer.nextSequence, 8n);
  assert.throws(() => writer.publish(new Uint8Array(600_000)), RangeError);
  assert.throws(() => writer.publish(bytes("x"), { lineage: Array.from({ length: 16 }, () => lineage[0]!) }), RangeError);
  assert.throws(() => writer.publish(bytes("x"), { kind: 256 }), RangeError);
  assert.deepEqual(reader.history(2).map(({ sequence, payload }) => [sequence, payload.length]), [[6n, 4], [7n, 300_000]]);
  assert.deepEqual(reader.stats(), { samples: 3, lost: 0, torn: 0, corrupt: 0, sleeps: 0, demoted: false });
  writer.close();
  assert.equal(reader.read(), undefined);
  assert.equal(reader.ended, "closed");
  assert.throws(() => writer.publish(bytes("x")), (error) => code(error) === "closed");
  reader.close();
  assert.throws(() => reader.stats(), (error) => code(error) === "closed");
});

test("a listener gets batches, wakes from sleep, and hears the end", async () => {
  const writer = await LaneWriter.create({ ...small, slots: 4096 });
  const { reader } = join(writer);
  let count = 0;
  let largest = 0;
  reader.onMessages((batch) => {
    largest = Math.max(largest, batch.count);
    for (let i = 0; i < batch.count; i++) {
      assert.equal(batch.sequenceNumber(i), ++count);
      assert.equal(batch.lostBefore(i), 0);
      assert.equal(new DataView(batch.bytes.buffer, batch.bytes.byteOffset).getUint32(batch.payloadAt(i), true), count);
    }
  });
  const payload = new Uint8Array(8);
  const view = new DataView(payload.buffer);
  let sent = 0;
  const send = (messages: number): void => {
    for (let i = 0; i < messages; i++) {
      view.setUint32(0, ++sent, true);
      writer.publish(payload);
    }
  };
  for (const messages of [1, 1, 3, 3000, 1, 100]) {
    send(messages);
    await until(() => count === sent);
    // Asleep again before the next, in most rounds.
    for (let i = 0; i < 3; i++) await turn();
  }
  const many = Array.from({ length: 1500 }, (_, i) => {
    const item = new Uint8Array(8);
    new DataView(item.buffer).setUint32(0, sent + i + 1, true);
    return item;
  });
  sent += writer.publishMany(many);
  await until(() => count === sent);
  assert.equal(sent, 4606);
  assert.ok(largest > 1 && largest <= 1000);
  assert.ok(reader.stats().sleeps > 0 && writer.stats().rings < sent / 10);
  const ended = new Promise((resolve) => reader.onEnd(resolve));
  writer.publish(new Uint8Array(8).fill(255));
  view.setUint32(0, (sent += 1), true);
  reader.onMessages(() => (count += 1));
  writer.close();
  assert.equal(await ended, "closed");
  assert.equal(count, sent);
  reader.close();
});

test("a message larger than the batch buffer is read, and small ones around it", async () => {
  const writer = await LaneWriter.create({ ...small, policy: "queue", largeBytes: 8 << 20 });
  const { reader } = join(writer);
  const sizes = [10, 3_000_000, 20, 200_000, 200_000, 4_000_000, 0, 30];
  const got: number[] = [];
  reader.onMessages((batch) => {
    for (let i = 0; i < batch.count; i++) {
      const payload = batch.payload(i);
      assert.ok(payload.every((byte) => byte === (payload.length & 0xff)));
      got.push(payload.length);
    }
  });
  for (const size of sizes) {
    writer.publish(new Uint8Array(size).fill(size & 0xff));
    if (size > 1_000_000) await until(() => got.at(-1) === size);
  }
  await until(() => got.length === sizes.length);
  assert.deepEqual(got, sizes);
  writer.close();
  reader.close();
});

test("a reader that is overrun is told exactly what it lost; latest sees the newest", async () => {
  const writer = await LaneWriter.create({ ...small, policy: "queue" });
  const { reader } = join(writer, { start: "oldest" });
  const { reader: latest } = join(writer, { policy: "latest" });
  for (let i = 1; i <= 1000; i++) writer.publish(bytes(String(i)));
  let read = 0;
  let lost = 0;
  for (let sample = reader.read(); sample; sample = reader.read()) {
    lost += sample.lostBefore;
    read += 1;
    assert.equal(Number(sample.sequence), read + lost);
  }
  assert.deepEqual([read + lost, read], [1000, 64]);
  assert.equal(text(latest.read()!.payload), "1000");
  assert.equal(latest.read(), undefined);
  const late = LaneReader.open(writer.descriptor, undefined, { policy: "queue", start: { sequence: 900n } });
  assert.deepEqual([late.read()!.sequence, late.stats().lost], [937n, 37]);
  const last = LaneReader.open(writer.descriptor, undefined, { policy: "queue", start: "last" });
  assert.equal(last.read()!.sequence, 1000n);
  assert.throws(() => last.onMessages(() => {}), (error) => code(error) === "closed");
  for (const each of [reader, latest, late, last]) each.close();
  writer.close();
});

test("a lossless reader holds the writer back until it reads on, or is demoted", async () => {
  const writer = await LaneWriter.create(small);
  const { reader } = join(writer, { policy: "lossless" });
  let spaces = 0;
  writer.onSpace(() => (spaces += 1));
  const fill = (): number => {
    let taken = 0;
    while (writer.publish(bytes("x")) === "published") taken += 1;
    return taken;
  };
  assert.equal(fill(), 64);
  assert.equal(writer.publishMany([bytes("a"), bytes("b")]), 0);
  for (let i = 0; i < 64; i++) assert.ok(reader.read());
  await until(() => spaces > 0);
  assert.equal(writer.publishMany(Array.from({ length: 100 }, () => bytes("y"))), 64);
  assert.equal(reader.stats().lost, 0);
  assert.equal(writer.stats().refusedFull >= 2, true);
  reader.close();
  writer.close();
  const strict = await LaneWriter.create(small);
  const { reader: slow } = join(strict, { policy: "lossless" }, 20);
  let again = false;
  strict.onSpace(() => (again = true));
  while (strict.publish(bytes("x")) === "published");
  await until(() => again);
  assert.equal(strict.publish(bytes("now")), "published");
  assert.deepEqual([strict.stats().demoted, slow.stats().demoted], [1, true]);
  slow.close();
  strict.close();
});

test("what is no lane, page or bell is refused, and closed where it was taken over", async () => {
  const writer = await LaneWriter.create(small);
  const { reader } = join(writer);
  const before = openDescriptors();
  const null_ = Descriptor.open("/dev/null", constants.O_RDONLY);
  assert.equal(describeLane(null_), undefined);
  assert.equal(describeLane(reader.page), undefined);
  assert.deepEqual({ ...describeLane(writer.descriptor), laneId: undefined, fileBytes: undefined }, { ...small, firstSequence: 1n, laneId: undefined, fileBytes: undefined });
  assert.deepEqual(describeLane(writer.descriptor)!.laneId, writer.laneId);
  assert.deepEqual(reader.laneId, writer.laneId);
  assert.equal(checkReaderPage(reader.page, writer.laneId), true);
  assert.equal(checkReaderPage(reader.page, new Uint8Array(16)), false);
  assert.equal(checkReaderPage(writer.descriptor, writer.laneId), false);
  const open = (lane: Descriptor, options: object): string => {
    try {
      const bell = makeBell();
      bell.writer.close();
      LaneReader.open(lane, bell.reader, { policy: "queue", start: "next", ...options });
      return "opened";
    } catch (error) {
      return code(error);
    }
  };
  assert.equal(open(null_, {}), "notALane");
  assert.equal(open(writer.descriptor, { schemaHash: 8n }), "otherSchema");
  assert.throws(() => writer.addReader(null_.dup(), null_.dup(), "queue", 0), (error) => code(error) === "notALane");
  const shut = null_.dup();
  shut.close();
  assert.throws(() => writer.addReader(null_.dup(), shut, "queue", 0));
  const queue = await LaneWriter.create({ ...small, policy: "queue" });
  assert.equal(open(queue.descriptor, { policy: "lossless" }), "badOptions");
  queue.close();
  null_.close();
  for (const wrong of [{ slots: 63 }, { inlineBytes: 65 }, { largeBytes: 5 }, { slots: 1 << 20 }, { laneId: new Uint8Array(3) }, { firstSequence: 0n }, { largeBytes: -4096 }]) {
    await assert.rejects(LaneWriter.create({ ...small, ...wrong }), (error) => code(error) === "badOptions");
  }
  await noMoreDescriptorsThan(before);
  reader.close();
  writer.close();
});

test("a listener that throws is heard of and gets the rest; one that closes gets nothing more", async () => {
  const writer = await LaneWriter.create({ ...small, policy: "queue" });
  const { reader } = join(writer);
  const errors: unknown[] = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => errors.push(error.message));
  const seen: number[] = [];
  const listener = (batch: LaneBatch): void => {
    for (let i = 0; i < batch.count; i++) seen.push(batch.sequenceNumber(i));
    if (seen.length === 1) throw new Error("thrown");
    if (seen.length === 3) reader.close();
  };
  reader.onMessages(listener);
  writer.publish(bytes("1"));
  await until(() => seen.length === 1);
  writer.publish(bytes("2"));
  await until(() => seen.length === 2);
  writer.publish(bytes("3"));
  await until(() => seen.length === 3);
  writer.publish(bytes("4"));
  for (let i = 0; i < 10; i++) await turn();
  process.removeAllListeners("uncaughtException");
  for (const each of listeners) process.on("uncaughtException", each);
  assert.deepEqual([seen, errors], [[1, 2, 3], ["thrown"]]);
  writer.close();
});

test("nothing is left behind: descriptors and mappings", async () => {
  const round = async (): Promise<void> => {
    const writer = await LaneWriter.create(small);
    const { reader, number } = join(writer, { policy: "lossless" });
    const { reader: other } = join(writer);
    reader.onMessages(() => {});
    writer.onSpace(() => {});
    writer.publish(bytes("x"));
    other.lease();
    writer.loan(100);
    writer.removeReader(number);
    writer.close();
    writer.close();
    reader.close();
    other.close();
  };
  await round();
  await turn();
  const before = { descriptors: openDescriptors(), mappings: mappingCount() };
  for (let i = 0; i < 20; i++) await round();
  for (let i = 0; i < 5; i++) await turn();
  await noMoreDescriptorsThan(before.descriptors);
  assert.equal(mappingCount(), before.mappings);
});
