/**
 * A microcontroller in QEMU with our firmware, its UART on a pseudo-terminal that the gateway opens as it would a real one, and this process on the wire in between.
 * The emulator is a process of its own: killed, it is a power cut; its machine protocol presses the reset pin.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, rmSync, symlinkSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openPty, type Pty } from "../../drivers/pty/index.ts";
import { eventually } from "../waiting.ts";

const root = join(import.meta.dirname, "../../../..");
export const firmwarePath = (name: string): string => join(root, `dist/firmware/${name}.elf`);

/** Why there is nothing to emulate, in one line; undefined when all is there. Builds the firmware. */
export function whatIsMissing(name: string): string | undefined {
  if (spawnSync("qemu-system-arm", ["--version"]).error !== undefined) return "no qemu-system-arm: sudo apt-get install -y qemu-system-arm";
  const built = spawnSync(process.execPath, [join(root, "scripts/firmware.mjs"), name], { cwd: root, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`the firmware cannot be built:\n${built.stdout}${built.stderr}`);
  return existsSync(firmwarePath(name)) ? undefined : (/not built: .*/.exec(built.stdout)?.[0] ?? `no firmware ${name}`);
}

/** What becomes of bytes on the way. */
export type Way = (bytes: Uint8Array) => Uint8Array;
export const asItIs: Way = (bytes) => bytes;

export class EmulatedBoard {
  /** What the gateway opens. */
  readonly path: string;
  toBoard: Way = asItIs;
  toGateway: Way = asItIs;
  /** All that the board was sent, as it arrived. */
  readonly sent: Uint8Array[] = [];
  /** What the emulator told of: RESET, WATCHDOG, … */
  readonly events: string[] = [];
  readonly #pty: Pty;
  readonly #folder: string;
  readonly #firmware: string;
  #process: ChildProcess | undefined;
  #line: Socket | undefined;
  #control: Socket | undefined;
  #starts = 0;

  private constructor(pty: Pty, folder: string, firmware: string) {
    this.#pty = pty;
    this.#folder = folder;
    this.#firmware = firmware;
    this.path = join(folder, "gripper");
    symlinkSync(pty.path, this.path);
    pty.stream.on("data", (bytes: Buffer) => this.inject(this.toBoard(bytes)));
  }

  /** A board without power, its cable plugged in. `folder` is the test's own. */
  static async create({ folder, firmware }: { folder: string; firmware: string }): Promise<EmulatedBoard> {
    return new EmulatedBoard(await openPty(), folder, firmware);
  }

  get isOn(): boolean {
    return this.#process !== undefined;
  }

  /** Puts bytes on the wire to the board, as if the gateway had sent them. */
  inject(bytes: Uint8Array): void {
    this.sent.push(Uint8Array.from(bytes));
    if (this.#line?.writable) this.#line.write(bytes);
  }

  async powerOn(): Promise<void> {
    const name = (what: string): string => join(this.#folder, `${what}${this.#starts}.sock`);
    this.#starts += 1;
    const [uart, qmp] = [name("uart"), name("qmp")];
    // The processor waits until we are on its line: it must not speak to nobody.
    const child = (this.#process = spawn("qemu-system-arm", [
      // Its time is that of its instructions, 32 ns each, and the host's only while it waits: a host without a processor to spare makes it slow, and its watchdog does not bite for that.
      "-icount", "shift=5,sleep=on", "-M", "mps2-an385", "-kernel", firmwarePath(this.#firmware), "-display", "none", "-monitor", "none", "-nodefaults", "-nic", "none", "-S",
      "-action", "watchdog=reset", "-chardev", `socket,id=uart,path=${uart},server=on,wait=off`, "-serial", "chardev:uart", "-qmp", `unix:${qmp},server=on,wait=off`,
    ], { stdio: ["ignore", "ignore", "inherit"] }));
    child.once("close", () => {
      if (this.#process === child) this.#process = undefined;
    });
    this.#line = await connected(uart, () => this.#process === child);
    this.#line.on("data", (bytes: Buffer) => this.#pty.stream.write(Buffer.from(this.toGateway(bytes))));
    this.#control = await connected(qmp, () => this.#process === child);
    createInterface({ input: this.#control }).on("line", (text) => {
      const { event } = JSON.parse(text) as { event?: string };
      if (event !== undefined) this.events.push(event);
    });
    this.#execute("qmp_capabilities");
    this.#execute("cont");
  }

  /** Without a warning. */
  async powerOff(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    for (const socket of [this.#line, this.#control]) socket?.destroy();
    this.#line = this.#control = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await closed;
  }

  pressReset(): void {
    this.#execute("system_reset");
  }

  #execute(command: string): void {
    this.#control!.write(`${JSON.stringify({ execute: command })}\n`);
  }

  async remove(): Promise<void> {
    await this.powerOff();
    this.#pty.close();
    rmSync(this.path, { force: true });
  }
}

/** Resolves when somebody listens on the socket. */
async function connected(path: string, lives: () => boolean): Promise<Socket> {
  return eventually(`the emulator listens on ${path}`, async () => {
    if (!lives()) throw new Error("the emulator ended");
    if (!existsSync(path)) return undefined;
    return new Promise<Socket | undefined>((resolve) => {
      const socket = createConnection(path);
      socket.once("connect", () => {
        // Its end is the power cut, which is ours.
        socket.on("error", () => socket.destroy());
        resolve(socket);
      });
      socket.once("error", () => resolve(undefined));
    });
  });
}
