/**
 * The edge of the live view: redraws in place in a terminal, prints one line a second elsewhere.
 *
 * In a terminal it works on the alternate screen with the cursor hidden, rewrites only the lines that changed (a slow line over SSH gets
 * a few hundred bytes a frame), and leaves the terminal as it found it on every way out: the signal, an exception, process.exit, Ctrl-Z.
 * While the terminal is slow, frames are left out, never queued.
 */
import type { Writable } from "node:stream";
import type { Clock } from "../../schemas/clock.ts";
import type { ViewSize } from "./renderView.ts";
import { columnsOf } from "./text.ts";

export interface LiveViewOptions {
  stdout: Writable & { isTTY?: boolean; columns?: number; rows?: number };
  clock: Clock;
  /** Ends the view. */
  signal: AbortSignal;
  color: boolean;
  ascii?: boolean;
  /** The picture now, at most `size.rows` lines of at most `size.columns` columns. */
  draw(size: ViewSize): readonly string[];
  /** The same in one line, for logs and pipes. */
  summary(): string;
  /** Between two pictures in a terminal; default 250. Elsewhere a line a second. */
  intervalMs?: number;
  /** One picture, no tricks, and the end. */
  once?: boolean;
}

const enter = "\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J";
const leave = "\u001b[?7h\u001b[?25h\u001b[?1049l";
/** Synchronised output: terminals that know it show the frame at once, the others ignore it. */
const frameStart = "\u001b[?2026h";
const frameEnd = "\u001b[?2026l";

/** Runs until `signal` is aborted (or, with `once`, for one picture). */
export async function runLiveView(options: LiveViewOptions): Promise<void> {
  const { stdout } = options;
  if (options.once) {
    const size = { columns: columnsOf(stdout, 100), rows: Number.POSITIVE_INFINITY, color: options.color, ascii: options.ascii === true };
    stdout.write(`${options.draw(size).join("\n")}\n`);
    return;
  }
  if (stdout.isTTY !== true) {
    await every(1000, options, () => void stdout.write(`${options.summary()}\n`));
    return;
  }
  const screen = new Screen(options);
  screen.enter();
  try {
    const intervalMs = options.intervalMs ?? 250;
    await every(intervalMs, options, () => screen.draw());
  } finally {
    screen.leave();
  }
}

/** Calls `step` now and every `intervalMs` until the signal is aborted; an exception in `step` ends it. */
function every(intervalMs: number, { clock, signal }: LiveViewOptions, step: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let cancel = (): void => {};
    const stop = (): void => {
      cancel();
      resolve();
    };
    const turn = (): void => {
      try {
        step();
      } catch (error) {
        signal.removeEventListener("abort", stop);
        reject(error as Error);
        return;
      }
      cancel = clock.at(clock.nowUs() + intervalMs * 1000, turn);
    };
    if (signal.aborted) {
      resolve();
      return;
    }
    signal.addEventListener("abort", stop, { once: true });
    turn();
  });
}

class Screen {
  readonly #options: LiveViewOptions;
  #shown: readonly string[] = [];
  #active = false;

  constructor(options: LiveViewOptions) {
    this.#options = options;
  }

  readonly #onResize = (): void => {
    this.#options.stdout.write("\u001b[2J");
    this.#shown = [];
    this.draw();
  };
  readonly #onExit = (): void => this.#restore();
  readonly #onSuspend = (): void => {
    this.#restore();
    process.kill(process.pid, "SIGSTOP");
  };
  readonly #onContinue = (): void => {
    this.#prepare();
    this.draw();
  };

  enter(): void {
    this.#prepare();
    this.#options.stdout.on("resize", this.#onResize);
    process.on("exit", this.#onExit).on("SIGTSTP", this.#onSuspend).on("SIGCONT", this.#onContinue);
  }

  leave(): void {
    this.#options.stdout.off("resize", this.#onResize);
    process.off("exit", this.#onExit).off("SIGTSTP", this.#onSuspend).off("SIGCONT", this.#onContinue);
    this.#restore();
  }

  draw(): void {
    const { stdout, color, ascii } = this.#options;
    if (stdout.writableNeedDrain) return;
    const size = { columns: columnsOf(stdout, 80), rows: stdout.rows || 24, color, ascii: ascii === true };
    const lines = this.#options.draw(size).slice(0, size.rows);
    let changes = "";
    for (let row = 0; row < Math.max(lines.length, this.#shown.length); row++) {
      const line = lines[row] ?? "";
      // Erased before, not after: behind a full line the cursor still stands on its last column.
      if (line !== (this.#shown[row] ?? "")) changes += `\u001b[${row + 1};1H\u001b[K${line}`;
    }
    this.#shown = lines;
    if (changes !== "") stdout.write(frameStart + changes + frameEnd);
  }

  #prepare(): void {
    this.#shown = [];
    this.#active = true;
    this.#options.stdout.write(enter);
  }

  #restore(): void {
    if (!this.#active) return;
    this.#active = false;
    this.#options.stdout.write(leave);
  }
}
