/** One computer: its clock, the lock that its kernel gives back at death, the epoch on its disk, its CAN interface, its two reflex processes and its brain's lane. */
import type { BusFrame, SimBus, Station } from "./bus.ts";
import type { DriftingClock } from "./clock.ts";
import type { ReflexProcess } from "./process.ts";
import type { EventQueue } from "./queue.ts";

/** Frames that wait in the kernel, of all processes together. */
export const INTERFACE_FRAMES = 32;
const LANE_COMMANDS = 64;

/** RFC 1982; 0 is unknown, and whatever is not 0 is newer. */
export function isNewer(a: number, b: number): boolean {
  if (a === 0 || b === 0) return a !== 0;
  const ahead = (a - b) & 0xffff;
  return ahead !== 0 && ahead < 0x8000;
}

/** The epoch after the newest of these. */
export function nextEpoch(known: readonly number[]): number {
  const newest = known.reduce((best, one) => (isNewer(one, best) ? one : best), 0);
  return newest === 0xffff ? 1 : newest + 1;
}

/** Up to which epoch a twin may go without asking its disk: two slots, written alternately; a power cut in the middle of writing spoils the one that is written. */
export class EpochStore {
  readonly #slots: { epoch: number; sequence: number; isValid: boolean }[] = [{ epoch: 0, sequence: 0, isValid: false }, { epoch: 0, sequence: 0, isValid: false }];
  /** The newest valid one; 0 none. */
  epoch = 0;
  #writing: { slot: number; epoch: number } | undefined;
  fails = false;
  slowUs = 0;

  /** This epoch may be used. */
  has(epoch: number): boolean {
    return this.epoch !== 0 && (this.epoch === epoch || isNewer(this.epoch, epoch));
  }

  begin(epoch: number): void {
    const slot = this.#slots[0]!.sequence <= this.#slots[1]!.sequence ? 0 : 1;
    this.#writing = { slot, epoch };
    this.#slots[slot]!.isValid = false;
    this.#find();
  }

  /** It is on the platter. */
  end(): void {
    if (!this.#writing) return;
    const sequence = Math.max(...this.#slots.map((slot) => slot.sequence)) + 1;
    this.#slots[this.#writing.slot] = { epoch: this.#writing.epoch, sequence, isValid: true };
    this.#writing = undefined;
    this.#find();
  }

  get isWriting(): boolean {
    return this.#writing !== undefined;
  }

  /** Power is cut. What was being written may have arrived. */
  cut(arrived: boolean): void {
    if (arrived) this.end();
    this.#writing = undefined;
  }

  #find(): void {
    this.epoch = this.#slots.filter((slot) => slot.isValid).toSorted((one, other) => other.sequence - one.sequence)[0]?.epoch ?? 0;
  }
}

export class Host implements Station {
  readonly name: string;
  readonly number: number;
  readonly queue: BusFrame[] = [];
  readonly clock: DriftingClock;
  /** Each twin writes its own and reads both. */
  readonly stores = [new EpochStore(), new EpochStore()];
  readonly processes: ReflexProcess[] = [];
  isConnected = true;
  half = 0;
  heldUntilUs = 0;
  isPowered = true;
  /** The controller has given up the bus. */
  isBusOff = false;
  mayPurge = true;
  /** When it was forbidden last, and until when: what was handed over before the end may wait until the core asks again. */
  purgeForbiddenUs = Infinity;
  purgeAllowedUs = -Infinity;
  bootId = new Uint8Array(16);
  lockHolder: ReflexProcess | undefined;
  /** What the lock's last holder has noted in its file; gone with the power. */
  notedEpoch = 0;
  /** The journal on disk. */
  image: Uint8Array | undefined;
  /** Commands of the brain, newest last; the first has this number. */
  readonly lane: { bytes: Uint8Array; isRight: boolean }[] = [];
  laneFirst = 0;
  readonly #time: EventQueue;
  readonly #bus: SimBus;

  constructor({ number, clock, time, bus }: { number: number; clock: DriftingClock; time: EventQueue; bus: SimBus }) {
    this.name = `host ${number}`;
    this.number = number;
    this.clock = clock;
    this.#time = time;
    this.#bus = bus;
    this.bootId[0] = number + 1;
    this.bootId[1] = 1;
  }

  /** Its controller acknowledges. */
  get isOn(): boolean {
    return this.isPowered && !this.isBusOff;
  }

  /** The newest that either kept. */
  get storedEpoch(): number {
    return this.stores.reduce((best, { epoch }) => (isNewer(epoch, best) ? epoch : best), 0);
  }

  get nowUs(): number {
    return this.clock.read(this.#time.nowUs);
  }

  receive(frame: BusFrame, data: Uint8Array, own: boolean): void {
    for (const process of this.processes) process.hears(frame, data, own && frame.socket === process.life);
  }

  /** The brain writes a command into its lane; one with which nothing is wrong, or another. */
  write(bytes: Uint8Array, isRight: boolean): void {
    this.lane.push({ bytes, isRight });
    if (this.lane.length > LANE_COMMANDS) {
      this.lane.shift();
      this.laneFirst += 1;
    }
    for (const process of this.processes) process.wakeSoon();
  }

  /** Everything that waits in the interface is gone. */
  purge(): void {
    this.queue.length = 0;
    this.#bus.kick();
  }
}
