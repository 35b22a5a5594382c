/** Messages of D-Bus (specification, "Message Protocol"), bytes in, values out: calls with strings are written; any message is read as far as its head, bodies by the two readers below. */

/** By their numbers. */
const types = ["invalid", "call", "return", "error", "signal"] as const;
export type MessageType = (typeof types)[number];

export interface Message {
  type: MessageType;
  serial: number;
  replySerial: number | undefined;
  path: string;
  interface: string;
  member: string;
  errorName: string;
  destination: string;
  /** Filled in by the bus: nobody can pretend to be another. */
  sender: string;
  signature: string;
  body: Uint8Array;
}

export type ReadMessage = { type: "message"; message: Message; lengthBytes: number } | { type: "needMore" } | { type: "bad"; text: string };

export const MESSAGE_BYTES_MAX = 65_536;
const LITTLE_ENDIAN = 0x6c;
const VERSION = 1;
const FIXED_BYTES = 16;

/** Header fields by their codes; all others are skipped. */
const FIELD = { path: 1, interface: 2, member: 3, errorName: 4, replySerial: 5, destination: 6, sender: 7, signature: 8 } as const;

export interface Outgoing {
  type: "call" | "return" | "error" | "signal";
  serial: number;
  replySerial?: number;
  destination?: string;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  /** Signature and marshalled body; strings alone: `stringsBody`. */
  body?: { signature: string; bytes: Uint8Array };
}

class Writer {
  readonly #bytes: number[] = [];

  get lengthBytes(): number {
    return this.#bytes.length;
  }

  align(to: number): this {
    while (this.#bytes.length % to !== 0) this.#bytes.push(0);
    return this;
  }

  u8(...values: number[]): this {
    this.#bytes.push(...values);
    return this;
  }

  u32(value: number): this {
    return this.align(4).u8(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
  }

  string(text: string): this {
    const bytes = Buffer.from(text);
    return this.u32(bytes.length).u8(...bytes, 0);
  }

  signature(text: string): this {
    const bytes = Buffer.from(text);
    return this.u8(bytes.length, ...bytes, 0);
  }

  take(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

export function stringsBody(texts: readonly string[]): { signature: string; bytes: Uint8Array } {
  const writer = new Writer();
  for (const text of texts) writer.string(text);
  return { signature: "s".repeat(texts.length), bytes: writer.take() };
}

export function encodeMessage({ type, serial, replySerial, destination, path, interface: of, member, errorName, body }: Outgoing): Uint8Array {
  const fields = new Writer();
  const add = (code: number, signature: string, write: (to: Writer) => void): void => {
    fields.align(8).u8(code).signature(signature);
    write(fields);
  };
  if (path !== undefined) add(FIELD.path, "o", (to) => to.string(path));
  if (of !== undefined) add(FIELD.interface, "s", (to) => to.string(of));
  if (member !== undefined) add(FIELD.member, "s", (to) => to.string(member));
  if (errorName !== undefined) add(FIELD.errorName, "s", (to) => to.string(errorName));
  if (replySerial !== undefined) add(FIELD.replySerial, "u", (to) => to.u32(replySerial));
  if (destination !== undefined) add(FIELD.destination, "s", (to) => to.string(destination));
  if (body && body.signature !== "") add(FIELD.signature, "g", (to) => to.signature(body.signature));
  const head = new Writer().u8(LITTLE_ENDIAN, types.indexOf(type), 0, VERSION).u32(body?.bytes.length ?? 0).u32(serial).u32(fields.lengthBytes).u8(...fields.take()).align(8);
  return Buffer.concat([head.take(), body?.bytes ?? new Uint8Array(0)]);
}

/** The first message of `bytes`. */
export function readMessage(bytes: Uint8Array): ReadMessage {
  if (bytes.length < FIXED_BYTES) return { type: "needMore" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] !== LITTLE_ENDIAN || bytes[3] !== VERSION) return { type: "bad", text: "another byte order or version of D-Bus" };
  const bodyBytes = view.getUint32(4, true);
  const fieldsBytes = view.getUint32(12, true);
  const bodyAt = Math.ceil((FIXED_BYTES + fieldsBytes) / 8) * 8;
  const lengthBytes = bodyAt + bodyBytes;
  if (lengthBytes > MESSAGE_BYTES_MAX) return { type: "bad", text: `a message of ${lengthBytes} bytes` };
  if (bytes.length < lengthBytes) return { type: "needMore" };
  const message: Message = {
    type: types[bytes[1]!] ?? "invalid", serial: view.getUint32(8, true), replySerial: undefined, path: "", interface: "", member: "", errorName: "", destination: "", sender: "", signature: "", body: bytes.slice(bodyAt, lengthBytes),
  };
  const reader = new Reader(bytes.subarray(0, FIXED_BYTES + fieldsBytes), FIXED_BYTES);
  while (!reader.isAtEnd) {
    const field = readField(reader);
    if (field === undefined) return { type: "bad", text: "a header that is none" };
    keep(message, field);
  }
  return { type: "message", message, lengthBytes };
}

/** Reads forward; a place beyond the end is `undefined`, never a throw. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  align(to: number): void {
    this.#at = Math.ceil(this.#at / to) * to;
  }

  u8(): number | undefined {
    return this.#bytes[this.#at++];
  }

  u32(): number | undefined {
    this.align(4);
    if (this.#at + 4 > this.#bytes.length) return undefined;
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  text(lengthBytes: number | undefined): string | undefined {
    // With the zero byte after it.
    if (lengthBytes === undefined || this.#at + lengthBytes + 1 > this.#bytes.length) return undefined;
    this.#at += lengthBytes + 1;
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + this.#at - lengthBytes - 1, lengthBytes).toString();
  }
}

interface Field {
  code: number;
  value: string | number;
}

function readField(reader: Reader): Field | undefined {
  reader.align(8);
  const code = reader.u8();
  const signature = reader.text(reader.u8());
  if (code === undefined || signature === undefined) return undefined;
  const value = signature === "u" ? reader.u32() : signature === "g" ? reader.text(reader.u8()) : signature === "s" || signature === "o" ? reader.text(reader.u32()) : undefined;
  return value === undefined ? undefined : { code, value };
}

function keep(message: Message, { code, value }: Field): void {
  if (typeof value === "number") {
    if (code === FIELD.replySerial) message.replySerial = value;
    return;
  }
  for (const name of ["path", "interface", "member", "errorName", "destination", "sender", "signature"] as const) if (code === FIELD[name]) message[name] = value;
}

/** The first value of a body that begins with a boolean. */
export function bodyBoolean({ signature, body }: Pick<Message, "signature" | "body">): boolean | undefined {
  const value = signature.startsWith("b") ? new Reader(body, 0).u32() : undefined;
  return value === 0 ? false : value === 1 ? true : undefined;
}

/** The first value of a body that begins with a string, or with a variant that holds one. */
export function bodyString({ signature, body }: Pick<Message, "signature" | "body">): string | undefined {
  const reader = new Reader(body, 0);
  if (signature.startsWith("v") && reader.text(reader.u8()) !== "s") return undefined;
  return signature.startsWith("v") || signature.startsWith("s") ? reader.text(reader.u32()) : undefined;
}
