/** Where behaviours are tried: virtual machines, switched on when it is their turn, or a bench. */
import { existsSync } from "node:fs";
import { arm64Node } from "./arm64.ts";
import { attempt } from "./attempt.ts";
import type { Found, MachineKind } from "./behaviour.ts";
import { openBench } from "./bench.ts";
import { boardsOf, discard } from "./boards.ts";
import { type Group, nextOf } from "./grouping.ts";
import { findUdev, type Kernel, prepare, root } from "./kernel.ts";
import { whyNot } from "./lacking.ts";
import type { Machine } from "./machine.ts";
import type { RunRecord } from "./report/record.ts";
import type { Place } from "./rig.ts";
import type { Job } from "./schedule.ts";
import { Clocks, type Entry } from "./timeline.ts";
import { allAnswer } from "./watch.ts";
import type { Words } from "./words.ts";

export interface PlacesOptions {
  words: Words;
  record: RunRecord;
  say: (text: string) => void;
  /** Ends all that runs. */
  stop: AbortSignal;
}

/** What a list of behaviours is tried on. */
interface On {
  kernel: Kernel;
  kind: MachineKind;
  place: Place;
  /** Lists of the machines that help each other out. */
  others: readonly Found[][];
}

export class Places {
  readonly #words: Words;
  readonly #record: RunRecord;
  readonly #say: (text: string) => void;
  readonly #stop: AbortSignal;

  constructor({ words, record, say, stop }: PlacesOptions) {
    [this.#words, this.#record, this.#say, this.#stop] = [words, record, say, stop];
  }

  // ---- Virtual machines -----------------------------------------------------------------------------------------------------------

  /** A job for each boot of what can be tried; the rest has its verdict now. `kernel`: or why there is none for this kind of machine. */
  virtual({ machine: kind, boots, dealt }: Group, kernel: Kernel | string): Job[] {
    const record = this.#record;
    if (typeof kernel === "string") {
      record.skipAll(boots.flat(), kind, kernel, { isHosts: true });
      return [];
    }
    let ownModules: string | undefined;
    try {
      ({ ownModules } = prepare(kernel));
    } catch (error) {
      for (const each of boots.flat()) record.fail(each, kind, `what the machine starts with cannot be made: ${(error as Error).message}`);
      return [];
    }
    record.where(`QEMU, Linux ${kernel.version}`);
    const circumstances = { kind, only: this.#words.only, config: this.#words.config, kernelVersion: kernel.version, ownModules, udev: findUdev() !== undefined, systemd: existsSync("/lib/systemd/systemd") };
    // The machine's own /tmp hides the host's: everything of the host is under /host as well.
    const place: Place = { repository: `/host${root}`, node: `/host${kernel.processor === "aarch64" ? arm64Node : process.execPath}`, ownModules: ownModules && `/host${ownModules}`, configuration: this.#words.config };
    const shared = dealt.map((): Found[] => []);
    return boots.flatMap((boot) => {
      const waiting: Found[] = shared[dealt.indexOf(boot)] ?? [];
      for (const each of boot) {
        const lacking = whyNot(each, circumstances);
        if (lacking) record.skip(each, kind, lacking.why, lacking);
        else waiting.push(each);
      }
      return waiting.length === 0 ? [] : [{ machine: kind, waiting, run: () => this.#boots(waiting, { kernel, kind, place, others: shared.includes(waiting) ? shared.filter((each) => each !== waiting) : [] }) }];
    });
  }

  /** A machine for these, or two; new ones where one is unusable. */
  async #boots(waiting: Found[], on: On): Promise<void> {
    while (waiting.length > 0 && !this.#stop.aborted) await this.#boot(waiting, on);
  }

  async #boot(waiting: Found[], { kernel, kind, place, others }: On): Promise<void> {
    const boards = boardsOf(kind, kernel);
    let failed = false;
    try {
      for (const { machine } of boards) {
        const why = await this.#switchOn(machine, kind);
        if (why === undefined) continue;
        // Whoever has ended the run says why.
        if (this.#stop.aborted) return;
        failed = true;
        for (const each of waiting.splice(0)) this.#record.fail(each, kind, `the machine did not start: ${why}`);
        return;
      }
      for (let each = nextOf(waiting, others); each && !this.#stop.aborted; each = nextOf(waiting, others)) {
        const { result, isSpent, lacking } = await attempt(each, { kind, place, boards, stop: this.#stop, atMs: this.#record.ms, onEntry: this.#follow(each) });
        waiting.shift();
        failed ||= result.verdict === "failed";
        for (const what of lacking) this.#record.lacks(what);
        this.#record.add(result);
        if (isSpent || boards.some(({ machine }) => !machine.isOn) || !(await allAnswer(boards))) return;
      }
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      const keep = this.#words.keep || (failed && !this.#stop.aborted);
      for (const board of boards) {
        if (keep) this.#record.keep(board.machine.folder);
        await discard(board, { keep });
      }
    }
  }

  /** Undefined: it is on. */
  async #switchOn(machine: Machine, kind: MachineKind): Promise<string | undefined> {
    const beganMs = performance.now();
    try {
      const hello = await machine.on();
      const hostS = (performance.now() - beganMs) / 1e3;
      this.#record.boot(kind, { hostS, uptimeS: hello.uptimeS });
      this.#say(`${kind} machine: ${hello.kernel} after ${hostS.toFixed(1)} s (its own clock: ${hello.uptimeS.toFixed(1)} s)`);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  // ---- A bench --------------------------------------------------------------------------------------------------------------------

  /** One job: what can be tried there by itself, and a line for each of the others. */
  onBench(found: readonly Found[]): Job {
    const waiting = [...found];
    return { machine: "plain", waiting, run: () => this.#bench(waiting) };
  }

  async #bench(waiting: Found[]): Promise<void> {
    const { target, folder, can } = this.#words;
    const bench = await openBench(target!);
    try {
      const { kernel, processor } = bench.agent.hello!;
      this.#record.where(`${target!.host}, Linux ${kernel} on ${processor}`);
      const clocks = new Clocks();
      bench.agent.onClock = (machineS) => clocks.add(machineS, performance.now());
      const boards = [{ agent: () => bench.agent, machine: undefined, clocks, who: undefined }];
      for (let each = waiting[0]; each && !this.#stop.aborted; each = waiting[0]) {
        const { runsOnBench, bench: byHand, needs: { machine: kind } } = each.behaviour;
        if (runsOnBench) this.#record.add((await attempt(each, { kind, boards, place: { repository: folder!, node: "node", ownModules: undefined }, can, stop: this.#stop, atMs: this.#record.ms, onEntry: this.#follow(each) })).result);
        else this.#record.skip(each, kind, `by hand on a bench: ${byHand}`);
        waiting.shift();
      }
    } finally {
      await bench.end();
    }
  }

  #follow({ file }: Found): ((entry: Entry) => void) | undefined {
    if (!this.#words.follow) return undefined;
    const who = this.#words.jobs > 1 ? `${file.slice(0, 24).padEnd(25)} ` : "";
    return ({ atMs, lane, text, tone }) => void (tone === "frame" || tone === "errorFrame" || this.#say(`  ${who}${(atMs / 1e3).toFixed(1).padStart(7)} ${lane.padEnd(8)} ${text}`));
  }
}
