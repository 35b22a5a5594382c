/**
 * Alive, deadline and logical supervision of tasks that report checkpoints. Pure: time is an argument; `cycle` is called at a steady pace and judges what has come since.
 */
import { globalState, type GlobalState, type LocalEvent, type LocalState, localTable } from "./status.ts";

export interface AliveRule {
  checkpoint: string;
  /** A reference cycle is so many supervision cycles. */
  cycles: number;
  /** Reports in it, at least and at most: too many are a fault like too few. */
  min: number;
  max: number;
  /** Wrong reference cycles that are borne before it is expired. */
  tolerance: number;
}

export interface DeadlineRule {
  from: string;
  to: string;
  minMs: number;
  maxMs: number;
}

export interface LogicalRule {
  /** Where a round may begin, and end. */
  begin: readonly string[];
  end: readonly string[];
  /** What may follow what. */
  next: Readonly<Record<string, readonly string[]>>;
}

export interface EntityRules {
  alive?: AliveRule;
  deadlines?: readonly DeadlineRule[];
  logical?: LogicalRule;
}

export interface SupervisionOptions {
  entities: Readonly<Record<string, EntityRules>>;
  /** Cycles between expired and stopped: time to say so, and to clean up. */
  graceCycles: number;
}

/** An entity that is not as it should be. */
export interface SupervisionFault {
  entity: string;
  state: "failed" | "expired";
  /** Where it showed. */
  checkpoint: string;
  why: string;
}

/** What has changed, in words. `entity` undefined: all together. */
export interface SupervisionChange {
  entity: string | undefined;
  to: LocalState | GlobalState;
  why: string;
}

class Entity {
  readonly name: string;
  readonly rules: EntityRules;
  state: LocalState = "ok";
  /** What made it leave `ok`. */
  fault: { checkpoint: string; why: string } | undefined;
  #reports = 0;
  #cycles = 0;
  #wrongCycles = 0;
  /** When the checkpoint that a deadline counts from was last passed. */
  readonly #startedUs = new Map<string, number>();
  /** The last checkpoint of a round that has not ended; undefined: between two rounds. */
  #at: string | undefined;

  constructor(name: string, rules: EntityRules) {
    this.name = name;
    this.rules = rules;
  }

  /** Why it is broken; undefined: it is not. */
  passed(point: string, nowUs: number): string | undefined {
    if (point === this.rules.alive?.checkpoint) this.#reports += 1;
    return this.#order(point) ?? this.#deadlines(point, nowUs);
  }

  /** What has begun and not ended in time; reported once. */
  overdue(nowUs: number): { checkpoint: string; why: string } | undefined {
    for (const { from, to, maxMs } of this.rules.deadlines ?? []) {
      const startedUs = this.#startedUs.get(from);
      if (startedUs === undefined || nowUs - startedUs <= maxMs * 1e3) continue;
      this.#startedUs.delete(from);
      return { checkpoint: to, why: `${to} did not come within ${maxMs} ms of ${from}` };
    }
    return undefined;
  }

  /** One supervision cycle of alive supervision; undefined: no reference cycle ends with it. */
  aliveCycle(): { event: LocalEvent; why: string } | undefined {
    const { alive } = this.rules;
    if (!alive || (this.#cycles += 1) < alive.cycles) return undefined;
    const reports = this.#reports;
    this.#cycles = 0;
    this.#reports = 0;
    if (reports >= alive.min && reports <= alive.max) {
      this.#wrongCycles = Math.max(0, this.#wrongCycles - 1);
      return { event: this.#wrongCycles === 0 ? "recovered" : "aliveRight", why: `${alive.checkpoint} is as it should be again` };
    }
    this.#wrongCycles += 1;
    return { event: this.#wrongCycles > alive.tolerance ? "aliveTooOftenWrong" : "aliveWrong", why: `${alive.checkpoint} came ${reports} times in a reference cycle, not ${alive.min} to ${alive.max}` };
  }

  /** Nothing of before counts. */
  begin(): void {
    this.#reports = 0;
    this.#cycles = 0;
    this.#wrongCycles = 0;
    this.#startedUs.clear();
    this.#at = undefined;
  }

  #order(point: string): string | undefined {
    const { logical } = this.rules;
    if (!logical) return undefined;
    const before = this.#at;
    const allowed = before === undefined ? logical.begin.includes(point) : (logical.next[before]?.includes(point) ?? false);
    this.#at = logical.end.includes(point) ? undefined : point;
    return allowed ? undefined : `${point} came ${before === undefined ? "first" : `after ${before}`}`;
  }

  #deadlines(point: string, nowUs: number): string | undefined {
    let broken: string | undefined;
    for (const { from, to, minMs, maxMs } of this.rules.deadlines ?? []) {
      const startedUs = this.#startedUs.get(from);
      if (point === to && startedUs !== undefined) {
        this.#startedUs.delete(from);
        const tookMs = (nowUs - startedUs) / 1e3;
        if (tookMs < minMs || tookMs > maxMs) broken ??= `${from} to ${to} took ${Math.round(tookMs)} ms, not ${minMs} to ${maxMs}`;
      }
    }
    if (this.rules.deadlines?.some(({ from }) => from === point)) this.#startedUs.set(point, nowUs);
    return broken;
  }
}

export class Supervision {
  readonly #entities = new Map<string, Entity>();
  readonly #graceCycles: number;
  #global: GlobalState = "ok";
  #expiredCycles = 0;
  #changes: SupervisionChange[] = [];

  constructor({ entities, graceCycles }: SupervisionOptions) {
    this.#graceCycles = graceCycles;
    for (const [name, rules] of Object.entries(entities)) this.#entities.set(name, new Entity(name, rules));
  }

  get state(): GlobalState {
    return this.#global;
  }

  stateOf(entity: string): LocalState | undefined {
    return this.#entities.get(entity)?.state;
  }

  /** Which entities are failed or expired, where and why. */
  faults(): SupervisionFault[] {
    return [...this.#entities.values()].flatMap(({ name, state, fault }) => (fault && (state === "failed" || state === "expired") ? [{ entity: name, state, ...fault }] : []));
  }

  /** Whether a watchdog may be fed. */
  get mayFeed(): boolean {
    return this.#global !== "stopped";
  }

  /** A task has come to a checkpoint. */
  passed(entity: string, point: string, nowUs: number): void {
    const found = this.#entities.get(entity);
    if (!found || found.state === "deactivated") return;
    const broken = found.passed(point, nowUs);
    if (broken !== undefined) this.#apply(found, "broken", broken, point);
  }

  activate(entity: string): void {
    const found = this.#entities.get(entity);
    if (!found || found.state !== "deactivated") return;
    found.begin();
    this.#apply(found, "activate", "it is supervised", "");
  }

  deactivate(entity: string): void {
    const found = this.#entities.get(entity);
    if (found) this.#apply(found, "deactivate", "it is not supervised", "");
  }

  /** Judges what has come since the last call; returns what has changed. */
  cycle(nowUs: number): SupervisionChange[] {
    for (const entity of this.#entities.values()) {
      if (entity.state === "deactivated") continue;
      const overdue = entity.overdue(nowUs);
      if (overdue) this.#apply(entity, "broken", overdue.why, overdue.checkpoint);
      const alive = entity.aliveCycle();
      if (alive) this.#apply(entity, alive.event, alive.why, entity.rules.alive!.checkpoint);
    }
    this.#judgeAll();
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  #apply(entity: Entity, event: LocalEvent, why: string, checkpoint: string): void {
    const to = localTable[entity.state][event];
    if (to === entity.state) return;
    entity.state = to;
    entity.fault = to === "failed" || to === "expired" ? { checkpoint, why } : undefined;
    this.#changes.push({ entity: entity.name, to, why });
  }

  #judgeAll(): void {
    const locals = [...this.#entities.values()].map(({ state }) => state);
    const to = globalState(this.#global, locals, this.#expiredCycles >= this.#graceCycles);
    if (locals.includes("expired")) this.#expiredCycles += 1;
    if (to === this.#global) return;
    this.#changes.push({ entity: undefined, to, why: to === "ok" ? "all is well" : `${to === "stopped" ? "expired" : to}: ${[...this.#entities.values()].filter(({ state }) => state === "expired" || state === "failed").map(({ name }) => name).join(", ")}` });
    this.#global = to;
  }
}
