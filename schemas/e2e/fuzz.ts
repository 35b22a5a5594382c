/** What is fed with hostile input here: the text of a checks file, and frames of any bytes for every profile and vendor checksum. */
import { loadChecks } from "./checks.ts";
import { Verdict } from "./codec.ts";
import type { FrameCodec } from "./codec.ts";
import type { E2eConfig } from "./config.ts";
import { FrameCheck } from "./frameCheck.ts";
import { e2eCodec } from "./profiles.ts";
import { CheckResult } from "./status.ts";
import { vendorCodec } from "./vendor/checksum.ts";
import { vendorChecksum, vendorKinds } from "./vendor/index.ts";

export interface FuzzTarget {
  name: string;
  /** Throws only on a bug. */
  run(input: Uint8Array): void;
  /** Valid inputs to mutate. */
  seeds?: Uint8Array[];
}

const dataIdList = Array.from({ length: 16 }, (_, index) => index * 17);
const configs: E2eConfig[] = [
  { profile: "P01", dataId: 0x123, dataIdMode: "nibble" },
  { profile: "P01", dataId: 0x123, dataIdMode: "alt" },
  { profile: "P11", dataId: 0x123, offsetBytes: 1 },
  { profile: "P02", dataIdList },
  { profile: "P22", dataIdList, offsetBytes: 3 },
  { profile: "P04", dataId: 0x0a0b0c0d },
  { profile: "P05", dataId: 0x1234 },
  { profile: "P06", dataId: 0x1234, offsetBytes: 2 },
  { profile: "P07", dataId: 0x0a0b0c0d },
  { profile: "P08", dataId: 0x0a0b0c0d, offsetBytes: 4 },
];

/** The whole input is the frame, somewhere in a larger buffer that must stay as it is. */
function checkerTarget(name: string, codecFor: (lengthBytes: number) => FrameCodec | undefined): FuzzTarget {
  const seed = new Uint8Array(28);
  codecFor(seed.length)?.protect(seed, 0, seed.length, 0x123, 1 % (codecFor(seed.length)?.counterCount ?? 1));
  return { name, seeds: [seed], run: (input) => runChecker(name, codecFor(input.length), input) };
}

function runChecker(name: string, codec: FrameCodec | undefined, input: Uint8Array): void {
  if (!codec) return;
  const buffer = new Uint8Array(input.length + 2).fill(0x5a);
  buffer.set(input, 1);
  const check = new FrameCheck(codec);
  const result = check.check(buffer, 1, input.length, 0x123, 0);
  if (Buffer.compare(buffer.subarray(1, -1), input) !== 0) throw new Error(`${name}: a check changed the frame`);
  const accepted = result === CheckResult.ok;
  if (accepted !== (check.state === "INIT" && check.lastAcceptedUs === 0)) throw new Error(`${name}: ${check.state} after result ${result}`);
  if (codec.inspect(buffer, 1, input.length, 0x123) !== Verdict.ok) return;
  // What is accepted is exactly what protect would have made of it. (A counter of 15 passes no sender.)
  const counter = codec.counterOf(buffer, 1, input.length, 0x123);
  if (counter >= codec.counterCount) return;
  codec.protect(buffer, 1, input.length, 0x123, counter);
  if (Buffer.compare(buffer.subarray(1, -1), input) !== 0) throw new Error(`${name}: a frame passes that protect does not make`);
  if (buffer[0] !== 0x5a || buffer[buffer.length - 1] !== 0x5a) throw new Error(`${name}: protect wrote outside the frame`);
}

function runChecksFile(input: Uint8Array): void {
  const loaded = loadChecks(new TextDecoder().decode(input), { file: "fuzz.checks.yaml" });
  if (!loaded.ok) {
    if (loaded.faults.length === 0) throw new Error("refused without a reason");
    for (const fault of loaded.faults) if (!(fault.line >= 1 && fault.column >= 1) || fault.message === "" || fault.hint === "") throw new Error(`a fault says too little: ${JSON.stringify(fault)}`);
    return;
  }
  for (const name of [...loaded.checks.names, "Other"]) {
    const message = { name, canId: 0x123, extended: false, lengthBytes: 24, layoutHash: 0x0123456789abcdefn };
    if (loaded.checks.verify([message]).some((fault) => fault.message.includes(name) && !fault.message.startsWith("there is no message"))) continue;
    const sender = loaded.checks.protectorFor(message);
    const receiver = loaded.checks.forMessage(message);
    if (!sender || !receiver) continue;
    const frame = new Uint8Array(24);
    sender.protect(frame, 0, 24, 0x123);
    if (receiver.check(frame, 0, 24, 0x123, 0) !== CheckResult.ok) throw new Error(`${name}: the two ends of one entry disagree`);
  }
}

const checksExample = `version: 1
messages:
  A: { profile: P05, dataId: 0x1234, timeoutMs: 100, maxDeltaCounter: 2, resyncFrames: 4 }
  B:
    profile: P02
    dataIdList: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    stateMachine: { windowSizeInit: 3, windowSizeValid: 20, minOkStateInvalid: 2, clearToInvalid: true }
  C: { profile: P01, dataId: schema, dataIdMode: nibble, crcOffsetBits: 8, counterOffsetBits: 0 }
  D: { checksum: honda, counter: none }
  E: &e { checksum: crc8, parameters: { polynomial: 0x1D, initial: 255, reflected: false, byte: last }, counter: { byte: 1, shiftBits: 4, lengthBits: 4 } }
  F: *e
  "*": { integrity: link }
`;

export const fuzzTargets: FuzzTarget[] = [
  { name: "checks file", run: runChecksFile, seeds: [new TextEncoder().encode(checksExample)] },
  ...configs.map((config) => {
    const codec = e2eCodec(config);
    return checkerTarget(`e2e ${config.profile} ${config.dataIdMode ?? ""}`.trim(), () => codec);
  }),
  ...Object.keys(vendorKinds).map((name) => {
    const plugin = vendorChecksum(name, name === "crc8" ? { polynomial: 0x1d } : {})!;
    return checkerTarget(`checksum ${name}`, (lengthBytes) => {
      const made = vendorCodec(plugin, { lengthBytes, canId: 0x123, extended: false });
      return made.ok ? made.codec : undefined;
    });
  }),
];
