/** A received message as a line for people and as an object for programs: the same in echo, get and can. */
import type { Message } from "./client.ts";
import { inWords, wallSeconds } from "./json.ts";
import { printable } from "../view/text.ts";

/** `t`: seconds since 1970; `lostBefore`: messages of this topic that this reader missed just before. */
export function messageObject(message: Message): Record<string, unknown> {
  return {
    topic: message.topic, t: wallSeconds(message.wallTimeNs), sequence: message.sequence, quality: message.quality,
    lostBefore: message.lostBefore, origin: message.origin, value: message.value,
  };
}

/** `12:34:56.789012 can/arm/State #42 angle=1.5`, with what is not as it should be said before the value. */
export function messageLine(message: Message): string {
  const notes = [...(message.quality === "good" ? [] : [`(${message.quality})`]), ...(message.lostBefore > 0 ? [`(${message.lostBefore} lost)`] : [])];
  return [timeOfDay(message.wallTimeNs), printable(message.topic), `#${message.sequence}`, ...notes, inWords(message.value)].join(" ");
}

/** Local time of day with microseconds. */
function timeOfDay(wallTimeNs: bigint): string {
  const date = new Date(Number(wallTimeNs / 1_000_000n));
  const two = (value: number): string => String(value).padStart(2, "0");
  const micros = String((wallTimeNs / 1000n) % 1_000_000n).padStart(6, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${micros}`;
}
