/** A joint: the real node kit decides whom it obeys, a simple motor does it, and it reports what it measures and whom it follows. */
import { e2eProtector, type FrameProtector } from "../../schemas/e2e/index.ts";
import { ACCEPTED, heardNames, type NodeKits } from "../reflex/addon/core.ts";
import type { BusFrame, SimBus, Station } from "./bus.ts";
import type { DriftingClock } from "./clock.ts";
import type { EventQueue } from "./queue.ts";
import { CLAIM_ID, commandId, HEARTBEAT_PERIOD_US, heartbeatId, Mode, readCommand, STATE_DATA_ID, STATE_PERIOD_US, stateId, WITNESS_DATA_ID, witnessId } from "./robot.ts";

const SAFE = 0;
const FOLLOW = 2;
/** 10 mrad/s in one period of 10 ms. */
const ACCELERATION = 400;

export interface NodeEvents {
  accepted(node: SimNode, frame: BusFrame, data: Uint8Array): void;
  followed(node: SimNode): void;
}

export class SimNode implements Station {
  readonly name: string;
  readonly queue: BusFrame[] = [];
  readonly number: number;
  isOn = true;
  isConnected = true;
  half = 0;
  heldUntilUs = 0;
  /** It works and obeys, and says nothing. */
  isMute = false;
  /** Since it was switched on. */
  life: object = {};
  position = 0;
  velocity = 0;
  mode: number = Mode.off;
  readonly #time: EventQueue;
  readonly #bus: SimBus;
  readonly #kits: NodeKits;
  readonly #clock: DriftingClock;
  readonly #events: NodeEvents;
  #target = 0;
  #speed = 0;
  #state: FrameProtector;
  #witness: FrameProtector;
  #booted = false;

  constructor({ number, time, bus, kits, clock, events }: { number: number; time: EventQueue; bus: SimBus; kits: NodeKits; clock: DriftingClock; events: NodeEvents }) {
    this.name = `joint ${number}`;
    this.number = number;
    this.#time = time;
    this.#bus = bus;
    this.#kits = kits;
    this.#clock = clock;
    this.#events = events;
    this.#state = protector(STATE_DATA_ID + number);
    this.#witness = protector(WITNESS_DATA_ID + number);
    this.#start();
  }

  get epoch(): number {
    return this.#kits.epoch(this.number);
  }
  get owner(): number {
    return this.#kits.owner(this.number);
  }
  /** Nothing can move it: outputs are safe, or it stands and was told to stand. */
  get isSafe(): boolean {
    return this.velocity === 0 && (!this.isOn || this.#kits.outputs(this.number) !== FOLLOW || this.mode === Mode.off || this.mode === Mode.hold || (this.mode === Mode.park && Math.abs(this.position) <= 200));
  }
  get outputsAreSafe(): boolean {
    return !this.isOn || this.#kits.outputs(this.number) === SAFE;
  }

  setPower(on: boolean): void {
    if (on === this.isOn) return;
    this.isOn = on;
    this.velocity = 0;
    this.queue.length = 0;
    if (on) this.#start();
    this.#bus.kick();
  }

  receive(frame: BusFrame, data: Uint8Array, own: boolean): void {
    if (own) return;
    const { canId, length } = frame;
    const isClaim = canId >= CLAIM_ID && canId < CLAIM_ID + 4;
    if (!isClaim && canId !== commandId(this.number)) return;
    this.#kits.frame.set(data);
    const nowUs = this.#clock.read(this.#time.nowUs);
    if (isClaim) {
      const before = this.owner;
      const heard = heardNames[this.#kits.native.hear(this.number, canId - CLAIM_ID, length, nowUs)];
      if (heard === "followed") this.#events.followed(this);
      if (heard === "followed" || this.owner !== before) this.#sendWitness();
      return;
    }
    if (this.#kits.native.judge(this.number, length, nowUs) !== ACCEPTED) return;
    const command = readCommand(data);
    this.mode = command.mode;
    this.#target = command.mode === Mode.park ? 0 : command.target;
    this.#speed = 2 * command.speed;
    this.#events.accepted(this, frame, data);
  }

  /** Power-up: nothing is remembered. */
  #start(): void {
    this.life = {};
    this.mode = Mode.off;
    this.#booted = false;
    this.#state = protector(STATE_DATA_ID + this.number);
    this.#witness = protector(WITNESS_DATA_ID + this.number);
    this.#kits.native.powerOn(this.number);
    const { life } = this;
    this.#every(life, STATE_PERIOD_US, () => this.#turn());
    this.#every(life, HEARTBEAT_PERIOD_US, () => this.#beat());
  }

  #every(life: object, periodUs: number, action: () => void): void {
    const turn = (): void => {
      if (this.life !== life || !this.isOn) return;
      action();
      this.#time.after(periodUs, turn);
    };
    // Not all in the same microsecond.
    this.#time.after(137 * (this.number + 1), turn);
  }

  #turn(): void {
    this.#kits.native.poll(this.number, this.#clock.read(this.#time.nowUs));
    const obeys = this.#kits.outputs(this.number) === FOLLOW;
    const distance = this.#target - this.position;
    const wanted = obeys && (this.mode === Mode.move || this.mode === Mode.park) ? Math.sign(distance) * Math.min(this.#speed, Math.ceil(Math.abs(distance) / 4)) : 0;
    this.velocity += Math.max(-ACCELERATION, Math.min(ACCELERATION, wanted - this.velocity));
    // 10 mrad/s × 10 ms, in units of 0.1 mrad.
    this.position = Math.max(-32_000, Math.min(32_000, this.position + this.velocity));
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setInt16(3, this.position, true);
    view.setInt16(5, this.velocity, true);
    bytes[7] = this.mode;
    this.#send(stateId(this.number), bytes, 8, this.#state);
    this.#sendWitness();
  }

  #sendWitness(): void {
    const bytes = new Uint8Array(8);
    bytes[3] = this.epoch & 0xff;
    bytes[4] = this.epoch >> 8;
    bytes[5] = this.owner;
    this.#send(witnessId(this.number), bytes, 8, this.#witness);
  }

  #beat(): void {
    this.#send(heartbeatId(this.number), Uint8Array.of(this.#booted ? 5 : 0, 0, 0, 0, 0, 0, 0, 0), 1, undefined);
    this.#booted = true;
  }

  #send(canId: number, data: Uint8Array, length: number, protection: FrameProtector | undefined): void {
    // A firmware's mailboxes: what is newer replaces what waits.
    const waiting = this.queue.findIndex((frame) => frame.canId === canId);
    if (waiting >= 0 && this.queue.length > 1) this.queue.splice(waiting, 1);
    if (this.isMute || !this.isOn || this.queue.length > 4) return;
    protection?.protect(data, 0, length, canId);
    this.#bus.send({ canId, data, length, token: 0, sender: this, socket: undefined, truth: { epoch: 0, kind: "other", order: 0, deadlineUs: Infinity, handedOverUs: this.#time.nowUs, sleptUs: 0, stoodStillUs: 0 } });
  }
}

function protector(dataId: number): FrameProtector {
  return e2eProtector({ profile: "P05", dataId, lengthBytes: 8 });
}
