/** The recording of a real car and what is known of it, for the tests that replay it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCandumpLine } from "../drivers/can/candump.ts";
import { projectRoot } from "../schemas/testData.ts";

export interface RecordedFrame {
  timeS: number;
  canId: number;
  data: Uint8Array;
}

export const sharedData = join(projectRoot(), "../shared/data");
const file = join(sharedData, "can/car-with-checksums.candump.log");

/** Why the tests cannot run here, or false. */
export const recordingMissing: string | false = existsSync(file) ? false : `the recording ${file} is not here`;

export function readRecording(): RecordedFrame[] {
  return readFileSync(file, "utf8").split("\n").filter((line) => line !== "").map((line) => {
    const parsed = parseCandumpLine(line);
    if (!parsed.ok) throw new Error(`${file}: ${parsed.text}`);
    return { timeS: parsed.timeS, canId: parsed.frame.canId, data: parsed.frame.data };
  });
}

export function messageName(canId: number): string {
  return `Car_${canId.toString(16).toUpperCase()}`;
}

/** A DBC of our own for every id of the recording: each byte a signal, so that what arrives can be compared byte by byte. */
export function recordingDbc(frames: readonly RecordedFrame[]): string {
  const lengths = new Map(frames.map(({ canId, data }) => [canId, data.length]));
  const messages = [...lengths].map(([canId, length]) => {
    const signals = Array.from({ length }, (_, index) => ` SG_ b${index} : ${index * 8}|8@1+ (1,0) [0|255] "" Gateway\n`).join("");
    return `BO_ ${canId} ${messageName(canId)}: ${length} Car\n${signals}`;
  });
  return `VERSION ""\n\nBU_: Gateway Car\n\n${messages.join("\n")}`;
}

/** Every frame's last nibble is a checksum, the two bits above it a counter, but for 0x1D0, which does not count. */
export const recordingChecks = `version: 1
messages:
  "*": { checksum: honda }
`;
