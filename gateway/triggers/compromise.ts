/**
 * When this robot cannot be trusted any more, as far as the gateway itself can see it. What counts is the configuration's choice (`safePose.compromise`); none of it is on by default, since each has an innocent
 * cause too: a tool left on the bus, a program with an old policy, a worn card. Two things always count: a forged frame of ours with our epoch (the reflex's own matter) and an operator's word.
 */
import type { SafePose } from "../../schemas/messages/config.ts";

export type CompromiseReason = SafePose["compromise"][number];

/** A program in good faith stops after a refusal or repeats it slowly: ten a second for ten seconds is somebody who tries doors. */
export const DENIALS_MAX = 100;
export const DENIALS_WITHIN_MS = 10_000;
/** Programs that are counted at once; beyond, the one that was refused longest ago is forgotten. */
const PROGRAMS_MAX = 256;

export interface CompromiseOptions {
  counts(): readonly CompromiseReason[];
  armed(): boolean;
  nowUs(): number;
  /** Called once for each finding. */
  compromised(why: string): void;
}

export class CompromiseWatch {
  readonly #options: CompromiseOptions;
  readonly #denials = new Map<string, { sinceUs: number; count: number; told: boolean }>();
  readonly #damaged = new Set<number>();

  constructor(options: CompromiseOptions) {
    this.#options = options;
  }

  /** Somebody else sends what only this gateway may send; true: it counted. */
  secondMaster(bus: string, message: string): boolean {
    if (!this.#counts("secondMaster") || !this.#options.armed()) return false;
    this.#options.compromised(`somebody else sends ${message} on bus ${bus}`);
    return true;
  }

  /** A program was refused to write, call, offer or be granted something. */
  denied(program: string, what: string): void {
    if (!this.#counts("deniedAccess")) return;
    const nowUs = this.#options.nowUs();
    let entry = this.#denials.get(program);
    if (!entry || nowUs - entry.sinceUs > DENIALS_WITHIN_MS * 1e3) entry = { sinceUs: nowUs, count: 0, told: false };
    this.#denials.delete(program);
    this.#denials.set(program, entry);
    if (this.#denials.size > PROGRAMS_MAX) this.#denials.delete(this.#denials.keys().next().value!);
    entry.count += 1;
    if (entry.count < DENIALS_MAX || entry.told) return;
    entry.told = true;
    this.#options.compromised(`${program} was refused ${entry.count} times within ${DENIALS_WITHIN_MS / 1e3} s, last ${what}`);
  }

  /** A reflex has found its stored table changed; told once for each process. */
  tableDamaged(instance: string, pid: number): void {
    if (!this.#counts("tamperedTable") || this.#damaged.has(pid)) return;
    this.#damaged.add(pid);
    this.#options.compromised(`the stored table of reflex ${instance} is not what was stored`);
  }

  #counts(reason: CompromiseReason): boolean {
    return this.#options.counts().includes(reason);
  }
}
