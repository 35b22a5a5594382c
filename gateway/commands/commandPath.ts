/**
 * The way of commands to one link: only listed messages, range-checked, fresh, newest only, paced, within the link's load budget. Pure but for
 * `transmit`, which never blocks and computes E2E counter and CRC at the moment of sending.
 *
 * It does not know whether the gateway is armed: `gate` is asked for each command, and asked again when a held one is due. Who has just taken over may not know either, for a moment (`waits`):
 * what comes then is neither refused nor sent; it lives no longer than any other.
 */
import type { SendVerdict } from "../../drivers/driver.ts";
import type { EncodeFaultName } from "../../schemas/dbc/index.ts";
import { Status } from "../../schemas/status.ts";
import type { BusLoadBudget } from "./budget.ts";
import { CommandSlot } from "./slot.ts";

/** Physical values by signal; value names as strings. */
export type CommandValues = Readonly<Record<string, number | bigint | string>>;

export type CommandRefusal =
  | "notArmed" | "unknownCommand" | "expired" | "superseded" | "disarmed"
  | EncodeFaultName | "unknownField" | "missingField"
  | Exclude<SendVerdict, "queued">;

export type EncodeResult = { ok: true; data: Uint8Array } | { ok: false; code: CommandRefusal; text: string };

export interface OutgoingMessage {
  name: string;
  ttlMsMax: number;
  rateHzMax: number;
  /** What it costs on the link at most, bits; 0 where the link has no budget. */
  bits: number;
  /** Whether the link reports that the frame really went out (`settled` is called then). */
  confirms: boolean;
  /** Only the safe pose may send it. */
  poseOnly: boolean;
  encode(values: CommandValues): EncodeResult;
  /** Protects and hands over. A refusal has changed nothing. */
  transmit(data: Uint8Array, deadlineUs: number, token: number): SendVerdict;
}

export type CommandVerdict =
  /** Handed to the driver, or held until its rate, the budget or the frame before it allow. `data`: the encoded command. */
  | { ok: true; held: boolean; data: Uint8Array }
  | { ok: false; code: CommandRefusal; status: number; text: string };

export interface CommandPathOptions {
  messages: readonly OutgoingMessage[];
  budget: BusLoadBudget | undefined;
  /** Whether commands may pass now. */
  gate(): boolean;
  /** Whether that is about to be known, and is not yet. */
  waits?: (() => boolean) | undefined;
}

interface Outgoing extends OutgoingMessage {
  slot: CommandSlot<Uint8Array>;
  token: number;
}

const nothing = new Uint8Array(0);
/** Tokens are counted within 31 bits; 0 stands for "none". */
const TOKEN_MAX = 0x7fff_ffff;
/** Between two looks whether `waits` is over. */
const WAIT_LOOK_US = 5_000;

export class CommandPath {
  readonly counters = { sent: 0 };
  readonly refused: Record<string, number> = {};
  readonly #options: CommandPathOptions;
  readonly #messages = new Map<string, Outgoing>();
  #nextToken = 1;

  constructor(options: CommandPathOptions) {
    this.#options = options;
    for (const message of options.messages) this.#messages.set(message.name, { ...message, slot: new CommandSlot(message.rateHzMax), token: 0 });
  }

  /** A command from a client, a bridge or a route. `ttlMs` undefined = the message's maximum; longer ones are cut to it. It lives from `sentUs` on, when its sender handed it over: what has waited in a socket has aged. */
  submit(name: string, values: CommandValues, ttlMs: number | undefined, nowUs: number, sentUs = nowUs): CommandVerdict {
    const message = this.#messages.get(name);
    if (!message || message.poseOnly) return this.#refuse("unknownCommand", Status.notFound, `${name} is not in the list of commands`);
    if (!this.#waits && !this.#options.gate()) return this.#refuse("notArmed", Status.preconditionFailed, "the gateway is not armed (ipcnet arm)");
    if (ttlMs !== undefined && !(ttlMs > 0)) return this.#refuse("expired", Status.gone, `a time to live of ${ttlMs} ms is over before it began`);
    const lifeMs = Math.min(ttlMs ?? Infinity, message.ttlMsMax);
    const deadlineUs = Math.min(sentUs, nowUs) + lifeMs * 1e3;
    if (deadlineUs <= nowUs) return this.#refuse("expired", Status.gone, `its time to live of ${lifeMs} ms had passed`);
    const encoded = message.encode(values);
    if (!encoded.ok) return this.#refuse(encoded.code, Status.unprocessableContent, encoded.text);
    const replaced = message.slot.put({ payload: encoded.data, deadlineUs });
    if (replaced) this.#count("superseded");
    return this.#flush(message, encoded.data, nowUs);
  }

  /** The safe pose's way: needs no arming and keeps no rate, but is encoded, protected and bounded like any other. */
  sendForSafePose(name: string, values: CommandValues, deadlineUs: number): CommandVerdict {
    const message = this.#messages.get(name);
    if (!message) return this.#refuse("unknownCommand", Status.notFound, `${name} is nothing that the safe pose sends`);
    const encoded = message.encode(values);
    if (!encoded.ok) return this.#refuse(encoded.code, Status.unprocessableContent, encoded.text);
    message.slot.clear();
    return this.#transmit(message, encoded.data, deadlineUs);
  }

  get #waits(): boolean {
    return this.#options.waits?.() ?? false;
  }

  /** Sends what was held and is due; to be called at `nextDeadlineUs`. */
  poll(nowUs: number): void {
    for (const message of this.#messages.values()) if (message.slot.nextDeadlineUs() !== undefined) this.#flush(message, nothing, nowUs);
  }

  nextDeadlineUs(nowUs: number): number | undefined {
    let next: number | undefined;
    const waits = this.#waits;
    for (const message of this.#messages.values()) {
      const dueUs = message.slot.nextDeadlineUs();
      if (dueUs === undefined) continue;
      if (waits) return nowUs + WAIT_LOOK_US;
      const atUs = Math.max(dueUs, this.#options.budget?.availableAtUs(message.bits, nowUs) ?? dueUs);
      next = next === undefined ? atUs : Math.min(next, atUs);
    }
    return next;
  }

  /** The link confirmed, or gave up, the frame with this token. */
  settled(token: number, nowUs: number): void {
    if (token === 0) return;
    for (const message of this.#messages.values()) {
      if (message.token !== token) continue;
      message.token = 0;
      message.slot.settled();
      if (message.slot.nextDeadlineUs() !== undefined) this.#flush(message, nothing, nowUs);
      return;
    }
  }

  /** The frame with this token was refused after it had been handed over: it will never go out. */
  refusedLater(token: number, reason: string, nowUs: number): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
    this.settled(token, nowUs);
  }

  /** Forgets everything that waits or is on its way: disarmed, link lost, purged. */
  clear(): void {
    for (const message of this.#messages.values()) {
      if (message.slot.clear()) this.#count("disarmed");
      message.slot.settled();
      message.token = 0;
    }
  }

  #flush(message: Outgoing, data: Uint8Array, nowUs: number): CommandVerdict {
    if (this.#waits) return { ok: true, held: true, data };
    if (!this.#options.gate()) {
      message.slot.clear();
      return this.#refuse("disarmed", Status.preconditionFailed, "disarmed before it was sent");
    }
    const { budget } = this.#options;
    if (budget && message.slot.nextDeadlineUs() !== undefined && budget.availableAtUs(message.bits, nowUs) > nowUs) {
      // Out of budget: only its deadline may still take it away.
      if (nowUs < (message.slot.deadlineUs ?? Infinity)) return { ok: true, held: true, data };
    }
    const command = message.slot.take(nowUs, () => this.#count("expired"));
    if (!command) return { ok: true, held: true, data };
    budget?.take(message.bits, nowUs);
    const verdict = this.#transmit(message, command.payload, command.deadlineUs);
    if (verdict.ok) message.slot.sent(nowUs, message.confirms);
    return verdict;
  }

  #transmit(message: Outgoing, data: Uint8Array, deadlineUs: number): CommandVerdict {
    const token = this.#nextToken;
    const verdict = message.transmit(data, deadlineUs, token);
    if (verdict !== "queued") return this.#refuse(verdict, Status.serviceUnavailable, `the link did not take it: ${verdict}`);
    this.#nextToken = token === TOKEN_MAX ? 1 : token + 1;
    message.token = token;
    this.counters.sent += 1;
    return { ok: true, held: false, data };
  }

  #refuse(code: CommandRefusal, status: number, text: string): CommandVerdict {
    this.#count(code);
    return { ok: false, code, status, text };
  }

  #count(code: CommandRefusal): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1;
  }
}
