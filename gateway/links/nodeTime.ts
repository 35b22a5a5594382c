/** Tells the nodes of a bus the gateway's time (docs/specs/node-time.md), where this process has the bus itself; elsewhere the reflex does it (failsafe/reflex/core/reflex_time.c). */
import type { CanDriver } from "../../drivers/can/driver.ts";
import { CanFlag } from "../../drivers/can/frame.ts";
import { TimeSync } from "../../drivers/nodekit/timeSync.ts";

const TOKEN = 0xc000_0000;
const STANDARD_ID_MAX = 0x7ff;
/** A SYNC that is confirmed later than this says nothing that a node would take. */
const LIFE_US = 500_000;
/** Without claims there is one owner. */
const OWNER = 0;

export class NodeTime {
  /** Pairs that went out whole. */
  pairs = 0;
  readonly #driver: CanDriver;
  readonly #id: number;
  readonly #sync: TimeSync;
  #token = TOKEN;

  constructor(driver: CanDriver, { id, periodMs }: { id: number; periodMs: number }, nowUs: number) {
    this.#driver = driver;
    this.#id = id;
    this.#sync = new TimeSync({ id, owner: OWNER, periodUs: periodMs * 1e3 }, nowUs);
  }

  get deadlineUs(): number {
    return this.#sync.deadlineUs;
  }

  poll(nowUs: number): void {
    const frame = this.#sync.poll(nowUs);
    if (!frame) return;
    this.#token = this.#token >= TOKEN + 0xffff ? TOKEN : this.#token + 1;
    this.#send(frame.data, nowUs, this.#token);
  }

  /** An echo; if it is the newest SYNC's, the FOLLOW_UP says when that was. */
  echo(token: number, sentUs: number, nowUs: number): void {
    if (token !== this.#token) return;
    const frame = this.#sync.confirmed(sentUs);
    if (frame && this.#send(frame.data, nowUs, 0)) this.pairs += 1;
  }

  #send(data: Uint8Array, nowUs: number, token: number): boolean {
    return this.#driver.send({ timeUs: nowUs + LIFE_US, canId: this.#id, flags: this.#id > STANDARD_ID_MAX ? CanFlag.extended : 0, data, token }) === "queued";
  }
}
