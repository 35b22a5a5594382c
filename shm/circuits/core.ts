/**
 * Many circuits over one framed transport: the pure core of one side. Frames and time in; frames (`take`) and events out. It opens nothing, waits for
 * nothing and reads no clock; a microcontroller's C version would have the same entry points and the same table.
 *
 * Assumes that the transport below hands over frames whole, in order and once, or ends; with `crc32cSeal` this is checked.
 * Invariants: per circuit the peer has at most `windowUnits` unread here, all together at most `poolUnits`; what waits to be sent is bounded per circuit;
 * nothing that the peer sends makes more of it. `D` is whatever a descriptor is to the edge; the core only carries them and lists in `discarded` those that nobody gets.
 */
import type { StatusCode } from "../../schemas/status.ts";
import { Status } from "../../schemas/status.ts";
import type { Circuit, Message, Waiting } from "./circuit.ts";
import { clearParts, joined, newCircuit, peerMaySend, queueUnitsOf } from "./circuit.ts";
import type { BeginOptions, CoreCounters, CoreEvent, CoreOptions, OutFrame, Received, SendRefusal } from "./coreApi.ts";
import type { CircuitLimits } from "./limits.ts";
import { CIRCUIT_LIMITS, DESCRIPTOR_UNITS, DESCRIPTORS_MAX, FIRST_CIRCUIT, FRAME_BYTES_MAX, FRAME_BYTES_MIN, FRAME_UNITS, GRANTS_PER_FRAME, MAX_CIRCUITS, PROTOCOL_NAME_BYTES_MAX, costOf } from "./limits.ts";
import type { CircuitBreach, TransportEnd } from "./reasons.ts";
import { CIRCUIT_BREACHES, TRANSPORT_ENDS } from "./reasons.ts";
import { Scheduler } from "./scheduler.ts";
import type { CircuitAction, CircuitEvent, CircuitState } from "./table.ts";
import { CIRCUIT_TABLE, REFUSED } from "./table.ts";
import type { BadFrame, BeginFrame, DataFrame, Frame, Grant, HelloFrame } from "./wire.ts";
import { DISCOVERY, decodeFrame, encodeFrame, overheadBytes } from "./wire.ts";

/** What an event brings along for the actions. */
interface Context<D> {
  nowUs: number;
  frame?: BeginFrame | DataFrame;
  descriptors?: readonly D[];
  message?: Message<D>;
  by?: "us" | "deadline";
  breach?: CircuitBreach;
  status?: StatusCode;
  text?: string;
}

const noDescriptors: readonly never[] = [];

export class CircuitCore<D = never> {
  readonly counters: CoreCounters = { framesIn: 0, framesOut: 0, repeated: 0, late: 0, breaches: 0 };
  /** Descriptors that nobody will get: the edge closes them and empties the list. */
  readonly discarded: D[] = [];
  readonly limits: Readonly<CircuitLimits>;
  readonly #options: CoreOptions;
  readonly #circuits = new Map<number, Circuit<D>>();
  readonly #busy = new Set<Circuit<D>>();
  readonly #free: number[] = [];
  readonly #scheduler = new Scheduler<Circuit<D>>();
  readonly #grants = new Set<Circuit<D>>();
  #events: CoreEvent<D>[] = [];
  #nextId: number;
  #peer: HelloFrame | undefined;
  #down = false;
  #maxCircuits = 0;
  #frameBytes: number;
  #heldUnits = 0;
  #conversations = 0;
  #helloWaits = true;
  #goodbye: Frame | undefined;
  #pong: number | undefined;
  #ping: number | undefined;
  #pings = 0;
  #heardUs: number;
  #pingAtUs: number;
  readonly #startUs: number;
  /** No deadline is earlier than this. */
  #earliestUs: number;

  /** Throws RangeError for limits that cannot work. */
  constructor(options: CoreOptions, nowUs: number) {
    const limits = { ...CIRCUIT_LIMITS, ...options.limits };
    const { frameBytesMax } = options;
    if (!(frameBytesMax >= FRAME_BYTES_MIN && frameBytesMax <= FRAME_BYTES_MAX)) throw new RangeError(`frames of ${frameBytesMax} bytes: ${FRAME_BYTES_MIN} to ${FRAME_BYTES_MAX} are possible`);
    if (!(limits.maxCircuits >= 2 && limits.maxCircuits <= MAX_CIRCUITS)) throw new RangeError(`${limits.maxCircuits} circuits: 2 to ${MAX_CIRCUITS} are possible`);
    if (limits.windowUnits < limits.messageBytesMax + FRAME_UNITS) throw new RangeError(`a window of ${limits.windowUnits} units does not hold a message of ${limits.messageBytesMax} bytes`);
    this.limits = limits;
    this.#options = options;
    this.#frameBytes = frameBytesMax;
    this.#nextId = FIRST_CIRCUIT + (options.role === "initiator" ? 0 : 1);
    this.#heardUs = nowUs;
    this.#startUs = nowUs;
    this.#pingAtUs = Infinity;
    this.#earliestUs = nowUs + limits.helloTimeoutMs * 1e3;
  }

  get isUp(): boolean {
    return this.#peer !== undefined && !this.#down;
  }

  get isDown(): boolean {
    return this.#down;
  }

  /** Call `poll` at this time, or earlier. */
  get deadlineUs(): number {
    return this.#down ? Infinity : this.#earliestUs;
  }

  get busyCircuits(): number {
    return this.#busy.size;
  }

  /** Units that our program has not given back. */
  get heldUnits(): number {
    return this.#heldUnits;
  }

  /** For tests and status pages. */
  stateOf(circuit: number): CircuitState {
    return this.#circuits.get(circuit)?.state ?? "idle";
  }

  /** What happened since the last call. */
  takeEvents(): CoreEvent<D>[] {
    const events = this.#events;
    if (events.length > 0) this.#events = [];
    return events;
  }

  // ── our program ──

  /** Begins a conversation. The body is not copied: leave it alone from now on. Descriptors are the core's until they leave by `take` or `discarded`. */
  begin(options: BeginOptions<D>, nowUs: number): { circuit: number } | { refused: SendRefusal } {
    assertProtocol(options);
    const { protocol, body, descriptors = noDescriptors, last = false, deadlineUs = Infinity, priority = 1, discovery = false } = options;
    if (!this.isUp) return { refused: "notUp" };
    const circuit = discovery ? this.#circuit(DISCOVERY[this.#options.role]) : this.#idleCircuit();
    if (!circuit || circuit.state !== "idle") return { refused: "noCircuit" };
    const deadlineMs = deadlineUs === Infinity ? 0 : Math.max(1, Math.ceil((deadlineUs - nowUs) / 1e3));
    const message: Message<D> = { kind: "message", begin: { protocol, deadlineMs, priority }, body, at: 0, last, descriptors };
    const refused = this.#refusal(circuit, message);
    if (refused) {
      if (!discovery) this.#free.push(circuit.id);
      return { refused };
    }
    this.#start(circuit, priority, deadlineUs);
    this.#step(circuit, "begin", { nowUs, message });
    if (last) this.#step(circuit, "end", { nowUs, message });
    return { circuit: circuit.id };
  }

  /** Says that the program has taken up what the peer began. Sending says the same. */
  accept(circuit: number, nowUs: number): "queued" | "ended" {
    return this.#ours(circuit, "accept", { nowUs });
  }

  /** Sends one message, with `last` as the final one. As `begin` about ownership; refused, nothing is taken. */
  send(circuit: number, body: Uint8Array, { descriptors = noDescriptors, last = false }: { descriptors?: readonly D[]; last?: boolean }, nowUs: number): "queued" | SendRefusal {
    const it = this.#circuits.get(circuit);
    if (!this.isUp) return "notUp";
    if (!it || CIRCUIT_TABLE[it.state].send === REFUSED) return "ended";
    const message: Message<D> = { kind: "message", begin: undefined, body, at: 0, last, descriptors };
    const refused = this.#refusal(it, message);
    if (refused) return refused;
    this.#step(it, "send", { nowUs, message });
    if (last) this.#step(it, "end", { nowUs, message });
    return "queued";
  }

  /** Ends our direction. The other goes on until the peer ends it. */
  end(circuit: number, status: StatusCode, text: string, nowUs: number): "queued" | "ended" {
    return this.#ours(circuit, "end", { nowUs, status, text });
  }

  /** Ends both directions now: what waits to be sent and what is half received is dropped. */
  abort(circuit: number, status: StatusCode, text: string, nowUs: number): "queued" | "ended" {
    return this.#ours(circuit, "abort", { nowUs, by: "us", status, text });
  }

  /** The program has read a message: its credit goes back to the peer. Once per message. */
  consumed(circuit: number, { conversation, units }: Pick<Received<D>, "conversation" | "units">): void {
    this.#heldUnits -= units;
    const it = this.#circuits.get(circuit);
    if (this.#down || !it || it.conversation !== conversation || !peerMaySend(it.state)) return;
    it.owed += units;
    this.#considerGrant(it);
  }

  /** Ends the transport; `take` still gives a goodbye. */
  close(status: StatusCode, text: string): void {
    this.#end("closed", text, status);
  }

  /** The transport below ended. */
  lost(text: string): void {
    this.#end("lost", text);
    this.#goodbye = undefined;
  }

  // ── the transport ──

  /** Takes in one frame (borrowed). Descriptors belong to the core from here. */
  receive(frame: Uint8Array, descriptors: readonly D[], nowUs: number): void {
    if (this.#down) return this.#discard(descriptors);
    this.counters.framesIn += 1;
    const verdict = frame.length > this.#options.frameBytesMax ? "tooLong" : this.#options.seal.open(frame);
    if (verdict !== "ok") {
      this.#discard(descriptors);
      if (verdict === "repeated") this.counters.repeated += 1;
      else this.#end(({ tooLong: "frameTooLong", tooShort: "frameTooShort", crcMismatch: "crcMismatch", lost: "framesLost" } as const)[verdict]);
      return;
    }
    this.#heardUs = nowUs;
    const decoded = decodeFrame(frame, this.#options.seal.headerBytes);
    const payload = decoded.kind === "begin" || decoded.kind === "data";
    if (!payload && descriptors.length > 0) this.#discard(descriptors);
    if (!this.#peer && decoded.kind !== "hello" && decoded.kind !== "goodbye" && decoded.kind !== "bad") {
      if (payload) this.#discard(descriptors);
      return this.#end("helloExpected");
    }
    this.#dispatch(decoded, descriptors, nowUs);
  }

  #dispatch(frame: Frame | BadFrame, descriptors: readonly D[], nowUs: number): void {
    switch (frame.kind) {
      case "bad":
        if (frame.circuit === undefined || !this.#peer) return this.#end(frame.fault);
        return this.#breach(frame.circuit, "malformed", nowUs);
      case "hello":
        return this.#hello(frame, nowUs);
      case "goodbye":
        this.#end("peerLeft", frame.text, frame.status);
        this.#goodbye = undefined;
        return;
      case "ping":
        this.#pong = frame.token;
        return;
      case "pong":
        return;
      case "credit":
        for (const grant of frame.grants) this.#granted(grant, nowUs);
        return;
      case "begin":
        return this.#peerBegins(frame, descriptors, nowUs);
      case "data":
      case "accept":
      case "end":
      case "abort":
        return this.#onConversation(frame, descriptors, nowUs);
      default:
        frame satisfies never;
    }
  }

  /** The next frame to send, or undefined. A frame taken must be sent, in this order; so take only what the transport has room for. */
  take(nowUs: number): OutFrame<D> | undefined {
    const control = this.#takeControl();
    if (control) return this.#sealed(control, noDescriptors);
    if (!this.isUp) return undefined;
    const circuit = this.#scheduler.next((it) => this.#canSend(it));
    return circuit && this.#takeFrom(circuit, nowUs);
  }

  /** Whether `take` would give a frame. */
  get hasFrames(): boolean {
    return this.#goodbye !== undefined || (!this.#down && (this.#helloWaits || (this.#peer !== undefined && (this.#pong !== undefined || this.#ping !== undefined || this.#grants.size > 0 || this.#scheduler.some((it) => this.#canSend(it))))));
  }

  /** Lets time pass: deadlines, pings, silence. */
  poll(nowUs: number): void {
    if (this.#down || nowUs < this.#earliestUs) return;
    const { silenceMs, helloTimeoutMs } = this.limits;
    let earliestUs = Infinity;
    if (!this.#peer) {
      earliestUs = this.#startUs + helloTimeoutMs * 1e3;
      if (nowUs >= earliestUs) return this.#end("noHello");
    } else {
      const silentAtUs = this.#heardUs + silenceMs * 1e3;
      if (nowUs >= silentAtUs) return this.#end("silent");
      const quarterUs = silenceMs * 250;
      if (nowUs >= Math.max(this.#pingAtUs, this.#heardUs + quarterUs)) {
        this.#ping = this.#pings = (this.#pings + 1) >>> 0;
        this.#pingAtUs = nowUs + quarterUs;
      }
      earliestUs = Math.min(silentAtUs, Math.max(this.#pingAtUs, this.#heardUs + quarterUs));
    }
    for (const circuit of this.#busy) {
      if (nowUs >= circuit.abortByUs) return this.#end("abortUnanswered");
      if (nowUs >= circuit.deadlineUs) {
        circuit.deadlineUs = Infinity;
        this.#abort(circuit, { nowUs, by: "deadline", status: Status.requestTimeout, text: "the deadline has passed" });
      }
      earliestUs = Math.min(earliestUs, circuit.deadlineUs, circuit.abortByUs);
    }
    this.#earliestUs = earliestUs;
  }

  // ── receiving ──

  #hello(frame: HelloFrame, nowUs: number): void {
    if (this.#peer) return this.#end("helloTwice");
    if (frame.role === this.#options.role) return this.#end("sameRole");
    this.#peer = frame;
    this.#maxCircuits = Math.min(this.limits.maxCircuits, frame.maxCircuits);
    this.#frameBytes = Math.min(this.#options.frameBytesMax, frame.frameBytesMax);
    this.#pingAtUs = nowUs + this.limits.silenceMs * 250;
    this.#earliestUs = Math.min(this.#earliestUs, this.#pingAtUs);
    this.#events.push({ event: "up", peer: frame, maxCircuits: this.#maxCircuits });
  }

  #peerBegins(frame: BeginFrame, descriptors: readonly D[], nowUs: number): void {
    const { circuit: id } = frame;
    const theirs = id === DISCOVERY[this.#peer!.role] || (id >= FIRST_CIRCUIT && id % 2 === (this.#options.role === "initiator" ? 1 : 0) && id < FIRST_CIRCUIT + this.#maxCircuits);
    if (!theirs) {
      this.#discard(descriptors);
      return this.#breach(id, "notTheirs", nowUs);
    }
    const circuit = this.#circuit(id);
    if (circuit.state === "idle") {
      if (frame.generation === circuit.generation) {
        this.#discard(descriptors);
        return this.#breach(id, "otherGeneration", nowUs);
      }
      this.#start(circuit, frame.priority, frame.deadlineMs === 0 ? Infinity : nowUs + frame.deadlineMs * 1e3);
      circuit.known = true;
      this.#step(circuit, "peerBegin", { nowUs, frame });
      this.#deliver(circuit, frame, descriptors, nowUs);
      return;
    }
    this.#discard(descriptors);
    this.#step(circuit, "peerBegin", { nowUs, breach: "outOfTurn" });
  }

  #onConversation(frame: Exclude<Extract<Frame, { circuit: number }>, BeginFrame>, descriptors: readonly D[], nowUs: number): void {
    const circuit = this.#circuits.get(frame.circuit);
    const wrong: CircuitBreach | undefined = !circuit || circuit.state === "idle" || !circuit.known ? "notBegun" : circuit.generation !== frame.generation ? "otherGeneration" : undefined;
    if (wrong || !circuit) {
      if (frame.kind === "data") this.#discard(descriptors);
      // An abort may cross the end of what it wanted to end.
      if (frame.kind === "abort") this.counters.late += 1;
      else if (wrong === "otherGeneration") this.#breach(frame.circuit, wrong, nowUs);
      else this.#countBreach();
      return;
    }
    switch (frame.kind) {
      case "data":
        return this.#deliver(circuit, frame, descriptors, nowUs);
      case "accept":
        return this.#step(circuit, "peerAccept", { nowUs, breach: "outOfTurn" });
      case "end":
        // An end in the middle of a message.
        if (circuit.parts.length > 0) this.#step(circuit, "breach", { nowUs, breach: "outOfTurn" });
        return this.#step(circuit, "peerEnd", { nowUs, breach: "outOfTurn", status: frame.status, text: frame.text });
      case "abort":
        return this.#step(circuit, "peerAbort", { nowUs, status: frame.status, text: frame.text });
      default:
        frame satisfies never;
    }
  }

  /** The body of a begin or data frame, and its flag for the end. */
  #deliver(circuit: Circuit<D>, frame: BeginFrame | DataFrame, descriptors: readonly D[], nowUs: number): void {
    const aborting = circuit.state === "aborting";
    if (aborting || !peerMaySend(circuit.state)) {
      this.#discard(descriptors);
      this.#step(circuit, "peerData", { nowUs, breach: "outOfTurn" });
      if (!aborting) return;
    } else {
      const breach = this.#payloadBreach(circuit, frame, descriptors);
      if (breach) {
        this.#discard(descriptors);
        this.#step(circuit, "breach", { nowUs, breach });
      } else if (frame.kind === "begin") this.#store(circuit, frame, descriptors);
      else this.#step(circuit, "peerData", { nowUs, frame, descriptors });
    }
    // Also behind a breach: it was the peer's final frame, and none will follow.
    if (frame.last) this.#step(circuit, "peerEnd", { nowUs, status: Status.ok, text: "" });
  }

  #payloadBreach(circuit: Circuit<D>, frame: BeginFrame | DataFrame, descriptors: readonly D[]): CircuitBreach | undefined {
    const units = costOf(frame.body.length, frame.descriptors);
    if (frame.descriptors !== descriptors.length) return "descriptorCount";
    if (units > circuit.granted) return "creditExceeded";
    if (circuit.partBytes + frame.body.length > this.limits.messageBytesMax) return "messageTooLarge";
    return this.#heldUnits + units > this.limits.poolUnits ? "poolExceeded" : undefined;
  }

  #store(circuit: Circuit<D>, frame: BeginFrame | DataFrame, descriptors: readonly D[]): void {
    const units = costOf(frame.body.length, frame.descriptors);
    circuit.granted -= units;
    this.#heldUnits += units;
    // Not slice(): a Buffer's does not copy.
    const body = new Uint8Array(frame.body);
    if (frame.more) {
      circuit.parts.push(body);
      circuit.partBytes += body.length;
      circuit.partUnits += units;
      this.#considerGrant(circuit);
      return;
    }
    const bytes = circuit.parts.length === 0 ? body : joined([...circuit.parts, body], circuit.partBytes + body.length);
    const messageUnits = circuit.partUnits + units;
    clearParts(circuit);
    this.#events.push({ event: "message", circuit: circuit.id, bytes, descriptors, units: messageUnits, conversation: circuit.conversation });
  }

  #granted({ circuit, generation, units }: Grant, nowUs: number): void {
    const it = this.#circuits.get(circuit);
    if (!it || it.state === "idle" || it.generation !== generation) {
      this.counters.late += 1;
      return;
    }
    if (it.credit + units > this.#peer!.windowUnits) return this.#step(it, "breach", { nowUs, breach: "creditExceeded" });
    it.credit += units;
    this.#scheduler.add(it, it.priority);
  }

  // ── sending ──

  #takeControl(): Frame | undefined {
    if (this.#helloWaits) {
      this.#helloWaits = false;
      const { role, name, frameBytesMax, carriesDescriptors } = this.#options;
      const { maxCircuits, windowUnits, messageBytesMax, silenceMs } = this.limits;
      return { kind: "hello", role, carriesDescriptors, frameBytesMax, maxCircuits, windowUnits, messageBytesMax, silenceMs, name };
    }
    if (this.#goodbye) {
      const frame = this.#goodbye;
      this.#goodbye = undefined;
      return frame;
    }
    if (!this.isUp) return undefined;
    if (this.#pong !== undefined) {
      const token = this.#pong;
      this.#pong = undefined;
      return { kind: "pong", token };
    }
    if (this.#ping !== undefined) {
      const token = this.#ping;
      this.#ping = undefined;
      return { kind: "ping", token };
    }
    return this.#takeGrants();
  }

  #takeGrants(): Frame | undefined {
    if (this.#grants.size === 0) return undefined;
    const grants: Grant[] = [];
    // Id and units take at most 8 bytes; the frame must hold them also on the shortest transport.
    const fit = Math.min(GRANTS_PER_FRAME, Math.floor((this.#frameBytes - this.#options.seal.headerBytes - 2) / 8));
    for (const circuit of this.#grants) {
      if (grants.length === fit) break;
      this.#grants.delete(circuit);
      grants.push({ circuit: circuit.id, generation: circuit.generation, units: circuit.owed });
      circuit.granted += circuit.owed;
      circuit.owed = 0;
    }
    return { kind: "credit", grants };
  }

  /** Grants go out when they are worth a frame, or when the peer may be unable to send its next frame without. */
  #considerGrant(circuit: Circuit<D>): void {
    const { windowUnits } = this.limits;
    const nextFrameUnits = Math.min(windowUnits, this.#frameBytes + FRAME_UNITS + (this.#options.carriesDescriptors ? DESCRIPTORS_MAX * DESCRIPTOR_UNITS : 0));
    if (circuit.owed > 0 && (circuit.owed >= windowUnits / 4 || circuit.granted < nextFrameUnits)) this.#grants.add(circuit);
  }

  #canSend(circuit: Circuit<D>): boolean {
    const head = circuit.queue[0];
    return head !== undefined && (head.kind !== "message" || this.#nextPart(circuit, head).units <= circuit.credit);
  }

  /** How much of `message` its next frame takes. */
  #nextPart(circuit: Circuit<D>, message: Message<D>): { bytes: number; more: boolean; units: number } {
    const room = this.#bodyRoom(circuit, message.at === 0 ? message.begin : undefined);
    const left = message.body.length - message.at;
    const more = left > room;
    return { bytes: more ? room : left, more, units: costOf(more ? room : left, more ? 0 : message.descriptors.length) };
  }

  /** With the byte that counts descriptors, whether there are any or not: a message then has the same frames either way. */
  #bodyRoom(circuit: Circuit<D>, begin: Message<D>["begin"]): number {
    const common = { circuit: circuit.id, generation: 0, more: false, last: false, descriptors: 1 };
    const head = begin ? overheadBytes({ kind: "begin", ...common, ...begin }) : (circuit.id < 128 ? 3 : 4);
    return this.#frameBytes - this.#options.seal.headerBytes - head;
  }

  #unitsOf(circuit: Circuit<D>, { body, begin, descriptors }: Message<D>): number {
    const behindFirst = Math.max(0, body.length - this.#bodyRoom(circuit, begin));
    return body.length + FRAME_UNITS * (1 + Math.ceil(behindFirst / this.#bodyRoom(circuit, undefined))) + descriptors.length * DESCRIPTOR_UNITS;
  }

  #refusal(circuit: Circuit<D>, message: Message<D>): SendRefusal | undefined {
    const { descriptors } = message;
    if (descriptors.length > 0 && (!this.#options.carriesDescriptors || !this.#peer!.carriesDescriptors || descriptors.length > DESCRIPTORS_MAX)) return "noDescriptors";
    const units = this.#unitsOf(circuit, message);
    if (message.body.length > this.#peer!.messageBytesMax || units > this.#peer!.windowUnits) return "tooLarge";
    if (circuit.queuedUnits > 0 && circuit.queuedUnits + units > this.limits.queueUnits) {
      circuit.wasFull = true;
      return "full";
    }
    return undefined;
  }

  #takeFrom(circuit: Circuit<D>, nowUs: number): OutFrame<D> {
    const head = circuit.queue[0]!;
    const { id, generation } = circuit;
    if (head.kind !== "message") {
      circuit.queue.shift();
      const out = this.#sealed(head.kind === "accept" ? { kind: "accept", circuit: id, generation } : { kind: head.kind, circuit: id, generation, status: head.status, text: head.text }, noDescriptors);
      this.#scheduler.spent(circuit, out.bytes.length, this.#frameBytes);
      if (head.kind === "abort" && circuit.state === "aborting") {
        circuit.abortByUs = nowUs + this.limits.abortTimeoutMs * 1e3;
        this.#earliestUs = Math.min(this.#earliestUs, circuit.abortByUs);
      }
      if (head.kind !== "accept") this.#left(circuit, nowUs);
      return out;
    }
    const { bytes, more, units } = this.#nextPart(circuit, head);
    const part = { circuit: id, generation, more, last: head.last && !more, descriptors: more ? 0 : head.descriptors.length, body: head.body.subarray(head.at, head.at + bytes) };
    const isBegin = head.begin !== undefined && head.at === 0;
    const out = this.#sealed(isBegin ? { kind: "begin", ...part, ...head.begin! } : { kind: "data", ...part }, more ? noDescriptors : head.descriptors);
    if (isBegin) {
      head.begin = undefined;
      circuit.known = true;
    }
    head.at += bytes;
    circuit.credit -= units;
    this.#scheduler.spent(circuit, out.bytes.length, this.#frameBytes);
    if (more) return out;
    circuit.queue.shift();
    circuit.queuedUnits -= queueUnitsOf(head);
    if (circuit.wasFull && circuit.queuedUnits <= this.limits.queueUnits / 2) {
      circuit.wasFull = false;
      this.#events.push({ event: "space", circuit: id });
    }
    if (head.last) this.#left(circuit, nowUs);
    return out;
  }

  #left(circuit: Circuit<D>, nowUs: number): void {
    circuit.finalSent = true;
    this.#step(circuit, "left", { nowUs });
  }

  #sealed(frame: Frame, descriptors: readonly D[]): OutFrame<D> {
    const { seal } = this.#options;
    const bytes = encodeFrame(frame, seal.headerBytes);
    seal.seal(bytes);
    this.counters.framesOut += 1;
    return { bytes, descriptors };
  }

  // ── the machine ──

  #ours(id: number, event: "accept" | "end" | "abort", context: Context<D>): "queued" | "ended" {
    const circuit = this.#circuits.get(id);
    if (this.#down || !circuit || CIRCUIT_TABLE[circuit.state][event] === REFUSED) return "ended";
    if (event === "abort") this.#abort(circuit, context);
    else this.#step(circuit, event, context);
    return "queued";
  }

  #abort(circuit: Circuit<D>, context: Context<D>): void {
    const { by, status = Status.ok, text = "" } = context;
    this.#tellAborted(circuit, { by: by!, status, text });
    this.#step(circuit, circuit.known ? "abort" : "retract", context);
  }

  /** Once per conversation, whatever else ends it. */
  #tellAborted(circuit: Circuit<D>, how: { by: "peer" | "us" | "deadline" | "breach" | "transport"; breach?: CircuitBreach; status: StatusCode; text: string }): void {
    if (circuit.toldAborted) return;
    circuit.toldAborted = true;
    this.#events.push({ event: "aborted", circuit: circuit.id, ...how });
  }

  #step(circuit: Circuit<D>, event: CircuitEvent, context: Context<D>): void {
    const cell = CIRCUIT_TABLE[circuit.state][event];
    if (cell === REFUSED) return;
    circuit.state = cell.to;
    for (const action of cell.do) this.#perform(circuit, action, context);
  }

  #perform(circuit: Circuit<D>, action: CircuitAction, context: Context<D>): void {
    const { id } = circuit;
    const { status = Status.ok, text = "" } = context;
    switch (action) {
      case "queueAccept":
        return this.#queue(circuit, { kind: "accept" });
      case "queueData":
        return this.#queue(circuit, context.message!);
      case "queueEnd":
        // A message marked as the last one is the end itself.
        return context.message ? undefined : this.#queue(circuit, { kind: "end", status, text });
      case "queueAbort":
        return this.#queueAbort(circuit, context);
      case "dropQueue":
        return this.#dropQueue(circuit);
      case "tellBegun": {
        const { protocol, priority } = context.frame as BeginFrame;
        this.#events.push({ event: "begun", circuit: id, protocol, priority, deadlineUs: circuit.deadlineUs });
        return;
      }
      case "tellAccepted":
        this.#events.push({ event: "accepted", circuit: id });
        return;
      case "deliver":
        return this.#store(circuit, context.frame!, context.descriptors!);
      case "tellEnded":
        this.#grants.delete(circuit);
        this.#events.push({ event: "ended", circuit: id, status, text });
        return;
      case "tellAborted":
        return this.#tellAborted(circuit, { by: "peer", status, text });
      case "tellBreach": {
        const breach = context.breach!;
        this.#tellAborted(circuit, { by: "breach", breach, status: CIRCUIT_BREACHES[breach], text: breach });
        return this.#countBreach();
      }
      case "countBreach":
        return this.#countBreach();
      case "forget":
        // The peer never saw this generation.
        circuit.generation ^= 1;
        return;
      case "tellIdle":
        return this.#idle(circuit);
      case "leaveIfSent":
        return circuit.finalSent ? this.#step(circuit, "left", context) : undefined;
      case "abortUnlessSent":
        return circuit.finalSent ? this.#step(circuit, "left", context) : this.#queueAbort(circuit, context);
      default:
        action satisfies never;
    }
  }

  #queue(circuit: Circuit<D>, waiting: Waiting<D>): void {
    circuit.queue.push(waiting);
    if (waiting.kind === "message") circuit.queuedUnits += queueUnitsOf(waiting);
    this.#scheduler.add(circuit, circuit.priority);
  }

  #queueAbort(circuit: Circuit<D>, { breach, status = Status.ok, text = "" }: Context<D>): void {
    circuit.deadlineUs = Infinity;
    this.#queue(circuit, { kind: "abort", status: breach ? CIRCUIT_BREACHES[breach] : status, text: breach ?? text });
  }

  #dropQueue(circuit: Circuit<D>): void {
    for (const waiting of circuit.queue) if (waiting.kind === "message") this.#discard(waiting.descriptors);
    circuit.queue.length = 0;
    circuit.queuedUnits = 0;
    circuit.wasFull = false;
    this.#heldUnits -= circuit.partUnits;
    clearParts(circuit);
    this.#grants.delete(circuit);
  }

  #idle(circuit: Circuit<D>): void {
    // An abort that has not left behind an end that has: the peer may have begun anew already.
    this.#dropQueue(circuit);
    this.#busy.delete(circuit);
    this.#scheduler.remove(circuit);
    this.#grants.delete(circuit);
    circuit.deadlineUs = circuit.abortByUs = Infinity;
    if (circuit.id >= FIRST_CIRCUIT && this.#isOurs(circuit.id)) this.#free.push(circuit.id);
    this.#events.push({ event: "idle", circuit: circuit.id });
  }

  #start(circuit: Circuit<D>, priority: number, deadlineUs: number): void {
    circuit.generation ^= 1;
    circuit.conversation = this.#conversations += 1;
    circuit.priority = priority;
    circuit.deadlineUs = deadlineUs;
    circuit.credit = this.#peer!.windowUnits;
    circuit.granted = this.limits.windowUnits;
    circuit.owed = 0;
    circuit.known = circuit.finalSent = circuit.toldAborted = false;
    this.#busy.add(circuit);
    this.#earliestUs = Math.min(this.#earliestUs, deadlineUs);
  }

  #isOurs(id: number): boolean {
    return id % 2 === (this.#options.role === "initiator" ? 0 : 1);
  }

  #idleCircuit(): Circuit<D> | undefined {
    const used = this.#free.pop();
    if (used !== undefined) return this.#circuit(used);
    if (this.#nextId >= FIRST_CIRCUIT + this.#maxCircuits) return undefined;
    this.#nextId += 2;
    return this.#circuit(this.#nextId - 2);
  }

  /** Made on first use: at most as many as were agreed, and the two for discovery. */
  #circuit(id: number): Circuit<D> {
    let circuit = this.#circuits.get(id);
    if (!circuit) {
      circuit = newCircuit(id);
      this.#circuits.set(id, circuit);
    }
    return circuit;
  }

  #breach(id: number, breach: CircuitBreach, nowUs: number): void {
    const circuit = this.#circuits.get(id);
    if (circuit) this.#step(circuit, "breach", { nowUs, breach });
    else this.#countBreach();
  }

  #countBreach(): void {
    this.counters.breaches += 1;
    if (this.counters.breaches > this.limits.violationsMax) this.#end("tooManyBreaches");
  }

  #discard(descriptors: readonly D[]): void {
    this.discarded.push(...descriptors);
  }

  #end(reason: TransportEnd, text: string = reason, status: StatusCode = TRANSPORT_ENDS[reason]): void {
    if (this.#down) return;
    this.#down = true;
    this.#goodbye = { kind: "goodbye", status, text };
    for (const circuit of this.#busy) {
      this.#dropQueue(circuit);
      this.#tellAborted(circuit, { by: "transport", status, text });
      circuit.state = "idle";
    }
    this.#busy.clear();
    this.#grants.clear();
    this.#events.push({ event: "down", reason, status, text });
  }
}

function assertProtocol({ protocol, priority = 1 }: { protocol: number | string; priority?: number }): void {
  const fits = typeof protocol === "number" ? Number.isInteger(protocol) && protocol > 0 && protocol <= 0xffff_ffff : protocol !== "" && new TextEncoder().encode(protocol).length <= PROTOCOL_NAME_BYTES_MAX;
  if (!fits) throw new RangeError(`a protocol is a number from 1 to 4294967295 or a name of 1 to ${PROTOCOL_NAME_BYTES_MAX} bytes, not ${protocol}`);
  if (!(Number.isInteger(priority) && priority >= 0 && priority <= 3)) throw new RangeError(`priority ${priority} is outside 0…3`);
}
