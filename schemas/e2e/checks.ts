/**
 * The checks file beside a DBC: for each message how its frames are protected. DBC itself has no words for this. The format is described
 * in docs/specs/checks-file.md. Loading finds all faults at once, each with its place and the nearest valid word.
 */
import { nearest } from "../nearest.ts";
import type { FrameCodec } from "./codec.ts";
import { Verdict } from "./codec.ts";
import { profileFacts, receiverFaults, validateE2eConfig } from "./config.ts";
import type { E2eConfig, ReceiverConfig } from "./config.ts";
import { readChecks } from "./checksReader.ts";
import type { CheckEntry, CheckFault, ClaimSignals, EntryPlaces } from "./checksReader.ts";
import { canDiscriminator, derivedDataId } from "./dataId.ts";
import type { LayoutHash } from "./dataId.ts";
import { FrameCheck, FrameProtector } from "./frameCheck.ts";
import { e2eCodec } from "./profiles.ts";
import { vendorCodec } from "./vendor/checksum.ts";

export type { CheckFault, ClaimSignals } from "./checksReader.ts";

/** What the checks need to know of a message. */
export interface CheckedMessage {
  name: string;
  canId: number;
  extended: boolean;
  lengthBytes: number;
  /** 64 bits; needed where the file says `dataId: schema`. */
  layoutHash?: LayoutHash | undefined;
}

export type LoadedChecks = { ok: true; checks: CheckSet } | { ok: false; faults: CheckFault[] };

/** Reads a checks file's text. `file` only names it in faults. */
export function loadChecks(text: string, { file }: { file: string }): LoadedChecks {
  const { entries, claims, faults } = readChecks(text, file);
  return faults.length > 0 ? { ok: false, faults } : { ok: true, checks: new CheckSet(file, entries, claims) };
}

export class CheckSet {
  readonly file: string;
  /** The names of the signals that carry who commands the bus; a message has them if it has signals of these names. */
  readonly claims: Readonly<ClaimSignals>;
  readonly #entries: ReadonlyMap<string, CheckEntry>;

  constructor(file: string, entries: ReadonlyMap<string, CheckEntry>, claims: ClaimSignals = {}) {
    this.file = file;
    this.claims = claims;
    this.#entries = entries;
  }

  /** The messages the file names, without "*". */
  get names(): string[] {
    return [...this.#entries.keys()].filter((name) => name !== "*");
  }

  /** Whether there is an entry for this message, its own or "*". */
  covers(name: string): boolean {
    return this.#entryOf(name) !== undefined;
  }

  /** How a message is protected: by an AUTOSAR profile, a vendor's checksum, or explicitly by the bus alone; undefined without an entry. */
  kindOf(name: string): CheckEntry["kind"] | undefined {
    return this.#entryOf(name)?.kind;
  }

  /** What cannot be known before the messages are: entries for messages that do not exist, headers that do not fit, missing hashes. */
  verify(messages: readonly CheckedMessage[]): CheckFault[] {
    const faults: CheckFault[] = [];
    const names = messages.map((message) => message.name);
    const known = new Set(names);
    for (const [name, entry] of this.#entries) {
      if (name === "*" || known.has(name)) continue;
      const near = nearest(name, names);
      faults.push(faultAt(this.file, entry.places, undefined, `there is no message ${name}`, near ? `did you mean ${near}?` : "the name must be one of the DBC's messages"));
    }
    for (const name of [...(this.claims.groups?.values() ?? [])].flat()) {
      const near = known.has(name) ? undefined : nearest(name, names);
      if (!known.has(name)) faults.push({ file: this.file, line: 1, column: 1, message: `claims.groups: there is no message ${name}`, hint: near ? `did you mean ${near}?` : "the name must be one of the DBC's messages" });
    }
    for (const message of messages) {
      const compiled = this.#compile(message);
      if (compiled && !compiled.ok) faults.push(...compiled.faults);
    }
    return faults;
  }

  /** A new receiver for this message; undefined if the file has no entry for it. Throws RangeError for what `verify` would have found. */
  forMessage(message: CheckedMessage): FrameCheck | undefined {
    const compiled = this.#compiled(message);
    return compiled && new FrameCheck(compiled.codec, compiled.receiver);
  }

  /** A new sender for this message; undefined if the file has no entry for it. Throws RangeError for what `verify` would have found. */
  protectorFor(message: CheckedMessage): FrameProtector | undefined {
    const compiled = this.#compiled(message);
    return compiled && new FrameProtector(compiled.codec);
  }

  /** How this message's frames are protected, with every number worked out: for whoever protects and checks outside of this process. Undefined without an entry; throws as `forMessage` does. */
  protectionOf(message: CheckedMessage): { kind: "e2e"; config: E2eConfig } | { kind: "vendor" | "link" } | undefined {
    const compiled = this.#compiled(message);
    if (!compiled) return undefined;
    return compiled.config ? { kind: "e2e", config: compiled.config } : { kind: this.kindOf(message.name) === "link" ? "link" : "vendor" };
  }

  #entryOf(name: string): CheckEntry | undefined {
    return this.#entries.get(name) ?? this.#entries.get("*");
  }

  #compiled(message: CheckedMessage): Extract<Compiled, { ok: true }> | undefined {
    const compiled = this.#compile(message);
    if (compiled && !compiled.ok) throw new RangeError(compiled.faults.map((fault) => `${fault.file}:${fault.line}:${fault.column}: ${fault.message} (${fault.hint})`).join("; "));
    return compiled;
  }

  #compile(message: CheckedMessage): Compiled | undefined {
    const entry = this.#entryOf(message.name);
    if (!entry) return undefined;
    switch (entry.kind) {
      case "link":
        return { ok: true, codec: new LinkCodec(message.lengthBytes), receiver: entry.receiver };
      case "vendor":
        return this.#compileVendor(entry, message);
      case "e2e":
        return this.#compileE2e(entry, message);
    }
  }

  #compileVendor(entry: Extract<CheckEntry, { kind: "vendor" }>, message: CheckedMessage): Compiled {
    const made = vendorCodec(entry.checksum, { ...message, counter: entry.counter });
    if (!made.ok) return { ok: false, faults: [faultAt(this.file, entry.places, "checksum", `${message.name}: ${made.message}`, "correct the message's length or its check")] };
    const faults = receiverFaults(entry.receiver, made.codec.counterCount);
    if (faults.length > 0) return { ok: false, faults: faults.map((fault) => faultAt(this.file, entry.places, fault.key, `${message.name}: ${fault.message}`, fault.hint)) };
    return { ok: true, codec: made.codec, receiver: entry.receiver };
  }

  #compileE2e(entry: Extract<CheckEntry, { kind: "e2e" }>, message: CheckedMessage): Compiled {
    const config: E2eConfig = { ...entry.config, ...(entry.config.minLengthBytes === undefined ? { lengthBytes: message.lengthBytes } : { maxLengthBytes: message.lengthBytes }) };
    const bits = profileFacts[config.profile].dataIdBits;
    if (entry.dataIdFromSchema && bits !== 0) {
      if (message.layoutHash === undefined) return { ok: false, faults: [faultAt(this.file, entry.places, "dataId", `${message.name} has no layout hash to derive a Data ID from`, "give the Data ID as a number")] };
      config.dataId = derivedDataId({ layoutHash: message.layoutHash, discriminator: canDiscriminator(message.canId, message.extended), bits });
      if (config.dataIdMode === "nibble") config.dataId &= 0xfff;
    }
    const faults = validateE2eConfig(config);
    if (faults.length > 0) {
      return { ok: false, faults: faults.map((fault) => faultAt(this.file, entry.places, fault.key, `${message.name} (${message.lengthBytes} bytes): ${fault.message}`, fault.hint)) };
    }
    return { ok: true, codec: e2eCodec(config), receiver: config, config };
  }
}

type Compiled = { ok: true; codec: FrameCodec; receiver: ReceiverConfig; config?: E2eConfig } | { ok: false; faults: CheckFault[] };

/** `integrity: link`: the bus's own CRC is accepted as enough; only the length is checked. */
class LinkCodec implements FrameCodec {
  readonly counterCount = 1;
  readonly firstCounter = 0;
  readonly #lengthBytes: number;

  constructor(lengthBytes: number) {
    this.#lengthBytes = lengthBytes;
  }

  inspect(_bytes: Uint8Array, _at: number, lengthBytes: number): Verdict {
    return lengthBytes === this.#lengthBytes ? Verdict.ok : Verdict.badLength;
  }

  counterOf(): number {
    return 0;
  }

  protect(_bytes: Uint8Array, _at: number, lengthBytes: number): void {
    if (lengthBytes !== this.#lengthBytes) throw new RangeError(`a frame of ${lengthBytes} bytes, where the message has ${this.#lengthBytes}`);
  }
}

function faultAt(file: string, places: EntryPlaces, key: string | undefined, message: string, hint: string): CheckFault {
  const place = (key === undefined ? undefined : places.keys.get(key)) ?? places.entry;
  return { file, line: place.line, column: place.column, message, hint };
}
