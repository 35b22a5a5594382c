/**
 * One bus of the reflex as a CAN driver, so that the gateway's pipeline, commands and status work as with a bus of its own. What is handed to `send` is not protected yet:
 * the reflex checks it once more, fills in epoch, owner, counter and CRC, and sends it, or says why not.
 */
import { busPhases, busReasons, busReasonText } from "../../../drivers/can/busHealth.ts";
import type { CanDriver, PurgeVerdict } from "../../../drivers/can/driver.ts";
import { canKey, CanFlag, type CanFrame, type CanFrameBatch } from "../../../drivers/can/frame.ts";
import type { DriverEvent, DriverHealth, DriverState, SendVerdict } from "../../../drivers/driver.ts";
import { Listeners } from "../../../drivers/listeners.ts";
import type { Clock } from "../../../schemas/clock.ts";
import type { ReflexClient } from "./client.ts";
import type { ReflexEnd } from "./end.ts";
import { FIRST_OWNER_MS_MAX, TAKEOVER_MS_MAX } from "./limits.ts";
import type { Report } from "./records.ts";

/** By enum ipcnet_bus_state. */
const busStates = ["starting", "up", "degraded", "dead", "busOff", "down"] as const satisfies readonly DriverState[];
const stateOfPhase: Record<(typeof busPhases)[number], DriverState> = {
  down: "down", up: "up", degraded: "degraded", suspect: "degraded", purging: "dead", probing: "dead", proven: "dead", unpurgeable: "dead", offPurging: "busOff", offWaiting: "busOff", offRestarting: "busOff", offGivenUp: "busOff",
};
const refusal: Partial<Record<DriverState, SendVerdict>> = { dead: "busDead", busOff: "busOff" };

export interface ReflexBusOptions {
  client: ReflexClient;
  /** Its row in the table. */
  bus: number;
  name: string;
  bitrateBps: number | undefined;
  fd: boolean;
  clock: Clock;
  /** A command was refused by the reflex, or left its queue unsent. */
  onRefused(token: number, reason: string): void;
}

export class ReflexBus implements CanDriver {
  readonly kind = "reflex";
  readonly name: string;
  readonly bitrateBps: number | undefined;
  readonly fd: boolean;
  readonly confirmsTransmission = true;
  readonly #options: ReflexBusOptions;
  readonly #messages = new Map<number, number>();
  readonly #events = new Listeners<DriverEvent>();
  readonly #frames = new Listeners<CanFrameBatch>();
  readonly #counters = { sentFrames: 0, echoedFrames: 0, receivedFrames: 0, errorFrames: 0, refusedFrames: 0, droppedFrames: 0 };
  /** Handed over and not heard of: by token. */
  readonly #inFlight = new Set<number>();
  #stops: (() => void)[] = [];
  #shown: { state: DriverState; reason: string; phase: string; sinceUs: number };
  #owner: ReflexEnd | undefined;
  /** Of the process that owns the buses. */
  #greeting: ReflexEnd["hello"];
  #started = false;
  #followed = false;
  /** No owner yet, and that is no fault until then. */
  #waitsUntilUs = 0;

  constructor(options: ReflexBusOptions) {
    this.#options = options;
    ({ name: this.name, bitrateBps: this.bitrateBps, fd: this.fd } = options);
    for (const [row, message] of options.client.table.rows.messages.entries()) if (message.bus === options.bus) this.#messages.set(canKey(message.canId, (message.canFlags & CanFlag.extended) !== 0), row);
    this.#shown = { state: "stopped", reason: "", phase: "", sinceUs: options.clock.nowUs() };
  }

  /** Listens while another brain commands, and keeps what it hears until `start`. */
  follow(): void {
    if (this.#started || this.#followed) return;
    this.#followed = true;
    this.#options.client.follow();
  }

  /** What came until this time that brain has handed out; the rest comes at `start`. */
  goOnAfter(timeUs: number): void {
    if (this.#followed) this.#options.client.goOnAfter(this.#options.bus, timeUs);
  }

  start(): Promise<void> {
    if (!this.#started) {
      this.#started = true;
      const { client, bus } = this.#options;
      this.#stops = [client.onFrames(bus, (batch) => this.#received(batch)), client.onReport(({ end, report }) => this.#reported(end, report)), client.onChange(() => this.#changed()), client.onLoss(() => this.#giveUp("recordsLost"))];
      const now = this.#state();
      // A bus that is up has not come up by being looked at by another brain.
      if (this.#followed && now.state === "up") this.#shown = { ...now, sinceUs: this.#options.clock.nowUs() };
      client.start();
      const { clock } = this.#options;
      this.#waitsUntilUs = clock.nowUs() + FIRST_OWNER_MS_MAX * 1e3;
      this.#stops.push(clock.at(this.#waitsUntilUs, () => this.#look()));
      this.#look();
    }
    return Promise.resolve();
  }

  stop(): Promise<void> {
    if (this.#started) this.#options.client.stop();
    this.#started = false;
    for (const stop of this.#stops.splice(0)) stop();
    return Promise.resolve();
  }

  send({ canId, flags, data, timeUs, token = 0 }: CanFrame): SendVerdict {
    if (!this.#started) return "notStarted";
    const message = this.#messages.get(canKey(canId, (flags & CanFlag.extended) !== 0));
    // What is not in its table the reflex would refuse.
    if (message === undefined) return "unsupported";
    const state = this.#state();
    const refused = refusal[state.state];
    if (refused) return refused;
    const verdict = this.#options.client.send({ message, data, deadlineUs: timeUs, token });
    if (verdict === "queued") {
      this.#counters.sentFrames += 1;
      if (token !== 0) this.#inFlight.add(token);
    }
    return verdict;
  }

  onFrames(listener: (batch: CanFrameBatch) => void): () => void {
    return this.#frames.add(listener);
  }

  onEvent(listener: (event: DriverEvent) => void): () => void {
    return this.#events.add(listener);
  }

  health(): DriverHealth {
    const { state, reason, sinceUs } = this.#shown;
    return { state, reason, sinceUs, counters: { ...this.#counters } };
  }

  /** Whether it can is among what the reflex itself finds missing. */
  canPurge(): boolean {
    return true;
  }

  async purge(): Promise<PurgeVerdict> {
    const reply = await this.#options.client.order({ order: "purgeBus", a: this.#options.bus });
    return reply.code === "done" ? { purged: true, droppedFrames: 0 } : { purged: false, code: "linkDown", text: reply.text || `the reflex says ${reply.code}` };
  }

  /** Asks for it; whether it was opened shows in the state. */
  rearm(): boolean {
    const { client, bus } = this.#options;
    const phase = client.owner?.buses.get(bus)?.phase;
    if (phase === undefined || (busPhases[phase] !== "proven" && busPhases[phase] !== "offGivenUp")) return false;
    client.owner!.tell({ order: "rearmBus", a: bus });
    return true;
  }

  #received(batch: CanFrameBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const flags = batch.flags(i);
      if (flags & CanFlag.error) this.#counters.errorFrames += 1;
      else if (flags & CanFlag.echo) {
        this.#counters.echoedFrames += 1;
        this.#inFlight.delete(batch.token(i));
      } else this.#counters.receivedFrames += 1;
    }
    this.#frames.call(batch, () => this.#started);
  }

  #reported(end: ReflexEnd, report: Report): void {
    if (report.kind === "bus" && report.bus === this.#options.bus) this.#look();
    if (report.kind !== "refused" && report.kind !== "settled") return;
    if (!this.#inFlight.has(report.token)) return;
    // The standby reads the commands too; that it does not send them is no news while somebody else does.
    if (report.kind === "refused" && report.reason === "notOwner" && this.#options.client.owner !== end && this.#options.client.owner !== undefined) return;
    this.#inFlight.delete(report.token);
    if (report.kind === "refused") this.#counters.refusedFrames += 1;
    else this.#counters.droppedFrames += 1;
    this.#options.onRefused(report.token, report.kind === "refused" ? report.reason : report.how);
  }

  #changed(): void {
    const { owner } = this.#options.client;
    // What the one before had in its hands will not be told any more; nor when it was started again.
    if (owner && this.#owner && (owner !== this.#owner || owner.hello !== this.#greeting)) this.#giveUp("ownerChanged");
    if (owner) {
      this.#owner = owner;
      this.#greeting = owner.hello;
    }
    this.#look();
  }

  /** Nothing will be heard of what is on its way, and nothing may wait for that. The reflex itself has no two of a kind on the bus. */
  #giveUp(why: string): void {
    const lost = [...this.#inFlight];
    this.#inFlight.clear();
    for (const token of lost) this.#options.onRefused(token, why);
  }

  #state(): { state: DriverState; reason: string; phase: string } {
    const { client, bus } = this.#options;
    if (!this.#started) return { state: "stopped", reason: "", phase: "" };
    // While they change over nothing is known, and nothing has to be given up: commands wait in the lane that the next owner reads.
    if (!client.owner && client.ends.some(({ isReady }) => isReady) && client.ownerSinceMs() < TAKEOVER_MS_MAX && this.#shown.state !== "stopped") return this.#shown;
    if (!client.owner && !this.#owner && this.#options.clock.nowUs() < this.#waitsUntilUs) return { state: "starting", reason: `waiting for an owner: ${client.describeAbsence()}`, phase: "down" };
    if (!client.owner) return { state: "down", reason: client.describeAbsence(), phase: "down" };
    const told = client.owner.buses.get(bus);
    if (told) {
      const reason = busReasons[told.reason];
      return { state: busStates[told.state] ?? "down", reason: reason === undefined || reason === "none" ? "" : busReasonText(reason), phase: busPhases[told.phase] ?? "down" };
    }
    const phase = busPhases[client.owner.status?.busPhases[bus] ?? 0] ?? "down";
    return { state: stateOfPhase[phase], reason: "", phase };
  }

  /** Tells of a state that is new. */
  #look(): void {
    const { state, reason, phase } = this.#state();
    if (state === this.#shown.state && reason === this.#shown.reason) return;
    const atUs = this.#options.clock.nowUs();
    this.#shown = { state, reason, phase, sinceUs: atUs };
    this.#events.call({ atUs, code: "stateChanged", text: `bus ${this.name} is ${state}${reason ? `: ${reason}` : ""}`, state, details: { phase } }, () => this.#started);
  }
}
