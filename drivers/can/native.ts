/**
 * Loads `ipcnet_can.node` and gives its exports their types. Nothing but this file knows where the addon lies;
 * nothing but `busHealth.ts`, `nativeBus.ts` and `drivers/pty` calls what is in it.
 */
import { createRequire } from "node:module";
import { addonPath } from "../../shm/sockets/addonPath.ts";
import { DriverError } from "../driver.ts";

export interface NativeBusHealthOptions {
  frameTimeUs: number;
  txQueueFrames: number;
  deadAfterUs: number;
  probeIntervalUs: number;
  restartMinUs: number;
  restartMaxUs: number;
  restartBudget: number;
  confirms: boolean;
  listenOnly: boolean;
  nowUs: number;
}

export interface NativeBusHealth {
  /** 24 doubles of status, then 16 effects of five u32: see addon/bus_health_addon.c. Never transfer it. */
  readonly memory: ArrayBuffer;
  /** Returns how many effects lie in `memory`. */
  step(kind: number, a: number, b: number, nowUs: number): number;
  setLink(frameTimeUs: number, txQueueFrames: number): void;
}

export interface NativeCanBusOptions {
  kind: "socketcan" | "emulator";
  /** Name of the interface, or path of the emulator's socket. */
  interface: string;
  /** The bus's name at the emulator. */
  busName: string;
  /** Our name there, for people. */
  nodeName: string;
  fd: boolean;
  listenOnly: boolean;
  txQueueFrames: number;
  ringFrames: number;
  batchFrames: number;
  receiveBufferBytes: number;
}

/** A link as it was when it last came up, went down or away. */
export interface NativeLink {
  /** Whether the kernel knew such an interface. */
  there: boolean;
  /** Has a bit rate and error states: not a virtual interface. */
  controller: boolean;
  up: boolean;
  running: boolean;
  fd: boolean;
  listenOnly: boolean;
  txQueueFrames: number;
  /** 0 where the link does not tell. */
  bitrateBps: number;
  dataBitrateBps: number;
  restartMs: number;
  /** 0 error-active … 3 bus-off; -1 unknown. */
  busState: number;
  tec: number;
  rec: number;
  /** Why a peer refused us, if it did. */
  refusal: string;
}

/** See addon/bus_addon.c. */
export interface NativeCanBus {
  readonly memory: ArrayBuffer;
  open(): { code: string; message: string; remedy: string };
  closeSocket(): void;
  dispose(): void;
  query(): NativeLink;
  mayPurge(): boolean;
  /** Sends the frame in `memory`. */
  send(): number;
  /** Fills `memory`'s batch. */
  drain(): number;
  woken(): void;
  eventsWaiting(): number;
  nextEvent(): boolean;
  request(bits: number, syncNumber: number): void;
  refresh(): void;
}

export interface NativeAddon {
  NativeCanBus: new (options: NativeCanBusOptions, onWake: () => void) => NativeCanBus;
  NativeBusHealth: new (options: NativeBusHealthOptions) => NativeBusHealth;
  frameTimeUs(bitrateBps: number, dataBitrateBps: number, fd: boolean): number;
  /** A raw pseudo-terminal; the caller owns both descriptors. Throws an Error with an errno's name as `code`. */
  openPty(): { masterFd: number; slaveFd: number; path: string };
}

let loaded: NativeAddon | undefined;

/** The addon, loaded once. Throws a DriverError "addonMissing" with the command that builds it. */
export function native(): NativeAddon {
  if (loaded) return loaded;
  try {
    loaded = createRequire(import.meta.url)(addonPath("ipcnet_can", import.meta.dirname) ?? "ipcnet_can.node") as NativeAddon;
  } catch (cause) {
    throw new DriverError("addonMissing", "the native CAN core (ipcnet_can.node) could not be loaded", "npm run build", { cause });
  }
  return loaded;
}
