/** The C node kit as a process (drivers/nodekit/sim) on the emulated bus of a test, with its flash, its boot loader and the clock of this machine. */
import type { BusHost } from "../drivers/can/emulator/host.ts";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { CanFlag } from "../drivers/can/frame.ts";
import { SimNode } from "../drivers/nodekit/simNode.ts";
import { systemClock } from "../schemas/clock.ts";
import { toHex } from "../schemas/testData.ts";

/** Between two turns of the node's main loop. */
const TURN_MS = 5;

export class NodeProcess {
  readonly node = new SimNode();
  /** What it said beside frames: "slot 1", "pose 4", "reset". */
  readonly said: string[] = [];
  /** Its frames are kept back: it is dead, or its cable is cut. */
  silent = false;
  readonly #attached: ReturnType<typeof attachInProcess>;
  #cancel: (() => void) | undefined;
  #ended = false;
  #latestUs = 0;
  /** One thing after another: its lines are questions and answers. */
  #work: Promise<void> = Promise.resolve();

  constructor(host: BusHost) {
    this.#attached = attachInProcess(host, { name: "node" });
    this.#attached.port.onFrame(({ canId, flags, data }) => {
      if ((flags & (CanFlag.remote | CanFlag.error | CanFlag.echo)) !== 0) return;
      const bytes = data.slice();
      // Its own clock is asked when the frame comes: what waits before it must not look late.
      const heardUs = systemClock.nowUs();
      void this.#then(async () => void (await this.node.frame({ id: canId, data: bytes }, this.#clock(heardUs))));
    });
  }

  /** With this image in its first slot, as at the factory; then its power is switched on. */
  async begin(image: Uint8Array): Promise<void> {
    await this.do(`image 0 ${toHex(image)}`);
    await this.powerUp();
    this.#turn();
  }

  powerUp(): Promise<void> {
    return this.#then(async () => this.#heard(await this.node.do(`power ${this.#clock() % 2 ** 32}`)));
  }

  /** A line of the process (sim/node.c), in its turn. */
  do(line: string): Promise<void> {
    return this.#then(async () => void this.#heard(await this.node.do(line)));
  }

  /** Its reading of the gateway's clock against this machine's, µs; undefined: it is not in step. */
  async timeErrorUs(): Promise<number | undefined> {
    let error: number | undefined;
    await this.#then(async () => {
      const nowUs = this.#clock();
      const [answer] = await this.node.do(`time ${nowUs % 2 ** 32}`);
      error = answer === undefined || answer === "time none" ? undefined : Number(answer.slice(5)) - nowUs;
    });
    return error;
  }

  async end(): Promise<number | null> {
    this.#ended = true;
    this.#cancel?.();
    await this.#work;
    return this.node.end();
  }

  /** Its clock never goes back, whatever waited before what. */
  #clock(atUs = systemClock.nowUs()): number {
    return (this.#latestUs = Math.max(this.#latestUs, Math.floor(atUs)));
  }

  #turn(): void {
    if (this.#ended) return;
    this.#cancel = systemClock.at(systemClock.nowUs() + TURN_MS * 1e3, () => {
      void this.#then(async () => this.#heard(await this.node.poll(this.#clock()))).then(() => this.#turn());
    });
  }

  #then(act: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.#ended) return;
      await act();
      this.#heard(this.node.said.splice(0));
      for (const { id, data } of this.node.sent.splice(0)) if (!this.silent) this.#attached.port.send({ timeUs: 0, canId: id, flags: 0, data });
    });
    return this.#work;
  }

  #heard(lines: readonly string[]): void {
    this.said.push(...lines);
    // The chip restarts; its boot loader chooses the slot.
    if (lines.includes("reset")) void this.powerUp();
  }
}
