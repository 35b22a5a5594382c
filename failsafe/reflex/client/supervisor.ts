/**
 * The one state of a robot whose buses the reflex owns, as the gateway sees it: orders go to the owner, and its word is the truth. What it does by itself (a node lost, a set-point
 * expired, a plan run without any brain) arrives as reports and becomes the same states, sentences and verdicts as those of a gateway without a reflex.
 */
import { getSystemErrorMap } from "node:util";
import { busPhases } from "../../../drivers/can/busHealth.ts";
import { canKey, CanFlag } from "../../../drivers/can/frame.ts";
import type { Clock } from "../../../schemas/clock.ts";
import type { ArmingState } from "../../arming/machine.ts";
import type { PoseCause } from "../../shutdown/cause.ts";
import type { PoseVerdict, StepOutcome } from "../../safePose/sequence.ts";
import { fieldGet } from "../table/judge.ts";
import { messageFlags, NONE, triggerFlags, triggerKinds, type ConditionRow, type TriggerKind, type TriggerRow } from "../table/layout.ts";
import type { ReflexClient } from "./client.ts";
import type { ReflexEnd, Reply } from "./end.ts";
import type { ReflexState, Report } from "./records.ts";
import { armings, malfunctions, missingReasons, roles, type Lack, type StepState } from "./status.ts";

export interface ReflexSupervisorOptions {
  client: ReflexClient;
  clock: Clock;
  /** What the brain itself finds missing: links and nodes that the reflex does not hear. */
  missing(): string[];
  /** Forgets every waiting command. */
  clearCommands(): void;
  stateChanged(from: ArmingState, to: ArmingState, why: string): void;
  autoDisarmAfterSilentMs: number;
}

/** Longest wait for a verdict beyond the plan's own budget: a takeover, and a reflex that is started anew. */
const VERDICT_GRACE_MS = 5_000;
/** From the answer to an order until the state is told. */
const STATE_WAIT_MS = 1_000;
/** From a takeover of the brain until the owner is heard at the latest: it answers within milliseconds of being asked, after a change of owners within TAKEOVER_MS_MAX; and twice that for a machine so busy that we are late to hear it. No command outlives its own deadline meanwhile. */
const SETTLE_MS = 3_000;

interface ToldStep {
  state: StepState;
  tookMs: number;
  missing: string[];
}

export class ReflexSupervisor {
  readonly survives = true;
  readonly #options: ReflexSupervisorOptions;
  #state: ArmingState = "disarmed";
  #reason = "";
  #why: string | undefined;
  #silentMs: number;
  #lastCommandUs = 0;
  #disarming = false;
  /** Since when an owner's word counts as news: from our takeover on. What was heard before it may have changed since, in records that are still to be read. */
  #takenOverUs = Number.NEGATIVE_INFINITY;
  /** An owner has told its state since then. */
  #isTold = false;
  /** What a predecessor has told, until the reflex has. */
  #before: { state: ArmingState; reason: string } | undefined;
  /** What we asked for last. */
  #asked: { row: TriggerRow; why: string } | undefined;
  #verdict: PoseVerdict | undefined;
  #cause: (PoseCause & { row: number }) | undefined;
  #waiting: ((verdict: PoseVerdict) => void)[] = [];
  /** The run whose verdict was told last. */
  #toldRun: bigint | undefined;
  #run: { why: string; startedUs: number; plan: number; steps: Map<number, ToldStep> } | undefined;
  /** Told states wait for these. */
  #stateListeners: (() => void)[] = [];

  constructor(options: ReflexSupervisorOptions) {
    this.#options = options;
    this.#silentMs = options.autoDisarmAfterSilentMs;
    options.client.onReport(({ end, report }) => this.#reported(end, report));
    options.client.onChange(() => this.#look());
  }

  /** Another brain is followed, which has told people that the robot is in this state; only what differs is news. */
  takenOver(before: { state: ArmingState; reason: string } | undefined, nowUs: number): void {
    this.#lastCommandUs = nowUs;
    this.#takenOverUs = nowUs;
    this.#isTold = false;
    this.#options.client.owner?.askStatus();
    if (before?.state === this.#state) this.#reason = before.reason;
    else this.#before = before;
  }

  setOptions({ autoDisarmAfterSilentMs }: { autoDisarmAfterSilentMs: number }): void {
    this.#silentMs = autoDisarmAfterSilentMs;
  }

  get state(): ArmingState {
    return this.#state;
  }

  get reason(): string {
    return this.#reason;
  }

  /** Whether commands may be handed over; while the twins change over they wait in the lane that both read. */
  get armed(): boolean {
    return this.#state === "armed";
  }

  /** Taken over from a brain, and no owner was heard since: that it is not armed is only what a gateway begins with, or what was so a moment ago. (Armed, nothing waits: the reflex judges each command itself.) */
  get settling(): boolean {
    return !this.#isTold && !this.armed && this.#options.clock.nowUs() < this.#takenOverUs + SETTLE_MS * 1e3;
  }

  get cause(): PoseCause | undefined {
    return this.#cause;
  }

  get verdict(): PoseVerdict | undefined {
    return this.#verdict;
  }

  missing(): string[] {
    const { client } = this.#options;
    const own = this.#options.missing();
    if (!client.owner) return [client.describeAbsence(), ...own];
    const { status } = client.owner;
    if (!status) return ["the reflex has not told what is missing yet", ...own];
    const told = status.missing.slice(0, status.missingCount);
    const lacks = told.filter((lack) => !this.#awaitsRearm(lack)).map((lack) => this.#sentence(lack));
    const more = status.missingCount - told.length;
    return [...lacks, ...(more > 0 ? [`and ${more} more`] : []), ...own];
  }

  /** Empty when it is armed now. */
  async arm(why: string): Promise<string[]> {
    if (this.#state === "armed") return [];
    const own = this.#options.missing();
    if (own.length > 0) return this.missing();
    // The state may be told before the answer comes.
    this.#why = why;
    let reply = await this.#order({ order: "arm", why });
    if (reply.code === "refused" && reply.lacks.length > 0 && reply.lacks.every((lack) => this.#awaitsRearm(lack))) {
      // Nothing else stands in the way: whoever arms opens what was dead and has proved alive.
      for (const { subject } of reply.lacks) await this.#order({ order: "rearmBus", a: subject, why });
      reply = await this.#order({ order: "arm", why });
    }
    if (reply.code !== "done" && this.#why === why) this.#why = undefined;
    if (reply.code === "refused") return reply.lacks.length > 0 ? reply.lacks.map((lack) => this.#sentence(lack)) : ["the reflex does not arm"];
    if (reply.code !== "done") return [reply.text || `the reflex says ${reply.code}`];
    this.#lastCommandUs = this.#options.clock.nowUs();
    await this.#until(() => this.armed);
    return this.armed ? [] : ["the reflex was armed, and is not any more"];
  }

  disarm(why: string): void {
    this.#why = why;
    void this.#order({ order: "disarm", why });
  }

  async reset(why: string): Promise<void> {
    this.#why = why;
    const reply = await this.#order({ order: "reset", why });
    if (reply.code !== "done") {
      this.#why = undefined;
      return;
    }
    this.#options.client.owner?.askStatus();
    await this.#until(() => this.#state === "disarmed");
  }

  /** Something is gone that the reflex cannot see; what it can see, it judges by itself. */
  lost(why: string, _nowUs?: number, link?: string): void {
    if (this.#state !== "armed" || (link !== undefined && this.#hears(link))) return;
    this.#why = why;
    void this.#trigger("onRequest", this.#gentlestRequest(), why);
  }

  /** Runs the safe pose, or joins the one that runs; resolves with its verdict, "failed" where no reflex answers. At rest at once where nothing can be sent that moves anything. Never rejects. */
  safePose(why: string, _nowUs?: number, kind: TriggerKind = "onRequest", category?: 0 | 1 | 2): Promise<PoseVerdict> {
    this.#why = why;
    const verdict = new Promise<PoseVerdict>((resolve) => this.#waiting.push(resolve));
    const { client, clock } = this.#options;
    const budgetMs = Math.max(0, ...client.table.rows.plans.map(({ budgetUs }) => budgetUs / 1e3));
    const cancel = clock.at(clock.nowUs() + (budgetMs + VERDICT_GRACE_MS) * 1e3, () => this.#giveUp(why, budgetMs, "the reflex has told no verdict"));
    void this.#begin(kind, kind === "onRequest" ? (category ?? this.#request()) : undefined, why, budgetMs);
    return verdict.finally(cancel);
  }

  async #begin(kind: TriggerKind, subject: number | undefined, why: string, budgetMs: number): Promise<void> {
    const { client } = this.#options;
    if (!this.#canMove) return this.#tell({ verdict: "posed", why, tookMs: 0, budgetMs, steps: [] });
    const asked = client.owner;
    let reply = await this.#trigger(kind, subject, why);
    // Whoever was asked died before it answered: its twin is asked. A run that it had begun goes on there and is joined.
    if (reply.code === "away" && asked !== undefined && client.owner !== asked) reply = await this.#trigger(kind, subject, why);
    if (reply.code !== "done" && this.#state !== "safePose") this.#giveUp(why, budgetMs, reply.text || `the reflex says ${reply.code}`);
  }

  commandPassed(nowUs: number): void {
    this.#lastCommandUs = nowUs;
  }

  poll(nowUs: number): void {
    if (this.#state !== "armed" || this.#silentMs === 0 || this.#disarming || nowUs - this.#lastCommandUs <= this.#silentMs * 1e3) return;
    this.#disarming = true;
    const why = `no command for ${this.#silentMs} ms`;
    this.#why = why;
    void this.#order({ order: "disarm", why }).finally(() => (this.#disarming = false));
  }

  nextDeadlineUs(): number | undefined {
    return undefined;
  }

  /** Whether the table has any command: without one there is no plan either, and nothing that it could bring to rest. */
  get #canMove(): boolean {
    return this.#options.client.table.rows.messages.some(({ flags }) => (flags & messageFlags.service) === 0);
  }

  #hears(link: string): boolean {
    const { client } = this.#options;
    return client.table.rows.buses.some(({ name }) => client.text(name) === link);
  }

  #order(order: Parameters<ReflexClient["order"]>[0]): Promise<Reply> {
    return this.#options.client.order(order);
  }

  #trigger(kind: TriggerKind, subject: number | undefined, why: string): Promise<Reply> {
    const row = this.#options.client.table.rows.triggers.find((each) => each.kind === triggerKinds.indexOf(kind) && (subject === undefined || each.subject === subject));
    if (row) this.#asked = { row, why };
    if (!row) return Promise.resolve({ code: "unknown", count: 0, lacks: [], text: `no plan of the safe pose is started by ${kind}` });
    return this.#order({ order: "trigger", a: row.kind, b: row.subject === NONE ? 0 : row.subject, why });
  }

  /** Of the requests that there are, the usual one: parked, then off. */
  #request(): number | undefined {
    return [1, 2, 0].find((category) => this.#hasRequest(category));
  }

  #gentlestRequest(): number | undefined {
    return [2, 1, 0].find((category) => this.#hasRequest(category));
  }

  #hasRequest(category: number): boolean {
    return this.#options.client.table.rows.triggers.some(({ kind, subject }) => triggerKinds[kind] === "onRequest" && subject === category);
  }

  #until(done: () => boolean): Promise<void> {
    const { clock } = this.#options;
    if (done()) return Promise.resolve();
    return new Promise((resolve) => {
      const listener = (): void => {
        if (!done()) return;
        finish();
      };
      const finish = (): void => {
        cancel();
        this.#stateListeners = this.#stateListeners.filter((each) => each !== listener);
        resolve();
      };
      const cancel = clock.at(clock.nowUs() + STATE_WAIT_MS * 1e3, finish);
      this.#stateListeners.push(listener);
    });
  }

  #reported(end: ReflexEnd, report: Report): void {
    const { client } = this.#options;
    // Only the owner speaks for the robot; while there is none, nobody does.
    if (client.owner !== undefined && client.owner !== end) return;
    if (report.kind === "state") {
      if (report.state.role === "owner") this.#told(report.state);
    } else if (report.kind === "step") this.#stepTold(report);
    else if (report.kind === "verdict") this.#ended(report);
  }

  /** A reflex was connected, or took over: its state may be news, although nothing was reported since. */
  #look(): void {
    const { client } = this.#options;
    const { owner } = client;
    // What a reflex said before it came to own the buses, or of an earlier time that it did, is not how the robot is: a standby calls itself disarmed.
    const state = owner?.state?.role === "owner" && owner.state.epoch === owner.epoch ? owner.state : undefined;
    const status = owner?.status && roles[owner.status.role] === "owner" && owner.status.epoch === owner.epoch ? owner.status : undefined;
    // Reports come by the lane, the status by the socket: the later word counts, should a report have been lost.
    if (state && (!status || status.sinceUs <= state.sinceUs)) this.#told(state);
    else if (status) this.#enter({ to: armings[status.arming] ?? "fault", trigger: status.trigger, plan: status.plan, sinceUs: status.sinceUs });
    this.#isTold ||= status !== undefined && status.nowUs >= this.#takenOverUs;
    for (const listener of this.#stateListeners.slice()) listener();
  }

  #told({ arming, trigger, plan, sinceUs }: ReflexState): void {
    this.#enter({ to: arming, trigger, plan, sinceUs });
  }

  #enter({ to, trigger, plan, sinceUs }: { to: ArmingState; trigger: number; plan: number; sinceUs: number }): void {
    const from = this.#state;
    this.#isTold ||= sinceUs >= this.#takenOverUs;
    this.#causeIs(to, trigger);
    if (to === "safePose" && this.#run?.plan !== plan) {
      // Steps may be told before the state is.
      this.#run = { why: this.#why ?? this.#triggerText(trigger), startedUs: sinceUs, plan, steps: this.#run?.plan === NONE ? this.#run.steps : new Map<number, ToldStep>() };
    }
    if (to === from) return;
    this.#state = to;
    const told = this.#before?.state === to ? this.#before : undefined;
    this.#before = undefined;
    this.#reason = told?.reason ?? this.#why ?? this.#triggerText(trigger);
    if (to === "armed") this.#lastCommandUs = this.#options.clock.nowUs();
    else this.#options.clearCommands();
    if (!told) this.#options.stateChanged(from, to, this.#reason);
    this.#why = undefined;
    for (const listener of this.#stateListeners.slice()) listener();
  }

  /** A higher trigger that took over is the cause from then on, also if the same plan goes on. */
  #causeIs(to: ArmingState, trigger: number): void {
    if (to === "disarmed" || to === "armed") this.#cause = undefined;
    if (to !== "safePose" || this.#cause?.row === trigger) return;
    const { client, clock } = this.#options;
    const row = client.table.rows.triggers[trigger];
    const name = row ? client.text(row.name) : "";
    // Asked for by us, and it is what runs now; else the reflex saw it itself.
    const asked = row !== undefined && this.#asked?.row === row ? this.#asked.why : undefined;
    this.#cause = { row: trigger, trigger: name, why: asked ?? "seen by the reflex", atUs: clock.nowUs(), latched: row !== undefined && (row.flags & triggerFlags.latched) !== 0 };
  }

  #triggerText(trigger: number): string {
    const { client } = this.#options;
    const row = client.table.rows.triggers[trigger];
    return row ? `trigger ${client.text(row.name)}` : "told by the reflex";
  }

  #stepTold({ step, state, tookMs }: Extract<Report, { kind: "step" }>): void {
    this.#run ??= { why: this.#why ?? "told by the reflex", startedUs: this.#options.clock.nowUs(), plan: NONE, steps: new Map() };
    this.#run.steps.set(step, { state, tookMs, missing: state === "timedOut" || state === "hurried" || state === "fellBack" ? this.#unmet(step) : [] });
  }

  /** Conditions of a step that the newest frames do not meet. */
  #unmet(step: number): string[] {
    const { rows } = this.#options.client.table;
    const row = rows.steps[step];
    if (!row) return [];
    return rows.conditions.slice(row.conditionsFirst, row.conditionsFirst + row.conditionsCount).filter((condition) => !this.#holds(condition)).map(({ label }) => this.#options.client.text(label));
  }

  #holds({ watch, field, rawMin, rawMax }: ConditionRow): boolean {
    const { client } = this.#options;
    const row = client.table.rows.watches[watch];
    const payload = row && client.latest(row.bus, canKey(row.canId, (row.canFlags & CanFlag.extended) !== 0));
    if (!row || !payload || payload.length < row.lengthBytes) return false;
    const value = fieldGet(field, payload);
    return value >= rawMin && value <= rawMax;
  }

  #ended({ verdict, timeUs, runId }: Extract<Report, { kind: "verdict" }>): void {
    // A successor tells the end of its predecessor's run once more: it cannot know whether anybody heard it.
    if (verdict === "none" || runId === this.#toldRun) return;
    this.#toldRun = runId;
    const { client, clock } = this.#options;
    const { rows } = client.table;
    const run = this.#run ?? { why: this.#why ?? "told by the reflex", startedUs: clock.nowUs(), plan: NONE, steps: new Map<number, ToldStep>() };
    this.#run = undefined;
    const plan = rows.plans[run.plan] ?? rows.plans.find(({ stepsFirst, stepsCount }) => [...run.steps.keys()].some((step) => step >= stepsFirst && step < stepsFirst + stepsCount));
    const first = plan?.stepsFirst ?? 0;
    const steps = rows.steps.slice(first, first + (plan?.stepsCount ?? 0)).flatMap((row, place): PoseVerdict["steps"] => {
      const told = run.steps.get(first + place);
      const result = outcomes[told?.state ?? "waiting"];
      return result ? [{ name: client.text(row.name), result, tookMs: told?.tookMs ?? 0, deadlineMs: row.deadlineUs / 1e3, missing: told?.missing ?? [] }] : [];
    });
    this.#tell({ verdict, ...(this.#cause ? { trigger: this.#cause.trigger } : {}), why: run.why, tookMs: Math.max(0, timeUs - run.startedUs) / 1e3, budgetMs: (plan?.budgetUs ?? 0) / 1e3, steps });
  }

  #giveUp(why: string, budgetMs: number, text: string): void {
    if (this.#waiting.length === 0) return;
    this.#tell({ verdict: "failed", why: `${why}: ${text}`, tookMs: 0, budgetMs, steps: [] });
  }

  #tell(verdict: PoseVerdict): void {
    this.#verdict = verdict;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve(verdict);
  }

  /** A bus that was dead and has proved alive is opened by whoever arms: nothing is missing. */
  #awaitsRearm({ reason, subject }: Lack): boolean {
    return missingReasons[reason] === "bus" && busPhases[this.#options.client.owner?.buses.get(subject)?.phase ?? 0] === "proven";
  }

  #sentence({ reason, subject }: Lack): string {
    const { client } = this.#options;
    const { rows } = client.table;
    const name = (row: { name: number } | undefined): string => (row ? client.text(row.name) : `number ${subject}`);
    const kind = missingReasons[reason];
    switch (kind) {
      case "table": return "the reflex has no table yet";
      case "ownership": return "no reflex owns the buses";
      case "bus": return `bus ${name(rows.buses[subject])} is not proven alive`;
      case "purge": return `the transmit queue of bus ${name(rows.buses[subject])} could not be purged: stale commands might be replayed (the bus process has no CAP_NET_ADMIN, and no ipcnet-purge says that it would do it)`;
      case "node": return `node ${name(rows.nodes[subject])} is not there`;
      case "nodeEpoch": return `node ${name(rows.nodes[subject])} follows another owner of the bus`;
      case "brain": return "the reflex has not heard of this gateway lately";
      case "reset": return `the robot is in the safe pose${subject === NONE || !rows.triggers[subject] ? "" : ` (${name(rows.triggers[subject])})`}: reset it first (ipcnet arm --reset)`;
      case "planRuns": return "the safe pose is running";
      case "malfunction": return `the reflex has a malfunction (${malfunctions[subject] ?? subject}), which only a restart of it clears`;
      case "foreignMaster": return `somebody else sends what only the reflex may send on bus ${name(rows.buses[subject])}: a second master`;
      case "powerLine": return powerLineText(client, subject);
      case "steadyCondition": return `${name(rows.triggers[subject])} still holds`;
      case "none":
      case undefined: return `reason ${reason} (${subject})`;
      default: return kind satisfies never;
    }
  }
}

/** The same advice as the reflex's own log gives (process/powerfail.c). */
const powerLineRemedies: Readonly<Record<string, string>> = {
  ENOENT: "there is no such GPIO chip; gpiodetect lists those that are there", ENODEV: "there is no such GPIO chip; gpiodetect lists those that are there", ENXIO: "the chip has no such line; gpioinfo lists them",
  EINVAL: "the chip has no such line or cannot report its edges; gpioinfo lists them", EACCES: "let the reflex's user open the device", EPERM: "let the reflex's user open the device",
  EBUSY: "another program or driver has the line; gpioinfo says who", ENOTTY: "this is no GPIO chip, or the kernel is older than Linux 5.10",
};

function powerLineText(client: ReflexClient, errno: number): string {
  const row = client.table.rows.triggers.find(({ flags }) => (flags & triggerFlags.pin) !== 0);
  const line = row ? `${client.text(row.chip)} ${(row.flags & triggerFlags.named) === 0 ? row.line : client.text(row.line)}` : "";
  const name = getSystemErrorMap().get(-errno)?.[0] ?? String(errno);
  return `the power-fail line ${line} is not watched (${name}): ${powerLineRemedies[name] ?? "the reflex's log says why"}`;
}

/** What a verdict says of a step; undefined: nothing, it was not needed. */
const outcomes: Record<StepState, StepOutcome | undefined> = {
  waiting: "hurried", running: "hurried", backoff: "hurried", reached: "reached", sentOnly: "sentOnly", timedOut: "timedOut", fellBack: "fellBack", skipped: undefined, hurried: "hurried",
};
