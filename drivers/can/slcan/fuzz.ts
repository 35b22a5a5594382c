/** Any bytes, from either side: no exception, no growth beyond one line. */
import { BusHost } from "../emulator/host.ts";
import { SlcanAdapter } from "./adapter.ts";
import { encodeFrame, SlcanDecoder } from "./frame.ts";

const decoder = new SlcanDecoder({ fd: true });
const host = new BusHost({ name: "fuzz", bitrateBps: 0, fd: true });
let bytesOut = 0;
const adapter = new SlcanAdapter({ host, fd: true, write: (out) => void (bytesOut += out.length) });

export const fuzzTargets: { name: string; run(input: Uint8Array): void }[] = [
  {
    name: "slcan decoder",
    run(input) {
      for (const event of decoder.push(input)) {
        if (event.type === "frame" && encodeFrame(event.frame, event.timestampMs) === undefined) throw new Error("a frame was read that cannot be written");
      }
    },
  },
  {
    name: "slcan adapter",
    run(input) {
      bytesOut = 0;
      adapter.push(Buffer.from("\rS8\rO\r"));
      adapter.push(input);
      host.run();
      if (bytesOut > 64 + 32 * (input.length + 1)) throw new Error(`${input.length} bytes in, ${bytesOut} bytes out`);
    },
  },
];
