/**
 * Frames of the serial link for the C test, which has no JSON: the rows of schemas/vectors/cobs.json, the example of docs/specs/serial-link.md, and random ones on which C and TypeScript must agree.
 *
 *   encode PAYLOAD ENCODED · decode ENCODED PAYLOAD · truncated ENCODED · tooLong CAPACITY ENCODED
 *   frame DATA_ID COUNTER ID BODY WIRE      `DATA_ID` is the direction's, `WIRE` begins and ends with 00; numbers are decimal, "-" stands for no bytes
 *
 * After a change to the JSON file: node dist/ts/drivers/nodekit/serialVectors.js --write
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot, toHex, vectors } from "../../schemas/testData.ts";
import { seededRandom } from "../../schemas/random.ts";
import { cobsEncode, cobsEncodedBytesMax, cobsFrame } from "../serial/cobs.ts";
import { FRAME_BYTES_MIN, serialCodec, SerialFrameWriter } from "../serial/frame.ts";

export const serialVectorsPath = "drivers/nodekit/serialVectors.txt";
const text = (hex: string): string => (hex === "" ? "-" : hex);

interface CobsVectors {
  roundTrip: { payload: string; encoded: string }[];
  decodeOnly: { encoded: string; payload: string }[];
  refused: { encoded: string; fault: "truncated" }[];
}

export function serialVectors(): string {
  const { roundTrip, decodeOnly, refused } = vectors("cobs.json") as CobsVectors;
  const rows = [
    ...roundTrip.flatMap(({ payload, encoded }) => [`encode ${text(payload)} ${text(encoded)}`, `decode ${text(encoded)} ${text(payload)}`]),
    ...decodeOnly.map(({ encoded, payload }) => `decode ${text(encoded)} ${text(payload)}`),
    ...refused.map(({ encoded, fault }) => `${fault} ${text(encoded)}`),
    "tooLong 3 0511223344", "tooLong 3 02110211020101", "tooLong 0 0211",
    frameRow({ dataId: 0x48414e44, sender: "gateway", skip: 0, id: 2, body: Uint8Array.of(0xaa, 0x00, 0xbb) }),
  ];
  return `${["# Written by serialVectors.ts from schemas/vectors/cobs.json; do not edit.", ...rows].join("\n")}\n`;
}

function frameRow({ dataId, sender, skip, id, body }: { dataId: number; sender: "gateway" | "device"; skip: number; id: number; body: Uint8Array }): string {
  const writer = new SerialFrameWriter(serialCodec(dataId, sender));
  for (let counter = 0; counter < skip; counter++) writer.write(0, new Uint8Array(0));
  return `frame ${(sender === "gateway" ? dataId : dataId ^ 0x8000_0000) >>> 0} ${skip} ${id} ${text(toHex(body))} ${toHex(writer.write(id, body))}`;
}

/** Bodies of every kind of length around COBS's blocks, many of zeros, many without any. */
export function randomSerialRows({ seed, count }: { seed: number; count: number }): string[] {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  return Array.from({ length: count }, () => {
    const zeros = [0, 0.02, 0.5][below(3)]!;
    const length = below(4) === 0 ? 254 - FRAME_BYTES_MIN + below(5) - 2 : below(513);
    const body = Uint8Array.from({ length }, () => (random() < zeros ? 0 : 1 + below(255)));
    if (below(2) === 0) return frameRow({ dataId: below(2 ** 32), sender: below(2) === 0 ? "gateway" : "device", skip: below(4), id: below(0x10000), body });
    const encoded = new Uint8Array(cobsEncodedBytesMax(length));
    const encodedBytes = cobsEncode(body, encoded);
    return below(2) === 0 ? `encode ${text(toHex(body))} ${toHex(encoded.subarray(0, encodedBytes))}` : `decode ${toHex(cobsFrame(body).slice(1, -1))} ${text(toHex(body))}`;
  });
}

if (process.argv[2] === "--write") writeFileSync(join(projectRoot(), serialVectorsPath), serialVectors());
