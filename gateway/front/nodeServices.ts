/**
 * The service that replaces the firmware of nodes. An image comes in pieces, because a call is not as long as an image may be; then it is started, and asked for until it has ended. Who calls is let do this by the
 * policy (`gateway/node-update`); whether the robot's state lets it, `gateway/nodes` says.
 */
import { createHash } from "node:crypto";
import { Status } from "../../schemas/status.ts";
import { versionText } from "../../drivers/nodekit/identity.ts";
import { updateText, type NodeCare, type UpdateState } from "../nodes/care.ts";
import type { ServiceReply } from "./services.ts";

/** Longer than any microcontroller's flash that takes hours over CAN. */
export const IMAGE_BYTES_MAX = 4 << 20;
/** One that is begun and gets no more pieces for so long makes room for another. */
const STAGE_LIFE_US = 30e6;
const STEADY_MS_MIN = 1_000;
const STEADY_MS_MAX = 600_000;

interface Stage {
  id: number;
  node: string;
  image: Uint8Array;
  got: number;
  touchedUs: number;
  state: { now: UpdateState } | undefined;
}

type Body = Readonly<Record<string, unknown>>;

const bad = (text: string): ServiceReply => ({ status: Status.badRequest, text });

export class NodeUpdateService {
  readonly #care: NodeCare;
  readonly #nowUs: () => number;
  #stage: Stage | undefined;
  #nextId = 1;

  constructor(care: NodeCare, nowUs: () => number) {
    this.#care = care;
    this.#nowUs = nowUs;
  }

  call(body: Body): ServiceReply {
    const { action, node } = body;
    if (action === "begin") return this.#begin(body);
    if (action === "startNode") {
      if (typeof node !== "string") return bad("node is its name");
      const why = this.#care.start(node);
      return why === undefined ? { status: Status.ok } : { status: Status.preconditionFailed, text: why };
    }
    const stage = this.#stage;
    if (stage === undefined || body["id"] !== stage.id) return { status: Status.notFound, text: "there is no such update: another gateway has begun since, or it was given up. The node keeps the image that it had, or tries the new one and returns by itself: ipcnet nodes shows it, ipcnet node update goes on" };
    stage.touchedUs = this.#nowUs();
    switch (action) {
      case "data": return this.#data(stage, body);
      case "start": return this.#start(stage, body);
      case "status": return this.#report(stage);
      case "abort":
        if (stage.state === undefined) this.#stage = undefined;
        else this.#care.abort(stage.node, "it was given up by whoever began it");
        return { status: Status.ok };
      default: return bad("action is begin, data, start, status, abort or startNode");
    }
  }

  #begin({ node, bytes }: Body): ServiceReply {
    if (typeof node !== "string" || typeof bytes !== "number" || !Number.isInteger(bytes) || bytes < 1 || bytes > IMAGE_BYTES_MAX) return bad(`node is its name, bytes the length of the image, at most ${IMAGE_BYTES_MAX}`);
    const before = this.#stage;
    const isBusy = before !== undefined && (before.state ? before.state.now.state === "running" : this.#nowUs() - before.touchedUs < STAGE_LIFE_US);
    if (isBusy) return { status: Status.preconditionFailed, text: `somebody is replacing the firmware of ${before.node}` };
    this.#stage = { id: this.#nextId++, node, image: new Uint8Array(bytes), got: 0, touchedUs: this.#nowUs(), state: undefined };
    return { status: Status.ok, body: { id: this.#stage.id } };
  }

  #data(stage: Stage, { offset, data }: Body): ServiceReply {
    if (stage.state) return bad("it has begun already");
    if (typeof data !== "string" || offset !== stage.got) return bad(`data is the next piece in base64, offset ${stage.got}`);
    const piece = Buffer.from(data, "base64");
    if (piece.length === 0 || stage.got + piece.length > stage.image.length) return bad("a piece is longer than what is left of the image, or empty");
    stage.image.set(piece, stage.got);
    stage.got += piece.length;
    return { status: Status.ok, body: { got: stage.got } };
  }

  #start(stage: Stage, { sha256, steadyMs }: Body): ServiceReply {
    if (stage.state) return bad("it has begun already");
    if (stage.got !== stage.image.length) return bad(`${stage.got} of ${stage.image.length} bytes have come`);
    if (sha256 !== createHash("sha256").update(stage.image).digest("hex")) return { status: Status.unprocessableContent, text: "the image has not come as it was sent (SHA-256)" };
    if (steadyMs !== undefined && (typeof steadyMs !== "number" || !(steadyMs >= STEADY_MS_MIN && steadyMs <= STEADY_MS_MAX))) return bad(`steadyMs is from ${STEADY_MS_MIN} to ${STEADY_MS_MAX}`);
    const state = this.#care.update(stage.node, stage.image, steadyMs === undefined ? undefined : steadyMs * 1e3);
    if (typeof state === "string") {
      this.#stage = undefined;
      return { status: Status.preconditionFailed, text: state };
    }
    stage.state = state;
    return { status: Status.ok };
  }

  #report({ state, node }: Stage): ServiceReply {
    if (!state) return { status: Status.ok, body: { node, state: "waiting" } };
    if (state.now.state === "running") return { status: Status.ok, body: { node, state: "running", progress: state.now.progress } };
    const { result } = state.now;
    if (!result.ok) return { status: Status.ok, body: { node, state: "failed", code: result.code, text: updateText(result) } };
    const { report } = result;
    return { status: Status.ok, body: { node, state: "done", version: versionText(report.version), slot: report.slot, sha256: Buffer.from(report.sha256).toString("hex") } };
  }
}
