/**
 * In the machine: a microcontroller in an emulator of its own (QEMU's xlnx-zcu102, the one machine whose CAN controller it can put on an interface of the kernel), with our firmware on it.
 * The emulator is a process: killed, it is a power cut; stopped, a node that stands still; its monitor presses the reset pin.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { eventually, standsStill } from "../../waiting.ts";
import { Qmp } from "../qmp.ts";

/** An emulator within an emulator. */
const START_MS = 180_000;

export class NestedNode {
  readonly #firmware: string;
  readonly #interface: string;
  readonly #monitor: string;
  #child: ChildProcess | undefined;
  #qmp: Qmp | undefined;
  #trouble = "";

  /** Without power. `folder`: for its monitor's socket. */
  constructor({ firmware, canInterface, folder }: { firmware: string; canInterface: string; folder: string }) {
    this.#firmware = firmware;
    this.#interface = canInterface;
    this.#monitor = join(folder, "node.qmp");
  }

  async powerOn(): Promise<void> {
    rmSync(this.#monitor, { force: true });
    // Its clock is the machine's: it is not told to wait for anybody.
    const child = (this.#child = spawn("qemu-system-aarch64", [
      "-M", "xlnx-zcu102,canbus0=can", "-accel", "tcg,tb-size=32", "-m", "64M", "-display", "none", "-monitor", "none", "-serial", "none", "-nic", "none", "-object", "can-bus,id=can",
      "-object", `can-host-socketcan,id=host,if=${this.#interface},canbus=can`, "-device", `loader,file=${this.#firmware},cpu-num=0`, "-qmp", `unix:${this.#monitor},server=on,wait=off`,
    ], { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, QEMU_AUDIO_DRV: "none" } }));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.#trouble += text));
    this.#qmp = await eventually("the emulator's monitor", async () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the emulator ended: ${this.#trouble}`);
      try {
        return await Qmp.connect(this.#monitor);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== "ENOENT" && code !== "ECONNREFUSED") throw error;
        return undefined;
      }
    }, { timeoutMs: START_MS, last: () => this.#trouble });
  }

  /** Without a warning: kill -9. Resolves when it is gone. */
  async cutPower(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    this.#qmp?.close();
    this.#qmp = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  }

  async pressReset(): Promise<void> {
    await this.#qmp!.order("system_reset");
  }

  /** The whole board, in the middle of whatever it does; its clock goes on. */
  async freeze(): Promise<void> {
    this.#child!.kill("SIGSTOP");
    await standsStill(this.#child!.pid!);
  }
  thaw(): void {
    this.#child!.kill("SIGCONT");
  }

  describe(): unknown {
    return { pid: this.#child?.pid, ended: this.#child?.exitCode ?? this.#child?.signalCode, trouble: this.#trouble };
  }
}
