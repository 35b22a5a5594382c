/** What one frame costs in single steps: decoding and end-to-end checks. */
import type { Bench, BenchContext, Table } from "./harness.ts";
import { caseRows, timeCases } from "./harness.ts";
import { compileMessage, parseDbc } from "../schemas/dbc/index.ts";
import { e2eCheck, e2eProtector, CheckResult, FrameCheck, vendorCodec, vendorChecksum, type E2eConfig } from "../schemas/e2e/index.ts";
import { seededRandom } from "../schemas/random.ts";
import { dbcText, eightSignals, fortyThreeSignals } from "./traffic.ts";

const SAMPLES = 256;

export const bench: Bench = {
  name: "decode",
  run(context) {
    return Promise.resolve([decoding(context), checking(context)]);
  },
};

function decoding(context: BenchContext): Table {
  const random = seededRandom(3);
  const bytes = Uint8Array.from({ length: SAMPLES * 8 }, () => Math.floor(random() * 256));
  const view = new DataView(bytes.buffer);
  const cases = ([["8 signals", eightSignals], ["43 signals", fortyThreeSignals]] as const).flatMap(([text, signals]) => {
    const codec = compileMessage(parseDbc(dbcText([{ canId: 256, name: "State", length: 8, signals }]), { file: "bench.dbc" }).messages[0]!);
    const record = new Uint8Array(codec.layout.sizeBytes);
    const recordView = new DataView(record.buffer);
    return [
      {
        name: `${text} into a record, ranges checked`,
        run(iterations: number) {
          let faults = 0;
          for (let i = 0; i < iterations; i++) faults += codec.decodeInto(bytes, view, (i % SAMPLES) * 8, 8, record, recordView, 0);
          if (faults !== 0) throw new Error(`${faults} faults in right frames`);
        },
      },
      {
        name: `${text} into an object, physical and raw`,
        run(iterations: number) {
          for (let i = 0; i < iterations; i++) if (!codec.decode(bytes, (i % SAMPLES) * 8, 8).ok) throw new Error("a right frame was refused");
        },
      },
    ];
  });
  return { title: "Decoding one frame of 8 bytes", rows: caseRows(timeCases(cases, context)), notes: ["Aim: 8 signals in less than 1,000 ns. `decodeInto` (record) is what the gateway does per frame; `decode` (object) is for tools."] };
}

function checking(context: BenchContext): Table {
  const profiles: E2eConfig[] = [
    { profile: "P05", dataId: 0x1234, lengthBytes: 8 },
    { profile: "P02", dataIdList: Array.from({ length: 16 }, (_, i) => i + 1), lengthBytes: 8 },
  ];
  const cases = profiles.map((config) => {
    const protector = e2eProtector(config);
    return checkCase(config.profile, e2eCheck(config), (bytes, at) => protector.protect(bytes, at, 8, 256));
  });
  const honda = vendorCodec(vendorChecksum("honda")!, { lengthBytes: 8, canId: 256, extended: false });
  if (!honda.ok) throw new Error(honda.message);
  let counter = 0;
  cases.push(checkCase("honda (vendor checksum)", new FrameCheck(honda.codec), (bytes, at) => honda.codec.protect(bytes, at, 8, 256, counter++ % 4)));
  return { title: "End-to-end check of one frame of 8 bytes, state machine included", rows: caseRows(timeCases(cases, context)), notes: [] };
}

/** 256 or 16 × 16 frames: a multiple of every counter's range here, so that the ring may be walked for ever. */
function checkCase(name: string, check: FrameCheck, protect: (bytes: Uint8Array, at: number) => void) {
  // P02's counter has 16 values, P05's 256, honda's 4.
  const bytes = new Uint8Array(SAMPLES * 8);
  for (let i = 0; i < SAMPLES; i++) {
    bytes.fill(i, i * 8, i * 8 + 8);
    protect(bytes, i * 8);
  }
  let next = 0;
  return {
    name,
    run(iterations: number) {
      for (let i = 0; i < iterations; i++) {
        if (check.check(bytes, next * 8, 8, 256, i) > CheckResult.okSomeLost) throw new Error(`${name}: a right frame was refused`);
        next = (next + 1) % SAMPLES;
      }
    },
  };
}
