/** Any bytes, from either side: no exception, no growth beyond one line. */
import { BusHost } from "../emulator/host.ts";
import { SlcanAdapter } from "./adapter.ts";
import { encodeFrame, SlcanDecoder } from "./frame.ts";

const decoder = new SlcanDecoder({ fd: true });
const host = new BusHost({ name: "fuzz", bitrateBps: 0, fd: true });
let bytesOut = 0;
const adapter = new SlcanAdapter({ host, fd: true, write: (out) => void (bytesOut += out.length) });

const lines = (...texts: string[]) => texts.map((text) => Buffer.from(text, "latin1"));

/** `run` throws only on a bug; inputs are best made by mutating `seeds`. */
export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = [
  {
    name: "slcan decoder",
    seeds: lines("t1238001122334455667788\r", "T12345678211223EA5\rz\rZ\r\x07", "r1233\rR123456788\r", "F24\rV1013\rNA123\r", "d1239000102030405060708090A0B\r", "B12345678F"),
    run(input) {
      for (const event of decoder.push(input)) {
        if (event.type === "frame" && encodeFrame(event.frame, event.timestampMs) === undefined) throw new Error("a frame was read that cannot be written");
      }
    },
  },
  {
    name: "slcan adapter",
    seeds: lines("t1238001122334455667788\r", "T123456782112233\rF\rV\r", "r1233\rP\rA\r", "S6\rZ1\rX0\rM00000000\r", "d1239000102030405060708090A0B\r"),
    run(input) {
      bytesOut = 0;
      adapter.push(Buffer.from("\rS8\rO\r"));
      adapter.push(input);
      host.run();
      if (bytesOut > 64 + 32 * (input.length + 1)) throw new Error(`${input.length} bytes in, ${bytesOut} bytes out`);
    },
  },
];
