/** One behaviour, tried once: whatever happens to it or to its machine, it comes to a result. */
import { type Found, type MachineKind, Skipped } from "./behaviour.ts";
import type { Board } from "./boards.ts";
import type { Result, Verdict } from "./report/result.ts";
import { type Place, Rig } from "./rig.ts";
import { type Entry, Timeline } from "./timeline.ts";
import { watch, type Watched } from "./watch.ts";

const BEHAVIOUR_TIMEOUT_MS = 15 * 60_000;

export interface AttemptOptions {
  kind: MachineKind;
  boards: readonly Board[];
  place: Place;
  /** The bench's interfaces. */
  can?: readonly string[];
  /** Ends it: its reason is how it failed. */
  stop: AbortSignal;
  /** Since the run began. */
  atMs: number;
  onEntry?: ((entry: Entry) => void) | undefined;
}

export interface Attempt {
  result: Result;
  /** It was given up in the middle: nobody knows what it has left behind. */
  isSpent: boolean;
  /** What was skipped because this machine has not got it. */
  lacking: readonly string[];
}

export async function attempt({ file, behaviour }: Found, { kind, boards, place, can = [], stop, atMs, onEntry }: AttemptOptions): Promise<Attempt> {
  const { name, bench, needs } = behaviour;
  const timeline = new Timeline(() => performance.now());
  timeline.onEntry = onEntry;
  const limit = new Limit(behaviour.timeoutMs ?? BEHAVIOUR_TIMEOUT_MS, stop);
  const [other] = boards.slice(1).map((board) => new Rig({ ...board, place, timeline, can, deadlineMs: limit.deadlineMs }));
  const rig = new Rig({ ...boards[0]!, place, timeline, can, other, deadlineMs: limit.deadlineMs });
  const watched: Watched[] = [];
  let [verdict, why]: [Verdict, string] = ["passed", ""];
  try {
    for (const board of boards) watched.push(await limit.within(watch(board, timeline, behaviour.isLoad === true)));
    await limit.within(behaviour.run(rig));
    if (watched.some(({ wasReset }) => wasReset()) && needs.endsMachine !== true && needs.restartsMachine !== true) throw new Error("the machine was reset meanwhile");
  } catch (error) {
    verdict = error instanceof Skipped ? "skipped" : "failed";
    why = error instanceof Skipped ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
    timeline.note("rig", why.split("\n")[0]!, verdict === "failed" ? "bad" : "plain");
  }
  limit.end();
  const ms = timeline.ms;
  // Given up, it goes on until it next asks for something.
  rig.close(limit.isOver ? "this behaviour has been given up" : "this behaviour has ended");
  const isOn = boards.every(({ machine }) => machine?.isOn !== false);
  const log = [rig.log, ...(verdict === "failed" && kind === "systemd" && isOn && !stop.aborted ? [await journal(boards[0]!)] : []), ...(other ? [`\n${boards[1]!.who} machine:\n${other.log}`] : [])].join("");
  for (const { end } of watched) await end().catch((error: Error) => timeline.note("rig", `not ended: ${error.message}`, "bad"));
  const steps = [...rig.steps];
  return { result: { file, name, machine: kind, verdict, why, atMs, ms, bench, steps, figures: [...rig.figures], entries: timeline.sorted(), frames: timeline.frames, log }, isSpent: limit.isOver, lacking: [...rig.lacking, ...(other?.lacking ?? [])] };
}

/** How long a behaviour may take, and whoever ends it before. */
class Limit {
  readonly deadlineMs: number;
  isOver = false;
  readonly #over: Promise<never>;
  readonly #timer: NodeJS.Timeout;
  readonly #stop: AbortSignal;
  readonly #stopped: () => void;

  constructor(timeoutMs: number, stop: AbortSignal) {
    this.deadlineMs = performance.now() + timeoutMs;
    let reject!: (error: Error) => void;
    this.#over = new Promise((_, refuse) => (reject = refuse));
    // Whoever waits for something within it is told.
    this.#over.catch(() => undefined);
    const over = (error: Error): void => {
      this.isOver = true;
      reject(error);
    };
    this.#timer = setTimeout(() => over(new Error(`not within ${timeoutMs / 1e3} s`)), timeoutMs);
    this.#stop = stop;
    this.#stopped = () => over(stop.reason as Error);
    if (stop.aborted) this.#stopped();
    else stop.addEventListener("abort", this.#stopped);
  }

  within<Answer>(answer: Promise<Answer>): Promise<Answer> {
    return Promise.race([this.#over, answer]);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#stop.removeEventListener("abort", this.#stopped);
  }
}

/** What our services have written since the machine was started; the journal goes with the machine. */
async function journal({ agent }: Board): Promise<string> {
  const { out } = await agent().run("journalctl -b -o short-monotonic --no-pager -n 400 -u 'ipcnet*'").catch((error: Error) => ({ out: `no journal: ${error.message}` }));
  return `\njournalctl -u 'ipcnet*':\n${out}\n`;
}
