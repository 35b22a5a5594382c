/** Packets of the reflex's control socket (docs/specs/reflex.md): bytes in, values out. One codec for each connection: the counter rises with each packet of a direction. */
import { e2eCodec, Verdict } from "../../../schemas/e2e/index.ts";
import { readStruct, struct, writeStruct, type RowOf } from "../table/struct.ts";
import { statusStruct, type Lack, type ReflexStatus } from "./status.ts";

const DATA_ID = 0x49524358;
const HEAD_BYTES = 24;
const PACKET_BYTES_MAX = 1024;
const WHY_BYTES_MAX = 120;

export const PROTOCOL_MAJOR = 1;
export const PROTOCOL_MINOR = 0;

/** By their numbers on the wire; 0 is none. */
export const packetKinds = ["none", "hello", "table", "commandLane", "reader", "frameLane", "frameReader", "order", "answer", "statusAsked", "status", "switch", "drill", "twinPage", "look", "powerLine"] as const;
export type PacketKind = (typeof packetKinds)[number];
export const who = { brain: 0, operator: 1, twin: 2 } as const;
export const orders = ["arm", "disarm", "reset", "trigger", "rearmBus", "purgeBus", "callDone", "brainBeat", "brainGone"] as const;
export type OrderName = (typeof orders)[number];
export const answers = ["done", "refused", "unknown", "fault"] as const;
export type AnswerCode = (typeof answers)[number];
export const drills = { kill: 0, stop: 1 } as const;
/** To whom a bus is handed over: the twin on this host, or the other host that is on it. */
export type SwitchTo = "twin" | "host";

export const helloStruct = struct("ipcnet_packet_hello", {
  major: "u16", minor: "u16", who: "u8", instance: "u8", reserved: { reserved: 2 }, brainEpoch: "u32", bootId: { bytes: 16 }, tableHash: { bytes: 8 },
});
export type Hello = RowOf<typeof helloStruct>;
const ORDER_BYTES = 20;
/** Between twins alone: which line, 112 bytes. */
const POWER_LINE_BYTES = 112;

export interface Order {
  order: OrderName;
  a?: number;
  b?: number;
  c?: bigint;
  why?: string;
}

export interface Answer {
  code: AnswerCode;
  /** There may be more lacks than were sent. */
  count: number;
  lacks: Lack[];
  /** Of a fault. */
  text: string;
}

export type Packet =
  | { kind: "hello"; request: number; hello: Hello }
  | { kind: "answer"; request: number; answer: Answer }
  | { kind: "status"; request: number; status: ReflexStatus }
  | { kind: "order"; request: number; order: Required<Order> }
  | { kind: "table"; request: number; lengthBytes: number }
  | { kind: "drill"; request: number; what: number }
  | { kind: "switch"; request: number; to: SwitchTo }
  | { kind: "commandLane" | "reader" | "frameLane" | "frameReader" | "statusAsked" | "twinPage" | "look" | "powerLine"; request: number };

export type PacketRead = { ok: true; packet: Packet } | { ok: false; code: "crcMismatch" | "badLength" | "unknownKind" | "wrongSequence"; text: string };

const e2e = e2eCodec({ profile: "P07", dataId: DATA_ID, minLengthBytes: HEAD_BYTES, maxLengthBytes: PACKET_BYTES_MAX });
const noBody = new Uint8Array(0);

export class PacketCodec {
  #sent = 0;
  #received: number | undefined;

  /** `request` 0: no answer is wanted. */
  hello(hello: Hello, request = 0): Uint8Array {
    const body = new Uint8Array(helloStruct.sizeBytes);
    writeStruct(helloStruct, new DataView(body.buffer), 0, hello);
    return this.#packet("hello", request, body);
  }

  table(lengthBytes: number, request: number): Uint8Array {
    const body = new Uint8Array(4);
    new DataView(body.buffer).setUint32(0, lengthBytes, true);
    return this.#packet("table", request, body);
  }

  order({ order, a = 0, b = 0, c = 0n, why = "" }: Order, request: number): Uint8Array {
    const text = new TextEncoder().encode(why).subarray(0, WHY_BYTES_MAX);
    const body = new Uint8Array(ORDER_BYTES + text.length);
    const view = new DataView(body.buffer);
    view.setUint8(0, orders.indexOf(order));
    view.setUint32(4, a, true);
    view.setUint32(8, b, true);
    view.setBigUint64(12, c, true);
    body.set(text, ORDER_BYTES);
    return this.#packet("order", request, body);
  }

  drill(what: keyof typeof drills, request: number): Uint8Array {
    return this.#packet("drill", request, Uint8Array.of(drills[what]));
  }

  switchOver(to: SwitchTo, request: number): Uint8Array {
    return this.#packet("switch", request, to === "host" ? Uint8Array.of(1) : noBody);
  }

  /** Kinds without a body. */
  bare(kind: "commandLane" | "reader" | "frameLane" | "frameReader" | "statusAsked" | "look", request: number): Uint8Array {
    return this.#packet(kind, request, noBody);
  }

  answer({ code, lacks = [], text = "" }: { code: AnswerCode; lacks?: readonly Lack[]; text?: string }, request: number): Uint8Array {
    const words = new TextEncoder().encode(text);
    const body = new Uint8Array(4 + 4 * lacks.length + words.length);
    const view = new DataView(body.buffer);
    view.setUint8(0, answers.indexOf(code));
    view.setUint16(2, lacks.length, true);
    for (const [index, { reason, subject }] of lacks.entries()) {
      view.setUint16(4 + 4 * index, reason, true);
      view.setUint16(6 + 4 * index, subject, true);
    }
    body.set(words, 4 + 4 * lacks.length);
    return this.#packet("answer", request, body);
  }

  status(status: ReflexStatus, request: number): Uint8Array {
    const body = new Uint8Array(statusStruct.sizeBytes);
    writeStruct(statusStruct, new DataView(body.buffer), 0, status);
    return this.#packet("status", request, body);
  }

  /** Reads one packet; borrows `bytes` until it returns. After a refusal the connection is not worth anything any more. */
  read(bytes: Uint8Array, at: number, lengthBytes: number): PacketRead {
    if (lengthBytes < HEAD_BYTES || lengthBytes > PACKET_BYTES_MAX) return { ok: false, code: "badLength", text: `a packet of ${lengthBytes} bytes` };
    const verdict = e2e.inspect(bytes, at, lengthBytes, 0);
    if (verdict !== Verdict.ok) return { ok: false, code: verdict === Verdict.badLength ? "badLength" : "crcMismatch", text: "its protection (E2E profile 7) is not right" };
    const counter = e2e.counterOf(bytes, at, lengthBytes, 0);
    if (this.#received !== undefined && counter !== (this.#received + 1) >>> 0) return { ok: false, code: "wrongSequence", text: `packet ${counter} after ${this.#received}` };
    this.#received = counter;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, lengthBytes);
    const kind = packetKinds[view.getUint16(20, true)];
    const packet = kind === undefined ? undefined : readBody(kind, view.getUint16(22, true), new DataView(view.buffer, view.byteOffset + HEAD_BYTES, lengthBytes - HEAD_BYTES));
    if (packet === "badLength") return { ok: false, code: "badLength", text: `a packet of the kind ${kind} with ${lengthBytes} bytes` };
    return packet ? { ok: true, packet } : { ok: false, code: "unknownKind", text: `a packet of the kind ${view.getUint16(20, true)}` };
  }

  #packet(kind: PacketKind, request: number, body: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(HEAD_BYTES + body.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(20, packetKinds.indexOf(kind), true);
    view.setUint16(22, request, true);
    bytes.set(body, HEAD_BYTES);
    e2e.protect(bytes, 0, bytes.length, 0, this.#sent);
    this.#sent = (this.#sent + 1) >>> 0;
    return bytes;
  }
}

function readBody(kind: PacketKind, request: number, body: DataView): Packet | "badLength" | undefined {
  switch (kind) {
    case "none": return undefined;
    case "hello": return body.byteLength === helloStruct.sizeBytes ? { kind, request, hello: readStruct(helloStruct, body, 0) } : "badLength";
    case "status": return body.byteLength === statusStruct.sizeBytes ? { kind, request, status: readStruct(statusStruct, body, 0) } : "badLength";
    case "table": return body.byteLength === 4 ? { kind, request, lengthBytes: body.getUint32(0, true) } : "badLength";
    case "switch": return body.byteLength <= 1 ? { kind, request, to: body.byteLength === 1 && body.getUint8(0) === 1 ? "host" : "twin" } : "badLength";
    case "drill": return body.byteLength >= 1 ? { kind, request, what: body.getUint8(0) } : "badLength";
    case "answer": return readAnswer(request, body);
    case "order": {
      const order = body.byteLength >= ORDER_BYTES ? orders[body.getUint8(0)] : undefined;
      if (order === undefined) return "badLength";
      return { kind, request, order: { order, a: body.getUint32(4, true), b: body.getUint32(8, true), c: body.getBigUint64(12, true), why: textAt(body, ORDER_BYTES) } };
    }
    case "powerLine":
      return body.byteLength === POWER_LINE_BYTES ? { kind, request } : "badLength";
    case "commandLane": case "reader": case "frameLane": case "frameReader": case "statusAsked": case "twinPage": case "look":
      return body.byteLength === 0 ? { kind, request } : "badLength";
    default: return kind satisfies never;
  }
}

function readAnswer(request: number, body: DataView): Packet | "badLength" {
  const code = body.byteLength >= 4 ? answers[body.getUint8(0)] : undefined;
  if (code === undefined) return "badLength";
  const count = body.getUint16(2, true);
  if (code === "fault") return { kind: "answer", request, answer: { code, count: 0, lacks: [], text: textAt(body, 4) } };
  const lacks: Lack[] = [];
  for (let at = 4; at + 4 <= body.byteLength; at += 4) lacks.push({ reason: body.getUint16(at, true), subject: body.getUint16(at + 2, true) });
  return { kind: "answer", request, answer: { code, count, lacks, text: "" } };
}

function textAt(body: DataView, at: number): string {
  return new TextDecoder().decode(new Uint8Array(body.buffer, body.byteOffset + at, body.byteLength - at)).replace(/\0.*$/s, "");
}
