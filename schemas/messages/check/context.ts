/** What the checks share: the configuration at hand, where to report, and the files it names. */
import { createHash } from "node:crypto";
import type { Config } from "../config.ts";
import { pathText } from "../fault.ts";
import type { Fault, Path } from "../fault.ts";
import type { Loaded, Location } from "../loadConfig.ts";
import { nearest } from "../../nearest.ts";

/** Something the check could not find out, or that is so on this machine only. */
export interface Note {
  /** Stable; docs/specs/configuration.md lists them. */
  code: string;
  path: string;
  file: string;
  line: number;
  column: number;
  message: string;
  /** On this machine the gateway would not start with it. */
  blocksStart: boolean;
}

/** A file that the configuration names: what it holds and its permissions, or why it cannot be read. */
export type FileAnswer = { bytes: Uint8Array; mode?: number } | { fault: string };

/** What is known about a network interface; what is absent is not known. */
export interface CanInterfaceAnswer {
  present: boolean;
  /** Whether it is a CAN interface at all. */
  can?: boolean;
  up?: boolean;
  /** Whether it carries FD frames. */
  fd?: boolean;
  bitrateBps?: number;
  dataBitrateBps?: number;
}

/** What this machine has. Each answer is undefined where it cannot be found out. */
export interface MachineProbe {
  canInterface(name: string): CanInterfaceAnswer | undefined;
  pathExists(path: string): boolean | undefined;
  userExists(name: string): boolean | undefined;
  groupExists(name: string): boolean | undefined;
}

/** What the checks ask of a document: the configuration, or a file beside it. */
export type CheckedDocument = Omit<Loaded, "config" | "salvage" | "faults"> & Partial<Pick<Loaded, "config">>;

interface FaultDetails {
  severity?: Fault["severity"];
  expected?: string;
  hint?: string;
  part?: "key" | "value";
  /** Within the value: offset and length of the characters meant. */
  within?: { from: number; to: number; text: string };
  /** In another file than the configuration. */
  elsewhere?: { file: string; line: number; column: number };
}

export class CheckContext {
  readonly config: Config;
  /** The document whose faults are reported. */
  readonly loaded: CheckedDocument;
  readonly faults: Fault[] = [];
  readonly notes: Note[] = [];
  /** SHA-256 of each file that was read, by the path in the configuration; files with secrets are left out, lest the hash be used to guess them. */
  readonly fileHashes = new Map<string, string>();
  readonly texts = new Map<string, string>();
  /** Buses of which not every message is known, because a database could not be read. */
  readonly uncertainBuses = new Set<string>();
  readonly #readFile: (path: string) => FileAnswer;
  readonly #answers = new Map<string, FileAnswer>();

  constructor({ config, loaded, readFile }: { config: Config; loaded: CheckedDocument; readFile: (path: string) => FileAnswer }) {
    this.config = config;
    this.loaded = loaded;
    this.#readFile = readFile;
  }

  fault(code: string, path: Path, message: string, { severity = "error", expected = "", hint = "", part = "value", within, elsewhere }: FaultDetails = {}): void {
    const here = this.loaded.locate(path, part);
    const at = elsewhere ? { ...elsewhere, lengthChars: 1 } : { file: this.loaded.file, ...(within ? inside(here, within) : here) };
    this.faults.push({ code, severity, ...at, path: pathText(path), message, expected, hint });
  }

  warning(code: string, path: Path, message: string, details: Omit<FaultDetails, "severity"> = {}): void {
    this.fault(code, path, message, { ...details, severity: "warning" });
  }

  note(code: string, path: Path, message: string, { blocksStart = false }: { blocksStart?: boolean } = {}): void {
    const { line, column } = this.loaded.locate(path);
    this.notes.push({ code, path: pathText(path), file: this.loaded.file, line, column, message, blocksStart });
  }

  /** Reports a name that nothing has, unless something was dropped where it may have been meant. */
  unknown(code: string, path: Path, { what, name, where = "", known, lists = [] }: { what: string; name: string; where?: string; known: Iterable<string>; lists?: readonly string[] }): void {
    if (lists.some((list) => this.loaded.isIncomplete(list))) return;
    const names = [...known];
    const near = nearest(name, names);
    const expected = names.length === 0 ? `there is none${where}` : names.length <= 16 ? `one of ${names.join(", ")}` : `one of ${names.length} names`;
    this.fault(code, path, `there is no ${what} "${name.slice(0, 80)}"${where}`, { expected, hint: near === undefined ? "" : `did you mean ${near}?` });
  }

  items<T>(list: readonly T[] | undefined, path: Path): [item: T, path: Path][] {
    return list ? this.loaded.items(list, path) : [];
  }

  /** The file's content; reports and returns undefined when it cannot be read. `secret`: must not be readable for everybody, and is kept out of the hash. */
  read(file: string, path: Path, { secret = false }: { secret?: boolean } = {}): Uint8Array | undefined {
    const known = this.#answers.get(file);
    const answer = known ?? this.#readFile(file);
    this.#answers.set(file, answer);
    if ("fault" in answer) {
      this.fault("fileUnreadable", path, `"${file}" cannot be read: ${answer.fault}`, { expected: "a readable file; relative paths count from the configuration file" });
      return undefined;
    }
    if (!secret) this.fileHashes.set(file, createHash("sha256").update(answer.bytes).digest("hex"));
    else if (answer.mode !== undefined && (answer.mode & 0o007) !== 0) {
      this.fault("worldReadable", path, `"${file}" is open to every user of this machine (mode ${(answer.mode & 0o777).toString(8).padStart(4, "0")})`, { expected: "a file for the gateway's user only", hint: `chmod 600 ${file}` });
    }
    return answer.bytes;
  }

  /** Permission bits of a file that was read, where they are known. */
  modeOf(file: string): number | undefined {
    const answer = this.#answers.get(file);
    return answer && "mode" in answer ? answer.mode : undefined;
  }

  /** As `read`, as UTF-8; kept, so that faults can show the line. */
  readText(file: string, path: Path): string | undefined {
    const bytes = this.read(file, path);
    if (!bytes) return undefined;
    const text = new TextDecoder("utf-8").decode(bytes);
    this.texts.set(file, text);
    return text;
  }
}

/** Narrows a place to some characters of a plain or simply quoted value; elsewhere (escapes, block texts) the whole value must do. */
function inside(here: Location, { from, to, text }: { from: number; to: number; text: string }): Location {
  const quote = here.lengthChars === text.length ? 0 : here.lengthChars === text.length + 2 ? 1 : undefined;
  if (quote === undefined) return here;
  return { line: here.line, column: here.column + quote + from, lengthChars: Math.max(1, to - from) };
}
