/** Random databases: generated C and the TypeScript codec say the same of random frames and random values, in range and out of it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inRanges } from "../../dbc/multiplexing.ts";
import { parseDbc, type Database, type Signal } from "../../dbc/index.ts";
import { drawFrom, randomDatabaseText, type Draw } from "../../dbc/random.ts";
import { isFloat, rawLimits, toPhysical } from "../../dbc/scaling.ts";
import { frameTrouble, hexOf, valuesTrouble } from "./compare.ts";
import { buildHarness, frameAnswer, toWord, type Harness } from "./harness.ts";
import type { Arithmetic, CMessage } from "./model.ts";
import { generated } from "./reference.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-gen-random-"));
after(() => rmSync(folder, { recursive: true }));

/** Ranges and value tables at random, which randomDatabaseText does not have. */
function withRanges(database: Database, draw: Draw): Database {
  const limitsOf = (signal: Signal): { minimum: number | undefined; maximum: number | undefined } => {
    if (draw(2) === 0) return { minimum: undefined, maximum: undefined };
    if (isFloat(signal)) return { minimum: -draw(1000) / 8, maximum: draw(4000) / 8 };
    const { least, greatest } = rawLimits(signal);
    const span = Number(greatest - least);
    const ends = [Number(least) + Math.floor(span * (draw(100) / 250)), Number(greatest) - Math.floor(span * (draw(100) / 250))].map((raw) => Number(toPhysical(raw, signal))).sort((a, b) => a - b);
    return { minimum: ends[0], maximum: ends[1] };
  };
  const namesOf = (signal: Signal): Signal["valueNames"] => (isFloat(signal) || draw(3) > 0 ? undefined : new Map([0, 1, Number(rawLimits(signal).greatest), draw(1000)].filter((raw) => Number.isSafeInteger(raw) && BigInt(raw) <= rawLimits(signal).greatest).map((raw) => [raw, `name ${raw}`])));
  return { ...database, messages: database.messages.map((message) => ({ ...message, signals: message.signals.map((signal) => ({ ...signal, ...(signal.isMultiplexor ? {} : limitsOf(signal)), valueNames: namesOf(signal) })) })) };
}

function build(seed: number, count: number, arithmetic: Arithmetic): { messages: CMessage[]; harness: Harness; draw: Draw } {
  const draw = drawFrom(seed);
  const all = Array.from({ length: count }, (_, index) => generated(withRanges(parseDbc(randomDatabaseText(draw), { file: `r${index}.dbc` }), draw), `r${index}`, arithmetic));
  const messages = all.flatMap(({ messages: own }) => own);
  assert.equal(messages.length, count);
  return { messages, harness: buildHarness(all, { folder: join(folder, `${arithmetic}${seed}`) }), draw };
}

function randomFrame({ message: { lengthBytes }, signals }: CMessage, draw: Draw): Uint8Array {
  const length = draw(30) === 0 ? draw(70) : lengthBytes;
  const style = draw(4);
  const bytes = Uint8Array.from({ length }, () => (style === 0 ? draw(4) : style === 1 ? [0, 0xff, 0x7f, 0x80][draw(4)]! : draw(256)));
  // Half of the time a multiplexor gets a value that selects something.
  const multiplexor = signals.find(({ signal }) => signal.isMultiplexor);
  if (multiplexor !== undefined && length === lengthBytes && draw(2) === 0 && multiplexor.signal.lengthBits <= 8) for (const bit of Array.from({ length: multiplexor.signal.lengthBits }, (_, index) => index)) {
    const at = multiplexor.signal.byteOrder === "little" ? multiplexor.signal.startBit + bit : undefined;
    if (at !== undefined) bytes[at >> 3] = (bytes[at >> 3]! & ~(1 << (at & 7))) | ((((1 + draw(3)) >> bit) & 1) << (at & 7));
  }
  return bytes;
}

for (const arithmetic of ["double", "float", "fixed-point"] as const) {
  test(`random frames of random databases, ${arithmetic}: decoded, judged and encoded as in TypeScript`, () => {
    const seed = 20261;
    const { messages, harness, draw } = build(seed, 24, arithmetic);
    const questions = Array.from({ length: 6000 }, () => {
      const place = draw(messages.length);
      return { place, frame: randomFrame(messages[place]!, draw) };
    });
    let accepted = 0;
    for (const [index, line] of harness.run(questions.map(({ place, frame }) => `F ${place} ${hexOf(frame) || "-"}`)).entries()) {
      const { place, frame } = questions[index]!;
      const answer = frameAnswer(line);
      if (answer.unpacked.status === 0) accepted += 1;
      const trouble = frameTrouble(messages[place]!, frame, answer);
      assert.equal(trouble, undefined, `seed ${seed}, r${place}, ${hexOf(frame)}: ${trouble}; ${line}`);
    }
    assert.ok(accepted > 1000 && accepted < questions.length, `${accepted} of ${questions.length} accepted`);
  });
}

/** A physical value: often a step within the range, sometimes between steps, beyond, NaN or infinite, of what the field's type can be given. */
function randomValue({ signal, conversion, limits, rawType }: CMessage["signals"][number], draw: Draw): number | bigint {
  if (conversion.kind === "ieee") {
    const value = [draw(4000) / 8 - 100, draw(2000) / 8, NaN, Infinity, -1e30, 1e39, 0][draw(7)]!;
    return conversion.type === "float" ? Math.fround(value) : value;
  }
  const span = limits.greatest - limits.least + 1n;
  const raw = limits.least + (BigInt(draw(2 ** 30)) * BigInt(draw(2 ** 30)) * 16n + BigInt(draw(16))) % span;
  const step = draw(5) === 0 ? [limits.least, limits.greatest][draw(2)]! : raw;
  if (conversion.kind === "same") {
    // Beyond the bits, as far as the type goes.
    const wide = draw(6) === 0 ? step + span * BigInt(draw(3) - 1) : step;
    const bits = BigInt(Number(/\d+/.exec(rawType)![0]));
    return rawType.startsWith("u") ? BigInt.asUintN(Number(bits), wide) : BigInt.asIntN(Number(bits), wide);
  }
  const physical = toPhysical(step, signal);
  if (conversion.kind === "whole") {
    const value = Number(physical) + (draw(4) === 0 ? draw(5) - 2 : 0);
    if (!Number.isSafeInteger(value)) return BigInt(physical);
    const [least, greatest] = conversion.type.startsWith("u") ? [0, 2 ** Number(/\d+/.exec(conversion.type)![0]) - 1] : [-(2 ** (Number(/\d+/.exec(conversion.type)![0]) - 1)), 2 ** (Number(/\d+/.exec(conversion.type)![0]) - 1) - 1];
    return Math.min(Math.max(value, least!), greatest!);
  }
  const value = Number(physical);
  return [value, value, value, value + signal.factor * 0.3, value + signal.factor * 0.5, value - signal.factor * 0.5, value * 1000, NaN, -Infinity][draw(9)]!;
}

test("random values: packed or refused as in TypeScript", () => {
  const seed = 977;
  const { messages, harness, draw } = build(seed, 24, "double");
  const questions = Array.from({ length: 6000 }, () => {
    const place = draw(messages.length);
    const message = messages[place]!;
    const given = new Map(message.signals.map((signal) => [signal, randomValue(signal, draw)]));
    const raws = new Map<number, number | bigint>();
    const values: Record<string, number | bigint> = {};
    for (const { index, parent, ranges } of message.plan.order) {
      const signal = message.byIndex.get(index)!;
      if (parent >= 0 && !inRanges(raws.get(parent) ?? -1, ranges)) continue;
      const value = given.get(signal)!;
      raws.set(index, value);
      values[signal.signal.name] = value;
    }
    const usable = message.signals.every(({ conversion }) => conversion.kind !== "scaled");
    return { place, values, usable, line: `V ${place} ${message.signals.map((signal) => toWord(given.get(signal)!, signal.conversion.type)).join(" ")}` };
  }).filter(({ usable }) => usable);
  let packed = 0;
  for (const [index, line] of harness.run(questions.map((question) => question.line)).entries()) {
    const { place, values } = questions[index]!;
    if (line.startsWith("P 0 ")) packed += 1;
    const trouble = valuesTrouble(messages[place]!, values, line);
    assert.equal(trouble, undefined, `seed ${seed}, r${place} ${JSON.stringify(messages[place]!.signals.map(({ signal, accepted, named }) => [signal.name, signal.lengthBits, signal.kind, signal.factor, signal.offset, signal.minimum, signal.maximum, String(accepted?.least), String(accepted?.greatest), named.map(String)]))}, ${JSON.stringify(values, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value))}: ${trouble}`);
  }
  assert.ok(packed > 500 && packed < questions.length, `${packed} of ${questions.length} packed`);
});
