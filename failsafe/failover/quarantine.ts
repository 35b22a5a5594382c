/**
 * What killed an active instance must not kill its successor: who was being handled is judged by what it was and how often, and kept out until a person lets it in again. Pure.
 *
 * One fault that is certainly the packet's (an exception, a fatal signal, a loop without an end, the kernel's out-of-memory killer) is enough. A kill that nobody explains may have come
 * from outside while the packet happened to be in hand: it is handled once more, and if that kills again, it was the packet.
 *
 * Kept out are the process, the component if the policy has a name for it, and, whoever sends it, the same bytes. Of a bus or another link, the message with that number: its bytes are
 * others each time.
 */
import { createHash } from "node:crypto";

export interface Suspect {
  component: string;
  pid: number;
  uid: number;
  startTime?: number | undefined;
}

export interface QuarantineEntry extends Suspect {
  /** What `release` takes. */
  name: string;
  why: string;
  wallTime: string;
  lengthBytes: number;
  /** Of what follows the packet's header. */
  fingerprint: string;
  /** The beginning of the packet, for people. */
  sample: Uint8Array;
  /** It is a message of a link, which has no process (pid 0); `component` is what people call it. */
  message?: { link: string; key: number } | undefined;
}

/** A message of a link that was in hand. */
export interface SuspectMessage {
  link: string;
  key: number;
  name: string;
  lengthBytes: number;
  sample: Uint8Array;
}

/** How the predecessor died. */
export type Death = "killed" | "fault" | "hung" | "outOfMemory" | "handover";

export interface QuarantineState {
  entries: QuarantineEntry[];
  /** Packets that were in hand at an unexplained death, and have not been handled since. */
  strikes: string[];
  next: number;
}

export const SAMPLE_BYTES_MAX = 512;
/** Beyond, the oldest is let go: a list that nobody reads must not grow. */
export const ENTRIES_MAX = 64;
/** The header counts packets: two of the same content differ in it. */
const HEADER_BYTES = 20;

const whyOfMessage = { fault: "a fault while it was handled", hung: "no progress since its handling began", outOfMemory: "memory ran out twice while it was handled", killed: "two deaths while it was handled" } as const;
const whyOf = { fault: "a fault while its packet was handled", hung: "no progress since its packet was begun", outOfMemory: "memory ran out while its packet was handled", killed: "two deaths over the same packet" } as const;

export function fingerprintOf(packet: Uint8Array): string {
  return createHash("sha256").update(packet.subarray(HEADER_BYTES)).digest("hex").slice(0, 32);
}

/** In the same list as fingerprints, which are hexadecimal digits alone. */
function markOf(link: string, key: number): string {
  return `${link}#${key}`;
}

export class Quarantine {
  #entries: QuarantineEntry[] = [];
  readonly #strikes = new Set<string>();
  /** Strikes of another instance: it died before it could acquit. */
  #struck = new Set<string>();
  #next = 1;
  #hasMessages = false;

  /** Judges the packet that was in hand at a death: the entry if it is kept out from now on; undefined: it is handled once more. */
  judge(packet: Uint8Array, suspect: Suspect, death: Death, wallTime: string): QuarantineEntry | undefined {
    const fingerprint = fingerprintOf(packet);
    if (death === "handover" || (death === "killed" && !this.#struck.has(fingerprint))) {
      if (death === "killed") this.#strikes.add(fingerprint);
      return undefined;
    }
    this.#struck.delete(fingerprint);
    const { component, pid, uid, startTime } = suspect;
    const entry: QuarantineEntry = {
      component, pid, uid, startTime, name: `q${this.#next++}`, why: whyOf[death], wallTime, lengthBytes: packet.length, fingerprint, sample: packet.slice(0, SAMPLE_BYTES_MAX),
    };
    this.#keep(entry);
    return entry;
  }

  /** The same for a message of a link. It is far too small to be what memory runs out of: that is forgiven once, too. */
  judgeMessage({ link, key, name, lengthBytes, sample }: SuspectMessage, death: Death, wallTime: string): QuarantineEntry | undefined {
    const mark = markOf(link, key);
    if (death === "handover") return undefined;
    if (death !== "fault" && death !== "hung" && !this.#struck.has(mark)) {
      this.#strikes.add(mark);
      return undefined;
    }
    this.#struck.delete(mark);
    const entry: QuarantineEntry = {
      component: `${link}/${name}`, pid: 0, uid: 0, name: `q${this.#next++}`, why: whyOfMessage[death], wallTime, lengthBytes, fingerprint: "", sample: sample.slice(0, SAMPLE_BYTES_MAX), message: { link, key },
    };
    this.#keep(entry);
    return entry;
  }

  #keep(entry: QuarantineEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length > ENTRIES_MAX) this.#entries.shift();
    this.#count();
  }

  /** Asked for each frame: it must cost nothing while there is none. */
  #count(): void {
    this.#hasMessages = this.#entries.some(({ message }) => message !== undefined);
  }

  /** The message that had been in hand was handled after all. */
  acquitMessage(link: string, key: number): void {
    this.#strikes.delete(markOf(link, key));
    this.#struck.delete(markOf(link, key));
  }

  /** Whether any message of a link is kept out. */
  get hasMessages(): boolean {
    return this.#hasMessages;
  }

  knowsMessage(link: string, key: number): boolean {
    return this.#entries.some(({ message }) => message?.key === key && message.link === link);
  }

  /** The packet that had been in hand was handled after all. */
  acquit(): boolean {
    if (this.#strikes.size === 0) return false;
    this.#strikes.clear();
    return true;
  }

  /** Why this process is kept out; undefined: it is not. */
  keepsOut({ component, pid, startTime }: Suspect): QuarantineEntry | undefined {
    // "uid:1000" is everybody whom the policy does not know: one of them must not lock out all, the operator included.
    return this.#entries.find((entry) => entry.message === undefined && ((entry.component === component && !component.startsWith("uid:")) || (entry.pid === pid && entry.startTime === startTime)));
  }

  /** Whether these bytes were in hand when an instance died over them that knew they had been in hand before: a second death. */
  isStruck(packet: Uint8Array): boolean {
    return this.#struck.size > 0 && this.#struck.has(fingerprintOf(packet));
  }

  /** Why these bytes are kept out. Costs a comparison of lengths unless one fits. */
  knows(packet: Uint8Array): QuarantineEntry | undefined {
    if (!this.#entries.some(({ lengthBytes, message }) => message === undefined && lengthBytes === packet.length)) return undefined;
    const fingerprint = fingerprintOf(packet);
    return this.#entries.find((entry) => entry.fingerprint === fingerprint);
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0 && this.#struck.size === 0;
  }

  list(): readonly QuarantineEntry[] {
    return this.#entries;
  }

  /** By an entry's name or its component's; returns how many were let in again. */
  release(name: string): number {
    const before = this.#entries.length;
    this.#entries = this.#entries.filter((entry) => entry.name !== name && entry.component !== name);
    this.#count();
    return before - this.#entries.length;
  }

  state(): QuarantineState {
    return { entries: this.#entries, strikes: [...this.#struck, ...this.#strikes], next: this.#next };
  }

  restore({ entries, strikes, next }: QuarantineState): void {
    this.#entries = entries.slice(0, ENTRIES_MAX);
    this.#struck = new Set(strikes.slice(-ENTRIES_MAX));
    this.#strikes.clear();
    this.#next = next;
    this.#count();
  }
}
