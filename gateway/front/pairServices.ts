/** The services of a pair: who is active, a planned hand-over, drills, and who is kept out. */
import { Status } from "../../schemas/status.ts";
import { type Quarantine } from "../../failsafe/failover/quarantine.ts";
import type { GlobalState } from "../../failsafe/watchdog/status.ts";
import type { TakeoverReport } from "../../failsafe/failover/trace.ts";
import { toJson } from "../../failsafe/failover/quarantineFile.ts";
import type { ServiceReply } from "./services.ts";

export interface PairReport {
  /** Which instance answers: the active one. */
  active: string;
  pid: number;
  /** Under which it commands: rises with each start and each takeover. */
  epoch: number;
  standby?: { instance: string; pid: number; ready: boolean };
  progressMs: number;
  drills: boolean;
  /** What its own supervision says of its tasks: degraded unless ok. */
  supervision: GlobalState;
  /** How it came to be active, and how the one before it ended. */
  since: { how: "started" | "tookOver"; from?: string; death?: string };
  /** How long its taking over took, step by step. */
  takeover?: TakeoverReport;
  /** Turns written for the standby, and their bytes; only rise. */
  turns: number;
  journalBytes: number;
}

/** What the services need of the pair. */
export interface PairPort {
  report(): PairReport;
  /** Why a hand-over would disturb what moves now; undefined: it would not. */
  readonly disturbs: string | undefined;
  /** Hands over and ends; the successor answers whoever asked. */
  switchOver(): void;
  /** kill -9 of an instance; false: there is none of this name. */
  kill(instance: string): boolean;
  readonly quarantine: Quarantine;
  /** Keeps what was changed in it. */
  saveQuarantine(): void;
}

type Body = Readonly<Record<string, unknown>>;

const never = new Promise<ServiceReply>(() => {});
const noPair: ServiceReply = { status: Status.preconditionFailed, text: "this gateway runs alone: redundancy.brains is single" };

export function failoverService(body: Body, port: PairPort | undefined): ServiceReply | Promise<ServiceReply> {
  if (!port) return noPair;
  const { action = "status", from, instance, force } = body;
  const report = port.report();
  if (action === "status") return { status: Status.ok, body: report };
  if (action === "switch") {
    // Asked again by the successor of who was asked first: it has happened.
    if (typeof from === "string" && from !== report.active) return { status: Status.ok, body: report };
    if (!report.standby?.ready) return { status: Status.preconditionFailed, text: "there is no standby that could take over" };
    if (port.disturbs !== undefined && force !== true) return { status: Status.preconditionFailed, text: `${port.disturbs}: disarm first, or force it` };
    if (typeof from !== "string") return { status: Status.badRequest, text: "from names the instance that is active now" };
    port.switchOver();
    return never;
  }
  if (action === "kill") {
    if (!report.drills) return { status: Status.forbidden, text: "the configuration allows no drills (redundancy.drills)" };
    return typeof instance === "string" && port.kill(instance) ? { status: Status.ok, body: { killed: instance } } : { status: Status.notFound, text: "there is no such instance" };
  }
  return { status: Status.badRequest, text: "action is status, switch or kill" };
}

export function quarantineService({ release }: Body, port: PairPort | undefined): ServiceReply {
  if (!port) return noPair;
  if (release === undefined) return { status: Status.ok, body: port.quarantine.list().map(toJson) };
  if (typeof release !== "string") return { status: Status.badRequest, text: "release is the name of an entry or a component" };
  const released = port.quarantine.release(release);
  if (released === 0) return { status: Status.notFound, text: `nothing in the quarantine is called ${release}` };
  port.saveQuarantine();
  return { status: Status.ok, body: { released } };
}
