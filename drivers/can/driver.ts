import type { Driver } from "../driver.ts";
import type { CanFrame, CanFrameBatch } from "./frame.ts";

/** What a purge of the transmit path came to. "impossible" names what is missing (usually CAP_NET_ADMIN): the bus must then not be armed. */
export type PurgeVerdict = { purged: true; droppedFrames: number } | { purged: false; code: "notPermitted" | "unsupported" | "linkDown"; text: string };

/**
 * A CAN bus. Batches hold received frames, echoes of own frames (`CanFlag.echo`, with their token) and error reports (`CanFlag.error`),
 * in the order in which they happened. `CanFrame.timeUs` of a frame to send is its deadline; 0 is refused as "expired".
 */
export interface CanDriver extends Driver<CanFrameBatch, CanFrame> {
  /** Nominal bit rate, or undefined when the link does not tell. */
  readonly bitrateBps: number | undefined;
  /** Whether FD frames can be sent. */
  readonly fd: boolean;
  /** Whether frames are echoed when the bus has really taken them; without it a dead bus cannot be told from a silent one. */
  readonly confirmsTransmission: boolean;
  /** Whether the transmit path could be emptied now, without doing it: checked at start, because a purge that fails for lack of a right is found out too late. */
  canPurge(): boolean;
  /** Empties every queue between us and the wire (user space, kernel, adapter). Stale commands are dropped, never replayed. */
  purge(): Promise<PurgeVerdict>;
  /** After a dead bus or bus-off was survived: allows sending again. Refused (false) until a probe was echoed. */
  rearm(): boolean;
}
