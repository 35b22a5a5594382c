/** For tests: the serial kit in C (serialDevice.c) as a process at the end of a pseudo-terminal, with the test on the wire. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { projectRoot } from "../../schemas/testData.ts";
import { until } from "../../schemas/testing.ts";
import { openPty, type Pty } from "../pty/index.ts";

const root = projectRoot();
export const DATA_ID = 0x1234_5678;
/** The device's is the shorter one: when the gateway finds the line silent, the device has found it so before. */
export const DEVICE_SILENCE_MS = 1_000;
export const GATEWAY_SILENCE_MS = 1_500;
export const DEAD_MAN_MS = 300;

export type Way = (bytes: Uint8Array) => readonly Uint8Array[];
export const asItIs: Way = (bytes) => [bytes];

/** A pseudo-terminal whose far end is the device, with this test on the wire. */
export class Wire {
  readonly pty: Pty;
  toDevice: Way = asItIs;
  toGateway: Way = asItIs;
  /** All that the device was sent. */
  readonly sent: Uint8Array[] = [];
  device: ChildProcess | undefined;
  /** A file that is its flash memory: it takes new firmware. */
  flash: string | undefined;
  readonly #silenceMs: number;

  constructor(pty: Pty, silenceMs: number) {
    this.pty = pty;
    this.#silenceMs = silenceMs;
    pty.stream.on("data", (bytes: Buffer) => {
      for (const part of this.toDevice(bytes)) this.inject(part);
    });
  }

  /** `seed`: of its sessions; another one at each start. `cutSteps`: after so many steps of its flash its power is cut. */
  switchOn(seed: number, cutSteps?: number): void {
    const device = (this.device = spawn(join(root, "dist/native/test/serial_device"), ["stdio", String(DATA_ID), String(seed), String(this.#silenceMs), String(DEAD_MAN_MS), ...(this.flash === undefined ? [] : [this.flash, ...(cutSteps === undefined ? [] : [String(cutSteps)])])], { stdio: ["pipe", "pipe", "inherit"] }));
    // What it was still to be sent is lost with it.
    device.stdin!.on("error", () => device.stdin!.destroy());
    device.stdout!.on("data", (bytes: Buffer) => {
      for (const part of this.toGateway(bytes)) this.pty.stream.write(Buffer.from(part));
    });
  }

  inject(bytes: Uint8Array): void {
    this.sent.push(Uint8Array.from(bytes));
    if (this.device?.stdin?.writable) this.device.stdin.write(Buffer.from(bytes));
  }

  async switchOff(): Promise<void> {
    const { device } = this;
    this.device = undefined;
    if (!device || device.exitCode !== null || device.signalCode !== null) return;
    const ended = new Promise((resolve) => device.once("close", resolve));
    device.kill("SIGKILL");
    await ended;
  }

  /** Stops it, and waits until the kernel says that it stands still. */
  async freeze(): Promise<void> {
    const pid = this.device!.pid!;
    this.device!.kill("SIGSTOP");
    await until(() => /^\d+ \(.*\) T/.test(readFileSync(`/proc/${pid}/stat`, "utf8")), "it is stopped");
  }
}

/** With `seed` 0 the device is not switched on yet. */
export async function wire(t: TestContext, seed = 1, silenceMs = DEVICE_SILENCE_MS): Promise<Wire> {
  const it = new Wire(await openPty(), silenceMs);
  t.after(async () => {
    await it.switchOff();
    it.pty.close();
  });
  if (seed !== 0) it.switchOn(seed);
  return it;
}
