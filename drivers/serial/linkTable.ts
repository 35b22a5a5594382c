/** The states of a serial link, as a total table; `link.ts` performs the effects. */

/**
 * `searching`: waiting before the next attempt to open. `handshake`: open, but the peer has not yet said that it hears us.
 * `silent`: open, but nothing valid has come for the silence timeout.
 */
export type LinkState = "stopped" | "searching" | "opening" | "handshake" | "up" | "silent";

export type LinkEvent =
  | "start"
  | "stop"
  /** The waiting time is over. */
  | "retry"
  | "opened"
  | "openFailed"
  /** Closed under us, a write failed, or the port takes nothing. */
  | "lost"
  /** The peer is there and hears us. */
  | "peerReady"
  /** The silence timeout passed. */
  | "silence"
  /** Silent, or without an answer, for so long that only opening anew may help. */
  | "deaf";

export type LinkAction = "openPort" | "closePort" | "newSession" | "waitForRetry" | "dropQueue" | "reportUp" | "reportLost" | "reportSilence" | "reportDeaf";

export interface LinkCell {
  to: LinkState;
  do: readonly LinkAction[];
}

const ignored = (state: LinkState): LinkCell => ({ to: state, do: [] });
const stopOpen: LinkCell = { to: "stopped", do: ["closePort", "dropQueue"] };

export const LINK_TABLE: Record<LinkState, Record<LinkEvent, LinkCell>> = {
  stopped: {
    start: { to: "opening", do: ["openPort"] },
    stop: ignored("stopped"), retry: ignored("stopped"), opened: { to: "stopped", do: ["closePort"] }, openFailed: ignored("stopped"), lost: ignored("stopped"),
    peerReady: ignored("stopped"), silence: ignored("stopped"), deaf: ignored("stopped"),
  },
  searching: {
    retry: { to: "opening", do: ["openPort"] },
    stop: { to: "stopped", do: ["dropQueue"] },
    // An attempt that was given up and succeeds late.
    opened: { to: "searching", do: ["closePort"] },
    start: ignored("searching"), openFailed: ignored("searching"), lost: ignored("searching"), peerReady: ignored("searching"), silence: ignored("searching"), deaf: ignored("searching"),
  },
  opening: {
    opened: { to: "handshake", do: ["newSession"] },
    openFailed: { to: "searching", do: ["waitForRetry"] },
    lost: { to: "searching", do: ["closePort", "waitForRetry"] },
    deaf: { to: "searching", do: ["closePort", "waitForRetry"] },
    stop: stopOpen,
    start: ignored("opening"), retry: ignored("opening"), peerReady: ignored("opening"), silence: ignored("opening"),
  },
  handshake: {
    peerReady: { to: "up", do: ["reportUp"] },
    lost: { to: "searching", do: ["closePort", "reportLost", "waitForRetry"] },
    deaf: { to: "searching", do: ["closePort", "reportDeaf", "waitForRetry"] },
    stop: stopOpen,
    start: ignored("handshake"), retry: ignored("handshake"), opened: ignored("handshake"), openFailed: ignored("handshake"), silence: ignored("handshake"),
  },
  up: {
    silence: { to: "silent", do: ["dropQueue", "reportSilence"] },
    lost: { to: "searching", do: ["closePort", "dropQueue", "reportLost", "waitForRetry"] },
    stop: stopOpen,
    start: ignored("up"), retry: ignored("up"), opened: ignored("up"), openFailed: ignored("up"), peerReady: ignored("up"), deaf: ignored("up"),
  },
  silent: {
    peerReady: { to: "up", do: ["reportUp"] },
    lost: { to: "searching", do: ["closePort", "reportLost", "waitForRetry"] },
    deaf: { to: "searching", do: ["closePort", "reportDeaf", "waitForRetry"] },
    stop: stopOpen,
    start: ignored("silent"), retry: ignored("silent"), opened: ignored("silent"), openFailed: ignored("silent"), silence: ignored("silent"),
  },
};
