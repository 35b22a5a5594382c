/**
 * Brings a new image to a node and sees that it works (docs/specs/node-update.md), pure: `take` gives frames to send, `hear` gets every frame of the bus, `poll` passes time.
 *
 * The course says what it needs next (an answer, a boot-up message, a node that stays operational); `NodeCourse` provides that. Whatever goes wrong, the node itself ends with an image that was confirmed.
 */
import { encodeNmt } from "./canopen.ts";
import { NodeCourse, number, sdo, type Course } from "./course.ts";
import { decodeImage, type ImageFault } from "./image.ts";
import type { SdoResult } from "./sdoTransfer.ts";

export const refusals = ["fine", "wrongState", "noHeader", "otherProduct", "tooLong", "tooOld", "wrongCrc", "notTrusted", "flashFailed", "trialPending", "tooShort"] as const;
export type Refusal = (typeof refusals)[number];
export const outcomes = ["never", "confirmed", "reverted", "trying"] as const;

/** Object 0x2F00:1. */
export interface FirmwareReport {
  slot: number;
  onProbation: boolean;
  staged: boolean;
  /** The other slot holds an image that was confirmed once. */
  otherGood: boolean;
  triesLeft: number;
  outcome: (typeof outcomes)[number];
  refused: Refusal;
  version: number;
  securityCounter: number;
  sha256: Uint8Array;
}

export const REPORT_BYTES = 48;

export function decodeReport(bytes: Uint8Array): FirmwareReport | undefined {
  const outcome = outcomes[bytes[4] ?? 255];
  const refused = refusals[bytes[5] ?? 255];
  if (bytes.length !== REPORT_BYTES || bytes[0] !== 1 || bytes[1]! > 1 || !outcome || !refused) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const flags = bytes[2]!;
  return {
    slot: bytes[1]!, onProbation: (flags & 1) !== 0, staged: (flags & 2) !== 0, otherGood: (flags & 4) !== 0, triesLeft: bytes[3]!, outcome, refused,
    version: view.getUint32(8, true), securityCounter: view.getUint32(12, true), sha256: bytes.slice(16, 48),
  };
}

export type UpdateResult =
  | { ok: true; report: FirmwareReport }
  | { ok: false; code: "badImage"; fault: ImageFault }
  /** Vendor or product are not the image's. */
  | { ok: false; code: "wrongNode"; vendor: number; product: number }
  /** It runs already, confirmed. */
  | { ok: false; code: "sameImage"; report: FirmwareReport }
  /** Another image is still on probation. (This one is proven and confirmed instead.) */
  | { ok: false; code: "onProbation"; report: FirmwareReport }
  | { ok: false; code: "refused"; refusal: Refusal; abortCode: number }
  /** No answer, or not one that fits; three times in a row. */
  | { ok: false; code: "noAnswer"; during: string }
  | { ok: false; code: "notRestarted" }
  /** It restarted, but the old image runs. */
  | { ok: false; code: "reverted"; report: FirmwareReport }
  /** On probation it did not stay operational; the node reverts by itself. */
  | { ok: false; code: "unsteady" };

export interface UpdateOptions {
  node: number;
  image: Uint8Array;
  /** How long a node may take from the order to start the image to its boot-up message; default 5 s. */
  restartUs?: number;
  /** It must be operational without a break for so long before it is confirmed; default 10 s. */
  steadyUs?: number;
  /** And become so within this time; default 30 s. */
  steadyWithinUs?: number;
}

const CONFIRM = Uint8Array.from(Buffer.from("CONF"));

function* readReport(): Course<FirmwareReport | undefined> {
  const result = yield* sdo({ type: "read", index: 0x2f00, subindex: 1 });
  return result.ok ? decodeReport(result.bytes) : undefined;
}

/** What a refused transfer was refused for: the node knows it better than the abort code says. */
function* refusal(result: SdoResult, during: string): Course<UpdateResult> {
  if (result.ok || result.code !== "aborted") return { ok: false, code: "noAnswer", during };
  const now = yield* readReport();
  return { ok: false, code: "refused", refusal: now?.refused ?? "fine", abortCode: result.abortCode };
}

function* course({ image, restartUs = 5e6, steadyUs = 10e6, steadyWithinUs = 30e6 }: UpdateOptions): Course<UpdateResult> {
  const decoded = decodeImage(image);
  if ("fault" in decoded) return { ok: false, code: "badImage", fault: decoded.fault };
  const vendor = yield* number(0x1018, 1);
  const product = yield* number(0x1018, 2);
  if (vendor === undefined || product === undefined) return { ok: false, code: "noAnswer", during: "identity" };
  if (vendor !== decoded.vendor || product !== decoded.product) return { ok: false, code: "wrongNode", vendor, product };
  const before = yield* readReport();
  if (!before) return { ok: false, code: "noAnswer", during: "report" };
  const isThisImage = before.version === decoded.version && Buffer.from(before.sha256).equals(decoded.sha256);
  // Whoever brought it was cut off before it was proven: that is all there is left to do.
  if (before.onProbation && isThisImage) return yield* prove({ steadyUs, steadyWithinUs });
  if (before.onProbation) return { ok: false, code: "onProbation", report: before };
  if (isThisImage) return { ok: false, code: "sameImage", report: before };

  // Outputs safe, commands refused: a node takes no image otherwise.
  yield { need: "nmt", command: "enterPreOperational" };
  const sent = yield* sdo({ type: "writeBlock", index: 0x1f50, subindex: 1, bytes: image });
  const started = sent.ok ? yield* sdo({ type: "write", index: 0x1f51, subindex: 1, bytes: Uint8Array.of(1) }) : sent;
  if (!started.ok) {
    const why = yield* refusal(started, sent.ok ? "start" : "transfer");
    yield { need: "nmt", command: "start" };
    return why;
  }
  if ((yield { need: "bootUp", withinUs: restartUs }) !== true) return { ok: false, code: "notRestarted" };
  const after = yield* readReport();
  if (!after) return { ok: false, code: "noAnswer", during: "report of the new image" };
  if (!after.onProbation || !Buffer.from(after.sha256).equals(decoded.sha256)) return { ok: false, code: "reverted", report: after };
  return yield* prove({ steadyUs, steadyWithinUs });
}

/** The new image runs on probation: it stays if the node stays at work with it. */
function* prove({ steadyUs, steadyWithinUs }: Required<Pick<UpdateOptions, "steadyUs" | "steadyWithinUs">>): Course<UpdateResult> {
  if ((yield { need: "steady", forUs: steadyUs, withinUs: steadyWithinUs }) !== true) return { ok: false, code: "unsteady" };
  const confirmed = yield* sdo({ type: "write", index: 0x2f01, subindex: 1, bytes: CONFIRM });
  const end = yield* readReport();
  // A confirmation whose answer was lost is refused when it is repeated: what the node reports counts.
  if (end && !end.onProbation && end.outcome === "confirmed") return { ok: true, report: end };
  return yield* refusal(confirmed.ok ? { ok: false, code: "unexpected" } : confirmed, "confirmation");
}

export class NodeUpdate extends NodeCourse<UpdateResult> {
  readonly #node: number;

  constructor(options: UpdateOptions, nowUs: number) {
    super(options.node, course(options), nowUs);
    this.#node = options.node;
  }

  /** Gives up: what it says now (an abort, and NMT start) puts a node that has not been told to start the image back to work. One that has been is left alone, and returns to the old image by itself. */
  override abort(): void {
    super.abort();
    this.say(encodeNmt("start", this.#node));
  }
}
