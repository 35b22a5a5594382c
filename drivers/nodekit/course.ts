/**
 * A conversation with one node, pure: a generator says what it needs next (an answer, a boot-up message, a node that stays operational), and the class around it provides that.
 * `take` gives frames to send, `hear` gets every frame of the bus, `poll` passes time.
 */
import { canopenIds, encodeNmt, type NmtCommand, type NodeFrame } from "./canopen.ts";
import { SdoTransfer, type SdoRequest, type SdoResult } from "./sdoTransfer.ts";

const ATTEMPTS = 3;
const OPERATIONAL = 5;
/** Longest silence of a node that counts as steady. */
const STEADY_GAP_US = 2e6;

export type Need = { need: "sdo"; request: SdoRequest } | { need: "nmt"; command: NmtCommand } | { need: "bootUp"; withinUs: number } | { need: "steady"; forUs: number; withinUs: number };
export type Course<T> = Generator<Need, T, unknown>;

/** Sequence, CRC, length: what the node got is not what was sent (segments that were late and came twice), which says nothing of the next try. */
const GARBLED: readonly number[] = [0x05040003, 0x05040004, 0x06070010];

/** One transfer, three times if nobody answers or it came garbled. */
export function* sdo(request: SdoRequest): Course<SdoResult> {
  let result: SdoResult;
  let attempt = 0;
  do {
    result = (yield { need: "sdo", request }) as SdoResult;
    attempt += 1;
  } while (!result.ok && (result.code !== "aborted" || GARBLED.includes(result.abortCode)) && attempt < ATTEMPTS);
  return result;
}

/** A number of 32 bits; undefined: it was refused, or nobody answered. */
export function* number(index: number, subindex: number): Course<number | undefined> {
  const result = yield* sdo({ type: "read", index, subindex });
  return result.ok && result.bytes.length === 4 ? new DataView(result.bytes.buffer, result.bytes.byteOffset).getUint32(0, true) : undefined;
}

export class NodeCourse<T> {
  readonly #node: number;
  readonly #course: Course<T>;
  readonly #out: NodeFrame[] = [];
  #need: Need | undefined;
  #transfer: SdoTransfer | undefined;
  #sinceUs = 0;
  #steadySinceUs: number | undefined;
  #heartbeatUs = 0;
  #result: T | undefined;

  constructor(node: number, course: Course<T>, nowUs: number) {
    this.#node = node;
    this.#course = course;
    this.#next(undefined, nowUs);
  }

  get result(): T | undefined {
    return this.#result;
  }

  /** Of the block that is written now, 0…1. */
  get progress(): number {
    return this.#transfer?.progress ?? 0;
  }

  /** To be sent now; also once more after there is a result. */
  take(max = Infinity): NodeFrame[] {
    const frames = this.#out.splice(0, max);
    return this.#transfer ? [...frames, ...this.#transfer.take(max - frames.length)] : frames;
  }

  hear(frame: NodeFrame, nowUs: number): void {
    if (frame.id === canopenIds.heartbeat + this.#node && frame.data.length === 1) this.#heartbeat(frame.data[0]! & 0x7f, nowUs);
    this.#transfer?.hear(frame, nowUs);
    this.#settle(nowUs);
  }

  poll(nowUs: number): void {
    this.#transfer?.poll(nowUs);
    this.#settle(nowUs);
    const need = this.#need;
    if (need?.need === "bootUp" && nowUs - this.#sinceUs >= need.withinUs) this.#next(false, nowUs);
    else if (need?.need === "steady" && nowUs - this.#sinceUs >= need.withinUs) this.#next(false, nowUs);
    else if (need?.need === "steady" && this.#steadySinceUs !== undefined && nowUs - this.#heartbeatUs > STEADY_GAP_US) this.#next(false, nowUs);
  }

  /** Gives up: a transfer is told so. There is no result, and nothing but `take` is of use afterwards. */
  abort(): void {
    this.#transfer?.abort();
    this.#out.push(...(this.#transfer?.take() ?? []));
    this.#transfer = undefined;
    this.#need = undefined;
  }

  /** One frame more, after those that wait. */
  protected say(frame: NodeFrame): void {
    this.#out.push(frame);
  }

  #heartbeat(state: number, nowUs: number): void {
    this.#heartbeatUs = nowUs;
    const need = this.#need;
    if (need?.need === "bootUp" && state === 0) this.#next(true, nowUs);
    else if (need?.need === "steady") {
      if (state === OPERATIONAL) this.#steadySinceUs ??= nowUs;
      if (state === 0 || (state !== OPERATIONAL && this.#steadySinceUs !== undefined)) this.#next(false, nowUs);
      else if (this.#steadySinceUs !== undefined && nowUs - this.#steadySinceUs >= need.forUs) this.#next(true, nowUs);
    }
  }

  #settle(nowUs: number): void {
    const transfer = this.#transfer;
    if (!transfer?.result) return;
    // What it still has to say (an abort) goes out before the next transfer begins.
    this.#out.push(...transfer.take());
    this.#transfer = undefined;
    this.#next(transfer.result, nowUs);
  }

  #next(outcome: unknown, nowUs: number): void {
    let answer = outcome;
    for (;;) {
      const step = this.#course.next(answer);
      this.#sinceUs = nowUs;
      this.#steadySinceUs = undefined;
      if (step.done === true) {
        this.#need = undefined;
        this.#result = step.value;
        return;
      }
      this.#need = step.value;
      if (step.value.need === "sdo") this.#transfer = new SdoTransfer(this.#node, step.value.request, nowUs);
      if (step.value.need !== "nmt") return;
      this.#out.push(encodeNmt(step.value.command, this.#node));
      answer = undefined;
    }
  }
}
