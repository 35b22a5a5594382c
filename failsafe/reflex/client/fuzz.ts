/** What a reflex, or somebody in its place, sends: packets and records of any bytes. No exception, and nothing is read that was not sent. */
import { FRAME_STRIDE_BYTES } from "../../../drivers/can/frame.ts";
import { PacketCodec } from "./packets.ts";
import { commandStruct, decodeCommand, decodeReport, encodeCommand, REPORT_FLAG, reportKinds } from "./records.ts";

const packets = new PacketCodec();
const hello = packets.hello({ major: 1, minor: 0, who: 0, instance: 0, brainEpoch: 1, bootId: new Uint8Array(16), tableHash: new Uint8Array(8) });
const record = (kind: number): Uint8Array => {
  const bytes = new Uint8Array(FRAME_STRIDE_BYTES).fill(1);
  new DataView(bytes.buffer).setUint32(8, kind, true);
  bytes[12] = REPORT_FLAG;
  return bytes;
};

export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = [
  {
    name: "reflex packet", seeds: [hello, packets.order({ order: "trigger", a: 1, why: "fuzz" }, 3), packets.answer({ code: "refused", lacks: [{ reason: 1, subject: 2 }] }, 4)],
    run: (input) => void new PacketCodec().read(input, 0, input.length),
  },
  {
    name: "reflex report", seeds: reportKinds.map((_kind, index) => record(index)),
    run(input) {
      const bytes = new Uint8Array(FRAME_STRIDE_BYTES);
      bytes.set(input.subarray(0, FRAME_STRIDE_BYTES));
      decodeReport(bytes, 0);
    },
  },
  {
    name: "reflex command", seeds: [new Uint8Array(commandStruct.sizeBytes)],
    run(input) {
      const command = decodeCommand(input);
      // Times beyond 2^53 µs are no times of this clock: they are rounded, not kept.
      if (command && command.deadlineUs < 2 ** 53 && command.sequence < 2 ** 53 && decodeCommand(encodeCommand(command))?.token !== command.token) throw new Error("a command changed on its way");
    },
  },
];
