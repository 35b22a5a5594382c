/** The words of the handover page (shm/core/handover.h): what the active says of itself at every moment, for the standby to read when it can say nothing any more. */

/** Where which word stands. All rise or are replaced as a whole; a reader may see one before the other. */
export const Word = {
  /** Turns of the event loop, as its own timer counts them. */
  progress: 0,
  /** `Fate`: what it knew of its end. */
  fate: 1,
  /** What is being handled: the connection's number (0: none), the packet's counter and length. */
  connection: 2,
  counter: 3,
  lengthBytes: 4,
  /** Transactions written to the journal (modulo 2^32). */
  committed: 5,
  /** Descriptors that the journal names and that are not handed over yet. */
  missing: 6,
  /** A number that the active gave itself when it became active. */
  instance: 7,
  /** Which standby everything is handed to: the active numbers them from 1; 0: nobody, or an active that says nothing of it. */
  heir: 9,
  /** Its epoch (epoch.ts); 0: it has none yet. */
  epoch: 8,
  /** What came from a link and is being handled (inHand.ts): the link's number from 1 (0: nothing), which of its messages, a count of all, its length, its first bytes. */
  messageLink: 12,
  messageKey: 13,
  messageCount: 14,
  messageBytes: 15,
  messageData: 16,
} as const;

export const Fate = {
  /** Nothing was said: killed from outside, by the kernel, or a fault that could not speak. */
  unknown: 0,
  /** An exception that nobody caught, or a fatal signal of its own making. */
  fault: 1,
  /** It hands over and ends: nothing went wrong. */
  handover: 2,
} as const;

/** What the predecessor was at when it died. */
export interface Handling {
  connection: number;
  counter: number;
  lengthBytes: number;
}

export function handlingOf(words: Uint32Array): Handling | undefined {
  const connection = words[Word.connection]!;
  return connection === 0 ? undefined : { connection, counter: words[Word.counter]!, lengthBytes: words[Word.lengthBytes]! };
}
