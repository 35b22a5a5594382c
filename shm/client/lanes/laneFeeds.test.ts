import assert from "node:assert/strict";
import { test } from "node:test";
import { Status } from "../../../schemas/status.ts";
import { LaneWriter, makeBell } from "../../lanes/index.ts";
import type { Descriptor } from "../../sockets/index.ts";
import { LaneFeeds, type LaneSubscriber } from "./laneFeeds.ts";

/** One writer, and the lanes of one subscription to it; the gateway is the test. */
class Rig {
  readonly heard: number[] = [];
  readonly pauses: (() => void)[] = [];
  readonly #writer: LaneWriter;
  #page: Descriptor | undefined;
  #arrived: () => void = () => {};
  readonly #subscriber: LaneSubscriber<string> = {
    lastValue: false,
    batch: (batch) => {
      for (let i = 0; i < batch.count; i++) this.heard.push(batch.sequenceNumber(i));
      this.#arrived();
    },
  };
  readonly feeds = new LaneFeeds<string>({
    topic: () => "t", nameOf: (topic) => topic, origin: () => "someone",
    attach: (_lane, page) => void (this.#page = page),
    detach: () => assert.fail("nothing is refused here"),
    failed: (error) => assert.fail(String(error)),
    after: (_ms, callback) => {
      this.pauses.push(callback);
      return () => void this.pauses.splice(this.pauses.indexOf(callback), 1);
    },
  });

  constructor(writer: LaneWriter) {
    this.#writer = writer;
  }

  /** The gateway hands the lane out. */
  handOut(lane: number): void {
    const bell = makeBell();
    const before = this.#page;
    this.feeds.lane({ op: "lane", subscription: 1, topicId: 1, lane, origin: 1, policy: "queue", schemaHash: "0000000000000007", replaces: undefined }, [this.#writer.descriptor.dup(), bell.reader], this.#subscriber, { early: false });
    if (this.#page !== before) this.#writer.addReader(this.#page!.dup(), bell.writer, "queue", 1000);
    else bell.writer.close();
  }

  publish(): void {
    this.#writer.publish(new Uint8Array(8));
  }

  hears(sequence: number): Promise<void> {
    return new Promise((resolve) => {
      this.#arrived = () => this.heard.at(-1) === sequence && resolve();
      this.#arrived();
    });
  }
}

async function withRig(use: (rig: Rig) => Promise<void>): Promise<void> {
  const writer = await LaneWriter.create({ schemaHash: 7n, policy: "queue", slots: 64, inlineBytes: 64, largeBytes: 0 });
  const rig = new Rig(writer);
  await use(rig);
  rig.feeds.closeAll();
  writer.close();
}

test("a lane whose writer comes back before it was read to its end is read on", () => withRig(async (rig) => {
  rig.handOut(1);
  rig.publish();
  await rig.hears(1);
  rig.feeds.unlane(1, Status.noContent);
  assert.equal(rig.pauses.length, 1);
  rig.handOut(2);
  assert.equal(rig.pauses.length, 0, "no end is waited for any more");
  rig.publish();
  await rig.hears(2);
  assert.deepEqual(rig.heard, [1, 2]);
}));

test("a lane that was left and is handed out again goes on where it was left: nothing twice, nothing lost", () => withRig(async (rig) => {
  rig.handOut(1);
  for (let i = 0; i < 5; i++) rig.publish();
  await rig.hears(5);
  rig.feeds.unlane(1, Status.noContent);
  rig.pauses[0]!();
  assert.equal(rig.feeds.count, 0);
  rig.publish();
  rig.handOut(2);
  rig.publish();
  await rig.hears(7);
  assert.deepEqual(rig.heard, [1, 2, 3, 4, 5, 6, 7]);
}));
