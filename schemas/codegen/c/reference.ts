/** For tests: the databases and decoded frames of the field, beside the project, through generated C. */
import { join } from "node:path";
import { loadDbcFile, type Database } from "../../dbc/index.ts";
import { compileMessage } from "../../dbc/codec.ts";
import { referenceFrames, referenceValues, type ReferenceFrame } from "../../dbc/referenceData.ts";
import { frameTrouble } from "./compare.ts";
import { generateC, type GeneratedC } from "./generate.ts";
import { buildHarness, frameAnswer, type HarnessOptions } from "./harness.ts";
import type { Arithmetic } from "./model.ts";

/** The reference frames of each database. */
export function framesByFile(folder: string): Map<string, ReferenceFrame[]> {
  const byFile = new Map<string, ReferenceFrame[]>();
  for (const frame of referenceFrames(folder)) {
    const list = byFile.get(frame.f);
    if (list === undefined) byFile.set(frame.f, [frame]);
    else list.push(frame);
  }
  return byFile;
}

/** Throws with the first remark that is an error. */
export function generated(database: Database, prefix: string, arithmetic: Arithmetic = "double"): GeneratedC {
  const made = generateC(database, { source: prefix, prefix, lenient: true, arithmetic });
  const error = made.remarks.find(({ severity }) => severity === "error");
  if (error !== undefined) throw new Error(`${database.file}: ${error.code}: ${error.message}`);
  return made;
}

/** The database with every declared range taken away: the reference decodes frames whatever their values. */
export function withoutRanges(database: Database): Database {
  return { ...database, messages: database.messages.map((message) => ({ ...message, signals: message.signals.map((signal) => ({ ...signal, minimum: undefined, maximum: undefined })) })) };
}

/**
 * Generates C without ranges for one file, decodes its reference frames with it and packs them again. Returns how many frames were compared; throws at the first that differs, from the
 * reference itself or, in its last digit, from the TypeScript codec.
 */
export function runReference(folder: string, file: string, vectors: readonly ReferenceFrame[], options: HarnessOptions & { arithmetic?: Arithmetic }): number {
  const database = withoutRanges(loadDbcFile(join(folder, file)));
  const made = generated(database, "ref", options.arithmetic);
  const harness = buildHarness([made], options);
  const places = vectors.map((vector) => made.messages.findIndex(({ message }) => message.canId === vector.id && message.extended === vector.ext && message.name === vector.msg));
  const answers = harness.run(vectors.map((vector, index) => `F ${places[index]} ${vector.data === "" ? "-" : vector.data}`));
  for (const [index, vector] of vectors.entries()) {
    const message = made.messages[places[index]!];
    const told = `${file} ${vector.msg} ${vector.data}`;
    if (message === undefined) throw new Error(`${told}: no such message`);
    const answer = frameAnswer(answers[index]!);
    const data = Buffer.from(vector.data, "hex");
    const trouble = frameTrouble(message, data, answer);
    if (trouble !== undefined) throw new Error(`${told}: ${trouble}`);
    const raw = referenceValues(vector.raw);
    for (const [place, signal] of message.signals.entries()) {
      const given = raw[signal.signal.name];
      if (given === undefined || signal.signal.kind.startsWith("float")) continue;
      const expected = String(given);
      if (answer.read.values[place] !== expected) throw new Error(`${told}: raw ${signal.signal.name} is ${answer.read.values[place]}, the reference says ${expected}`);
    }
    // What was decoded gives the frame again in every bit that a signal has.
    const plain = compileMessage(message.message, { checkRanges: false });
    const decoded = plain.decode(data, 0, data.length);
    if (!decoded.ok) throw new Error(`${told}: ${decoded.text}`);
    const zeros = plain.encode(decoded.raw, { raw: true });
    const ones = compileMessage(message.message, { checkRanges: false, unusedBits: 0xff }).encode(decoded.raw, { raw: true });
    if (!zeros.ok || !ones.ok) continue; // NaN, which TypeScript does not encode
    const expected = zeros.data.map((byte, at) => (data[at] ?? 0) & ~(byte ^ ones.data[at]!));
    const hex = Buffer.from(expected).toString("hex").toUpperCase();
    if (answer.written.hex !== hex) throw new Error(`${told}: write_raw gives ${answer.written.hex}, the frame's bits are ${hex}`);
    if (answer.unpacked.status === 0 && answer.packed.hex !== hex) throw new Error(`${told}: pack gives ${answer.packed.hex}, the frame's bits are ${hex}`);
  }
  return vectors.length;
}
