/** Any bytes from a client: no exception, and no more records out than its records can have caused. */
import { CanBus } from "./bus.ts";
import { BusHost } from "./host.ts";
import { Control, Kind, RECORD_BYTES, RecordBuffer, RecordReader, viewOf } from "./protocol.ts";
import { writeFrame } from "../frame.ts";

const samples = [
  { timeUs: 1, canId: 0x123, flags: 0, data: Uint8Array.of(1, 2, 3), token: 7 },
  { timeUs: 1, canId: 0x1234_5678, flags: 5, data: new Uint8Array(64).fill(9), token: 8 },
  { timeUs: 1, canId: 0x7ff, flags: 0x10, data: new Uint8Array(0), lengthBytes: 8 },
];
const records = new RecordBuffer();
for (const sample of samples) writeFrame(records.bytes, records.view, records.append(Kind.frame, 0, 0), sample);
for (const control of Object.values(Control)) records.appendBlank(Kind.control, control, 0);
const recordSeeds = Array.from({ length: records.count }, (_, index) => Uint8Array.from(records.bytes.subarray(index * RECORD_BYTES, (index + 1) * RECORD_BYTES)));
const frameSeeds = samples.map((sample) => {
  const bytes = Buffer.alloc(88);
  writeFrame(bytes, viewOf(bytes), 0, sample);
  return bytes;
});

/** `run` throws only on a bug; inputs are best made by mutating `seeds`. */
export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = [
  {
    name: "bus emulator records",
    seeds: recordSeeds,
    run(input) {
      const host = new BusHost({ name: "fuzz", bitrateBps: 500_000, fd: true });
      let answers = 0;
      const count = (outbox: RecordBuffer): void => {
        answers += outbox.count;
        outbox.clear();
      };
      // One that shares its controller with another, and one on the other side of the wire.
      const participant = host.open({ fd: true, controller: 1 }, count);
      host.open({ controller: 1 }, count);
      host.attach({ fd: true }, (outbox) => outbox.clear());
      if (typeof participant === "string") throw new Error(participant);
      new RecordReader().push(input, (bytes, _view, at) => void host.accept(participant, bytes, at));
      host.run();
      host.close();
      if (answers > 64 * (1 + input.length / RECORD_BYTES)) throw new Error(`${input.length} bytes in, ${answers} records out`);
    },
  },
  {
    name: "bus emulator frames",
    seeds: frameSeeds,
    run(input) {
      // The bytes as frames of four nodes with times between: any content may be sent, and the bus always comes to rest or names its next moment.
      const bus = new CanBus({ bitrateBps: (input[0] ?? 0) % 2 === 0 ? 0 : 1_000_000, fd: true });
      const nodes = [0, 1, 2, 3].map((index) => bus.attach({ fd: index % 2 === 0, listenOnly: index === 3 }, 0));
      let nowUs = 0;
      const padded = Buffer.concat([input, Buffer.alloc(88)]);
      for (let at = 0; at < input.length; at += 24) {
        nowUs += padded[at]!;
        bus.send(nodes[padded[at + 1]! % 4]!, padded, at, nowUs);
        for (const node of nodes) node.outbox.clear();
      }
      const nextUs = bus.poll(nowUs + 1e6, 1e6);
      if (nextUs !== undefined && nextUs <= nowUs + 1e6) throw new Error("the bus did not come to rest");
    },
  },
];
