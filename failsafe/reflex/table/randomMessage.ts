/** Random messages with declared ranges and value tables, and payloads that come near their limits: for tests. */
import { writeBits } from "../../../schemas/dbc/bits.ts";
import { parseDbc, type Message, type Signal } from "../../../schemas/dbc/index.ts";
import { randomDatabaseText, type Draw } from "../../../schemas/dbc/random.ts";
import { isFloat, rawLimits, toPhysical } from "../../../schemas/dbc/scaling.ts";
import { rawBits } from "../../../schemas/dbc/values.ts";

export function randomMessage(draw: Draw): Message {
  const message = parseDbc(new TextEncoder().encode(randomDatabaseText(draw)), { file: "random.dbc" }).messages[0]!;
  return { ...message, signals: message.signals.map((signal) => withLimits(signal, draw)) };
}

function withLimits(signal: Signal, draw: Draw): Signal {
  const result = { ...signal };
  if (draw(2) === 0) {
    const [a, b] = [physicalSomewhere(signal, draw), physicalSomewhere(signal, draw)];
    if (draw(4) !== 0) result.minimum = Math.min(a, b);
    if (draw(4) !== 0) result.maximum = Math.max(a, b);
  }
  if (!isFloat(signal) && draw(3) === 0) result.valueNames = new Map(Array.from({ length: 1 + draw(4) }, (_, index) => [rawSomewhere(signal, draw), `V${index}`]));
  return result;
}

function rawSomewhere(signal: Signal, draw: Draw): number {
  const { least, greatest } = rawLimits(signal);
  const span = Number(greatest - least);
  return Number(least) + Math.floor((draw(1 << 16) / (1 << 16)) * Math.min(span, 2 ** 48));
}

function physicalSomewhere(signal: Signal, draw: Draw): number {
  return Number(toPhysical(isFloat(signal) ? (draw(2001) - 1000) / 7 : rawSomewhere(signal, draw), signal));
}

/** Any bits, or mostly zeros with raw values at and beside the limits of a few signals. */
export function randomPayload(message: Message, lengthBytes: number, draw: Draw): Uint8Array {
  const payload = new Uint8Array(lengthBytes);
  if (draw(8) === 0) return payload.map(() => draw(256));
  for (const signal of message.signals) if (draw(5) !== 0) writeBits(payload, 0, signal, rawNear(signal, draw));
  if (lengthBytes > 0 && draw(4) === 0) for (let flips = 1 + draw(3); flips > 0; flips--) payload[draw(lengthBytes)]! ^= 1 << draw(8);
  return payload;
}

function rawNear(signal: Signal, draw: Draw): number | bigint {
  const { minimum, maximum, factor, offset, valueNames } = signal;
  const named = [...(valueNames?.keys() ?? [])];
  const edges = [minimum, maximum, 0].filter((each) => each !== undefined).map((physical) => (physical - offset) / factor);
  if (isFloat(signal)) return rawBits(signal, draw(6) === 0 ? [Number.NaN, Infinity, -Infinity, -0][draw(4)]! : edges[draw(edges.length)]! + (draw(3) - 1) * 1e-3);
  if (named.length > 0 && draw(2) === 0) return named[draw(named.length)]!;
  const near = edges[draw(edges.length)]!;
  return BigInt.asUintN(signal.lengthBits, BigInt(Math.round(near)) + BigInt(draw(3) - 1));
}

