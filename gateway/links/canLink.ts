/** One CAN bus of the gateway: its driver, the pipeline behind it and the commands before it. */
import type { CanDriver } from "../../drivers/can/driver.ts";
import { canFlagsOf } from "../../drivers/can/frame.ts";
import type { DriverEvent } from "../../drivers/driver.ts";
import type { Clock } from "../../schemas/clock.ts";
import type { MessageCodec } from "../../schemas/dbc/index.ts";
import type { FrameProtector } from "../../schemas/e2e/index.ts";
import type { LinkReport } from "../../schemas/messages/statusReport.ts";
import { BusLoadBudget, dataBit, messageBitsMax } from "../commands/budget.ts";
import { CommandPath, type OutgoingMessage } from "../commands/commandPath.ts";
import { CanReceiver, type CanReceiverOptions } from "../pipeline/canReceiver.ts";
import type { Link, LinkPorts } from "./link.ts";
import { LINE_TOKENS, NodeLine } from "./nodeLine.ts";
import { NodeTime } from "./nodeTime.ts";

export interface CanCommand {
  name: string;
  codec: MessageCodec;
  protector: FrameProtector | undefined;
  /** Signals that the protector fills in: whoever commands need not name them. */
  ownedSignals: readonly string[];
  ttlMsMax: number;
  rateHzMax: number;
  /** Only the safe pose may send it. */
  poseOnly: boolean;
}

export interface CanLinkOptions {
  driver: CanDriver;
  bitrateBps: number | undefined;
  dataBitrateBps?: number | undefined;
  busLoadMaxPercent: number;
  commands: readonly CanCommand[];
  receive: Omit<CanReceiverOptions, "bus" | "onEcho" | "onErrorFrame">;
  clock: Clock;
  gate(): boolean;
  /** Whether that is about to be known: see CommandPath. */
  waits(): boolean;
  ports: LinkPorts;
  /** The time is told to the nodes of this bus so often; absent: it is not, or the reflex does it. */
  time?: { id: number; periodMs: number } | undefined;
  /** A frame for the care of nodes was on the bus, or never will be: there may be room for the next. */
  careMoved?(): void;
  /** How another instance's bus is listened to; absent: it is not. */
  following?: { follow(): void; goOnAfter(timeUs: number): void };
}

/** After a frame with one of our own command ids from somebody else, nothing may be armed for so long: two masters on one bus. */
const SECOND_MASTER_MS = 5_000;

export class CanLink implements Link {
  readonly name: string;
  readonly path: CommandPath | undefined;
  readonly receiver: CanReceiver;
  readonly driver: CanDriver;
  /** The way of frames for the care of nodes. */
  readonly line: NodeLine;
  readonly #time: NodeTime | undefined;
  readonly #options: CanLinkOptions;
  #foreignCommandUs = -Infinity;
  #foreignCommand = "";
  #rates = { receivedHz: 0, sentHz: 0, loadPercent: undefined as number | undefined };
  #isStarted = false;
  /** Of the driver's health machine, as last told. */
  #phase: unknown;
  #atLastInterval = { frames: 0, echoes: 0, sent: 0, bits: 0 };

  constructor(options: CanLinkOptions) {
    const { driver, clock } = options;
    this.#options = options;
    this.name = driver.name;
    this.driver = driver;
    this.line = new NodeLine(driver);
    this.#time = options.time && new NodeTime(driver, options.time, clock.nowUs());
    this.path = options.commands.length === 0 ? undefined : new CommandPath({
      messages: options.commands.map((command) => outgoing(command, driver, dataBit(options))),
      budget: new BusLoadBudget({ bitrateBps: options.bitrateBps ?? 0, loadPercentMax: options.busLoadMaxPercent }),
      gate: options.gate, waits: () => this.#waits,
    });
    this.receiver = new CanReceiver({
      ...options.receive, bus: driver.name, dataBit: dataBit(options),
      onEcho: (token, timeUs) => {
        if (token < LINE_TOKENS) return this.path?.settled(token, Math.max(timeUs, clock.nowUs()));
        this.#time?.echo(token, timeUs, clock.nowUs());
        if (this.line.settled(token)) options.careMoved?.();
      },
      onErrorFrame: () => {
        // Counted by the receiver; the driver's health machine draws the conclusions.
      },
    });
    driver.onFrames((batch) => this.receiver.push(batch, clock.nowUs()));
    driver.onEvent((event) => this.#onEvent(event));
  }

  /** What another instance had open and this one has not opened yet, or has not heard of yet, refuses nothing. */
  get #waits(): boolean {
    return this.#options.following !== undefined && (!this.#isStarted || this.#options.waits());
  }

  get survives(): boolean {
    return this.#options.following !== undefined;
  }

  follow(): void {
    this.#options.following?.follow();
  }

  /** All frames of a bus come in order: what is newer than the newest that became a value was not handed out. */
  goOn(): void {
    const { following, receive } = this.#options;
    const topics = [...receive.messages.map(({ topic }) => topic), ...(receive.rawTopic ? [receive.rawTopic] : [])];
    const lastUs = Math.max(0, ...topics.map(({ timeUs }) => timeUs));
    if (lastUs > 0) following?.goOnAfter(lastUs);
  }

  async start(): Promise<void> {
    await this.driver.start();
    this.#isStarted = true;
  }

  stop(): Promise<void> {
    return this.driver.stop();
  }

  get awaitsRearm(): boolean {
    return this.path !== undefined && this.#phase === "proven" && this.driver.health().state === "dead";
  }

  missing(): string[] {
    if (!this.path || this.awaitsRearm) return [];
    const { state, reason } = this.driver.health();
    const missing: string[] = [];
    if (state !== "up" && state !== "degraded") missing.push(`bus ${this.name} is ${state}${reason ? `: ${reason}` : ""}`);
    const sinceUs = this.#options.clock.nowUs() - this.#foreignCommandUs;
    if (sinceUs < SECOND_MASTER_MS * 1e3) missing.push(`somebody else sends ${this.#foreignCommand} on bus ${this.name}: a second master`);
    if (!this.driver.canPurge()) missing.push(`the transmit queue of bus ${this.name} could not be purged: stale commands might be replayed (needs CAP_NET_ADMIN)`);
    return missing;
  }

  /** The frame with this token will never go out: whoever took it has refused it, or lost it. */
  refusedLater(token: number, reason: string): void {
    if (this.line.settled(token)) return this.#options.careMoved?.();
    this.path?.refusedLater(token, reason, this.#options.clock.nowUs());
  }

  /** A frame that only we may send came from somebody else. */
  foreignCommand(message: string, timeUs: number): void {
    const first = timeUs - this.#foreignCommandUs >= SECOND_MASTER_MS * 1e3;
    this.#foreignCommandUs = timeUs;
    this.#foreignCommand = message;
    if (first) this.#options.ports.secondMaster(this, message);
  }

  poll(nowUs: number): void {
    this.path?.poll(nowUs);
    if (this.#isStarted) this.#time?.poll(nowUs);
  }

  nextDeadlineUs(nowUs: number): number | undefined {
    const due = [this.path?.nextDeadlineUs(nowUs), this.#isStarted ? this.#time?.deadlineUs : undefined].filter((each) => each !== undefined);
    return due.length === 0 ? undefined : Math.min(...due);
  }

  rearm(): void {
    if (this.path) this.driver.rearm();
  }

  closeInterval(seconds: number): void {
    const { frames, echoes, bits } = this.receiver.counters;
    const sent = this.path?.counters.sent ?? 0;
    const last = this.#atLastInterval;
    // What really went out, where the link tells; otherwise what was handed over.
    const sentNow = this.driver.confirmsTransmission ? echoes - last.echoes : sent - last.sent;
    this.#rates = {
      receivedHz: (frames - last.frames) / seconds, sentHz: sentNow / seconds,
      loadPercent: this.#options.bitrateBps ? Math.min(100, ((bits - last.bits) / seconds / this.#options.bitrateBps) * 100) : undefined,
    };
    this.#atLastInterval = { frames, echoes, sent, bits };
  }

  report(): LinkReport {
    const health = this.driver.health();
    const { frames, accepted, rejected, unknown, errorFrames, late, lost } = this.receiver.counters;
    return {
      kind: "can", name: this.name, driver: this.driver.kind, state: health.state, reason: health.reason,
      loadPercent: this.#rates.loadPercent, receivedRateHz: this.#rates.receivedHz, sentRateHz: this.#rates.sentHz,
      counters: { ...health.counters, frames, accepted, rejected, unknown, errorFrames, late, lost, ...(this.#time ? { timePairs: this.#time.pairs } : {}) },
    };
  }

  #onEvent(event: DriverEvent): void {
    if (event.code === "stateChanged") this.#phase = event.details?.["phase"];
    // Whatever was on its way is settled one way or the other: nothing may wait for an echo that cannot come. (Before it is known how things are, nothing is.)
    const settles = event.code === "purged" || event.code === "transmitDropped" || (event.code === "stateChanged" && event.state !== "up" && event.state !== "degraded");
    if (settles && !this.#waits) {
      this.path?.clear();
      this.line.clear();
    }
    this.#options.ports.event(this, event);
  }
}

function outgoing(command: CanCommand, driver: CanDriver, bit: number): OutgoingMessage {
  const { codec, protector } = command;
  const { message } = codec;
  const filledIn = Object.fromEntries(command.ownedSignals.map((signal) => [signal, 0]));
  const flags = canFlagsOf(message);
  return {
    name: command.name, ttlMsMax: command.ttlMsMax, rateHzMax: command.rateHzMax, poseOnly: command.poseOnly,
    bits: messageBitsMax(message, codec.wireLengthBytes, bit), confirms: driver.confirmsTransmission,
    encode: (values) => codec.encode({ ...filledIn, ...values }),
    transmit(data, deadlineUs, token) {
      const counterBefore = protector?.counter;
      protector?.protect(data, 0, data.length, message.canId);
      const verdict = driver.send({ timeUs: deadlineUs, canId: message.canId, flags, data, token });
      // A frame that never went out must not look like a lost one to the receiver.
      if (verdict !== "queued" && protector && counterBefore !== undefined) protector.counter = counterBefore;
      return verdict;
    },
  };
}
