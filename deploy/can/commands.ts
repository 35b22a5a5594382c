/** From a bus of the configuration and what the interface is now to the words for `ip`. Pure. */
import type { Bus } from "../../schemas/messages/config.ts";

export interface InterfaceNow {
  up: boolean;
  /** "can", "vcan", "vxcan", "slcan"…; undefined when `ip` does not say. */
  kind: string | undefined;
  bitrateBps: number | undefined;
  dataBitrateBps: number | undefined;
  restartMs: number | undefined;
  listenOnly: boolean;
}

export interface Attempt {
  /** Each a command line of `ip`; all must work. */
  commands: readonly (readonly string[])[];
  /** What is missing if only this attempt works; undefined: nothing. */
  without: string | undefined;
}

/**
 * What brings the interface up, best first: the next attempt is made when one fails. Empty: it is as it should be and carries traffic, so it is left alone.
 * The kernel must not restart the bus by itself (restart-ms 0): it would send what was queued before the fault. The gateway purges, then restarts.
 */
export function bringUp(bus: Pick<Bus, "interface" | "bitrateBps" | "dataBitrateBps" | "fd" | "listenOnly" | "txQueueFrames">, now: InterfaceNow): readonly Attempt[] {
  const { interface: name } = bus;
  const up = ["link", "set", name, "up", "txqueuelen", String(bus.txQueueFrames)];
  if (now.kind !== undefined && now.kind !== "can") return now.up ? [] : [{ commands: [["link", "set", name, "up"]], without: undefined }];
  // Without a rate in the configuration whatever set it up before knows better.
  if (bus.bitrateBps === undefined) return now.up ? [] : [{ commands: [up], without: undefined }];
  const isRight = now.up && now.bitrateBps === bus.bitrateBps && (!bus.fd || bus.dataBitrateBps === undefined || now.dataBitrateBps === bus.dataBitrateBps) && (now.restartMs ?? 0) === 0 && now.listenOnly === bus.listenOnly;
  if (isRight) return [];
  const down = ["link", "set", name, "down"];
  const rate = ["link", "set", name, "type", "can", "bitrate", String(bus.bitrateBps), ...(bus.fd ? [...(bus.dataBitrateBps === undefined ? [] : ["dbitrate", String(bus.dataBitrateBps)]), "fd", "on"] : []), ...(bus.listenOnly ? ["listen-only", "on"] : [])];
  const attempt = (words: readonly string[], without: string | undefined): Attempt => ({ commands: [down, [...rate, ...words], up], without });
  return [
    attempt(["restart-ms", "0", "berr-reporting", "on"], undefined),
    // MCP2515 and others cannot report single bus errors.
    attempt(["restart-ms", "0"], "its controller does not report single bus errors: why a frame failed stays unknown"),
    // slcan and some USB adapters refuse restart-ms.
    attempt([], "its driver takes no restart-ms: whether it restarts the bus by itself is its own matter"),
  ];
}

interface IpLink {
  flags?: readonly string[];
  linkinfo?: { info_kind?: string; info_data?: { restart_ms?: number; bittiming?: { bitrate?: number }; data_bittiming?: { bitrate?: number }; ctrlmode?: readonly string[] } };
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
    restartMs: data?.restart_ms, listenOnly: data?.ctrlmode?.includes("LISTEN-ONLY") ?? false,
  };
}
