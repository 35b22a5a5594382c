/** The quarantine where both instances find it: a file in the pair's folder, which is in memory and gone with the next boot. Written before what is suspected is touched again. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { Quarantine, type QuarantineEntry, type QuarantineState } from "./quarantine.ts";

export class QuarantineFile {
  readonly quarantine = new Quarantine();
  readonly #path: string;

  /** `fault` is told when what is there cannot be read: then nobody is kept out, and that is not a secret. */
  constructor(path: string, fault: (text: string) => void) {
    this.#path = path;
    this.reload(fault);
  }

  /** What the other instance has written last. */
  reload(fault: (text: string) => void): void {
    try {
      const { entries, strikes, next } = JSON.parse(readFileSync(this.#path, "utf8")) as QuarantineState;
      this.quarantine.restore({ strikes, next, entries: entries.map((entry) => ({ ...entry, sample: new Uint8Array(Buffer.from(entry.sample as unknown as string, "hex")) })) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") fault(`the quarantine in ${this.#path} cannot be read: ${String(error)}`);
    }
  }

  save(): void {
    const state = this.quarantine.state();
    writeFileSync(`${this.#path}.new`, JSON.stringify({ ...state, entries: state.entries.map(toJson) }), { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
  }
}

/** An entry for people and files: bytes as hexadecimal digits. */
export function toJson(entry: QuarantineEntry): Omit<QuarantineEntry, "sample"> & { sample: string } {
  return { ...entry, sample: Buffer.from(entry.sample).toString("hex") };
}
