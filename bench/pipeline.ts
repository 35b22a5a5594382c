/**
 * The whole way of a frame inside one process: batch → integrity → schema → freshness → topic (→ packet for a subscriber), and beside it
 * the same checks on frames that arrive as objects, one event each, as npm's socketcan delivers them, and python-can with cantools.
 */
import { EventEmitter } from "node:events";
import { CanReceiver, type IncomingMessage } from "../gateway/pipeline/canReceiver.ts";
import { Rejects } from "../gateway/observe/rejects.ts";
import { TopicTable } from "../gateway/topics/table.ts";
import type { SampleSink } from "../gateway/topics/topicSource.ts";
import type { CanFrameBatch } from "../drivers/can/frame.ts";
import { CheckResult } from "../schemas/e2e/index.ts";
import { SampleBatchWriter } from "../shm/protocol/samples.ts";
import { nativeSeal } from "../shm/sockets/index.ts";
import type { Bench, BenchContext, Case, Table } from "./harness.ts";
import { caseRows, timeCases } from "./harness.ts";
import { pythonTable } from "./peers/python.ts";
import { batchesOf, carTraffic, codecsOf, definitionsOf, ownTraffic, type Traffic } from "./traffic.ts";

const BATCH_FRAMES = 64;
const NOW_US = 0;

export const bench: Bench = {
  name: "pipeline",
  async run(context) {
    const tables: Table[] = [];
    for (const traffic of [carTraffic(), ownTraffic()]) if (traffic) tables.push(pipelineTable(traffic, context));
    tables.push(await pythonTable(carTraffic() ?? ownTraffic(), context));
    return tables;
  },
};

function pipelineTable(traffic: Traffic, context: BenchContext): Table {
  const cases = [pushCase("CanReceiver.push, batches of 64", traffic), pushCase("… and encoded and sealed for a subscriber", traffic, subscriberSink()), objectCase("an object and an event per frame, then the same check and record", traffic, "record"), objectCase("an object and an event per frame, then check and decoded object", traffic, "object")];
  return {
    title: `Pipeline, CPU time per frame: ${traffic.text}`,
    rows: caseRows(timeCases(cases, context)),
    notes: ["Aim: less than 3,333 ns (300,000 frames per second and core). The objects are made in JavaScript; npm's socketcan makes them through its native addon, which costs more."],
  };
}

/** A receiver for the traffic with everything configured, as the gateway builds it. */
export function receiverFor(traffic: Pick<Traffic, "dbc" | "checksYaml">, table: TopicTable): CanReceiver {
  const definitions = definitionsOf(traffic);
  const codecs = codecsOf(definitions);
  const messages = definitions.messages.map((message): IncomingMessage => {
    const codec = codecs.get(message.canId)!;
    return {
      name: message.name, canId: message.canId, extended: message.extended, codec, check: definitions.checks.forMessage(message), accepted: undefined,
      topic: table.declare({ name: `can/bench/${message.name}`, encoding: "record", layout: codec.layout, cycleTimeMs: 10 }),
    };
  });
  return new CanReceiver({
    bus: "bench", messages, rawHandlers: [], table, rejects: new Rejects(), rawTopic: table.declare({ name: "can/bench/raw", encoding: "canframe" }),
    onEcho: () => undefined, onErrorFrame: () => undefined,
  });
}

function pushCase(name: string, traffic: Traffic, sink?: SampleSink & { flush(): void }): Case {
  const table = new TopicTable();
  const receiver = receiverFor(traffic, table);
  if (sink) table.watch("can/bench/+", sink);
  const batches = batchesOf(traffic.frames, BATCH_FRAMES);
  let next = 0;
  return {
    name,
    run(iterations) {
      for (let frames = 0; frames < iterations; ) {
        const batch = batches[next]!;
        receiver.push(batch, NOW_US);
        sink?.flush();
        frames += batch.count;
        next = (next + 1) % batches.length;
      }
      if (receiver.counters.rejected + receiver.counters.unknown > 0) throw new Error(`${name}: right frames were rejected`);
    },
  };
}

/** What one subscription adds: its samples appended to a packet, the packet sealed. The socket is not part of it. */
function subscriberSink(): SampleSink & { flush(): void } {
  const writer = new SampleBatchWriter();
  const seal = nativeSeal();
  let packets = 0;
  const flush = (): void => {
    if (writer.count === 0) return;
    writer.finish(0);
    seal.seal(writer.bytes, writer.packetAt, writer.packetBytes, 1, packets++);
    writer.reset();
  };
  return {
    sample(topic, bytes, at, lengthBytes, lostBefore) {
      const append = (): boolean => writer.append(topic.id, 1, topic.sequence, topic.timeUs, lostBefore, 1, topic.quality, 0, bytes, at, lengthBytes);
      if (append()) return;
      flush();
      append();
    },
    flush,
  };
}

/** A frame as npm's socketcan hands it to its listeners. */
interface ObjectFrame {
  ts_sec: number;
  ts_usec: number;
  id: number;
  ext: boolean;
  rtr: boolean;
  err: boolean;
  data: Buffer;
}

function objectCase(name: string, traffic: Traffic, result: "record" | "object"): Case {
  const definitions = definitionsOf(traffic);
  const codecs = codecsOf(definitions);
  const table = new TopicTable();
  const receivers = new Map(definitions.messages.map((message) => {
    const codec = codecs.get(message.canId)!;
    const record = new Uint8Array(codec.layout.sizeBytes);
    return [message.canId, { codec, check: definitions.checks.forMessage(message)!, record, view: new DataView(record.buffer), topic: table.declare({ name: `can/bench/${message.name}`, encoding: "record", layout: codec.layout }) }];
  }));
  const channel = new EventEmitter();
  let accepted = 0;
  channel.on("onMessage", ({ id, data, ts_sec, ts_usec }: ObjectFrame) => {
    const { codec, check, record, view, topic } = receivers.get(id)!;
    const timeUs = ts_sec * 1e6 + ts_usec;
    if (check.check(data, 0, data.length, id, timeUs) > CheckResult.okSomeLost) return;
    if (result === "object") {
      const decoded = codec.decode(data, 0, data.length);
      if (!decoded.ok) return;
      channel.emit(topic.name, decoded.signals);
      accepted += 1;
      return;
    }
    if (codec.decodeInto(data, view, 0, data.length, record, view, 0) !== 0) return;
    table.publish(topic, record, 0, record.length, timeUs, 0, "bench", 0);
    accepted += 1;
  });
  const { frames } = traffic;
  let next = 0;
  return {
    name,
    run(iterations) {
      accepted = 0;
      for (let i = 0; i < iterations; i++) {
        channel.emit("onMessage", objectFrame(frames, next));
        next = (next + 1) % frames.count;
      }
      if (accepted !== iterations) throw new Error(`${name}: ${iterations - accepted} right frames were rejected`);
    },
  };
}

function objectFrame(frames: CanFrameBatch, index: number): ObjectFrame {
  const at = frames.dataOffset(index);
  const timeUs = frames.timeUs(index);
  return {
    ts_sec: Math.floor(timeUs / 1e6), ts_usec: timeUs % 1e6, id: frames.canId(index), ext: false, rtr: false, err: false,
    data: Buffer.from(frames.bytes.subarray(at, at + frames.lengthBytes(index))),
  };
}
