/**
 * Which message of a bus, a serial link or a broker is being handled at this moment, in the words of the handover page: should the handling be the end of the process, its successor knows
 * over which message it died. Some words a message: no call, no allocation.
 */
import { Word } from "./page.ts";

/** So much of a message is kept: a classic CAN frame wholly, of others the beginning. */
export const IN_HAND_BYTES_MAX = 64;
const WORD_BYTES = 4;

/** What a message is known by: the link's place in the configuration, and which of its messages. */
export interface MessageInHand {
  /** From 0. */
  link: number;
  key: number;
  /** Which in the row of all that were ever handled (modulo 2^32): another number is another message. */
  count: number;
  lengthBytes: number;
  /** At most `IN_HAND_BYTES_MAX`. */
  data: Uint8Array;
}

export class InHand {
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;

  /** `words`: of the own page. */
  constructor(words: Uint32Array) {
    this.#words = words;
    this.#bytes = new Uint8Array(words.buffer, words.byteOffset + Word.messageData * WORD_BYTES, IN_HAND_BYTES_MAX);
  }

  /** From now on this one, instead of the one before. */
  begin(link: number, key: number, bytes: Uint8Array, at: number, lengthBytes: number): void {
    const words = this.#words;
    // Nobody reads while this runs: the words are looked at when their writer is dead, or stands still within the handling.
    words[Word.messageKey] = key;
    words[Word.messageCount] = (words[Word.messageCount]! + 1) >>> 0;
    words[Word.messageBytes] = lengthBytes;
    const kept = lengthBytes < IN_HAND_BYTES_MAX ? lengthBytes : IN_HAND_BYTES_MAX;
    // A loop: for eight bytes cheaper than a view and a copy.
    for (let i = 0; i < kept; i++) this.#bytes[i] = bytes[at + i]!;
    words[Word.messageLink] = link + 1;
  }

  /** Nothing is. */
  end(): void {
    this.#words[Word.messageLink] = 0;
  }
}

export function messageInHand(words: Uint32Array): MessageInHand | undefined {
  const link = words[Word.messageLink]!;
  if (link === 0) return undefined;
  const lengthBytes = words[Word.messageBytes]!;
  const data = new Uint8Array(words.buffer, words.byteOffset + Word.messageData * WORD_BYTES, Math.min(lengthBytes, IN_HAND_BYTES_MAX)).slice();
  return { link: link - 1, key: words[Word.messageKey]!, count: words[Word.messageCount]!, lengthBytes, data };
}
