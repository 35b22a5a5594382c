import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { PACKET_BYTES_MAX } from "../../shm/protocol/limits.ts";
import { SampleBatchReader, type SampleBatchWriter } from "../../shm/protocol/samples.ts";
import { TopicTable } from "../topics/table.ts";
import type { Topic } from "../topics/table.ts";
import { Feed, Outbox, type Owed, PacketPool, Subscription } from "./outbox.ts";

interface Got { subscription: number; topicId: number; sequence: number; lostBefore: number }

class Rig {
  readonly table = new TopicTable();
  readonly topics: Topic[];
  readonly outbox: Outbox;
  reserved = 0;
  readonly got: Got[] = [];
  readonly gaps = new Map<string, number>();
  /** Lost before they came to the table, by topic. */
  readonly upstream: number[];
  #packetsAllowed = 0;

  constructor({ topics, packetsMax }: { topics: number; packetsMax: number }) {
    this.upstream = Array.from({ length: topics }, () => 0);
    this.topics = Array.from({ length: topics }, (_, i) => this.table.declare({ name: `t/${i}`, encoding: "bytes" }));
    this.outbox = new Outbox({
      pool: new PacketPool(),
      reserve: (bytes) => {
        if (this.reserved + bytes > packetsMax * PACKET_BYTES_MAX) return false;
        this.reserved += bytes;
        return true;
      },
      release: (bytes) => {
        this.reserved -= bytes;
        assert.ok(this.reserved >= 0);
      },
    });
  }

  subscribe(id: number, queueSamples: number): Feed[] {
    const subscription = new Subscription(id, { queueSamples, intervalUs: 0 });
    this.outbox.add(subscription);
    return this.topics.map((topic) => {
      const feed = new Feed(subscription, topic);
      subscription.feeds.set(topic.id, feed);
      this.table.watch(topic.name, {
        sample: (_, bytes, at, lengthBytes, lostBefore) => {
          if (subscription.feeds.get(topic.id) !== feed) return;
          if (queueSamples > 0) this.outbox.append(feed, 0, bytes, at, lengthBytes, lostBefore);
          else this.outbox.mark(feed, 0, lostBefore);
        },
      });
      return feed;
    });
  }

  publish(index: number, lengthBytes: number, lostBefore = 0): void {
    const topic = this.topics[index]!;
    this.upstream[index]! += lostBefore;
    this.table.publish(topic, new Uint8Array(lengthBytes), 0, lengthBytes, topic.sequence, 0, "test", lostBefore);
  }

  /** What a subscription has of a topic, received or told lost. */
  accounted(subscription: number, topicId: number): number {
    return this.of(subscription, topicId).reduce((sum, { lostBefore }) => sum + 1 + lostBefore, 0) + (this.gaps.get(`${subscription} ${topicId}`) ?? 0);
  }

  /** The client takes `packets` packets; afterwards it is behind unless everything has gone. */
  read(packets: number): void {
    this.#packetsAllowed = packets;
    if (packets > 0) this.outbox.pack((batch) => this.#send(batch));
    for (const gap of this.outbox.takeGaps()) {
      const key = `${gap.subscription} ${gap.topicId}`;
      this.gaps.set(key, (this.gaps.get(key) ?? 0) + gap.lost);
    }
    this.outbox.behind = this.#packetsAllowed === 0;
  }

  #send(batch: SampleBatchWriter): boolean {
    const reader = new SampleBatchReader();
    assert.equal(reader.open(batch.bytes, batch.packetAt, batch.packetBytes), undefined);
    while (reader.next()) this.got.push({ subscription: reader.tag, topicId: reader.topicId, sequence: reader.sequence, lostBefore: reader.lostBefore });
    return --this.#packetsAllowed > 0;
  }

  of(subscription: number, topicId?: number): Got[] {
    return this.got.filter((sample) => sample.subscription === subscription && (topicId === undefined || sample.topicId === topicId));
  }
}

test("a client that keeps up gets everything, however small its queue", () => {
  const rig = new Rig({ topics: 1, packetsMax: 4 });
  rig.subscribe(1, 2);
  for (let turn = 0; turn < 10; turn++) {
    for (let i = 0; i < 50; i++) rig.publish(0, 40);
    rig.read(100);
  }
  assert.deepEqual(rig.got.map(({ sequence }) => sequence), Array.from({ length: 500 }, (_, i) => i + 1));
  assert.equal(rig.outbox.dropped, 0);
  assert.equal(rig.reserved, 0);
});

test("a client that is behind keeps the newest n, and the first of them tells what was lost", () => {
  const rig = new Rig({ topics: 1, packetsMax: 4 });
  rig.subscribe(1, 3);
  rig.outbox.behind = true;
  for (let i = 0; i < 100; i++) rig.publish(0, 40);
  rig.read(100);
  assert.deepEqual(rig.got.map(({ sequence, lostBefore }) => [sequence, lostBefore]), [[98, 97], [99, 0], [100, 0]]);
  assert.equal(rig.outbox.dropped, 97);
});

test("a small queue of a fast topic does not push out another subscription's samples", () => {
  const rig = new Rig({ topics: 2, packetsMax: 2 });
  rig.subscribe(1, 5);
  const [, slow] = rig.subscribe(2, 1000);
  slow!.subscription.feeds.delete(rig.topics[0]!.id);
  rig.outbox.behind = true;
  for (let i = 0; i < 20_000; i++) {
    rig.publish(0, 40);
    if (i % 200 === 0) rig.publish(1, 40);
  }
  rig.read(100);
  assert.deepEqual(rig.of(2).map(({ sequence }) => sequence), Array.from({ length: 100 }, (_, i) => i + 1));
  assert.equal(rig.of(1).length, 5);
});

test("latest: the newest value of each topic, and how many it replaced", () => {
  const rig = new Rig({ topics: 2, packetsMax: 1 });
  rig.subscribe(1, 0);
  rig.publish(0, 8);
  rig.read(100);
  for (let i = 0; i < 9; i++) rig.publish(0, 8);
  rig.publish(1, 8);
  rig.read(100);
  assert.deepEqual(rig.got.map(({ topicId, sequence, lostBefore }) => [topicId, sequence, lostBefore]), [[1, 1, 0], [1, 10, 8], [2, 1, 0]]);
});

test("a sample that fits no packet is a loss that is reported, not an exception", () => {
  const rig = new Rig({ topics: 1, packetsMax: 1 });
  rig.subscribe(1, 10);
  rig.publish(0, 70_000);
  rig.read(10);
  assert.deepEqual([...rig.gaps], [["1 1", 1]]);
  rig.publish(0, 70_000);
  rig.publish(0, 10);
  rig.read(10);
  assert.deepEqual(rig.got.map(({ sequence, lostBefore }) => [sequence, lostBefore]), [[3, 1]]);
});

test("random publishes, reads and ended subscriptions: what arrives plus what is told lost is what was published, in order, in bounded memory", () => {
  const publish = fc.record({ publish: fc.nat(3), bytes: fc.constantFrom(0, 8, 40, 3000, 30_000), times: fc.integer({ min: 1, max: 40 }) });
  const read = fc.record({ read: fc.integer({ min: 0, max: 4 }) });
  const steps = fc.array(fc.oneof({ weight: 5, arbitrary: publish }, { weight: 2, arbitrary: read }), { maxLength: 120 });
  const queues = fc.array(fc.constantFrom(0, 1, 3, 50, 10_000), { minLength: 1, maxLength: 4 });
  fc.assert(fc.property(steps, queues, fc.nat(200), (list, sizes, endAt) => {
    const rig = new Rig({ topics: 4, packetsMax: 3 });
    const subscriptions = sizes.map((size, i) => rig.subscribe(i + 1, size)[0]!.subscription);
    const ended = list.length > endAt ? subscriptions.pop()! : undefined;
    for (const [index, step] of list.entries()) {
      if (index === endAt && ended) rig.outbox.remove(ended);
      if ("read" in step) rig.read(step.read);
      else for (let i = 0; i < step.times; i++) rig.publish(step.publish, step.bytes);
      assert.ok(rig.outbox.pendingBytes <= 4 * PACKET_BYTES_MAX);
    }
    rig.read(1000);
    assert.equal(rig.outbox.hasWork, false);
    assert.equal(rig.reserved, 0);
    for (const index of subscriptions.keys()) {
      for (const topic of rig.topics) {
        let last = 0;
        for (const { sequence, lostBefore } of rig.of(index + 1, topic.id)) {
          // A gap that was reported on its own lies between the two.
          assert.ok(sequence > last && sequence - last - 1 >= lostBefore);
          last = sequence;
        }
        const samples = rig.of(index + 1, topic.id);
        const told = samples.reduce((sum, { lostBefore }) => sum + lostBefore, 0) + (rig.gaps.get(`${index + 1} ${topic.id}`) ?? 0);
        assert.equal(samples.length + told, topic.sequence);
      }
    }
  }), { numRuns: 300 });
});

test("at any moment: what arrived, what was told lost and what is owed is all that there was; and what a successor was last told of it is still true when nothing new was noted", () => {
  const publish = fc.record({ publish: fc.nat(2), bytes: fc.constantFrom(0, 40, 3000, 30_000, 70_000), times: fc.integer({ min: 1, max: 40 }), lostBefore: fc.constantFrom(0, 0, 0, 2) });
  const read = fc.record({ read: fc.integer({ min: 0, max: 4 }) });
  const steps = fc.array(fc.oneof({ weight: 5, arbitrary: publish }, { weight: 2, arbitrary: read }), { maxLength: 100 });
  const queues = fc.array(fc.constantFrom(0, 1, 3, 50, 10_000), { minLength: 1, maxLength: 4 });
  let notes = 0;
  let turns = 0;
  fc.assert(fc.property(steps, queues, (list, sizes) => {
    const rig = new Rig({ topics: 3, packetsMax: 3 });
    for (const [i, size] of sizes.entries()) rig.subscribe(i + 1, size);
    let noted: Owed[] = [];
    for (const step of list) {
      if ("read" in step) rig.read(step.read);
      else for (let i = 0; i < step.times; i++) rig.publish(step.publish, step.bytes, i === 0 ? step.lostBefore : 0);
      turns += 1;
      if (!rig.outbox.hasWork) noted = [];
      else if (rig.outbox.takeOwedChanged()) {
        noted = rig.outbox.owed();
        notes += 1;
      }
      for (const index of sizes.keys()) {
        for (const [place, { id, sequence }] of rig.topics.entries()) {
          const given = noted.find(({ subscription, topicId }) => subscription === index + 1 && topicId === id)?.given;
          assert.equal(rig.accounted(index + 1, id) + (given === undefined ? 0 : sequence - given), sequence + rig.upstream[place]!);
        }
      }
    }
  }), { numRuns: 300 });
  assert.ok(notes < turns);
});

test("a client that has stopped reading costs a note when a topic begins to wait, and none for each sample", () => {
  const rig = new Rig({ topics: 2, packetsMax: 2 });
  for (const queue of [0, 5, 10_000]) rig.subscribe(queue + 1, queue);
  rig.outbox.behind = true;
  rig.publish(0, 40);
  assert.ok(rig.outbox.takeOwedChanged());
  for (let i = 0; i < 1_000; i++) rig.publish(0, 40);
  assert.equal(rig.outbox.takeOwedChanged(), false);
  rig.publish(1, 40);
  assert.ok(rig.outbox.takeOwedChanged());
});
