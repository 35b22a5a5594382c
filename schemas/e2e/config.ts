/**
 * The configuration of an E2E channel and its check. Lengths count bytes and include the header, where AUTOSAR counts bits; the offsets
 * inside P01 and P11 are in bits as there, because two of them lie on half bytes. `validateE2eConfig` finds all faults at once and never throws.
 */
import { stateMachineFaults } from "./stateMachine.ts";
import type { StateMachineConfig } from "./stateMachine.ts";

export type ProfileName = "P01" | "P02" | "P04" | "P05" | "P06" | "P07" | "P08" | "P11" | "P22";
export type DataIdMode = "both" | "alt" | "low" | "nibble";

/** How a receiver judges a sequence of frames; the same for AUTOSAR profiles and vendor checksums. */
export interface ReceiverConfig {
  /** Largest step of the counter that is still accepted, 1…counterCount − 2. Default 3, less for counters of two bits. */
  maxDeltaCounter?: number;
  /** After a frame outside the window: how many frames in unbroken sequence, that one included, until the last of them is accepted. 2…255, default 3. */
  resyncFrames?: number;
  /** The newest accepted frame is stale once it is older than this. */
  timeoutMs?: number;
  stateMachine?: StateMachineConfig;
}

export interface E2eConfig extends ReceiverConfig {
  profile: ProfileName;
  /** P01, P05, P06, P11: 16 bits; P04, P07, P08: 32 bits. */
  dataId?: number;
  /** P02, P22: the Data ID for each of the 16 counter values. */
  dataIdList?: readonly number[];
  /** P01 (default both) and P11 (both or nibble): which parts of the Data ID enter the CRC. */
  dataIdMode?: DataIdMode;
  /** Where the header begins. Default 0. */
  offsetBytes?: number;
  /** P01, P11: position of the CRC, a multiple of 8. Default: at the header's first byte. */
  crcOffsetBits?: number;
  /** P01, P11: position of the counter, a multiple of 4. Default: low half of the byte after the CRC. */
  counterOffsetBits?: number;
  /** P01, P11 with mode nibble: position of the Data ID's nibble, a multiple of 4. Default: the half byte after the counter. */
  dataIdNibbleOffsetBits?: number;
  /** The one length allowed, header included; or a range by the next two. Default: any length that holds the header, up to the profile's limit. */
  lengthBytes?: number;
  minLengthBytes?: number;
  maxLengthBytes?: number;
}

export interface ConfigFault {
  /** The key it concerns; "stateMachine.windowSizeValid" for a nested one. */
  key: string;
  code: "missing" | "unknown" | "notAllowed" | "wrongType" | "outOfRange";
  message: string;
  hint: string;
}

export interface ProfileFacts {
  headerBytes: number;
  counterCount: number;
  maxLengthBytes: number;
  /** Bits of the Data ID; 0: a list of bytes instead. */
  dataIdBits: 0 | 16 | 32;
  dataIdModes: readonly DataIdMode[];
}

export const profileFacts: Record<ProfileName, ProfileFacts> = {
  P01: { headerBytes: 2, counterCount: 15, maxLengthBytes: 30, dataIdBits: 16, dataIdModes: ["both", "alt", "low", "nibble"] },
  P11: { headerBytes: 2, counterCount: 15, maxLengthBytes: 30, dataIdBits: 16, dataIdModes: ["both", "nibble"] },
  P02: { headerBytes: 2, counterCount: 16, maxLengthBytes: 256, dataIdBits: 0, dataIdModes: [] },
  P22: { headerBytes: 2, counterCount: 16, maxLengthBytes: 256, dataIdBits: 0, dataIdModes: [] },
  P04: { headerBytes: 12, counterCount: 0x10000, maxLengthBytes: 4096, dataIdBits: 32, dataIdModes: [] },
  P05: { headerBytes: 3, counterCount: 0x100, maxLengthBytes: 4096, dataIdBits: 16, dataIdModes: [] },
  P06: { headerBytes: 5, counterCount: 0x100, maxLengthBytes: 4096, dataIdBits: 16, dataIdModes: [] },
  P07: { headerBytes: 20, counterCount: 0x100000000, maxLengthBytes: 4 * 1024 * 1024, dataIdBits: 32, dataIdModes: [] },
  P08: { headerBytes: 16, counterCount: 0x100000000, maxLengthBytes: 0xffffffff, dataIdBits: 32, dataIdModes: [] },
};

export const profileNames = Object.keys(profileFacts) as ProfileName[];

export function isProfileName(word: unknown): word is ProfileName {
  return typeof word === "string" && Object.hasOwn(profileFacts, word);
}

/** Everything wrong with `config`; empty when it can be compiled. */
export function validateE2eConfig(config: E2eConfig): ConfigFault[] {
  if (!isProfileName(config.profile)) return [{ key: "profile", code: "unknown", message: `unknown profile ${shown(config.profile)}`, hint: `one of ${profileNames.join(", ")}` }];
  const facts = profileFacts[config.profile];
  return [...dataIdFaults(config, facts), ...layoutFaults(config, facts), ...receiverFaults(config, facts.counterCount)];
}

/** The part of the check that does not depend on the layout; for vendor checksums as well. */
export function receiverFaults(config: ReceiverConfig, counterCount: number): ConfigFault[] {
  const faults: ConfigFault[] = [];
  if (counterCount > 1) wholeIn(faults, "maxDeltaCounter", config.maxDeltaCounter, 1, counterCount - 2);
  else if (config.maxDeltaCounter !== undefined) faults.push(notAllowed("maxDeltaCounter", "this message has no counter"));
  wholeIn(faults, "resyncFrames", config.resyncFrames, 2, 255);
  if (config.timeoutMs !== undefined && !(Number.isFinite(config.timeoutMs) && config.timeoutMs > 0)) {
    faults.push({ key: "timeoutMs", code: "outOfRange", message: `timeoutMs is ${shown(config.timeoutMs)}`, hint: "a number of milliseconds above 0" });
  }
  for (const fault of stateMachineFaults(config.stateMachine ?? {})) faults.push({ key: `stateMachine.${fault.key}`, code: "outOfRange", message: fault.message, hint: fault.hint });
  return faults;
}

/** Layout with every default filled in. Bounds are inclusive. */
export interface Layout {
  offsetBytes: number;
  minLengthBytes: number;
  maxLengthBytes: number;
  crcOffsetBits: number;
  counterOffsetBits: number;
  dataIdNibbleOffsetBits: number;
}

export function layoutOf(config: E2eConfig): Layout {
  const facts = profileFacts[config.profile];
  const offsetBytes = config.offsetBytes ?? 0;
  const crcOffsetBits = config.crcOffsetBits ?? offsetBytes * 8;
  const counterOffsetBits = config.counterOffsetBits ?? crcOffsetBits + 8;
  const dataIdNibbleOffsetBits = config.dataIdNibbleOffsetBits ?? counterOffsetBits + 4;
  const inBits = hasBitOffsets(config.profile) ? Math.max(crcOffsetBits + 8, counterOffsetBits + 4, config.dataIdMode === "nibble" ? dataIdNibbleOffsetBits + 4 : 0) : (offsetBytes + facts.headerBytes) * 8;
  const smallest = Math.ceil(inBits / 8);
  return {
    offsetBytes,
    crcOffsetBits,
    counterOffsetBits,
    dataIdNibbleOffsetBits,
    minLengthBytes: config.lengthBytes ?? config.minLengthBytes ?? smallest,
    maxLengthBytes: config.lengthBytes ?? config.maxLengthBytes ?? facts.maxLengthBytes,
  };
}

/** The bytes of a frame that hold header fields. P01, P02, P11 and P22 share one of them with half a byte of payload. */
export function headerBytesOf(config: E2eConfig): number[] {
  const layout = layoutOf(config);
  if (!hasBitOffsets(config.profile)) return Array.from({ length: profileFacts[config.profile].headerBytes }, (_, index) => layout.offsetBytes + index);
  const bits = [layout.crcOffsetBits, layout.counterOffsetBits, ...(config.dataIdMode === "nibble" ? [layout.dataIdNibbleOffsetBits] : [])];
  return [...new Set(bits.map((bit) => bit >>> 3))];
}

function hasBitOffsets(profile: ProfileName): boolean {
  return profile === "P01" || profile === "P11";
}

function dataIdFaults(config: E2eConfig, facts: ProfileFacts): ConfigFault[] {
  const faults: ConfigFault[] = [];
  if (facts.dataIdBits === 0) {
    if (config.dataId !== undefined) faults.push(notAllowed("dataId", `${config.profile} has a dataIdList, one byte for each counter value`));
    const list = config.dataIdList;
    if (list === undefined) faults.push({ key: "dataIdList", code: "missing", message: `${config.profile} needs a dataIdList`, hint: "16 numbers 0…255, one for each counter value" });
    else if (!Array.isArray(list) || list.length !== 16 || !list.every((id) => Number.isInteger(id) && id >= 0 && id <= 0xff)) {
      faults.push({ key: "dataIdList", code: "wrongType", message: "dataIdList is not 16 numbers 0…255", hint: "one number for each counter value 0…15" });
    }
  } else {
    if (config.dataIdList !== undefined) faults.push(notAllowed("dataIdList", "it belongs to P02 and P22"));
    const largest = config.dataIdMode === "nibble" ? 0xfff : 2 ** facts.dataIdBits - 1;
    if (config.dataId === undefined) faults.push({ key: "dataId", code: "missing", message: `${config.profile} needs a dataId`, hint: `a number 0…0x${largest.toString(16)}` });
    else wholeIn(faults, "dataId", config.dataId, 0, largest);
  }
  if (config.dataIdMode !== undefined && !facts.dataIdModes.includes(config.dataIdMode)) {
    if (facts.dataIdModes.length === 0) faults.push(notAllowed("dataIdMode", "it belongs to P01 and P11"));
    else faults.push({ key: "dataIdMode", code: "outOfRange", message: `${config.profile} has no dataIdMode ${shown(config.dataIdMode)}`, hint: `one of ${facts.dataIdModes.join(", ")}` });
  }
  return faults;
}

function layoutFaults(config: E2eConfig, facts: ProfileFacts): ConfigFault[] {
  const faults: ConfigFault[] = [];
  for (const [key, step] of [["crcOffsetBits", 8], ["counterOffsetBits", 4], ["dataIdNibbleOffsetBits", 4]] as const) {
    const value = config[key];
    if (value === undefined) continue;
    if (!hasBitOffsets(config.profile)) faults.push(notAllowed(key, "bit offsets belong to P01 and P11; use offsetBytes"));
    else if (wholeIn(faults, key, value, 0, facts.maxLengthBytes * 8 - step) && value % step !== 0) {
      faults.push({ key, code: "outOfRange", message: `${key} is ${value}`, hint: `a multiple of ${step}` });
    }
  }
  wholeIn(faults, "offsetBytes", config.offsetBytes, 0, facts.maxLengthBytes - facts.headerBytes);
  if (config.lengthBytes !== undefined) {
    for (const key of ["minLengthBytes", "maxLengthBytes"] as const) if (config[key] !== undefined) faults.push(notAllowed(key, "lengthBytes already gives the one length"));
  }
  if (faults.length > 0) return faults;
  const layout = layoutOf(config);
  const smallest = layoutOf({ ...config, lengthBytes: undefined, minLengthBytes: undefined }).minLengthBytes;
  for (const key of ["lengthBytes", "minLengthBytes", "maxLengthBytes"] as const) wholeIn(faults, key, config[key], smallest, facts.maxLengthBytes);
  if (faults.length === 0 && layout.minLengthBytes > layout.maxLengthBytes) {
    faults.push({ key: "minLengthBytes", code: "outOfRange", message: `minLengthBytes ${layout.minLengthBytes} is above maxLengthBytes ${layout.maxLengthBytes}`, hint: "swap them, or give lengthBytes" });
  }
  if (hasBitOffsets(config.profile)) faults.push(...overlapFaults(config, layout));
  return faults;
}

function overlapFaults(config: E2eConfig, layout: Layout): ConfigFault[] {
  const faults: ConfigFault[] = [];
  const inCrc = (bit: number): boolean => bit >= layout.crcOffsetBits && bit < layout.crcOffsetBits + 8;
  const overlap = (key: string): void => {
    faults.push({ key, code: "outOfRange", message: `${key} lies on another header field`, hint: "CRC, counter and nibble need places of their own" });
  };
  if (inCrc(layout.counterOffsetBits)) overlap("counterOffsetBits");
  if (config.dataIdMode === "nibble" && (inCrc(layout.dataIdNibbleOffsetBits) || layout.dataIdNibbleOffsetBits === layout.counterOffsetBits)) overlap("dataIdNibbleOffsetBits");
  return faults;
}

function notAllowed(key: string, hint: string): ConfigFault {
  return { key, code: "notAllowed", message: `${key} is not allowed here`, hint };
}

/** Adds a fault unless the value is absent or a whole number within the bounds; returns whether it is fine. */
function wholeIn(faults: ConfigFault[], key: string, value: unknown, low: number, high: number): boolean {
  if (value === undefined) return true;
  if (typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) return true;
  const wrongType = typeof value !== "number" || !Number.isInteger(value);
  faults.push({ key, code: wrongType ? "wrongType" : "outOfRange", message: `${key} is ${shown(value)}`, hint: `a whole number ${low}…${high}` });
  return false;
}

/** A value that may be of any type, for a sentence. */
export function shown(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing");
}
