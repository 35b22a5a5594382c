/**
 * The conversation with an slcan adapter, as a table: get it into a known state, set the rate, open; later close and open again to recover.
 * Pure: `step` takes what was heard and returns what to do.
 *
 * An adapter may be in any state when we come: mid-line, open, with unread frames. So it is first sent empty lines and `C`, and then asked for its
 * version: the answer to that cannot be mistaken, whatever refusals the earlier lines have earned. One that knows no `V` is given time instead.
 */
export type LinkState = "idle" | "syncing" | "settingRate" | "settingStamps" | "opening" | "open" | "closing" | "failed";
export type LinkEvent = "start" | "recover" | "ok" | "refused" | "version" | "timeout";
export type LinkEffect = "sendSync" | "sendRate" | "sendStamps" | "sendOpen" | "sendClose" | "opened" | "failed";

interface Cell {
  to: LinkState;
  do: readonly LinkEffect[];
}

const stay = "ignore";
const toRate = { to: "settingRate", do: ["sendRate"] } as const;
const toStamps = { to: "settingStamps", do: ["sendStamps"] } as const;
const toOpening = { to: "opening", do: ["sendOpen"] } as const;
const toOpen = { to: "open", do: ["opened"] } as const;
const toFailed = { to: "failed", do: ["failed"] } as const;
const toSync = { to: "syncing", do: ["sendSync"] } as const;

export const linkTable = {
  idle: { start: toSync, recover: stay, ok: stay, refused: stay, version: stay, timeout: stay },
  syncing: { start: stay, recover: stay, ok: stay, refused: stay, version: toRate, timeout: toRate },
  // Some adapters refuse what is set already or fixed, but then O works: the refusal is only noted.
  settingRate: { start: stay, recover: stay, ok: toStamps, refused: toStamps, version: stay, timeout: toFailed },
  settingStamps: { start: stay, recover: stay, ok: toOpening, refused: toOpening, version: stay, timeout: toOpening },
  opening: { start: stay, recover: stay, ok: toOpen, refused: toFailed, version: stay, timeout: toFailed },
  open: { start: stay, recover: { to: "closing", do: ["sendClose"] }, ok: stay, refused: stay, version: stay, timeout: stay },
  closing: { start: stay, recover: stay, ok: toOpening, refused: toOpening, version: stay, timeout: toFailed },
  failed: { start: toSync, recover: stay, ok: stay, refused: stay, version: stay, timeout: stay },
} as const satisfies Record<LinkState, Record<LinkEvent, Cell | typeof stay>>;

/** States in which an answer is awaited. */
export const waits: Readonly<Record<LinkState, boolean>> = {
  idle: false, syncing: true, settingRate: true, settingStamps: true, opening: true, open: false, closing: true, failed: false,
};

export class LinkMachine {
  #state: LinkState = "idle";

  get state(): LinkState {
    return this.#state;
  }

  step(event: LinkEvent): readonly LinkEffect[] {
    const cell: Cell | typeof stay = linkTable[this.#state][event];
    if (cell === stay) return [];
    this.#state = cell.to;
    return cell.do;
  }
}
