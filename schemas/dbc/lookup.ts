/** From a frame's identifier to its message. J1939 messages are found by their parameter group, whoever sends them and with whatever priority. */
import type { Database, Message } from "./model.ts";

/** The 18-bit parameter group number of a 29-bit identifier; for PDU1 (destination-specific) groups without the destination address. SAE J1939-21 §5.2. */
export function pgnOf(canId: number): number {
  const pduFormat = (canId >>> 16) & 0xff;
  const pgn = (canId >>> 8) & 0x3ffff;
  return pduFormat < 240 ? pgn & 0x3ff00 : pgn;
}

/** Whether a frame with identifier `canId` carries `message`. */
export function matches(message: Message, canId: number, extended: boolean): boolean {
  if (message.extended !== extended) return false;
  return message.canId === canId || (message.j1939 && pgnOf(message.canId) === pgnOf(canId));
}

export interface MessageIndex {
  /** The message of a frame, or undefined. An exact identifier wins over a parameter group; in case of duplicates the last message of the last database wins. */
  find: (canId: number, extended: boolean) => Message | undefined;
  /** By name; the first one of that name. */
  byName: (name: string) => Message | undefined;
}

export function indexMessages(...databases: readonly Database[]): MessageIndex {
  const exact = new Map<number, Message>();
  const groups = new Map<number, Message>();
  const names = new Map<string, Message>();
  for (const { messages } of databases) {
    for (const message of messages) {
      exact.set(key(message.canId, message.extended), message);
      if (message.j1939) groups.set(pgnOf(message.canId), message);
      if (!names.has(message.name)) names.set(message.name, message);
    }
  }
  return {
    find: (canId, extended) => exact.get(key(canId, extended)) ?? (extended ? groups.get(pgnOf(canId)) : undefined),
    byName: (name) => names.get(name),
  };
}

/** Identifiers of both widths in one number. */
function key(canId: number, extended: boolean): number {
  return extended ? canId + 0x8000_0000 : canId;
}
