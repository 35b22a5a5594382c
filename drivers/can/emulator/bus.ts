/**
 * A CAN bus, emulated: arbitration, acknowledgement, error counters, bus-off, finite transmit queues, real frame durations.
 *
 * Pure and deterministic: records in, records out, `nowUs` in, chance injected. `send` and the controls take effect at `nowUs`;
 * `poll(nowUs)` lets the bus run up to that moment, leaves what it has for each node in that node's outbox (protocol records, in the order
 * in which they happened) and returns when it wants to be polled next.
 *
 * Two speeds. With a bit rate, frames take the time they take on a wire, to the stuff bit. With bit rate 0 the bus is unpaced: frames take
 * no time, arbitration and errors stay as they are; for replays and benches.
 *
 * Assumptions: all controllers are well synchronised; propagation takes no time; an error frame costs 17 bits (superposed longer flags
 * do not occur); a node that is not interested in FD still tolerates it; errors hit whole frames, not parts of the bus.
 * Fault confinement follows ISO 11898-1: +8 for a transmitter's error, +1 for a receiver's, −1 for a success; an acknowledgement error
 * adds nothing once the transmitter is error-passive, so a node that is alone retries for ever and never goes bus-off.
 */
import type { CanFrame } from "../frame.ts";
import { CanFlag, FD_LENGTHS_BYTES, FRAME_OFFSET, FRAME_STRIDE_BYTES, writeFrame } from "../frame.ts";
import { arbitrationKey, ERROR_FRAME_BITS, INTEGRATION_BITS, INTERMISSION_BITS, SUSPEND_BITS, wireLength } from "./bits.ts";
import { DELIVERY_FAULTS, FaultList, WIRE_FAULTS } from "./faults.ts";
import { LoadMeter } from "./load.ts";
import type { NodeOptions } from "./node.ts";
import { BusNode, CAN_ERR, PASSIVE_LEVEL } from "./node.ts";
import { DropReason, Kind, viewOf } from "./protocol.ts";
import { seededRandom } from "../../../schemas/random.ts";

export interface BusOptions {
  /** Nominal bit rate, bit/s; 0 = unpaced. */
  bitrateBps: number;
  /** Bit rate of FD's data phase; default: the nominal one. */
  dataBitrateBps?: number;
  /** Whether FD frames are allowed at all. */
  fd?: boolean;
  /** Chance for faults, 0 ≤ x < 1. Default: a fixed seed. */
  random?: () => number;
  /** A frame that nobody acknowledges is reported so often, not at each of its thousands of retries a second. */
  ackReportIntervalUs?: number;
}

export interface BusStatistics {
  /** Frames that reached their end and were acknowledged. */
  frames: number;
  /** Transmissions destroyed by an error (bit error, collision, aborted by its sender). */
  errorFrames: number;
  /** Transmissions that nobody acknowledged. */
  unacknowledged: number;
  /** Deliveries changed by a fault rule. */
  faultsStruck: number;
  /** Total time the wire was in use, µs. */
  busyUs: number;
}

export type SendResult = "queued" | "queueFull" | "busOff" | "linkDown" | "refused";

/** A transmission in progress. */
interface Transmission {
  senders: BusNode[];
  startUs: number;
  endUs: number;
  end: "good" | "bitError" | "unacknowledged";
  /** An error-passive sender that nobody hears: nothing changes from one retry to the next, so many are one transmission. 0 = an ordinary one. */
  retryPeriodUs: number;
}

const PROTOCOL_BIT = 0x01;
const PROTOCOL_STUFF = 0x04;
const PROTOCOL_TX = 0x80;
const LOCATION_ACK = 0x19;
const LOCATION_DATA = 0x0a;
/** A receive counter above 127 comes back to between 119 and 127 with the first good frame. */
const REC_AFTER_PASSIVE = 120;
const RECOVERY_RUNS = 128;
const DLC_OK = new Uint8Array(256);
for (const length of FD_LENGTHS_BYTES) DLC_OK[length] = 1;

export class CanBus {
  readonly bitrateBps: number;
  readonly fd: boolean;
  readonly statistics: BusStatistics = { frames: 0, errorFrames: 0, unacknowledged: 0, faultsStruck: 0, busyUs: 0 };
  readonly faults: FaultList;
  /** While true no transmission starts. An unpaced bus is held while a listener is behind. */
  held = false;

  readonly #bitUs: number;
  readonly #dataBitUs: number;
  readonly #random: () => number;
  readonly #ackReportIntervalUs: number;
  readonly #load = new LoadMeter();
  readonly #delayed: { atUs: number; to: BusNode; bytes: Buffer }[] = [];
  #nodes: BusNode[] = [];
  #nextId = 1;
  #current: Transmission | undefined;
  /** The wire is in use or in intermission until then. */
  #freeAtUs = 0;
  #nowUs = 0;

  constructor(options: BusOptions) {
    this.bitrateBps = options.bitrateBps;
    this.fd = options.fd ?? false;
    this.#bitUs = options.bitrateBps > 0 ? 1e6 / options.bitrateBps : 0;
    this.#dataBitUs = this.#bitUs > 0 && options.dataBitrateBps ? 1e6 / options.dataBitrateBps : this.#bitUs;
    this.#random = options.random ?? seededRandom(1);
    this.#ackReportIntervalUs = options.ackReportIntervalUs ?? 10_000;
    this.faults = new FaultList(this.#random);
  }

  get nodes(): readonly BusNode[] {
    return this.#nodes;
  }

  /** Share of the last second in which the wire was in use, 0…1. Always 0 when unpaced. */
  load(nowUs: number): number {
    return this.#load.load(nowUs);
  }

  attach(options: NodeOptions, nowUs: number): BusNode {
    this.#runTo(nowUs);
    const node = new BusNode(this.#nextId++, options, nowUs);
    node.notBeforeUs = nowUs + INTEGRATION_BITS * this.#bitUs;
    this.#nodes.push(node);
    this.#interruptRetries(nowUs);
    return node;
  }

  /** Takes the node off the bus with everything it had queued; nothing is reported to it. */
  detach(node: BusNode, nowUs: number): void {
    this.#runTo(nowUs);
    this.#leave(node, nowUs, DropReason.linkDown);
    node.attached = false;
    node.outbox.clear();
    this.#nodes = this.#nodes.filter((other) => other !== node);
  }

  /** Queues the frame record at `at`. Anything but "queued" is also answered with a DROPPED record in the outbox. `owner`: whose it is, where several share the controller. */
  send(node: BusNode, bytes: Buffer, at: number, nowUs: number, owner = 0): SendResult {
    this.#runTo(nowUs);
    const result = this.#admit(node, bytes, at, nowUs, owner);
    if (result !== "queued") node.refuse(bytes, at, DROP_REASON[result], owner);
    return result;
  }

  /** `send` for a frame as an object (tests, simulated nodes). */
  sendFrame(node: BusNode, frame: CanFrame, nowUs: number): SendResult {
    writeFrame(this.#frame, this.#frameView, 0, frame);
    return this.send(node, this.#frame, 0, nowUs);
  }
  readonly #frame = Buffer.alloc(FRAME_STRIDE_BYTES);
  readonly #frameView = viewOf(this.#frame);

  /** Link down and up: the queue is dropped, the controller starts afresh. Returns how many frames were dropped. */
  purge(node: BusNode, nowUs: number): number {
    this.#runTo(nowUs);
    if (!node.powered || !node.linkUp) return node.dropQueue(DropReason.purge);
    const dropped = this.#leave(node, nowUs, DropReason.purge);
    this.#join(node, nowUs);
    return dropped;
  }

  setLink(node: BusNode, up: boolean, nowUs: number): void {
    this.#change(node, node.powered, up, nowUs);
  }

  /** Whether the node's device has power. Without it, it neither sends nor receives nor acknowledges. */
  setPower(node: BusNode, on: boolean, nowUs: number): void {
    this.#change(node, on, node.linkUp, nowUs);
  }

  /** Begins to leave bus-off; it lasts until 128 runs of 11 recessive bits were seen. In another state it is answered with that state. */
  restart(node: BusNode, nowUs: number): void {
    this.#runTo(nowUs);
    if (node.state !== "busOff") node.tellState();
    if (node.state !== "busOff" || node.recoveryRuns > 0) return;
    this.#interruptRetries(nowUs);
    node.recoveryRuns = RECOVERY_RUNS;
    node.notBeforeUs = nowUs;
    if (this.#bitUs === 0) this.#recover(node, nowUs);
  }

  /** Makes a node transmit frame after frame without pause, as a broken one does; undefined ends it. Its own queue waits meanwhile. Paced buses only. */
  babble(node: BusNode, source: (() => CanFrame) | undefined, nowUs: number): void {
    if (this.#bitUs === 0) throw new RangeError("a babbling node needs a bus with a bit rate");
    this.#runTo(nowUs);
    this.#abort(node, nowUs);
    node.babbler = source;
    node.notBeforeUs = Math.max(node.notBeforeUs, nowUs);
  }

  /** Sets error counters as a test needs them. */
  setCounters(node: BusNode, tec: number, rec: number, nowUs: number): void {
    this.#runTo(nowUs);
    if (node.count(tec, rec, nowUs)) this.#leave(node, nowUs, DropReason.busOff);
  }

  /**
   * Lets the bus run until `nowUs`. Returns when something happens next, undefined if nothing will without input.
   * At most `framesMax` steps are taken, so that an unpaced bus cannot run away; then the answer is `nowUs`: poll again.
   */
  poll(nowUs: number, framesMax = 4096): number | undefined {
    this.#nowUs = Math.max(this.#nowUs, nowUs);
    return this.#run(framesMax, true);
  }

  /** `startNow`: whether a transmission may start at this very moment, or the moment may still bring inputs. */
  #run(framesMax: number, startNow: boolean): number | undefined {
    for (let steps = 0; ; steps++) {
      const next = this.#next();
      if (next.atUs === Number.POSITIVE_INFINITY) return undefined;
      if (next.atUs > this.#nowUs || (!startNow && next.what === "start" && next.atUs === this.#nowUs)) return next.atUs;
      if (steps >= 2 * framesMax) return this.#nowUs;
      switch (next.what) {
        case "end":
          this.#complete(next.atUs);
          break;
        case "deliver":
          this.#deliverDelayed();
          break;
        case "recover":
          this.#recover(next.node!, next.atUs);
          break;
        case "start":
          this.#start(next.atUs);
          break;
        default:
          next.what satisfies never;
      }
    }
  }

  /**
   * Brings a paced bus to the moment of an input; what starts at that very moment waits, so that nodes that send in the same microsecond
   * meet in arbitration whatever the order of the calls. An unpaced bus runs in `poll` alone, where it is bounded.
   */
  #runTo(nowUs: number): void {
    this.#nowUs = Math.max(this.#nowUs, nowUs);
    if (this.#bitUs > 0) this.#run(Number.POSITIVE_INFINITY, false);
  }

  #next(): typeof next {
    next.atUs = Number.POSITIVE_INFINITY;
    if (this.#current) {
      next.atUs = this.#current.endUs;
      next.what = "end";
    }
    if (this.#delayed.length > 0 && this.#delayed[0]!.atUs < next.atUs) {
      next.atUs = this.#delayed[0]!.atUs;
      next.what = "deliver";
    }
    if (this.#current) return next;
    for (const node of this.#nodes) {
      if (node.recoveryRuns > 0) {
        const atUs = Math.max(node.notBeforeUs, this.#freeAtUs) + node.recoveryRuns * INTEGRATION_BITS * this.#bitUs;
        if (atUs < next.atUs) {
          next.atUs = atUs;
          next.what = "recover";
          next.node = node;
        }
      }
      if (this.held) continue;
      const readyUs = node.readyUs();
      if (readyUs === undefined) continue;
      const atUs = Math.max(this.#freeAtUs, readyUs);
      if (atUs < next.atUs) {
        next.atUs = atUs;
        next.what = "start";
      }
    }
    return next;
  }

  #admit(node: BusNode, bytes: Buffer, at: number, nowUs: number, owner: number): SendResult {
    const flags = bytes[at + FRAME_OFFSET.flags]!;
    const lengthBytes = bytes[at + FRAME_OFFSET.lengthBytes]!;
    const idBytes = bytes[at + 11]! * 0x100 + bytes[at + 10]!;
    const extended = (flags & CanFlag.extended) !== 0;
    if (extended ? idBytes > 0x1fff : idBytes > 0 || bytes[at + 9]! > 7) return "refused";
    if ((flags & CanFlag.error) !== 0 || node.listenOnly) return "refused";
    if ((flags & CanFlag.fd) === 0 ? lengthBytes > 8 : !this.fd || !node.fd || DLC_OK[lengthBytes] === 0 || (flags & CanFlag.remote) !== 0) return "refused";
    if (!node.powered || !node.linkUp) return "linkDown";
    if (node.state === "busOff") return "busOff";
    return node.enqueue(bytes, at, nowUs, owner) ? "queued" : "queueFull";
  }

  /** Whoever is ready starts; the lowest arbitration field wins; two equal ones that differ later collide. */
  #start(atUs: number): void {
    let senders: BusNode[] = [];
    let best = Number.POSITIVE_INFINITY;
    const ready: BusNode[] = [];
    for (const node of this.#nodes) {
      const readyUs = node.readyUs();
      if (readyUs === undefined || readyUs > atUs) continue;
      ready.push(node);
      const { bytes, at } = node.head();
      const key = arbitrationKey(bytes.readUInt32LE(at + FRAME_OFFSET.canId), bytes[at + FRAME_OFFSET.flags]!);
      if (key < best) senders = [];
      if (key <= best) senders.push(node);
      best = Math.min(best, key);
    }
    for (const node of ready) if (!senders.includes(node)) node.statistics.arbitrationLost += 1;
    const first = senders[0]!;
    const { bytes, at } = first.head();
    const durationUs = this.#durationUs(bytes, at);
    const collided = senders.length > 1 && !senders.every((node) => sameFrame(first, node));
    const broken = collided || (!this.faults.empty && this.faults.strike(WIRE_FAULTS, bytes, at, first) !== undefined);
    this.#current = { senders, startUs: atUs, endUs: atUs + durationUs, end: "good", retryPeriodUs: 0 };
    if (broken) {
      // Somewhere behind the arbitration field: that is where a collision shows, and where most bits are.
      this.#current.end = "bitError";
      this.#current.endUs = atUs + durationUs * (0.3 + 0.6 * this.#random()) + ERROR_FRAME_BITS * this.#bitUs;
    } else if (!this.#acknowledged(this.#current)) this.#foreseeNoAck(this.#current, durationUs);
    this.#creditRecovery(atUs);
  }

  /** The frame breaks off after its ACK slot: ACK delimiter, end of frame and intermission (11 bits) give way to an error frame. */
  #foreseeNoAck(current: Transmission, durationUs: number): void {
    const attemptUs = durationUs + (ERROR_FRAME_BITS - 11) * this.#bitUs;
    current.end = "unacknowledged";
    current.endUs = current.startUs + attemptUs;
    // Also several that send the same frame in step, with nobody else there.
    const settled = current.senders.every((node) => node.tec >= PASSIVE_LEVEL) && !this.#nodes.some((node) => node.recoveryRuns > 0);
    if (!settled) return;
    current.retryPeriodUs = attemptUs + SUSPEND_BITS * this.#bitUs;
    current.endUs = current.retryPeriodUs === 0 ? Number.POSITIVE_INFINITY
      : current.startUs + Math.max(1, Math.ceil(this.#ackReportIntervalUs / current.retryPeriodUs)) * current.retryPeriodUs;
  }

  #durationUs(bytes: Buffer, at: number): number {
    if (this.#bitUs === 0) return 0;
    const canId = bytes.readUInt32LE(at + FRAME_OFFSET.canId);
    const length = wireLength(canId, bytes[at + FRAME_OFFSET.flags]!, bytes[at + FRAME_OFFSET.lengthBytes]!, bytes, at + FRAME_OFFSET.data);
    return length.nominalBits * this.#bitUs + length.dataBits * this.#dataBitUs;
  }

  #acknowledged(current: Transmission): boolean {
    for (const node of this.#nodes) {
      if (node.onBus && !node.listenOnly && node.joinedAtUs <= current.startUs && !current.senders.includes(node)) return true;
    }
    return false;
  }

  #complete(atUs: number): void {
    const current = this.#current!;
    this.#current = undefined;
    this.#freeAtUs = atUs;
    this.#busy(current.startUs, atUs);
    // ACK delimiter, end of frame and intermission are one run of 11 recessive bits; so are error delimiter and intermission.
    for (const node of this.#nodes) if (node.recoveryRuns > 0 && current.startUs >= node.notBeforeUs && --node.recoveryRuns === 0) this.#recover(node, atUs);
    if (current.end === "good" && !this.#acknowledged(current)) current.end = "unacknowledged";
    switch (current.end) {
      case "good":
        this.#completeGood(current, atUs);
        break;
      case "bitError":
        this.#completeBroken(current, atUs);
        break;
      case "unacknowledged":
        this.#completeUnacknowledged(current, atUs);
        break;
      default:
        current.end satisfies never;
    }
    for (const node of current.senders) if (node.state === "passive") node.notBeforeUs = atUs + SUSPEND_BITS * this.#bitUs;
  }

  #completeGood(current: Transmission, atUs: number): void {
    const endOfFrameUs = atUs - INTERMISSION_BITS * this.#bitUs;
    const [first] = current.senders;
    const { bytes, at } = first!.head();
    this.statistics.frames += 1;
    const fd = (bytes[at + FRAME_OFFSET.flags]! & CanFlag.fd) !== 0;
    for (const node of this.#nodes) {
      if (!node.onBus || node.joinedAtUs > current.startUs || current.senders.includes(node)) continue;
      if (node.rec > 0) node.count(node.tec, node.rec > 127 ? REC_AFTER_PASSIVE : node.rec - 1, atUs);
      if (fd && !node.fd) continue;
      if (this.faults.empty) node.receive(bytes, at, endOfFrameUs);
      else this.#deliver(node, first!, bytes, at, endOfFrameUs);
    }
    for (const node of current.senders) {
      node.finishHead(endOfFrameUs);
      if (node.tec > 0) node.count(node.tec - 1, node.rec, atUs);
    }
  }

  #completeBroken(current: Transmission, atUs: number): void {
    this.statistics.errorFrames += 1;
    for (const node of this.#nodes) {
      if (!node.onBus) continue;
      const sender = current.senders.includes(node);
      if (sender) node.statistics.failedAttempts += 1;
      const off = node.listenOnly ? false : node.count(node.tec + (sender ? 8 : 0), node.rec + (sender ? 0 : 1), atUs);
      node.report(CAN_ERR.protocol | CAN_ERR.busError, atUs, { protocol: sender ? PROTOCOL_TX | PROTOCOL_BIT : PROTOCOL_STUFF, location: LOCATION_DATA });
      if (off) node.dropQueue(DropReason.busOff);
    }
  }

  #completeUnacknowledged(current: Transmission, atUs: number): void {
    const attempts = current.retryPeriodUs > 0 ? Math.round((atUs - current.startUs) / current.retryPeriodUs) : 1;
    this.statistics.unacknowledged += attempts;
    for (const node of current.senders) {
      node.statistics.failedAttempts += attempts;
      if (node.tec < PASSIVE_LEVEL) node.count(node.tec + 8, node.rec, atUs);
      node.report(CAN_ERR.ack | CAN_ERR.busError, atUs, { location: LOCATION_ACK });
    }
  }

  /** One receiver's copy of a frame, through the fault rules. */
  #deliver(to: BusNode, from: BusNode, bytes: Buffer, at: number, timeUs: number): void {
    const fault = this.faults.strike(DELIVERY_FAULTS, bytes, at, from, to);
    if (!fault) {
      to.receive(bytes, at, timeUs);
      return;
    }
    this.statistics.faultsStruck += 1;
    switch (fault.kind) {
      case "corrupt":
        this.faults.corrupt(fault, to.outbox.bytes, to.receive(bytes, at, timeUs));
        break;
      case "duplicate":
        to.receive(bytes, at, timeUs);
        to.receive(bytes, at, timeUs);
        break;
      case "delay": {
        const atUs = timeUs + (fault.delayUs ?? 0);
        const later = this.#delayed.findIndex((other) => other.atUs > atUs);
        this.#delayed.splice(later < 0 ? this.#delayed.length : later, 0, { atUs, to, bytes: Buffer.from(bytes.subarray(at, at + FRAME_STRIDE_BYTES)) });
        break;
      }
      case "lose":
      case "bitError":
        break;
      default:
        fault.kind satisfies never;
    }
  }

  #deliverDelayed(): void {
    const { atUs, to, bytes } = this.#delayed.shift()!;
    if (to.onBus) to.receive(bytes, 0, atUs);
  }

  #busy(startUs: number, endUs: number): void {
    this.statistics.busyUs += endUs - startUs;
    this.#load.add(startUs, endUs);
  }

  /** The idle time before a start counts towards leaving bus-off, run by run. */
  #creditRecovery(atUs: number): void {
    if (this.#bitUs === 0) return;
    for (const node of this.#nodes) {
      if (node.recoveryRuns === 0) continue;
      const idleUs = atUs - Math.max(node.notBeforeUs, this.#freeAtUs);
      node.recoveryRuns = Math.max(1, node.recoveryRuns - Math.floor(Math.max(0, idleUs) / (INTEGRATION_BITS * this.#bitUs)));
    }
  }

  #recover(node: BusNode, atUs: number): void {
    node.recoveryRuns = 0;
    node.tec = 0;
    node.rec = 0;
    node.state = "errorActive";
    node.joinedAtUs = atUs;
    node.notBeforeUs = atUs;
    node.report(CAN_ERR.restarted, atUs);
    node.tellState();
  }

  #change(node: BusNode, powered: boolean, linkUp: boolean, nowUs: number): void {
    this.#runTo(nowUs);
    const was = node.powered && node.linkUp;
    const is = powered && linkUp;
    if (was && !is) this.#leave(node, nowUs, DropReason.linkDown);
    node.powered = powered;
    node.linkUp = linkUp;
    if (!was && is) this.#join(node, nowUs);
    if (was !== is) node.outbox.appendBlank(Kind.link, is ? 1 : 0, 0);
  }

  #join(node: BusNode, nowUs: number): void {
    node.reset();
    node.joinedAtUs = nowUs;
    node.notBeforeUs = nowUs + INTEGRATION_BITS * this.#bitUs;
    this.#interruptRetries(nowUs);
  }

  /** Its queue goes, and what it was sending breaks off. */
  #leave(node: BusNode, nowUs: number, reason: (typeof DropReason)[keyof typeof DropReason]): number {
    this.#interruptRetries(nowUs);
    this.#abort(node, nowUs);
    return node.dropQueue(reason);
  }

  /** A transmission that stops in mid-frame: the others see an error. No effect on a node that is not sending. */
  #abort(node: BusNode, nowUs: number): void {
    const current = this.#current;
    if (!current?.senders.includes(node)) return;
    current.senders = current.senders.filter((sender) => sender !== node);
    if (current.senders.length > 0) return;
    this.#current = undefined;
    this.#freeAtUs = nowUs + ERROR_FRAME_BITS * this.#bitUs;
    this.statistics.errorFrames += 1;
    this.#busy(current.startUs, this.#freeAtUs);
    for (const other of this.#nodes) if (other !== node && other.onBus && !other.listenOnly) other.count(other.tec, other.rec + 1, nowUs);
  }

  /** Ends the endless retries of a lone sender at the boundary of an attempt: somebody has come who may acknowledge the next one. */
  #interruptRetries(nowUs: number): void {
    const current = this.#current;
    if (!current || current.retryPeriodUs === 0 && current.endUs !== Number.POSITIVE_INFINITY) return;
    if (current.retryPeriodUs === 0) {
      this.#current = undefined;
      this.#freeAtUs = nowUs;
      return;
    }
    current.endUs = Math.min(current.endUs, current.startUs + Math.max(1, Math.ceil((nowUs - current.startUs) / current.retryPeriodUs)) * current.retryPeriodUs);
  }
}

const next: { atUs: number; what: "end" | "deliver" | "recover" | "start"; node: BusNode | undefined } = { atUs: 0, what: "end", node: undefined };

const DROP_REASON = { queueFull: DropReason.queueFull, busOff: DropReason.busOff, linkDown: DropReason.linkDown, refused: DropReason.refused } as const;

/** Whether two heads are the same frame to the last bit, so that their senders never notice each other. */
function sameFrame(first: BusNode, second: BusNode): boolean {
  const a = { ...first.head() };
  const b = second.head();
  return a.bytes.compare(b.bytes, b.at + FRAME_OFFSET.canId, b.at + FRAME_OFFSET.bus, a.at + FRAME_OFFSET.canId, a.at + FRAME_OFFSET.bus) === 0
    && a.bytes.compare(b.bytes, b.at + FRAME_OFFSET.data, b.at + FRAME_STRIDE_BYTES, a.at + FRAME_OFFSET.data, a.at + FRAME_STRIDE_BYTES) === 0;
}
