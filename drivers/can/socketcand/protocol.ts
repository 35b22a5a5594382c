/**
 * socketcand's ASCII protocol, raw mode (docs/specs/socketcand.md). Pure: bytes in, values out; both directions.
 *
 * A message is `< word word … >`. What lies between messages is skipped and counted; a message that is too long or not understood likewise.
 */
import type { CanFrame } from "../frame.ts";
import { CanFlag, FD_LENGTHS_BYTES } from "../frame.ts";

/** `< fdsend 12345678 FF 64 ` and 64 spaced bytes are 220 characters. */
export const MESSAGE_BYTES_MAX = 256;

/** What a server says. */
export type ServerMessage =
  | { type: "hi" }
  | { type: "ok" }
  | { type: "echo" }
  /** A frame, a remote frame, an error report (`CanFlag.error`). `wallTimeUs`: the server's wall time. `frame.timeUs` is 0. */
  | { type: "frame"; frame: CanFrame; wallTimeUs: number }
  /** A refusal in words. */
  | { type: "refused"; text: string };

/** What a client says. */
export type ClientMessage = { type: "open"; bus: string } | { type: "mode"; mode: string } | { type: "echo" } | { type: "send"; frame: CanFrame };

/** A message, or bytes that were none. */
export type Decoded<Message> = Message | { type: "bad"; skippedBytes: number };

const FD_FLAGS = { bitRateSwitch: 0x01, errorStateIndicator: 0x02 } as const;

/** Cuts bytes into messages and hands their words to `parse`. Any chunking gives the same messages. Memory: one message. */
export class MessageReader<Message> {
  readonly #parse: (words: string[]) => Message | undefined;
  #text = "";
  #inside = false;
  #skipped = 0;

  constructor(parse: (words: string[]) => Message | undefined) {
    this.#parse = parse;
  }

  push(bytes: Uint8Array): Decoded<Message>[] {
    const found: Decoded<Message>[] = [];
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    for (let at = 0; at < chunk.length; ) {
      if (!this.#inside) {
        const start = chunk.indexOf("<", at);
        const end = start < 0 ? chunk.length : start;
        // White space between messages is harmless: some programs put line ends there.
        this.#skipped += chunk.slice(at, end).replace(/\s+/g, "").length;
        at = end + 1;
        if (start < 0) break;
        this.#inside = true;
        this.#text = "";
        continue;
      }
      const end = chunk.indexOf(">", at);
      const again = chunk.lastIndexOf("<", end < 0 ? chunk.length : end);
      if (again >= at) {
        // A message that begins anew was never ended: the beginning is lost.
        this.#skipped += 1 + this.#text.length + again - at;
        this.#text = "";
        at = again + 1;
        continue;
      }
      const piece = chunk.slice(at, end < 0 ? undefined : end);
      at = end < 0 ? chunk.length : end + 1;
      if (this.#text.length + piece.length > MESSAGE_BYTES_MAX) {
        this.#skipped += 1 + this.#text.length + piece.length + (end < 0 ? 0 : 1);
        this.#inside = false;
        continue;
      }
      this.#text += piece;
      if (end < 0) break;
      this.#inside = false;
      const message = this.#parse(this.#text.split(/\s+/).filter((word) => word !== ""));
      if (message === undefined) this.#skipped += this.#text.length + 2;
      this.#report(found);
      if (message !== undefined) found.push(message);
    }
    this.#report(found);
    return found;
  }

  #report(found: Decoded<Message>[]): void {
    if (this.#skipped > 0) found.push({ type: "bad", skippedBytes: this.#skipped });
    this.#skipped = 0;
  }
}

export const serverMessages = (): MessageReader<ServerMessage> => new MessageReader(parseServer);
export const clientMessages = (): MessageReader<ClientMessage> => new MessageReader(parseClient);

/** The message by which a client sends `frame`; undefined for a length that does not exist. */
export function encodeSend(frame: CanFrame): string | undefined {
  const lengthBytes = frame.lengthBytes ?? frame.data.length;
  const id = idText(frame);
  if (id === undefined || !lengthExists(lengthBytes, frame.flags)) return undefined;
  if ((frame.flags & CanFlag.remote) !== 0) return `< sendrtr ${id} ${lengthBytes} >`;
  const data = Array.from(frame.data.subarray(0, lengthBytes), (byte) => ` ${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
  if ((frame.flags & CanFlag.fd) === 0) return `< send ${id} ${lengthBytes}${data} >`;
  return `< fdsend ${id} ${hexByte(fdFlags(frame.flags))} ${lengthBytes}${data} >`;
}

/** The message by which a server passes on `frame`. The data is one word and, empty, leaves two spaces: python-can counts on both. */
export function encodeReceived(frame: CanFrame, wallTimeUs: number): string | undefined {
  const id = idText(frame);
  if (id === undefined) return undefined;
  const time = `${Math.floor(wallTimeUs / 1e6)}.${String(Math.floor(wallTimeUs % 1e6)).padStart(6, "0")}`;
  if ((frame.flags & CanFlag.error) !== 0) return `< error ${frame.canId.toString(16).toUpperCase().padStart(3, "0")} ${time} >`;
  if ((frame.flags & CanFlag.remote) !== 0) return `< rtr ${id} ${time} ${frame.lengthBytes ?? 0} >`;
  const data = Buffer.from(frame.data).toString("hex").toUpperCase();
  return (frame.flags & CanFlag.fd) === 0 ? `< frame ${id} ${time} ${data} >` : `< fdframe ${id} ${hexByte(fdFlags(frame.flags))} ${time} ${data} >`;
}

function idText({ canId, flags }: CanFrame): string | undefined {
  if ((flags & CanFlag.error) !== 0) return "";
  const extended = (flags & CanFlag.extended) !== 0;
  if (canId > (extended ? 0x1fff_ffff : 0x7ff)) return undefined;
  return canId.toString(16).toUpperCase().padStart(extended ? 8 : 3, "0");
}

function fdFlags(flags: number): number {
  return ((flags & CanFlag.bitRateSwitch) === 0 ? 0 : FD_FLAGS.bitRateSwitch) | ((flags & CanFlag.errorStateIndicator) === 0 ? 0 : FD_FLAGS.errorStateIndicator);
}

const hexByte = (value: number): string => value.toString(16).toUpperCase().padStart(2, "0");

function lengthExists(lengthBytes: number, flags: number): boolean {
  return (flags & CanFlag.fd) === 0 ? lengthBytes <= 8 : (FD_LENGTHS_BYTES as readonly number[]).includes(lengthBytes);
}

function parseServer(words: string[]): ServerMessage | undefined {
  switch (words[0]) {
    case "hi":
    case "ok":
    case "echo":
      return words.length === 1 ? { type: words[0] } : undefined;
    case "frame":
      return received(words[1], words[2], 0, words.slice(3));
    case "fdframe": {
      const flags = parseHex(words[2], 2);
      return flags === undefined ? undefined : received(words[1], words[3], flagsOfFd(flags), words.slice(4));
    }
    case "rtr": {
      const lengthBytes = parseDecimal(words[3], 8);
      const message = received(words[1], words[2], CanFlag.remote, []);
      if (!message || message.type !== "frame" || lengthBytes === undefined || words.length !== 4) return undefined;
      return { ...message, frame: { ...message.frame, lengthBytes } };
    }
    case "error":
      return errorReport(words);
    case undefined:
    default:
      return undefined;
  }
}

/** `< error CLASSES seconds.micros >` for a report from the bus, anything else is a refusal in words. */
function errorReport(words: string[]): ServerMessage {
  const classes = parseHex(words[1], 8);
  const wallTimeUs = parseTime(words[2]);
  if (classes === undefined || wallTimeUs === undefined || words.length !== 3) return { type: "refused", text: words.slice(1).join(" ") };
  return { type: "frame", frame: { timeUs: 0, canId: classes & 0x1fff_ffff, flags: CanFlag.error, lengthBytes: 8, data: new Uint8Array(8) }, wallTimeUs };
}

function received(idWord: string | undefined, timeWord: string | undefined, flags: number, dataWords: string[]): ServerMessage | undefined {
  const id = parseId(idWord);
  const wallTimeUs = parseTime(timeWord);
  // One word of digits as it is sent, or a word for each byte as it is documented.
  const data = dataWords.length > 1 ? bytesOf(dataWords) : parseBytes(dataWords[0] ?? "");
  if (!id || wallTimeUs === undefined || !data || !lengthExists(data.length, flags)) return undefined;
  return { type: "frame", frame: { timeUs: 0, canId: id.canId, flags: flags | id.flags, lengthBytes: data.length, data }, wallTimeUs };
}

function parseClient(words: string[]): ClientMessage | undefined {
  switch (words[0]) {
    case "open":
      return words.length === 2 ? { type: "open", bus: words[1]! } : undefined;
    case "echo":
      return words.length === 1 ? { type: "echo" } : undefined;
    case "rawmode":
    case "bcmmode":
    case "controlmode":
    case "isotpmode":
      return words.length === 1 ? { type: "mode", mode: words[0] } : undefined;
    case "send":
      return sent(words[1], 0, words[2], words.slice(3));
    case "fdsend": {
      const flags = parseHex(words[2], 2);
      return flags === undefined ? undefined : sent(words[1], flagsOfFd(flags), words[3], words.slice(4));
    }
    case "sendrtr":
      return words.length === 3 ? sent(words[1], CanFlag.remote, words[2], []) : undefined;
    case undefined:
    default:
      return undefined;
  }
}

function sent(idWord: string | undefined, flags: number, lengthWord: string | undefined, dataWords: string[]): ClientMessage | undefined {
  const id = parseId(idWord);
  const lengthBytes = parseDecimal(lengthWord, 64);
  const data = bytesOf(dataWords);
  if (!id || lengthBytes === undefined || !data || !lengthExists(lengthBytes, flags)) return undefined;
  if ((flags & CanFlag.remote) === 0 && data.length !== lengthBytes) return undefined;
  return { type: "send", frame: { timeUs: 0, canId: id.canId, flags: flags | id.flags, lengthBytes, data } };
}

/** Eight digits say 29 bits; so does a value that 11 bits cannot hold, because python-can 4.1 does not pad. */
function parseId(word: string | undefined): { canId: number; flags: number } | undefined {
  const canId = parseHex(word, 8);
  if (canId === undefined || canId > 0x1fff_ffff) return undefined;
  return { canId, flags: word!.length === 8 || canId > 0x7ff ? CanFlag.extended : 0 };
}

function flagsOfFd(flags: number): number {
  return CanFlag.fd | ((flags & FD_FLAGS.bitRateSwitch) === 0 ? 0 : CanFlag.bitRateSwitch) | ((flags & FD_FLAGS.errorStateIndicator) === 0 ? 0 : CanFlag.errorStateIndicator);
}

function parseHex(word: string | undefined, digitsMax: number): number | undefined {
  return word !== undefined && word.length <= digitsMax && /^[0-9A-Fa-f]+$/.test(word) ? Number.parseInt(word, 16) : undefined;
}

function parseDecimal(word: string | undefined, max: number): number | undefined {
  if (word === undefined || !/^[0-9]{1,2}$/.test(word)) return undefined;
  return Number(word) <= max ? Number(word) : undefined;
}

function parseTime(word: string | undefined): number | undefined {
  const match = /^([0-9]{1,12})\.([0-9]{1,6})$/.exec(word ?? "");
  return match ? Number(match[1]) * 1e6 + Number(match[2]!.padEnd(6, "0")) : undefined;
}

function parseBytes(word: string): Uint8Array | undefined {
  return word.length % 2 === 0 && word.length <= 128 && /^[0-9A-Fa-f]*$/.test(word) ? Uint8Array.from(Buffer.from(word, "hex")) : undefined;
}

/** One word for each byte, of one or two digits. */
function bytesOf(words: string[]): Uint8Array | undefined {
  const bytes = new Uint8Array(words.length);
  for (const [index, word] of words.entries()) {
    const byte = parseHex(word, 2);
    if (byte === undefined) return undefined;
    bytes[index] = byte;
  }
  return bytes;
}
