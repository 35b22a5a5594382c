/** The record of a run while it runs: each verdict is said when it is known, and at the end, however that comes, there is a report in three forms and an exit code. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Found, type MachineKind, machineKinds } from "../behaviour.ts";
import { junit } from "./junit.ts";
import { page } from "./page.ts";
import { count, type Report, type Result } from "./result.ts";

export const exitCodes = { fine: 0, failed: 1, usage: 2, lacking: 3 } as const;

export interface RecordOptions {
  /** The report's folder; it is made now, so that nothing runs whose report has no place. */
  out: string;
  say: (text: string) => void;
  /** Takes the report as JSON too. */
  json: ((text: string) => void) | undefined;
  /** Ms of a clock that only rises. */
  now: () => number;
}

export class RunRecord {
  readonly #report: Report = { startedAt: new Date(), where: "", boots: [], ms: 0, results: [] };
  readonly #options: RecordOptions;
  readonly #beganMs: number;
  readonly #kept: string[] = [];
  /** What this machine lacks of what a behaviour needs: with `--require` that is no success. */
  readonly #lacking = new Set<string>();

  /** Throws where the folder cannot be made. */
  constructor(options: RecordOptions) {
    this.#options = options;
    this.#beganMs = options.now();
    mkdirSync(options.out, { recursive: true });
  }

  get ms(): number {
    return this.#options.now() - this.#beganMs;
  }

  /** Where something was switched on; each place once. */
  where(place: string): void {
    const places = this.#report.where.split("; ").filter((text) => text !== "");
    this.#report.where = [...new Set([...places, place])].join("; ");
  }
  boot(machine: MachineKind, { hostS, uptimeS }: { hostS: number; uptimeS: number }): void {
    this.#report.boots.push({ machine, hostS, uptimeS });
  }
  /** A machine's folder that stays. */
  keep(folder: string): void {
    this.#kept.push(folder);
  }

  add(result: Result): void {
    this.#report.results.push(result);
    const { verdict, name, ms, figures, why, steps } = result;
    const say = this.#options.say;
    say(`${verdict === "passed" ? "ok    " : verdict === "failed" ? "FAILED" : "skip  "} ${name}${verdict === "skipped" ? `: ${why}` : ` (${(ms / 1e3).toFixed(1)} s)`}`);
    for (const [key, value] of figures) say(`         ${key}: ${value}`);
    for (const step of steps.filter((each) => each.verdict === "skipped")) say(`         skipped: ${step.name}: ${step.text}`);
    if (verdict === "failed") say(why.split("\n").map((line) => `         ${line}`).join("\n"));
  }
  fail(found: Found, kind: MachineKind, why: string): void {
    this.add(this.#notRun(found, kind, "failed", why));
  }
  /** `isHosts`: because of something that this machine has not got. */
  skip(found: Found, kind: MachineKind, why: string, { isHosts = false }: { isHosts?: boolean } = {}): void {
    if (isHosts) this.lacks(why);
    this.add(this.#notRun(found, kind, "skipped", why));
  }
  /** All for the same reason, in one line. */
  skipAll(found: readonly Found[], kind: MachineKind, why: string, { isHosts = false }: { isHosts?: boolean } = {}): void {
    if (found.length === 0) return;
    if (isHosts) this.lacks(why);
    this.#report.results.push(...found.map((each) => this.#notRun(each, kind, "skipped", why)));
    this.#options.say(`skip   ${found.length} of kind ${kind}: ${why}`);
  }
  lacks(what: string): void {
    this.#lacking.add(what);
  }
  #notRun({ file, behaviour: { name, bench } }: Found, machine: MachineKind, verdict: "skipped" | "failed", why: string): Result {
    return { file, name, machine, verdict, why, atMs: this.ms, ms: 0, bench, steps: [], figures: [], entries: [], frames: { total: 0, shown: 0 }, log: "" };
  }

  /** Writes the report. The exit code: `code` where something else has ended the run, else by the verdicts; `isRequired`: it is no success that nothing ran, or that something is lacking here. */
  finish({ code, isRequired = false }: { code?: number | undefined; isRequired?: boolean } = {}): number {
    const { out, say, json } = this.#options;
    const report = this.#report;
    report.ms = this.ms;
    report.results.sort((a, b) => machineKinds.indexOf(a.machine as MachineKind) - machineKinds.indexOf(b.machine as MachineKind) || a.atMs - b.atMs);
    writeFileSync(join(out, "report.html"), page(report));
    writeFileSync(join(out, "junit.xml"), junit(report));
    writeFileSync(join(out, "results.json"), `${JSON.stringify(report, null, 1)}\n`);
    json?.(`${JSON.stringify(report)}\n`);
    say(`${count(report, "passed")} passed, ${count(report, "failed")} failed, ${count(report, "skipped")} skipped in ${Math.round(report.ms / 1e3)} s; ${join(out, "report.html")}`);
    for (const folder of this.#kept) say(`${folder} keeps what a machine left`);
    if (code !== undefined) return code;
    if (count(report, "failed") > 0) return exitCodes.failed;
    const missing = [...this.#lacking, ...(count(report, "passed") === 0 ? ["nothing ran"] : [])];
    if (!isRequired || missing.length === 0) return exitCodes.fine;
    for (const what of missing) say(`--require: ${what}`);
    return exitCodes.lacking;
  }
}
