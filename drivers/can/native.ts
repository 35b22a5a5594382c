/**
 * Loads `dist/native/ipcnet_can.node` and gives its exports their types. Nothing but this file knows where the addon lies;
 * nothing but `busHealth.ts`, `nativeBus.ts` and `drivers/pty` calls what is in it.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
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

export interface NativeAddon {
  NativeBusHealth: new (options: NativeBusHealthOptions) => NativeBusHealth;
  frameTimeUs(bitrateBps: number, dataBitrateBps: number, fd: boolean): number;
  /** A raw pseudo-terminal; the caller owns both descriptors. Throws an Error with an errno's name as `code`. */
  openPty(): { masterFd: number; slaveFd: number; path: string };
}

let loaded: NativeAddon | undefined;

/** The addon, loaded once. Throws a DriverError "addonMissing" with the command that builds it. */
export function native(): NativeAddon {
  if (loaded) return loaded;
  let at = import.meta.dirname;
  let path = "";
  for (;;) {
    path = join(at, "dist/native/ipcnet_can.node");
    if (existsSync(path) || dirname(at) === at) break;
    at = dirname(at);
  }
  try {
    loaded = createRequire(import.meta.url)(path) as NativeAddon;
  } catch (cause) {
    throw new DriverError("addonMissing", "the native CAN core (ipcnet_can.node) could not be loaded", "npm run build", { cause });
  }
  return loaded;
}
