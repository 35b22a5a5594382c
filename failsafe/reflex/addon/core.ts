/**
 * Loads `ipcnet_reflex_core.node` and gives what lies in its buffers names. For the simulator and for tests; the process `ipcnet-reflex` is C.
 *
 * A call fills a list of effects: what the core asked of its outside, in order. `effects` reads them where they lie; they are valid until the next call.
 */
import { createRequire } from "node:module";
import { addonPath } from "../../../shm/sockets/addonPath.ts";

interface NativeCore {
  readonly memory: ArrayBuffer;
  readonly pageAtCut: ArrayBuffer;
  init(page: ArrayBuffer, instance: number, alone: number, storedEpoch: number, nowUs: number): number;
  loadTable(bytes: ArrayBuffer, length: number, nowUs: number): boolean;
  restore(nowUs: number): number;
  frames(bus: number, count: number, nowUs: number): number;
  link(bus: number, kind: number, a: number, b: number, key: number, nowUs: number): number;
  command(length: number, nowUs: number): number;
  order(order: number, a: number, b: number, cHigh: number, cLow: number, nowUs: number): number;
  missing(nowUs: number): number;
  twinEvent(event: number, other: ArrayBuffer | null, nowUs: number): number;
  tick(nowUs: number): number;
  counters(): number;
  watch(deadlineUs: number, nowUs: number): number;
  look(other: ArrayBuffer, nowUs: number): boolean;
}

interface NativeNodes {
  /** 64 bytes of frame, then per node 8 × u32: see `NodeState`. */
  readonly memory: ArrayBuffer;
  powerOn(node: number): void;
  hear(node: number, idOwner: number, lengthBytes: number, nowUs: number): number;
  judge(node: number, lengthBytes: number, nowUs: number): number;
  poll(node: number, nowUs: number): void;
}

export interface CoreAddon {
  ReflexCore: new () => NativeCore;
  ReflexNodes: new (count: number, claimTimeoutUs: number, deadManUs: number, firstDataId: number, epochBits: number) => NativeNodes;
  places: Readonly<Record<string, number>>;
}

/** Throws when the addon is not built. `path`: another build of it, as tests of mutants have. */
export function loadCoreAddon(path?: string): CoreAddon {
  const found = path ?? addonPath("ipcnet_reflex_core", import.meta.dirname);
  if (found === undefined) throw new Error("ipcnet_reflex_core.node is not built (remedy: npm run build)");
  return createRequire(import.meta.url)(found) as CoreAddon;
}

export const roles = ["starting", "standby", "fencing", "claiming", "owner", "yielding", "outvoted", "stopped"] as const;
export type Role = (typeof roles)[number];
export const armings = ["disarmed", "armed", "safePose", "posed", "fault"] as const;
export type Arming = (typeof armings)[number];
/** Events of enum ipcnet_twin_event by name. */
export const TwinEvent = {
  lockGranted: 0, lockHeld: 1, ownerSuspect: 2, ownerDead: 3, fenceExpired: 4, epochStored: 5, claimSent: 6, claimConfirmed: 7, claimExpired: 8, higherEpoch: 9, selfFenced: 10, otherHostSilent: 11,
  yieldAsked: 12, yieldedToUs: 13, yieldDone: 14, yieldExpired: 15, stopAsked: 16, storeFailed: 17,
} as const;
/** Bits of enum ipcnet_twin_effect. */
export const TwinDo = { kill: 1, storeEpoch: 2, sendClaim: 4, takeOver: 8, silence: 16, release: 32, tryLock: 64, publish: 128 } as const;
export const Order = { arm: 0, disarm: 1, reset: 2, trigger: 3, rearmBus: 4, purgeBus: 5, callDone: 6, brainBeat: 7, brainGone: 8 } as const;
export const LinkEvent = { changed: 0, up: 1, down: 2, gone: 3, busState: 4, purged: 5, purgeFailed: 6, restartFailed: 7, dropped: 8, overflow: 9, synced: 10 } as const;
export const BusEffect = { refuse: 0, accept: 1, stateChanged: 2, purge: 3, probe: 4, restartBus: 5, reopen: 6, emergency: 7, reportDrops: 8 } as const;
export const Effect = { send: 0, bus: 1, record: 2, journal: 3, twin: 4 } as const;
export const Report = { refused: 0, settled: 1, state: 2, bus: 3, link: 4, node: 5, step: 6, verdict: 7, call: 8, role: 9 } as const;
export const REPORT_FLAG = 0x80;
export const QUEUED = 0;
export const NEVER_CUT = 0xffff_ffff;
const EFFECT_BYTES = 104;
export const FRAME_BYTES = 88;
export const COMMAND_BYTES = 112;

/** One core, begun anew with each `init`. */
export class Core {
  readonly native: NativeCore;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly u32: Uint32Array;
  /** Places in `memory`, bytes. */
  readonly at: Readonly<Record<string, number>>;
  readonly #effects: number;
  readonly #state: number;
  readonly #countAt: number;
  readonly #cutAt: number;
  readonly #wasCutAt: number;
  readonly #nextDeadlineAt: number;

  constructor(addon: CoreAddon) {
    this.native = new addon.ReflexCore();
    this.bytes = new Uint8Array(this.native.memory);
    this.view = new DataView(this.native.memory);
    this.u32 = new Uint32Array(this.native.memory);
    this.at = addon.places;
    this.#effects = addon.places["effects"]!;
    this.#state = addon.places["state"]!;
    this.#countAt = addon.places["effectCount"]! / 4;
    this.#cutAt = addon.places["cutAt"]! / 4;
    this.#wasCutAt = addon.places["wasCut"]! / 4;
    this.#nextDeadlineAt = addon.places["nextDeadlineUs"]!;
    this.cutAt = NEVER_CUT;
  }

  /** How many effects the last call had. */
  get effectCount(): number {
    return this.u32[this.#countAt]!;
  }
  /** Before which effect of the next call the process dies. */
  set cutAt(effect: number) {
    this.u32[this.#cutAt] = effect;
  }
  /** Whether it died in the last call: begin it anew; `native.pageAtCut` is its page as others see it. */
  get wasCut(): boolean {
    return this.u32[this.#wasCutAt] !== 0;
  }
  get nextDeadlineUs(): number {
    return this.view.getFloat64(this.#nextDeadlineAt, true);
  }

  effectKind(index: number): number {
    return this.u32[(this.#effects + index * EFFECT_BYTES) / 4]!;
  }
  effectBus(index: number): number {
    return this.u32[(this.#effects + index * EFFECT_BYTES + 4) / 4]!;
  }
  effectA(index: number): number {
    return this.u32[(this.#effects + index * EFFECT_BYTES + 8) / 4]!;
  }
  effectB(index: number): number {
    return this.u32[(this.#effects + index * EFFECT_BYTES + 12) / 4]!;
  }
  /** Where the effect's frame lies (struct ipcnet_can_frame). */
  effectFrameAt(index: number): number {
    return this.#effects + index * EFFECT_BYTES + 16;
  }
  inputFrameAt(index: number): number {
    return this.at["input"]! + index * FRAME_BYTES;
  }

  get arming(): number {
    return this.bytes[this.#state]!;
  }
  get role(): number {
    return this.bytes[this.#state + 1]!;
  }
  get triggerLatched(): boolean {
    return this.bytes[this.#state + 2] !== 0;
  }
  get malfunction(): number {
    return this.bytes[this.#state + 3]!;
  }
  get epoch(): number {
    return this.view.getUint16(this.#state + 4, true);
  }
  get trigger(): number {
    return this.view.getUint16(this.#state + 6, true);
  }
  get plan(): number {
    return this.view.getUint16(this.#state + 8, true);
  }
  get lackCount(): number {
    return this.u32[this.at["lackCount"]! / 4]!;
  }
  /** Pairs of reason and subject after `native.missing`. */
  lack(index: number): { reason: number; subject: number } {
    const at = this.at["lacks"]! + index * 4;
    return { reason: this.view.getUint16(at, true), subject: this.view.getUint16(at + 2, true) };
  }
  /** Why the last `loadTable` failed. */
  get fault(): { code: string; section: number; row: number } {
    const at = this.at["faultCode"]!;
    const end = this.bytes.indexOf(0, at);
    return { code: Buffer.from(this.bytes.subarray(at, end)).toString("latin1"), section: this.u32[this.at["faultSection"]! / 4]!, row: this.u32[this.at["faultRow"]! / 4]! };
  }
}

export const heardNames = ["followed", "kept", "released", "stale", "notHeard"] as const;
export const ACCEPTED = 0;

/** Some nodes of the node kit. */
export class NodeKits {
  readonly native: NativeNodes;
  readonly frame: Uint8Array;
  readonly #states: Uint32Array;

  constructor(addon: CoreAddon, { count, claimTimeoutUs, deadManUs, firstDataId, epochBits }: { count: number; claimTimeoutUs: number; deadManUs: number; firstDataId: number; epochBits: number }) {
    this.native = new addon.ReflexNodes(count, claimTimeoutUs, deadManUs, firstDataId, epochBits);
    this.frame = new Uint8Array(this.native.memory, 0, 64);
    this.#states = new Uint32Array(this.native.memory, 64);
  }

  /** The newest epoch heard since power-up; 0 none. */
  epoch(node: number): number {
    return this.#states[node * 8]!;
  }
  /** Whom it follows; 7: nobody. */
  owner(node: number): number {
    return this.#states[node * 8 + 1]!;
  }
  /** 0 safe, 1 hold, 2 follow. */
  outputs(node: number): number {
    return this.#states[node * 8 + 2]!;
  }
  accepted(node: number): number {
    return this.#states[node * 8 + 3]!;
  }
}
