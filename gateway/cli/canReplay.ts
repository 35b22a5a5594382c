/** `ipcnet can replay`: a recording played onto an emulated bus by a node of its own, with the recording's timing or as fast as the bus takes it. */
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { InvalidArgumentError } from "commander";
import { parseCandumpLine } from "../../drivers/can/candump.ts";
import type { NodePort } from "../../drivers/can/emulator/port.ts";
import { CanFlag, type CanFrame } from "../../drivers/can/frame.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { pause } from "./connection.ts";
import { toJson } from "./json.ts";
import { services, type CliServices } from "./services.ts";
import { globalOptions } from "./terminal.ts";

/** A bus that takes no frame for so long has nobody on it who acknowledges. */
const stuckMs = 5000;

interface ReplayOptions {
  bus: string;
  emulator: string;
  from?: string;
  /** Infinity: as fast as the bus takes them. */
  speed: number;
  loop?: boolean;
}

export const registerReplay: Register = (can, context) => {
  can
    .command("replay")
    .description("play a candump log onto an emulated bus, as another node; never onto a real one")
    .argument("<FILE>", "the recording; - for standard input")
    .requiredOption("--bus <BUS>", "name of the emulated bus")
    .requiredOption("--emulator <SOCKET>", "socket of the emulated bus (buses: driver emulator, interface SOCKET)")
    .option("--from <NAME>", "only frames that were recorded on this interface, such as can0")
    .option("--speed <FACTOR>", "1 = as recorded, 10 = ten times faster, max = as fast as the bus takes them", parseSpeed, 1)
    .option("--loop", "begin again at the end, until Ctrl-C")
    .addHelpText("after", "\nExamples:\n  ipcnet can replay drive.log --bus arm --emulator /run/ipcnet/bus.sock\n  ipcnet can replay drive.log --bus arm --emulator bus.sock --speed max --json")
    .action(async (file: string, options: ReplayOptions, command) => {
      if (file === "-" && options.loop) throw new CliError(ExitCode.usage, "standard input cannot be read twice", "name a file to use --loop");
      const outside = services(context.services);
      // Opened before the bus is bothered; a pass that follows opens it anew.
      let input = file === "-" ? context.stdin : await read(file);
      const port = await outside.attachNode(options.emulator, { bus: options.bus, name: "replay", fd: true });
      const replay = new Replay(port, outside, context, options);
      try {
        await replay.play(input);
        while (options.loop && !context.signal.aborted) {
          input = await read(file);
          await replay.play(input);
        }
        await replay.drain();
      } finally {
        input.destroy();
        await port.close();
      }
      const { sent, dropped, unreadable, skipped } = replay.counts;
      if (dropped > 0 || unreadable > 0) context.exitCode = ExitCode.problem;
      if (globalOptions(command, context).json) context.stdout.write(`${toJson({ ...replay.counts, bus: options.bus })}\n`);
      else context.stdout.write(`${sent} frames sent${dropped > 0 ? `, ${dropped} of them dropped by the bus` : ""}${skipped > 0 ? `, ${skipped} left out (error reports, other interfaces, FD on a classic bus)` : ""}${unreadable > 0 ? `, ${unreadable} lines are no frames` : ""}\n`);
    });
};

async function read(path: string): Promise<Readable> {
  const handle = await open(path);
  return handle.createReadStream();
}

function parseSpeed(text: string): number {
  if (text === "max") return Number.POSITIVE_INFINITY;
  const speed = Number(text);
  if (!(speed > 0) || speed === Number.POSITIVE_INFINITY) throw new InvalidArgumentError("Expected a number above 0, or max.");
  return speed;
}

class Replay {
  readonly counts = { sent: 0, dropped: 0, skipped: 0, unreadable: 0 };
  readonly #port: NodePort;
  readonly #outside: CliServices;
  readonly #context: CliContext;
  readonly #options: ReplayOptions;
  #lostReason: string | undefined;
  /** Called when the bus has taken or dropped a frame, or has gone. */
  #wake: () => void = () => undefined;

  constructor(port: NodePort, outside: CliServices, context: CliContext, options: ReplayOptions) {
    this.#port = port;
    this.#outside = outside;
    this.#context = context;
    this.#options = options;
    port.onEcho(() => this.#wake());
    port.onDropped(() => {
      this.counts.dropped += 1;
      this.#wake();
    });
    port.onClose((why) => {
      this.#lostReason = why;
      this.#wake();
    });
  }

  /** One pass through the recording. */
  async play(input: Readable): Promise<void> {
    const { signal } = this.#context;
    const { clock } = this.#outside;
    let firstUs: number | undefined;
    let lineNumber = 0;
    const startUs = clock.nowUs();
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (signal.aborted) break;
      lineNumber += 1;
      if (line.trim() === "") continue;
      const record = parseCandumpLine(line);
      if (!record.ok) {
        if (this.counts.unreadable++ === 0) this.#context.stderr.write(`ipcnet: line ${lineNumber}: ${record.text}\n`);
        continue;
      }
      if (!this.#playable(record.frame, record.bus)) {
        this.counts.skipped += 1;
        continue;
      }
      firstUs ??= record.frame.timeUs;
      const dueUs = startUs + (record.frame.timeUs - firstUs) / this.#options.speed;
      const waitMs = (dueUs - clock.nowUs()) / 1000;
      if (waitMs > 0 && !(await pause(this.#outside, waitMs, signal))) break;
      await this.#send(record.frame);
    }
  }

  /** Waits until the bus has taken, or dropped, everything. */
  async drain(): Promise<void> {
    while (this.#port.inFlight > 0 && !this.#context.signal.aborted) await this.#room();
  }

  #playable(frame: CanFrame, recordedOn: string): boolean {
    if ((frame.flags & CanFlag.error) !== 0) return false;
    if ((frame.flags & CanFlag.fd) !== 0 && !this.#port.facts.fd) return false;
    return this.#options.from === undefined || this.#options.from === recordedOn;
  }

  async #send(frame: CanFrame): Promise<void> {
    for (;;) {
      const verdict = this.#lostReason === undefined ? this.#port.send(frame) : "linkDown";
      if (verdict === "queued") {
        this.counts.sent += 1;
        return;
      }
      if (verdict !== "queueFull") throw new CliError(ExitCode.problem, `the bus ${this.#options.bus} takes no frame: ${this.#lostReason ?? verdict}`, "see to the emulator: is the bus up, is another node on it?");
      if (this.#context.signal.aborted) return;
      await this.#room();
    }
  }

  async #room(): Promise<void> {
    if (this.#lostReason !== undefined) throw new CliError(ExitCode.unreachable, `the emulated bus has gone: ${this.#lostReason}`);
    const waited = new AbortController();
    const stop = (): void => waited.abort();
    this.#wake = stop;
    this.#context.signal.addEventListener("abort", stop, { once: true });
    const stuck = await pause(this.#outside, stuckMs, waited.signal);
    this.#context.signal.removeEventListener("abort", stop);
    if (stuck) throw new CliError(ExitCode.problem, `nobody acknowledges on the bus ${this.#options.bus}: no frame was taken for ${stuckMs / 1000} s`, "attach another node, for example a gateway with this bus");
  }
}
