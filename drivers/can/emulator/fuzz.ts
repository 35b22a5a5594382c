/** Any bytes from a client: no exception, and no more records out than its records can have caused. */
import { CanBus } from "./bus.ts";
import { BusHost } from "./host.ts";
import { RECORD_BYTES, RecordReader } from "./protocol.ts";

export const fuzzTargets: { name: string; run(input: Uint8Array): void }[] = [
  {
    name: "bus emulator records",
    run(input) {
      const host = new BusHost({ name: "fuzz", bitrateBps: 500_000, fd: true });
      let records = 0;
      const node = host.attach({ fd: true }, (outbox) => {
        records += outbox.count;
        outbox.clear();
      });
      host.attach({ fd: true }, (outbox) => outbox.clear());
      new RecordReader().push(input, (bytes, _view, at) => void host.accept(node, bytes, at));
      host.run();
      host.close();
      if (records > 32 * (1 + input.length / RECORD_BYTES)) throw new Error(`${input.length} bytes in, ${records} records out`);
    },
  },
  {
    name: "bus emulator frames",
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
