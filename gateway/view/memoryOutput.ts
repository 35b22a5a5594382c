import { Writable } from "node:stream";

/** Keeps what is written; a terminal if told its size. */
export class MemoryOutput extends Writable {
  text = "";
  isTTY?: boolean;
  columns?: number;
  rows?: number;

  constructor(size?: { columns: number; rows: number }) {
    super({ decodeStrings: false });
    if (size) Object.assign(this, { isTTY: true, ...size });
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    this.emit("text");
    done();
  }

  get lines(): string[] {
    return this.text.split("\n").filter((line) => line !== "");
  }

  /** Resolves once the text written so far matches. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) await new Promise((resolve) => this.once("text", resolve));
  }
}
