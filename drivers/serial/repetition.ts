/**
 * Go-back-N repetition for circuits on a serial line: what comes out is what went in, once and in order, or an end with a reason. Pure: bodies of messages and time in; bodies, frames and the next deadline out.
 * Who carries the bodies (a line of its own, or a link with messages beside them) checks them. See docs/specs/circuits.md, "On a serial line".
 *
 * Invariants: at most `WINDOW_FRAMES` are kept for repetition; every body names both ends' sessions, so nothing that was kept from earlier counts.
 */

/** The message that carries circuits; reserved beside the hello's 0xFFFF. */
export const CIRCUIT_ID = 0xfffe;
const VERSION = 1;
export const WINDOW_FRAMES = 8;
/** Tag, sequence, expected, type: in front of a data frame's payload. */
export const LINE_HEADER_BYTES = 5;
const Type = { join: 0, data: 1, ack: 2, goBack: 3 } as const;
const JOIN_BYTES = 11;
/** Wanted by one that has not heard that it was heard. */
const ANSWER = 1;

const JOIN_INTERVAL_MS = 200;
/** 58 bytes at 115,200 baud: about two acknowledgements' length, in which data may take it along. */
const ACK_DELAY_MS = 5;
/** At 200 ms each: a line that lets nothing through for 2 s and more. */
const REPEATS_MAX = 12;
const REPEAT_AFTER_MS_MIN = 100;

export type LineEnd =
  /** Everything was repeated often enough in vain. */
  | "unanswered"
  /** The peer has begun a new session: what it knew of ours is gone. */
  | "peerRestarted";

export interface RepetitionOptions {
  baudBps: number;
  /** Longest payload. Both ends must take as much: the circuits' hello agrees on less. */
  payloadBytesMax: number;
  /** Drawn at random for each opening, 1 to 2^32 − 1. */
  session: number;
}

export class Repetition {
  readonly counters = { delivered: 0, repeated: 0, duplicates: 0, gaps: 0, refused: 0 };
  readonly #session: number;
  readonly #payloadBytesMax: number;
  readonly #repeatAfterUs: number;
  #peerSession = 0;
  #tag = 0;
  #up = false;
  #ended: LineEnd | undefined;
  #joinAtUs: number;
  #joinDue = false;
  // Sending: #window[0] has sequence number #base; those before #cursor are on their way.
  #window: Uint8Array[] = [];
  #base = 0;
  #cursor = 0;
  /** The most of #window that was ever sent: an acknowledgement cannot name more. */
  #sentMost = 0;
  #repeatAtUs = Infinity;
  #repeats = 0;
  // Receiving.
  #expected = 0;
  #unacknowledged = 0;
  #ackAtUs = Infinity;
  #goBackDue = false;
  #goBackSent = false;
  #delivered: Uint8Array[] = [];

  constructor({ baudBps, payloadBytesMax, session }: RepetitionOptions, nowUs: number) {
    if (session === 0) throw new RangeError("session 0 means none");
    this.#session = session;
    this.#payloadBytesMax = payloadBytesMax;
    this.#joinAtUs = nowUs;
    // A full window each way, twice, with 10 bits a byte; and a scheduler's time.
    this.#repeatAfterUs = Math.max(REPEAT_AFTER_MS_MIN * 1e3, 2 * 2 * WINDOW_FRAMES * (payloadBytesMax + 32) * 1e7 / baudBps);
  }

  get ended(): LineEnd | undefined {
    return this.#ended;
  }

  get isUp(): boolean {
    return this.#up && this.#ended === undefined;
  }

  get hasRoom(): boolean {
    return this.isUp && this.#window.length < WINDOW_FRAMES;
  }

  /** Whether all that was sent has arrived. */
  get isFlushed(): boolean {
    return this.#window.length === 0;
  }

  get deadlineUs(): number {
    if (this.#ended) return Infinity;
    return this.#up ? Math.min(this.#repeatAtUs, this.#ackAtUs) : this.#joinAtUs;
  }

  /** When `takeBody` has something to say, if nothing happens before; in the past: at once. */
  get dueUs(): number {
    const atOnce = !this.#ended && (this.#joinDue || (this.#up && (this.#goBackDue || this.#cursor < this.#window.length)));
    return atOnce ? -Infinity : this.deadlineUs;
  }

  /** Takes a payload (kept until it is acknowledged). Only while `hasRoom`. */
  send(payload: Uint8Array): void {
    if (!this.hasRoom || payload.length > this.#payloadBytesMax) throw new RangeError("the line has no room for this");
    this.#window.push(payload);
  }

  /** What came in order since the last call; the memory is the caller's. */
  takeDelivered(): Uint8Array[] {
    const delivered = this.#delivered;
    this.#delivered = [];
    return delivered;
  }

  /** A body from the peer, borrowed; undefined for what is none, only to be counted. */
  received(body: Uint8Array | undefined, nowUs: number): void {
    if (this.#ended) return;
    if (!body || !(body[0] === Type.join ? this.#joined(body) : this.#isOurs(body))) {
      this.counters.refused += 1;
      return;
    }
    if (body[0] === Type.join) return;
    this.#acknowledged(body[3]!, nowUs);
    if (body[0] === Type.goBack) this.#goBack();
    if (body[0] === Type.data) this.#payload(body, nowUs);
  }

  poll(nowUs: number): void {
    if (this.#ended) return;
    if (!this.#up) {
      if (nowUs >= this.#joinAtUs) {
        this.#joinDue = true;
        this.#joinAtUs = nowUs + JOIN_INTERVAL_MS * 1e3;
      }
      return;
    }
    if (nowUs < this.#repeatAtUs) return;
    this.#repeats += 1;
    if (this.#repeats > REPEATS_MAX) this.#end("unanswered");
    else this.#goBack();
    this.#repeatAtUs = nowUs + this.#repeatAfterUs;
  }

  /** The next body to send, or undefined. */
  takeBody(nowUs: number): Uint8Array | undefined {
    if (this.#ended) return undefined;
    if (this.#joinDue) {
      this.#joinDue = false;
      return this.#join();
    }
    if (!this.#up) return undefined;
    if (this.#goBackDue) return this.#acknowledgement(Type.goBack);
    const payload = this.#window[this.#cursor];
    if (payload) return this.#data(payload, nowUs);
    return nowUs >= this.#ackAtUs ? this.#acknowledgement(Type.ack) : undefined;
  }

  #data(payload: Uint8Array, nowUs: number): Uint8Array {
    const body = new Uint8Array(LINE_HEADER_BYTES + payload.length);
    this.#header(body, Type.data);
    body[4] = this.#base + this.#cursor;
    body.set(payload, LINE_HEADER_BYTES);
    if (this.#cursor < this.#sentMost) this.counters.repeated += 1;
    this.#cursor += 1;
    this.#sentMost = Math.max(this.#sentMost, this.#cursor);
    if (this.#repeatAtUs === Infinity || this.#cursor === 1) this.#repeatAtUs = nowUs + this.#repeatAfterUs;
    return body;
  }

  #acknowledgement(type: number): Uint8Array {
    const body = new Uint8Array(LINE_HEADER_BYTES - 1);
    this.#header(body, type);
    this.#goBackDue = false;
    return body;
  }

  /** Type, tag and what is expected next; which is an acknowledgement in every frame. */
  #header(body: Uint8Array, type: number): void {
    body[0] = type;
    body[1] = this.#tag;
    body[2] = this.#tag >>> 8;
    body[3] = this.#expected;
    this.#unacknowledged = 0;
    this.#ackAtUs = Infinity;
  }

  #join(): Uint8Array {
    const body = new Uint8Array(JOIN_BYTES);
    const view = new DataView(body.buffer);
    body[0] = Type.join;
    body[1] = VERSION;
    body[2] = this.#up ? 0 : ANSWER;
    view.setUint32(3, this.#session, true);
    view.setUint32(7, this.#peerSession, true);
    return body;
  }

  #isOurs(body: Uint8Array): boolean {
    const [type = -1, low = 0, high = 0] = body;
    const lengthFits = type === Type.data ? body.length >= LINE_HEADER_BYTES && body.length <= LINE_HEADER_BYTES + this.#payloadBytesMax : (type === Type.ack || type === Type.goBack) && body.length === LINE_HEADER_BYTES - 1;
    return this.#up && lengthFits && (low | (high << 8)) === this.#tag;
  }

  #joined(body: Uint8Array): boolean {
    if (body.length !== JOIN_BYTES || body[1] !== VERSION) return false;
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    const session = view.getUint32(3, true);
    const heard = view.getUint32(7, true);
    if (session === 0) return false;
    if (this.#up && session !== this.#peerSession) {
      this.#end("peerRestarted");
      return true;
    }
    const wasNew = session !== this.#peerSession;
    this.#peerSession = session;
    if (!this.#up && heard === this.#session) {
      const both = this.#session ^ session;
      this.#tag = (both ^ (both >>> 16)) & 0xffff;
      this.#up = true;
    }
    if (wasNew || (body[2]! & ANSWER) !== 0) this.#joinDue = true;
    return true;
  }

  #acknowledged(expected: number, nowUs: number): void {
    const count = (expected - this.#base) & 0xff;
    if (count === 0 || count > this.#sentMost) return;
    this.#window.splice(0, count);
    this.#base = expected;
    this.#cursor = Math.max(0, this.#cursor - count);
    this.#sentMost -= count;
    this.#repeats = 0;
    this.#repeatAtUs = this.#cursor > 0 ? nowUs + this.#repeatAfterUs : Infinity;
  }

  #payload(body: Uint8Array, nowUs: number): void {
    const ahead = (body[4]! - this.#expected) & 0xff;
    if (ahead === 0) {
      this.#expected = (this.#expected + 1) & 0xff;
      this.#goBackSent = false;
      this.counters.delivered += 1;
      this.#delivered.push(body.slice(LINE_HEADER_BYTES));
      this.#unacknowledged += 1;
    } else if (ahead < 128) {
      this.counters.gaps += 1;
      // Once per gap: what is on its way behind it does not ask again.
      if (!this.#goBackSent) this.#goBackDue = this.#goBackSent = true;
    } else {
      this.counters.duplicates += 1;
      this.#goBackSent = false; // the peer went back: the next gap is a new one
    }
    const atUs = this.#unacknowledged >= WINDOW_FRAMES / 2 ? nowUs : nowUs + ACK_DELAY_MS * 1e3;
    this.#ackAtUs = Math.min(this.#ackAtUs, atUs);
  }

  #goBack(): void {
    this.#cursor = 0;
  }

  #end(why: LineEnd): void {
    this.#ended = why;
    this.#window = [];
  }
}
