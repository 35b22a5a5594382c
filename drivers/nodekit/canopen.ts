/** The few CANopen frames (CiA 301) that a node of the kit hears and says: NMT, heartbeat, EMCY, SDO. Pure. */

/** A classic frame with a standard identifier. */
export interface NodeFrame {
  id: number;
  data: Uint8Array;
}

export const canopenIds = { nmt: 0x000, emcy: 0x080, sdoAnswer: 0x580, sdoRequest: 0x600, heartbeat: 0x700 } as const;

export const nmtCommands = { start: 1, stop: 2, enterPreOperational: 128, resetNode: 129, resetCommunication: 130 } as const;
export type NmtCommand = keyof typeof nmtCommands;

/** To node 1…127, or to all (0). */
export function encodeNmt(command: NmtCommand, node: number): NodeFrame {
  return { id: canopenIds.nmt, data: Uint8Array.of(nmtCommands[command], node) };
}

export interface Emcy {
  node: number;
  /** 0: an error is over; the node kit then says in `info` which (its code, little-endian). */
  code: number;
  errorRegister: number;
  info: Uint8Array;
}

export function decodeEmcy({ id, data }: NodeFrame): Emcy | undefined {
  const node = id - canopenIds.emcy;
  if (node < 1 || node > 127 || data.length !== 8) return undefined;
  return { node, code: data[0]! | (data[1]! << 8), errorRegister: data[2]!, info: data.slice(3) };
}

/** The codes that the node kit sends of itself, and those of CiA 301 that mean one thing. */
const emcyTexts: Readonly<Record<number, string>> = {
  0x8110: "it has lost CAN frames", 0x8120: "its CAN controller is error-passive", 0x8130: "the gateway's heartbeat is missing", 0x8140: "back from bus-off", 0x8150: "another node has the same number",
  0x8210: "a process message was too short", 0x8220: "a process message was too long", 0x8250: "no motion command for too long",
};

/** Classes of CiA 301, the narrowest that fits: by the upper byte, else by its upper half. */
const emcyClasses: Readonly<Record<number, string>> = {
  0x10: "generic error", 0x20: "current", 0x21: "current, on the device's input side", 0x22: "current, inside the device", 0x23: "current, on the device's output side", 0x30: "voltage", 0x31: "mains voltage",
  0x32: "voltage inside the device", 0x33: "output voltage", 0x40: "temperature", 0x41: "ambient temperature", 0x42: "temperature of the device", 0x50: "hardware of the device", 0x60: "software of the device", 0x61: "internal software",
  0x62: "the user's software", 0x63: "data set", 0x70: "additional modules", 0x80: "monitoring", 0x81: "communication", 0x82: "protocol", 0x90: "external error", 0xf0: "additional functions", 0xff: "specific to the device",
};

const registerBits = ["generic", "current", "voltage", "temperature", "communication", "device profile", "reserved", "manufacturer"];

/** What an error code means, for people. */
export function emcyText(code: number): string {
  return emcyTexts[code] ?? emcyClasses[code >> 8] ?? emcyClasses[(code >> 8) & 0xf0] ?? "unknown error";
}

/** The bits of object 0x1001 that are set, in words. */
export function errorRegisterWords(register: number): string[] {
  return registerBits.filter((_, bit) => (register & (1 << bit)) !== 0);
}

/** Abort codes that the node kit sends. */
export const sdoAborts: Readonly<Record<number, string>> = {
  0x05030000: "toggle bit", 0x05040000: "timed out", 0x05040001: "not understood", 0x05040003: "sequence", 0x05040004: "CRC", 0x06010001: "write-only", 0x06010002: "read-only", 0x06020000: "no such object",
  0x06070010: "length", 0x06090011: "no such sub-index", 0x06090030: "value", 0x08000020: "could not be stored", 0x08000022: "not in this state",
};
