/**
 * New firmware over a serial line (docs/specs/node-update.md, "Over a serial line"): orders to the device's service `update`, and the course that gives it an image, goes on where a cut one stands, proves and confirms it. It asks by what it is
 * handed, and waits by it; a request that is lost with its line is asked again on the next.
 */
import { crc32IsoHdlc } from "../../schemas/crc/index.ts";
import { Status } from "../../schemas/status.ts";
import { decodeImage, type Image } from "./image.ts";
import { decodeReport, type FirmwareReport, REPORT_BYTES, type UpdateResult } from "./update.ts";

export const UPDATE_SERVICE = "update";
/** Bytes of the image in one request. */
export const PIECE_BYTES = 192;
const DEVICE_REPORT_BYTES = 20 + REPORT_BYTES;

export interface DeviceReport {
  vendor: number;
  product: number;
  slotBytes: number;
  pageBytes: number;
  /** What it has received of a transfer that is on; 0: none is. */
  at: number;
  firmware: FirmwareReport;
}

export function decodeDeviceReport(bytes: Uint8Array): DeviceReport | undefined {
  if (bytes.length !== DEVICE_REPORT_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [vendor, product, slotBytes, pageBytes, at] = Array.from({ length: 5 }, (_, i) => view.getUint32(i * 4, true)) as [number, number, number, number, number];
  const firmware = decodeReport(bytes.slice(20));
  return firmware && pageBytes > 0 && (pageBytes & (pageBytes - 1)) === 0 ? { vendor, product, slotBytes, pageBytes, at, firmware } : undefined;
}

function order(number: number, words: readonly number[] = [], bytes: Uint8Array = new Uint8Array(0)): Uint8Array {
  const body = new Uint8Array(1 + words.length * 4 + bytes.length);
  const view = new DataView(body.buffer);
  body[0] = number;
  for (const [i, word] of words.entries()) view.setUint32(1 + i * 4, word, true);
  body.set(bytes, 1 + words.length * 4);
  return body;
}

export const orders = {
  report: order(0),
  /** CRC-32 of the first bytes of the slot that does not run. */
  held: (bytes: number) => order(1, [bytes]),
  /** An image of `total` bytes, behind the first `from` of it, which are there. */
  begin: ({ from, crc, total }: { from: number; crc: number; total: number }) => order(2, [from, crc, total]),
  data: (at: number, bytes: Uint8Array) => order(3, [at], bytes),
  finish: order(4),
  start: order(5),
  confirm: order(6),
  revert: order(7),
} as const;

export interface SerialUpdatePorts {
  ask(body: Uint8Array, timeoutMs: number): Promise<{ status: number; body?: unknown }>;
  wait(ms: number): Promise<void>;
  nowUs(): number;
  /** The device's messages come, as those of a node at work. */
  isOperational(): boolean;
  /** Whoever began it, or the robot's state, wants no more of it. */
  isGivenUp(): boolean;
  /** So many bytes of the image are there. */
  progress(bytes: number): void;
  /** A transfer begins behind so many bytes that a cut one has left. */
  resumed(bytes: number): void;
}

export interface SerialUpdateOptions {
  image: Uint8Array;
  restartMs?: number;
  steadyMs?: number;
  steadyWithinMs?: number;
}

/** In a row, without a byte more. */
const ATTEMPTS = 5;
const ANSWER_MS = 5_000;
const LOOK_MS = 200;
/** The line broke, or nobody answered in time; or a conversation before it, that was cut, is not over at the device. */
const LOST: readonly number[] = [Status.requestTimeout, Status.gatewayTimeout, Status.badGateway, Status.serviceUnavailable, Status.gone, Status.tooManyRequests];

/** undefined: it was given up. */
export function updateOverSerial({ image, restartMs = 10_000, steadyMs = 10_000, steadyWithinMs = 30_000 }: SerialUpdateOptions, ports: SerialUpdatePorts): Promise<UpdateResult | undefined> {
  const decoded = decodeImage(image);
  if ("fault" in decoded) return Promise.resolve({ ok: false, code: "badImage", fault: decoded.fault });
  return new Course(image, decoded, { restartMs, steadyMs, steadyWithinMs }, ports).run();
}

type Answer = { lost: true } | { lost: false; status: number; bytes: Uint8Array };

class Course {
  readonly #image: Uint8Array;
  readonly #decoded: Image;
  readonly #times: { restartMs: number; steadyMs: number; steadyWithinMs: number };
  readonly #ports: SerialUpdatePorts;

  constructor(image: Uint8Array, decoded: Image, times: { restartMs: number; steadyMs: number; steadyWithinMs: number }, ports: SerialUpdatePorts) {
    this.#image = image;
    this.#decoded = decoded;
    this.#times = times;
    this.#ports = ports;
  }

  async run(): Promise<UpdateResult | undefined> {
    const before = await this.#report();
    if (this.#ports.isGivenUp()) return undefined;
    if (!before) return { ok: false, code: "noAnswer", during: "report" };
    const { vendor, product, firmware } = before;
    if (vendor !== this.#decoded.vendor || product !== this.#decoded.product) return { ok: false, code: "wrongNode", vendor, product };
    // Whoever brought it was cut off before it was proven: that is all there is left to do.
    if (firmware.onProbation) return this.#isThis(firmware) ? this.#prove(firmware.triesLeft) : { ok: false, code: "onProbation", report: firmware };
    if (this.#isThis(firmware)) return { ok: false, code: "sameImage", report: firmware };
    return (await this.#bring()) ?? (this.#ports.isGivenUp() ? undefined : await this.#restarted());
  }

  /** undefined: it has the image and the order to start it; or it was given up. */
  async #bring(): Promise<UpdateResult | undefined> {
    let most = -1;
    for (let vain = 0; vain < ATTEMPTS && !this.#ports.isGivenUp();) {
      const passed = await this.#pass();
      if (passed === "all") return undefined;
      if (typeof passed !== "number") return passed;
      vain = passed > most ? 0 : vain + 1;
      most = Math.max(most, passed);
    }
    return this.#ports.isGivenUp() ? undefined : { ok: false, code: "noAnswer", during: "transfer" };
  }

  /** Until the image is there and told to start, something is refused, or the line is lost: how far it came. */
  async #pass(): Promise<number | "all" | UpdateResult> {
    const [image, ports] = [this.#image, this.#ports];
    const from = await this.#standing();
    if (from === undefined) return 0;
    const begun = await this.#ask(orders.begin({ from, crc: crc32IsoHdlc(image, 0, from), total: image.length }));
    if (begun.lost) return 0;
    if (!isGood(begun)) return this.#refused(begun.status);
    if (from > 0) ports.resumed(from);
    let at = from;
    ports.progress(at);
    while (at < image.length) {
      if (ports.isGivenUp()) return at;
      const piece = image.subarray(at, at + PIECE_BYTES);
      const answer = await this.#ask(orders.data(at, piece));
      // 207: it has restarted, or gave the transfer up, and knows of none.
      if (answer.lost || answer.status === Status.preconditionFailed) return at;
      if (!isGood(answer)) return this.#refused(answer.status);
      at += piece.length;
      ports.progress(at);
    }
    const finished = await this.#ask(orders.finish);
    if (finished.lost) return at;
    if (!isGood(finished)) return this.#refused(finished.status);
    const started = await this.#ask(orders.start);
    // Lost with its answer: what it reports will say.
    return started.lost || isGood(started) ? "all" : this.#refused(started.status);
  }

  /** Where the device stands: as many whole pages as agree with the image, but the last, in which a cut may have left bits that do not last. A prefix agrees if the longer one does, so halving finds it. */
  async #standing(): Promise<number | undefined> {
    const report = await this.#report();
    if (!report) return undefined;
    let [good, bad] = [0, Math.floor(this.#image.length / report.pageBytes) + 1];
    while (bad - good > 1) {
      const middle = (good + bad) >> 1;
      const bytes = middle * report.pageBytes;
      const answer = await this.#ask(orders.held(bytes));
      if (answer.lost) return undefined;
      const agrees = isGood(answer) && answer.bytes.length === 4 && new DataView(answer.bytes.buffer, answer.bytes.byteOffset).getUint32(0, true) === crc32IsoHdlc(this.#image, 0, bytes);
      if (agrees) good = middle;
      else bad = middle;
    }
    return Math.max(0, good - 1) * report.pageBytes;
  }

  async #restarted(): Promise<UpdateResult | undefined> {
    const untilUs = this.#ports.nowUs() + this.#times.restartMs * 1e3;
    let answered = false;
    while (this.#ports.nowUs() < untilUs && !this.#ports.isGivenUp()) {
      const now = await this.#once();
      answered ||= now !== undefined;
      if (now?.firmware.onProbation && this.#isThis(now.firmware)) return this.#prove(now.firmware.triesLeft);
      // `trying`, but not on probation: it has not restarted yet. `staged`: the order was lost.
      if (now && now.firmware.staged) await this.#ask(orders.start);
      else if (now && now.firmware.outcome !== "trying") return { ok: false, code: "reverted", report: now.firmware };
      await this.#ports.wait(LOOK_MS);
    }
    if (this.#ports.isGivenUp()) return undefined;
    return answered ? { ok: false, code: "notRestarted" } : { ok: false, code: "noAnswer", during: "report of the new image" };
  }

  /** On probation: it stays if it answers and works without a break. */
  async #prove(triesLeft: number): Promise<UpdateResult | undefined> {
    const untilUs = this.#ports.nowUs() + this.#times.steadyWithinMs * 1e3;
    let sinceUs: number | undefined;
    while (!this.#ports.isGivenUp()) {
      const now = await this.#once();
      const nowUs = this.#ports.nowUs();
      // It has started once more: by itself, or by its watchdog.
      if (now && (!this.#isThis(now.firmware) || now.firmware.triesLeft !== triesLeft)) return { ok: false, code: "unsteady" };
      sinceUs = now && this.#ports.isOperational() ? (sinceUs ?? nowUs) : undefined;
      if (sinceUs !== undefined && nowUs - sinceUs >= this.#times.steadyMs * 1e3) return this.#confirm();
      if (nowUs >= untilUs && sinceUs === undefined) return { ok: false, code: "unsteady" };
      await this.#ports.wait(LOOK_MS);
    }
    return undefined;
  }

  async #confirm(): Promise<UpdateResult> {
    const confirmed = await this.#ask(orders.confirm);
    const end = await this.#report();
    // A confirmation whose answer was lost is refused when it is repeated: what the device reports counts.
    if (end && !end.firmware.onProbation && end.firmware.outcome === "confirmed" && this.#isThis(end.firmware)) return { ok: true, report: end.firmware };
    return confirmed.lost || isGood(confirmed) ? { ok: false, code: "noAnswer", during: "confirmation" } : this.#refused(confirmed.status);
  }

  #isThis(report: FirmwareReport): boolean {
    return report.version === this.#decoded.version && Buffer.from(report.sha256).equals(this.#decoded.sha256);
  }

  /** What for: the device knows it better than a status says. */
  async #refused(status: number): Promise<UpdateResult> {
    const now = await this.#report();
    return { ok: false, code: "refused", refusal: now?.firmware.refused ?? "fine", abortCode: status };
  }

  async #report(): Promise<DeviceReport | undefined> {
    for (let attempt = 0; attempt < ATTEMPTS && !this.#ports.isGivenUp(); attempt++) {
      const report = await this.#once();
      if (report) return report;
      await this.#ports.wait(LOOK_MS);
    }
    return undefined;
  }

  async #once(): Promise<DeviceReport | undefined> {
    const answer = await this.#ask(orders.report);
    return answer.lost || !isGood(answer) ? undefined : decodeDeviceReport(answer.bytes);
  }

  async #ask(body: Uint8Array): Promise<Answer> {
    const { status, body: bytes } = await this.#ports.ask(body, ANSWER_MS);
    return LOST.includes(status) ? { lost: true } : { lost: false, status, bytes: bytes instanceof Uint8Array ? bytes : new Uint8Array(0) };
  }
}

const isGood = (answer: { status: number }): boolean => answer.status >= 100 && answer.status < 200;
