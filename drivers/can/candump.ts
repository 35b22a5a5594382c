/**
 * One frame as can-utils print it: candump's log format (`-l`, `-L`), which we read and write, and its screen format, which we only read.
 *
 *     (1436509052.249713) can0 123#DEADBEEF            classic; 3 hex digits: 11 bits, 8: 29 bits
 *     (1436509052.249713) can0 12345678#R4             remote request for 4 bytes
 *     (1436509052.249713) can0 123##1DEADBEEF          FD; the digit: 1 bit rate switch, 2 error state indicator, 4 FD
 *     (1436509052.249713) can0 20000004#0001000000000000   error report: bit 29 of the identifier
 *     (1436509052.249713)  can0  RX - -  123   [4]  DE AD BE EF   'ascii'
 */
import { CanFlag, FD_LENGTHS_BYTES, type CanFrame } from "./frame.ts";

export interface CandumpRecord {
  /** Seconds as a double; 0 when the line has no time. */
  timeS: number;
  /** The time exactly as written, without parentheses; empty when there is none. */
  timeText: string;
  bus: string;
  frame: CanFrame;
}

export type CandumpFault = { ok: false; code: "syntax" | "badId" | "badData" | "badLength" | "lineTooLong"; text: string };

/** Longer than any frame's line (64 bytes of FD on the screen with ASCII are 300 characters). */
const LINE_CHARS_MAX = 512;

const logLine = /^\((\d{1,12}(?:\.\d{1,9})?)\)\s+(\S{1,64})\s+([0-9A-Fa-f]{1,8})#(\S*)(?:\s+[RT])?$/;
const screenLine = /^(?:\(([^()\s]{1,32}(?: [^()\s]{1,32})?)\)\s+)?(\S{1,64})\s+(?:[RT]X\s+[B-]\s+[E-]\s+)?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})\s+\[(\d{1,2})\]\s*(.*)$/;

/** The frame on one line (without line break). Its `timeUs` is the line's time in microseconds. */
export function parseCandumpLine(line: string): ({ ok: true } & CandumpRecord) | CandumpFault {
  if (line.length > LINE_CHARS_MAX) return { ok: false, code: "lineTooLong", text: `more than ${LINE_CHARS_MAX} characters` };
  const text = line.trim();
  const log = logLine.exec(text);
  if (log !== null) return finish({ timeText: log[1]!, bus: log[2]!, idText: log[3]! }, parseLogPayload(log[4]!));
  const screen = screenLine.exec(text);
  if (screen !== null) return finish({ timeText: screen[1] ?? "", bus: screen[2]!, idText: screen[3]! }, parseScreenPayload(screen[4]!, screen[5]!));
  return { ok: false, code: "syntax", text: "expected (time) bus ID#DATA" };
}

interface Payload {
  ok: true;
  flags: number;
  data: Uint8Array;
  lengthBytes: number;
}

function finish({ timeText, bus, idText }: { timeText: string; bus: string; idText: string }, payload: Payload | CandumpFault): ({ ok: true } & CandumpRecord) | CandumpFault {
  if (!payload.ok) return payload;
  const number = Number.parseInt(idText, 16);
  const wide = idText.length > 3;
  if (idText.length !== 3 && idText.length !== 8) return { ok: false, code: "badId", text: `the identifier ${idText} has neither 3 nor 8 digits` };
  if (wide ? number > 0x3fff_ffff : number > 0x7ff) return { ok: false, code: "badId", text: `the identifier ${idText} has too many bits` };
  const error = wide && number >= 0x2000_0000;
  const flags = payload.flags | (error ? CanFlag.error : wide ? CanFlag.extended : 0);
  const timeS = /^\d+(?:\.\d+)?$/.test(timeText) ? Number(timeText) : 0;
  const frame: CanFrame = { timeUs: timeMicroseconds(timeText), canId: number & 0x1fff_ffff, flags, data: payload.data, lengthBytes: payload.lengthBytes };
  return { ok: true, timeS, timeText, bus, frame };
}

/** From the digits, not from the double of seconds: that would lose the last microsecond of today's dates. */
function timeMicroseconds(text: string): number {
  const match = /^(\d+)(?:\.(\d+))?$/.exec(text);
  return match === null ? 0 : Number(match[1]) * 1e6 + Number((match[2] ?? "").padEnd(6, "0").slice(0, 6));
}

function parseLogPayload(text: string): Payload | CandumpFault {
  if (text.startsWith("#")) {
    const flagDigit = Number.parseInt(text[1] ?? "", 16);
    if (Number.isNaN(flagDigit)) return { ok: false, code: "syntax", text: "## is followed by one digit of flags" };
    const data = parseHex(text.slice(2));
    if (data === undefined) return badData;
    if (!(FD_LENGTHS_BYTES as readonly number[]).includes(data.length)) return { ok: false, code: "badLength", text: `CAN FD cannot carry ${data.length} bytes` };
    const flags = CanFlag.fd | ((flagDigit & 1) !== 0 ? CanFlag.bitRateSwitch : 0) | ((flagDigit & 2) !== 0 ? CanFlag.errorStateIndicator : 0);
    return { ok: true, flags, data, lengthBytes: data.length };
  }
  const remote = /^R([0-8]?)(?:_[9A-Fa-f])?$/.exec(text);
  if (remote !== null) return { ok: true, flags: CanFlag.remote, data: new Uint8Array(0), lengthBytes: Number(remote[1]) };
  // "_9": a classic frame of 8 bytes with a raw DLC of 9 to 15.
  return classic(parseHex(text.replace(/_[9A-Fa-f]$/, "")));
}

function parseScreenPayload(lengthText: string, rest: string): Payload | CandumpFault {
  const lengthBytes = Number(lengthText);
  if (rest.startsWith("remote request")) return lengthBytes > 8 ? { ok: false, code: "badLength", text: `${lengthBytes} bytes` } : { ok: true, flags: CanFlag.remote, data: new Uint8Array(0), lengthBytes };
  // Behind the bytes: their characters ('…'), or the words of an error report.
  const hex = /^(?:[0-9A-Fa-f]{2}(?:\s+|$))*/.exec(rest)![0].replace(/\s+/g, "");
  const data = parseHex(hex.slice(0, lengthBytes * 2));
  if (data === undefined) return badData;
  if (data.length !== lengthBytes) return { ok: false, code: "badLength", text: `[${lengthText}] with ${data.length} bytes` };
  // candump writes two digits for FD frames: [08].
  if (lengthText.length === 2) return (FD_LENGTHS_BYTES as readonly number[]).includes(lengthBytes) ? { ok: true, flags: CanFlag.fd, data, lengthBytes } : { ok: false, code: "badLength", text: `CAN FD cannot carry ${lengthBytes} bytes` };
  return classic(data);
}

const badData: CandumpFault = { ok: false, code: "badData", text: "the data are not pairs of hexadecimal digits" };

function classic(data: Uint8Array | undefined): Payload | CandumpFault {
  if (data === undefined) return badData;
  return data.length > 8 ? { ok: false, code: "badLength", text: `a classic frame has at most 8 bytes, not ${data.length}` } : { ok: true, flags: 0, data, lengthBytes: data.length };
}

/** Pairs of hexadecimal digits, dots between bytes allowed. */
function parseHex(text: string): Uint8Array | undefined {
  const digits = text.replaceAll(".", "");
  if (!/^(?:[0-9A-Fa-f]{2})*$/.test(digits)) return undefined;
  return Uint8Array.from({ length: digits.length / 2 }, (_, index) => Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16));
}

/** A line of candump's log format, without line break. `timeText` is written as it is, `timeS` with microseconds. */
export function formatCandumpLine({ timeS, timeText, bus, frame }: { timeS?: number; timeText?: string; bus: string; frame: CanFrame }): string {
  return `(${timeText ?? (timeS ?? 0).toFixed(6)}) ${bus} ${formatCandumpFrame(frame)}`;
}

/** `ID#DATA` alone, as cansend takes it. */
export function formatCandumpFrame(frame: CanFrame): string {
  const error = (frame.flags & CanFlag.error) !== 0;
  const wide = error || (frame.flags & CanFlag.extended) !== 0;
  const number = error ? frame.canId + 0x2000_0000 : frame.canId;
  const id = number.toString(16).toUpperCase().padStart(wide ? 8 : 3, "0");
  if ((frame.flags & CanFlag.remote) !== 0) return `${id}#R${(frame.lengthBytes ?? 0) > 0 ? frame.lengthBytes : ""}`;
  const data = Buffer.from(frame.data.buffer, frame.data.byteOffset, frame.data.byteLength).toString("hex").toUpperCase();
  if ((frame.flags & CanFlag.fd) === 0) return `${id}#${data}`;
  const digit = ((frame.flags & CanFlag.bitRateSwitch) !== 0 ? 1 : 0) | ((frame.flags & CanFlag.errorStateIndicator) !== 0 ? 2 : 0);
  return `${id}##${digit}${data}`;
}
