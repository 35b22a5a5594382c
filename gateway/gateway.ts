/**
 * The gateway: puts the parts together as the configuration says, starts and stops them in order, and turns the crank.
 *
 * It decides nothing itself. What may move is `supervisor/`'s matter, what a frame means `pipeline/`'s, who may do what `policy/`'s.
 * One timer serves everything that is due: held commands, the safe pose, stale values, silent nodes.
 */
import type { Clock } from "../schemas/clock.ts";
import type { ClientReport, LaneReport, NodeReport, PolicyReport, QuotaReport, ReflexReport, StatusReport, SupervisionReport } from "../schemas/messages/statusReport.ts";
import type { ArmingState } from "../failsafe/arming/machine.ts";
import type { PoseVerdict } from "../failsafe/safePose/sequence.ts";
import type { StopCategory } from "../failsafe/shutdown/compiled.ts";
import type { NodeEvent, NodeMonitor } from "./nodes/monitor.ts";
import type { EventInput, EventLog, GatewayEvent } from "./observe/events.ts";
import type { ProcessStats } from "./observe/processStats.ts";
import { buildStatus, type GatewayIdentity } from "./observe/status.ts";
import type { RejectCounter, Rejects } from "./observe/rejects.ts";
import { FRESHNESS_PERIOD_MS, FreshnessMonitor } from "./pipeline/freshness.ts";
import type { ServiceReply } from "./front/services.ts";
import type { Link } from "./links/link.ts";
import type { SupervisorPort } from "./supervisor/port.ts";
import { serviceLimits } from "./broker/services/limits.ts";
import { OrderlyStop } from "./orderlyStop.ts";
import { topicsFingerprint } from "./topics/handover.ts";
import type { TopicTable } from "./topics/table.ts";

/** Notice for local programs beside the pose when the gateway stops, ms: enough to write a snapshot of some megabytes; who needs longer asks for it. */
const FAREWELL_MS = 2_000;

/** Something with deadlines that is served by the gateway's timer. */
export interface Due {
  poll(nowUs: number): void;
  nextDeadlineUs(nowUs: number): number | undefined;
}

/** The local side: opened when the links are up, closed before they go down. */
export interface Front {
  /** Where programs connect. */
  readonly path: string;
  start(): Promise<void>;
  /** Tells the programs that the gateway goes; resolves when they are prepared, at the latest when their time is over. */
  sayFarewell(why: string, deadlineMs: number): Promise<void>;
  stop(why: string): Promise<void>;
  clients(): ClientReport[];
  quota(): QuotaReport;
  lanes(): readonly LaneReport[];
  /** Counters of the calls of services. */
  services(): Readonly<Record<string, number>>;
}

export interface GatewayParts {
  identity: GatewayIdentity;
  clock: Clock;
  table: TopicTable;
  rejects: Rejects;
  events: EventLog;
  nodes: NodeMonitor;
  links: readonly Link[];
  timed: readonly Due[];
  supervisor: SupervisorPort;
  front: Front;
  policy: { start(): void; stop(): void; report(): PolicyReport };
  stats: ProcessStats;
  /** It is active from now on: its epoch begins. */
  beginEpoch(): void;
  epoch(): number;
  /** Which nodes are there has changed. */
  nodesChanged(): void;
  /** Who they are, what they complain of, new firmware for them. */
  care: { nodeEvent(event: NodeEvent): void; report(node: string, nowUs: number): Partial<NodeReport> };
  /** Goes on with what a predecessor has left of the robot; the state that it was in, undefined: it has not said. */
  restoreRobot(): ArmingState | undefined;
  /** What supervises its own tasks; undefined: nothing does. */
  supervision(): SupervisionReport | undefined;
  /** What owns the CAN buses instead of this process, if anything does. */
  reflexes(): readonly ReflexReport[];
  reload(file: string): ServiceReply;
  /** Time for programs before the pose of a stop begins. */
  prepareMs(): number;
  /** Told what the crank has come to: whoever supervises it. */
  checkpoint?: ((point: "begin" | "links" | "nodes" | "safety" | "end", nowUs: number) => void) | undefined;
}

/** Between two attempts to open a link after a takeover, ms. */
const LINK_RETRY_MS = 1_000;

/** How often rates are counted, s. */
const RATE_INTERVAL_S = 1;

export class Gateway {
  readonly #parts: GatewayParts;
  readonly #startedUs: number;
  #freshness: FreshnessMonitor | undefined;
  #cancelTimer: (() => void) | undefined;
  #lastRatesUs: number;
  #running = false;
  #ending: OrderlyStop<PoseVerdict> | undefined;
  /** Until somebody resets it: who stops now asks nobody. */
  #compromised = false;
  #stopReason: "onStop" | "onShutdown" = "onStop";

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#startedUs = parts.clock.nowUs();
    this.#lastRatesUs = this.#startedUs;
  }

  /**
   * Goes on where a predecessor has left off: the clients first, who have been waiting since it died; then the links, one by one as they open. One that does not open is tried again,
   * and is missing until then. `released`: what the predecessor had open has been closed.
   */
  async takeOver(released: Promise<void> = Promise.resolve()): Promise<void> {
    const { front, table, clock, stats, links } = this.#parts;
    this.#parts.beginEpoch();
    table.setWallOffset(clock.wallTimeNs(), clock.nowUs());
    this.#freshness = new FreshnessMonitor(table);
    const before = this.#parts.restoreRobot();
    await front.start();
    this.#parts.policy.start();
    stats.start();
    this.#running = true;
    // What was heard meanwhile comes before the next turn judges who is silent.
    for (const link of links) link.goOn?.();
    void released.then(() => links.forEach((link) => void this.#openUntilItWorks(link)));
    this.#turn();
    this.event({ severity: "warning", code: "tookOver", source: "gateway", text: this.#takeoverText(before) });
    this.#parts.nodesChanged();
  }

  /** Plainly: which links go on, which do not, and whether the robot can still move. */
  #takeoverText(before: ArmingState | undefined): string {
    const { links, reflexes, supervisor } = this.#parts;
    const names = (some: readonly Link[]): string => some.map(({ name }) => name).join(", ");
    const held = links.filter(({ survives }) => survives);
    const anew = links.filter(({ survives }) => !survives);
    const robot = reflexes().length > 0 ? `the robot is ${supervisor.state}, as its reflex says`
      : before === "armed" ? "the robot was armed and is DISARMED: the process that let commands pass is dead, and nothing moves before somebody arms it again"
      : `the robot is ${supervisor.state}`;
    return `the other instance is dead; ${held.length === 0 ? "" : `${names(held)}: held by the reflex, not touched; `}${anew.length === 0 ? "" : `${names(anew)}: opened anew; `}${robot}`;
  }

  /** Another instance is active: what can be heard beside it is kept. */
  follow(): void {
    for (const link of this.#parts.links) link.follow?.();
  }

  async #openUntilItWorks(link: Link): Promise<void> {
    const { clock } = this.#parts;
    const sinceUs = clock.nowUs();
    for (;;) {
      try {
        await link.start();
        if (!link.survives) this.event({ severity: "info", code: "linkReopened", source: link.name, text: `${link.name} was opened ${((clock.nowUs() - sinceUs) / 1e3).toFixed(0)} ms after the takeover` });
        return this.reschedule();
      } catch (error) {
        this.event({ severity: "error", code: "linkNotOpened", source: link.name, text: error instanceof Error ? error.message : String(error) });
      }
      await new Promise<void>((resolve) => void clock.at(clock.nowUs() + LINK_RETRY_MS * 1e3, resolve));
      if (!this.#running) return;
    }
  }

  /** Ends for a successor: the links are closed in an orderly way, no safe pose is run, the clients are not told anything. What a process of its own holds takes commands to the last. */
  async handOver(): Promise<void> {
    this.#running = false;
    this.#cancelTimer?.();
    this.#parts.policy.stop();
    await Promise.all(this.#parts.links.filter(({ survives }) => survives !== true).map((link) => link.stop()));
    this.#parts.stats.stop();
  }

  /** Why a hand-over to the other instance would disturb what moves now; undefined: it would not. */
  get handOverDisturbs(): string | undefined {
    const { supervisor, links } = this.#parts;
    if (!supervisor.armed) return undefined;
    if (!supervisor.survives) return "the gateway is armed, and its successor begins disarmed";
    const anew = links.filter(({ path, survives }) => path !== undefined && survives !== true);
    return anew.length === 0 ? undefined : `the robot is armed, and commands go to ${anew.map(({ name }) => name).join(", ")}, which no reflex holds: it is opened anew`;
  }

  /** Where local programs connect. */
  get socketPath(): string {
    return this.#parts.front.path;
  }

  /** What the two instances of a pair have to have in common. */
  get topicsFingerprint(): string {
    return topicsFingerprint(this.#parts.table);
  }

  /** Opens the links, then the client socket. Rejects with the first link's error that may not be missing; what was opened is closed again. */
  async start(): Promise<void> {
    const { links, front, table, clock, stats } = this.#parts;
    this.#parts.beginEpoch();
    table.setWallOffset(clock.wallTimeNs(), clock.nowUs());
    this.#freshness = new FreshnessMonitor(table);
    // Together: each may wait for its device, and none needs another.
    const opened = await Promise.allSettled(links.map((link) => link.start()));
    const failed = opened.find((result) => result.status === "rejected");
    try {
      if (failed) throw failed.reason;
      await front.start();
    } catch (error) {
      await Promise.all(links.map((link) => link.stop()));
      throw error;
    }
    this.#parts.policy.start();
    stats.start();
    this.#running = true;
    this.#turn();
    this.event({ severity: "info", code: "started", source: "gateway", text: `${links.length} links, ${table.size} topics` });
  }

  /** Runs the safe pose, while local programs are told and prepare themselves, then closes everything. Resolves with the verdict; never rejects for a robot's fault. Asked again it is `hurry`. */
  async stop(why: string, reason: "onStop" | "onShutdown" = "onStop"): Promise<PoseVerdict> {
    const { links, front, stats, clock, supervisor } = this.#parts;
    if (this.#ending) {
      this.hurry(why);
      return this.#ending.over;
    }
    this.#stopReason = reason;
    this.reschedule();
    // Without time to prepare the pose has begun when this returns: what the programs are told, and take their time for, delays nothing of it.
    this.#ending = new OrderlyStop({
      clock, prepareMs: supervisor.armed ? this.#parts.prepareMs() : 0, moreMsMax: serviceLimits.farewellMoreMsMax, besideMs: FAREWELL_MS, compromised: this.#compromised,
      sayFarewell: (deadlineMs) => front.sayFarewell(why, deadlineMs),
      startPose: () => supervisor.safePose(why, clock.nowUs(), this.#compromised ? "onCompromise" : this.#stopReason),
    });
    const verdict = await this.#ending.over;
    this.#running = false;
    this.#cancelTimer?.();
    this.#parts.policy.stop();
    await front.stop(why);
    await Promise.all(links.map((link) => link.stop()));
    stats.stop();
    return verdict;
  }

  /** Somebody who asked to stop asks again: programs are no longer waited for. The pose is never cut short. */
  hurry(why: string): void {
    if (!this.#ending) return;
    const before = this.#ending.phase;
    this.#ending.happened("hurried");
    if (this.#ending.phase === before) this.event({ severity: "warning", code: "notCutShort", source: "gateway", text: `${why}: nothing changes: the safe pose is never cut short` });
    else this.event({ severity: "warning", code: "hurried", source: "gateway", text: `${why}: no program is waited for any more; the safe pose ${before === "preparing" ? "begins now" : "goes on to its end"}` });
  }

  /** The operating system is about to stop: the pose begins now, the service goes on until it is stopped itself. */
  systemStops(why: string): Promise<PoseVerdict> {
    this.event({ severity: "warning", code: "systemStops", source: "gateway", text: why });
    return this.#parts.supervisor.safePose(why, this.#parts.clock.nowUs(), "onShutdown");
  }

  /** It has turned out, after we were told to stop, that the whole system stops. Programs keep the time that they were given; a pose that runs is taken over. */
  stopIsShutdown(why: string): void {
    this.#stopReason = "onShutdown";
    this.event({ severity: "info", code: "systemStops", source: "gateway", text: why });
    if (this.#ending && this.#ending.phase !== "preparing" && this.#ending.phase !== "over") void this.#parts.supervisor.safePose(why, this.#parts.clock.nowUs(), "onShutdown");
  }

  /** Something of this robot cannot be trusted any more: the severest pose, at once, without asking anybody. */
  compromised(why: string): Promise<PoseVerdict> {
    const { supervisor, clock } = this.#parts;
    this.#compromised = true;
    this.event({ severity: "error", code: "compromised", source: "gateway", text: why });
    const verdict = supervisor.safePose(why, clock.nowUs(), "onCompromise");
    this.#ending?.happened("compromised");
    return verdict;
  }

  /** The state has changed; whoever was given time before a pose has none left when one begins. */
  stateChanged(to: ArmingState): void {
    if (to === "safePose") this.#ending?.happened("askedAtOnce");
    // Out of a pose only a reset leads there.
    if (to === "disarmed") this.#compromised = false;
    this.reschedule();
  }

  status(): StatusReport {
    const { identity, links, nodes, rejects, front, policy, table, stats, supervisor, clock } = this.#parts;
    return buildStatus({
      identity, startedUs: this.#startedUs, links,
      state: () => supervisor.state, stateReason: () => supervisor.reason, cause: () => supervisor.cause, missing: () => supervisor.missing(),
      nodes: (nowUs) => nodes.report(nowUs).map((report) => ({ ...report, ...this.#parts.care.report(report.name, nowUs) })), rejects: (nowUs) => rejects.report(nowUs), clients: () => front.clients(), policy: () => policy.report(), quota: () => front.quota(), lanes: () => front.lanes(), services: () => front.services(), reflexes: () => this.#parts.reflexes(),
      supervision: () => this.#parts.supervision(), epoch: () => this.#parts.epoch(), topicCount: () => table.size, process: () => stats.report(),
    }, clock.nowUs());
  }

  /** Arms, or says what is missing. A bus that was dead and has proved alive is opened again, but only if nothing else stands in the way: a refusal changes nothing. */
  arm(why: string): string[] | Promise<string[]> {
    const { links, supervisor, clock } = this.#parts;
    const refused = supervisor.missing().length > 0;
    // A bus that has given up its restarts gets new ones in any case: until it is back, it is itself what is missing.
    for (const link of links) if (!refused || !link.awaitsRearm) link.rearm();
    return supervisor.arm(why, clock.nowUs());
  }

  disarm(why: string): void {
    this.#parts.supervisor.disarm(why, this.#parts.clock.nowUs());
  }

  reset(why: string): void | Promise<void> {
    return this.#parts.supervisor.reset(why, this.#parts.clock.nowUs());
  }

  safePose(why: string, category?: StopCategory): Promise<PoseVerdict> {
    return this.#parts.supervisor.safePose(why, this.#parts.clock.nowUs(), "onRequest", category);
  }

  recentEvents(): readonly GatewayEvent[] {
    return this.#parts.events.recent();
  }

  rejectCounters(): readonly RejectCounter[] {
    return this.#parts.rejects.counters();
  }

  /** Judges a configuration and takes it over where that is possible while running; otherwise the old one goes on. */
  reload(file: string): ServiceReply {
    return this.#parts.reload(file);
  }

  event(input: EventInput): void {
    const { events, clock } = this.#parts;
    events.add(input, clock.nowUs(), clock.wallTimeNs());
  }

  nodeEvent(event: NodeEvent): void {
    const { node } = event;
    const armed = this.#parts.supervisor.armed;
    const words = { appeared: "is there", lost: `is lost: nothing for ${node.timeoutMs} ms`, returned: "is back", duplicate: "seems to be there twice: two nodes with one number (EMCY 0x8150)" } as const;
    const text = event.type === "stateChanged" ? `is ${event.state}` : words[event.type];
    this.#parts.nodesChanged();
    this.#parts.care.nodeEvent(event);
    this.event({ severity: event.type === "duplicate" ? "error" : event.type === "lost" ? (node.required ? "error" : "warning") : "info", code: `node${event.type[0]!.toUpperCase()}${event.type.slice(1)}`, source: node.name, text: `node ${node.name} on ${node.link} ${text}` });
    const stillThere = event.type !== "lost" && event.type !== "duplicate" && (event.type !== "stateChanged" || event.state === "operational");
    if ((node.required || event.type === "duplicate") && armed && !stillThere) this.#parts.supervisor.lost(`node ${node.name} ${text}`, event.atUs, event.type === "duplicate" ? undefined : node.link);
  }

  /** Something new may be due earlier than the timer thinks: after a command was held, or the safe pose began. */
  reschedule(): void {
    if (this.#running) this.#schedule();
  }

  #turn(): void {
    const { clock, links, timed, supervisor, nodes, checkpoint } = this.#parts;
    const nowUs = clock.nowUs();
    checkpoint?.("begin", nowUs);
    for (const link of links) link.poll(nowUs);
    for (const each of timed) each.poll(nowUs);
    checkpoint?.("links", nowUs);
    for (const event of nodes.poll(nowUs)) this.nodeEvent(event);
    this.#freshness?.poll(nowUs);
    checkpoint?.("nodes", nowUs);
    supervisor.poll(nowUs);
    checkpoint?.("safety", nowUs);
    if (nowUs - this.#lastRatesUs >= RATE_INTERVAL_S * 1e6) this.#closeInterval(nowUs);
    if (this.#running) this.#schedule();
    if (checkpoint) checkpoint("end", clock.nowUs());
  }

  #schedule(): void {
    const { clock, links, timed, supervisor } = this.#parts;
    const nowUs = clock.nowUs();
    let dueUs = nowUs + FRESHNESS_PERIOD_MS * 1e3;
    for (const due of [...links, ...timed, supervisor]) {
      const deadlineUs = due.nextDeadlineUs(nowUs);
      if (deadlineUs !== undefined && deadlineUs < dueUs) dueUs = deadlineUs;
    }
    this.#cancelTimer?.();
    this.#cancelTimer = clock.at(dueUs, () => this.#turn());
  }

  #closeInterval(nowUs: number): void {
    const { table, links, nodes, stats, clock } = this.#parts;
    const seconds = (nowUs - this.#lastRatesUs) / 1e6;
    this.#lastRatesUs = nowUs;
    table.setWallOffset(clock.wallTimeNs(), nowUs);
    for (const topic of table.entries()) topic.closeRateInterval(seconds);
    for (const link of links) link.closeInterval(seconds, nowUs);
    nodes.closeRateInterval(seconds);
    stats.closeInterval(seconds);
  }
}
