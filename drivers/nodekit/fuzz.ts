/** Entry points for fuzzing: each takes any bytes and may only return. A throw is a finding. The C parts have theirs in ipcnet_node_device_test.c. */
import { decodeEmcy } from "./canopen.ts";
import { decodeImage, encodeImage, IMAGE_HEADER_BYTES } from "./image.ts";
import { SdoTransfer, type SdoRequest } from "./sdoTransfer.ts";
import { decodeTime, encodeTime } from "./timeSync.ts";
import { decodeReport, NodeUpdate } from "./update.ts";

export interface FuzzTarget {
  name: string;
  run(input: Uint8Array): void;
  /** Inputs to mutate. */
  seeds?: Uint8Array[];
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const image = encodeImage({ vendor: 1, product: 2, version: 3, securityCounter: 4 }, new Uint8Array(500));
const answers = (...frames: number[][]): Uint8Array => Uint8Array.from(frames.flat());

/** A node that answers anything: eight bytes of input a frame. A transfer ends, and reads no more than it was told. */
function transfer(request: SdoRequest, input: Uint8Array): void {
  const client = new SdoTransfer(5, request, 0);
  for (let at = 0; at < input.length; at += 8) {
    expect(client.take(200).every(({ data, id }) => data.length === 8 && id === 0x605), "a frame of another form");
    client.hear({ id: 0x585, data: input.subarray(at, at + 8) }, at);
    expect(client.progress <= 1, "progress beyond the end");
  }
  client.poll(1e9);
  expect(client.result !== undefined, "it comes to no end");
}

export const fuzzTargets: FuzzTarget[] = [
  {
    name: "nodeSdo",
    run(input) {
      transfer({ type: "read", index: 0x1008, subindex: 0 }, input);
      transfer({ type: "writeBlock", index: 0x1f50, subindex: 1, bytes: image }, input);
    },
    seeds: [answers([0x41, 0x08, 0x10, 0, 11, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7], [0x17, 1, 2, 3, 4, 0, 0, 0]), answers([0xa4, 0x50, 0x1f, 1, 32, 0, 0, 0], [0xa2, 32, 32, 0, 0, 0, 0, 0], [0xa2, 20, 127, 0, 0, 0, 0, 0], [0xa1, 0, 0, 0, 0, 0, 0, 0])],
  },
  {
    name: "nodeUpdate",
    run(input) {
      const update = new NodeUpdate({ node: 5, image }, 0);
      for (let at = 0; at + 9 <= input.length; at += 9) {
        const answered = input[at]! % 4 !== 0;
        update.take(50);
        update.hear({ id: answered ? 0x585 : 0x705, data: input.subarray(at + 1, answered ? at + 9 : at + 2) }, at * 1_000);
        update.poll(at * 1_000);
      }
      // Silence ends it, whatever was said.
      for (let i = 1; i < 100 && !update.result; i++) update.poll(1e9 * i);
      expect(update.result !== undefined, "it comes to no end");
    },
    seeds: [answers([1, 0x43, 0x18, 0x10, 1, 1, 0, 0, 0], [1, 0x43, 0x18, 0x10, 2, 2, 0, 0, 0], [1, 0x41, 0, 0x2f, 1, 48, 0, 0, 0])],
  },
  {
    name: "nodeImage",
    run(input) {
      const decoded = decodeImage(input);
      if ("fault" in decoded) return;
      const { signature } = decoded;
      expect(Buffer.from(encodeImage(decoded, decoded.program, () => signature)).equals(input), "another image");
    },
    seeds: [image, image.slice(0, IMAGE_HEADER_BYTES + 1)],
  },
  {
    name: "nodeFrames",
    run(input) {
      decodeReport(input);
      decodeEmcy({ id: 0x85, data: input });
      const time = decodeTime(input);
      if (time) expect(Buffer.from(encodeTime(time)).equals(input), "another time");
    },
    seeds: [encodeTime({ kind: "sync", owner: 1, word: 7, counter: 9 }), new Uint8Array(48).fill(1)],
  },
];
