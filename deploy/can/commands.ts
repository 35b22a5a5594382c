/** From a bus of the configuration and what the interface is now to the words for `ip`. Pure. */
import { isSameRate } from "../../schemas/bitrate.ts";
import type { Bus } from "../../schemas/messages/config.ts";

export interface InterfaceNow {
  up: boolean;
  /** "can", "vcan", "vxcan", "slcan"…; undefined when `ip` does not say. */
  kind: string | undefined;
  bitrateBps: number | undefined;
  dataBitrateBps: number | undefined;
  /** It carries FD frames: MTU 72 (CANFD_MTU); of a controller in FD mode that is its MTU. */
  fd: boolean;
  /** Whether its controller has an FD mode; undefined when `ip` does not say. */
  fdCapable: boolean | undefined;
  /** 0 to 1. */
  samplePoint: number | undefined;
  dataSamplePoint: number | undefined;
  restartMs: number | undefined;
  listenOnly: boolean;
}

export interface Attempt {
  /** Each a command line of `ip`; all must work. */
  commands: readonly (readonly string[])[];
  /** What is missing if only this attempt works; undefined: nothing. */
  without: string | undefined;
}

export type WantedBus = Pick<Bus, "interface" | "bitrateBps" | "samplePointPercent" | "dataBitrateBps" | "dataSamplePointPercent" | "fd" | "listenOnly" | "txQueueFrames">;

/** The kernel takes the nearest one that the controller's clock allows. */
const SAMPLE_POINT_TOLERANCE = 0.03;
/** CANFD_MTU, linux/can.h. */
const FD_MTU = 72;

/** Why nothing that could be tried would give the bus what it wants, and what to do; undefined: something may. The interface is left as it is then. */
export function impossible(bus: WantedBus, { kind, fdCapable }: InterfaceNow): string | undefined {
  const { interface: name } = bus;
  if (!bus.fd || kind !== "can" || fdCapable !== false) return undefined;
  return `the controller of ${name} has no CAN FD, and the configuration says fd: true\n        remedy: fd: false on this bus if its nodes are classic, or an interface with CAN FD (MCP2518FD: docs of the package, RASPBERRY-PI.md)`;
}

/**
 * What brings the interface up, best first: the next attempt is made when one fails. Empty: it is as it should be and carries traffic, so it is left alone.
 * The kernel must not restart the bus by itself (restart-ms 0): it would send what was queued before the fault. The gateway purges, then restarts.
 */
export function bringUp(bus: WantedBus, now: InterfaceNow): readonly Attempt[] {
  const { interface: name } = bus;
  // The kernel refuses FD mode without a rate of the data phase. The nominal one changes nothing: frames with a switch of the bit rate then only look like it.
  const dataBitrateBps = bus.dataBitrateBps ?? bus.bitrateBps;
  const up = ["link", "set", name, "up", "txqueuelen", String(bus.txQueueFrames)];
  const down = ["link", "set", name, "down"];
  if (now.kind !== undefined && now.kind !== "can") {
    if (bus.fd && !now.fd) return [{ commands: [down, ["link", "set", name, "mtu", String(FD_MTU)], ["link", "set", name, "up"]], without: undefined }];
    return now.up ? [] : [{ commands: [["link", "set", name, "up"]], without: undefined }];
  }
  // Without a rate in the configuration whatever set it up before knows better.
  if (bus.bitrateBps === undefined) return now.up ? [] : [{ commands: [up], without: undefined }];
  const isTimed = now.bitrateBps !== undefined && isSameRate(now.bitrateBps, bus.bitrateBps) && isNear(now.samplePoint, bus.samplePointPercent);
  const isFdTimed = !bus.fd || (now.fd && (bus.dataBitrateBps === undefined || (now.dataBitrateBps !== undefined && isSameRate(now.dataBitrateBps, bus.dataBitrateBps))) && isNear(now.dataSamplePoint, bus.dataSamplePointPercent));
  if (now.up && isTimed && isFdTimed && (now.restartMs ?? 0) === 0 && now.listenOnly === bus.listenOnly) return [];
  // What is not said stays as it was. FD mode does, where no FD is asked for: it passes classic frames, while a controller without it would destroy every FD frame of others.
  const modes = [...(bus.fd ? ["dbitrate", String(dataBitrateBps), ...point("dsample-point", bus.dataSamplePointPercent), "fd", "on"] : []), ...(bus.listenOnly ? ["listen-only", "on"] : now.listenOnly ? ["listen-only", "off"] : [])];
  const rate = ["link", "set", name, "type", "can", "bitrate", String(bus.bitrateBps), ...point("sample-point", bus.samplePointPercent), ...modes];
  const attempt = (words: readonly string[], without: string | undefined): Attempt => ({ commands: [down, [...rate, ...words], up], without });
  return [
    attempt(["restart-ms", "0", "berr-reporting", "on"], undefined),
    // MCP2515 and others cannot report single bus errors.
    attempt(["restart-ms", "0"], "its controller does not report single bus errors: why a frame failed stays unknown"),
    // slcan and some USB adapters refuse restart-ms.
    attempt([], "its driver takes no restart-ms: whether it restarts the bus by itself is its own matter"),
  ];
}

function isNear(actual: number | undefined, wantedPercent: number | undefined): boolean {
  return wantedPercent === undefined || (actual !== undefined && Math.abs(actual - wantedPercent / 100) <= SAMPLE_POINT_TOLERANCE);
}

const point = (word: string, percent: number | undefined): string[] => (percent === undefined ? [] : [word, (percent / 100).toFixed(3)]);

/** `ip` writes sample points as text. */
interface Timing {
  bitrate?: number;
  sample_point?: string | number;
}

interface LinkData {
  restart_ms?: number;
  bittiming?: Timing;
  data_bittiming?: Timing;
  /** What the controller could do: limits, or a list of rates. */
  bittiming_const?: object;
  bitrate_const?: readonly number[];
  data_bittiming_const?: object;
  data_bitrate_const?: readonly number[];
  ctrlmode?: readonly string[];
}

interface IpLink {
  mtu?: number;
  flags?: readonly string[];
  linkinfo?: { info_kind?: string; info_data?: LinkData };
}

/** From `ip -details -json link show NAME`; an `ip` without JSON leaves everything unknown. */
export function interfaceNow(json: string): InterfaceNow {
  let link: IpLink | undefined;
  try {
    [link] = JSON.parse(json) as IpLink[];
  } catch {
    link = undefined; // unknown, as said
  }
  const data = link?.linkinfo?.info_data;
  return {
    up: link?.flags?.includes("UP") ?? false, kind: link?.linkinfo?.info_kind, bitrateBps: data?.bittiming?.bitrate, dataBitrateBps: data?.data_bittiming?.bitrate,
    fd: (link?.mtu ?? 0) >= FD_MTU, fdCapable: isFdCapable(data), samplePoint: samplePointOf(data?.bittiming), dataSamplePoint: samplePointOf(data?.data_bittiming),
    restartMs: data?.restart_ms, listenOnly: data?.ctrlmode?.includes("LISTEN-ONLY") ?? false,
  };
}

function samplePointOf(timing: Timing | undefined): number | undefined {
  return timing?.sample_point === undefined ? undefined : Number(timing.sample_point);
}

/** Every controller says what its bit timing may be; one with CAN FD says it for the data phase, too. */
function isFdCapable(data: LinkData | undefined): boolean | undefined {
  if (data?.data_bittiming_const !== undefined || data?.data_bitrate_const !== undefined) return true;
  return data?.bittiming_const === undefined && data?.bitrate_const === undefined ? undefined : false;
}
