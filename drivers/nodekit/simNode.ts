/** The C kit as a process (sim/node.c), for tests: one line in, its lines out. */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fromHex, projectRoot, toHex } from "../../schemas/testData.ts";
import type { NodeFrame } from "./canopen.ts";

export const SIM_NODE = 5;

export class SimNode {
  /** Frames that it sent and nobody has taken yet. */
  readonly sent: NodeFrame[] = [];
  /** Everything else that it said: "pose 4", "slot 0", "reset", "cut", "time 12". */
  readonly said: string[] = [];
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const path = join(projectRoot(), "dist/native/test/ipcnet_node_sim");
    if (!existsSync(path)) throw new Error(`${path} is missing: npm test builds it`);
    this.#process = spawn(path, [], { stdio: "pipe" });
    this.#process.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async do(line: string): Promise<string[]> {
    this.#process.stdin.write(`${line}\n`);
    const said: string[] = [];
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error(`the node ended at "${line.slice(0, 80)}"`);
      if (value === ".") break;
      const sent = /^send ([0-9a-f]+) ([0-9a-f]*)$/.exec(value);
      if (sent) this.sent.push({ id: parseInt(sent[1]!, 16), data: fromHex(sent[2]!) });
      else said.push(value);
    }
    this.said.push(...said);
    return said;
  }

  /** What ipcnet_node_device_hear returned; undefined without power. */
  async frame({ id, data }: NodeFrame, nowUs: number): Promise<number | undefined> {
    const heard = (await this.do(`frame ${nowUs % 2 ** 32} ${id.toString(16)} ${toHex(data)}`)).find((line) => line.startsWith("heard"));
    return heard === undefined ? undefined : Number(heard.slice(6));
  }

  poll(nowUs: number): Promise<string[]> {
    return this.do(`poll ${nowUs % 2 ** 32}`);
  }

  /** Its exit code: 0 unless it broke a rule of the flash, or a sanitizer found something. */
  async end(): Promise<number | null> {
    this.#process.stdin.end();
    if (this.#process.exitCode !== null) return this.#process.exitCode;
    const [code] = await once(this.#process, "exit") as [number | null];
    return code;
  }
}
