/** What `ipcnet status --json` prints, the service `gateway/status` answers and the live view draws: one picture of the gateway, its links and nodes. */
export type GatewayState = "starting" | "disarmed" | "armed" | "safePose" | "posed" | "fault";

/** Follows the heartbeat of CiA 301 where a node speaks CANopen; other nodes are operational while their messages come in time. */
export type NodeState = "unknown" | "bootUp" | "preOperational" | "operational" | "stopped" | "lost";

export interface LinkReport {
  kind: "can" | "serial" | "mqtt";
  name: string;
  driver: string;
  state: string;
  reason: string;
  /** Share of the bit rate in use over the last second, 0…100; undefined where the link has no bit rate. */
  loadPercent: number | undefined;
  receivedRateHz: number;
  sentRateHz: number;
  counters: Readonly<Record<string, number>>;
}

/** Who a node says it is, where the configuration asks. */
export interface NodeIdentityReport {
  state: "unread" | "noAnswer" | "known" | "mismatch";
  vendor?: number;
  product?: number;
  revision?: number | undefined;
  serial?: number | undefined;
  /** What it calls itself. */
  name?: string;
  /** Version of what runs on it. */
  firmware?: string;
  /** Of a node that takes firmware over the bus: which of its two slots runs, and whether what runs has still to be confirmed. */
  slot?: number;
  onProbation?: boolean;
  /** What is not as configured, in words. */
  mismatch?: readonly string[];
}

/** An error that a CANopen node has told of (EMCY) and that is not over. */
export interface NodeErrorReport {
  code: number;
  text: string;
  msAgo: number;
  count: number;
}

export interface NodeReport {
  name: string;
  link: string;
  state: NodeState;
  required: boolean;
  lastSeenMsAgo: number | undefined;
  rateHz: number;
  identity?: NodeIdentityReport | undefined;
  /** Absent: none. */
  errors?: readonly NodeErrorReport[];
  /** Bits of its error register (object 0x1001), in words, as it told them last; absent: none is set. */
  errorRegister?: readonly string[];
  /** Its firmware is being replaced: share of the image that it has, 0…1. */
  updateProgress?: number | undefined;
}

export interface RejectReport {
  link: string;
  /** Stable code: crcMismatch, repeated, wrongSequence, badLength, outOfRange, unknownMultiplexer, notANumber, unknownId, notPermitted, stale, … */
  reason: string;
  count: number;
  /** The latest offending bytes. */
  lastSample: { atMsAgo: number; source: string; hex: string } | undefined;
}

export interface ClientReport {
  name: string;
  pid: number;
  uid: number;
  /** Which component of the policy it is, else uid:N. */
  component: string;
  /** What it said when it announced that it goes. */
  leaving?: string;
  subscriptions: number;
  sentMessages: number;
  droppedMessages: number;
  pendingBytes: number;
}

/** What users share on the client socket, and who has how much of it. */
export interface QuotaReport {
  capacity: Readonly<Record<string, number>>;
  users: readonly { uid: number; used: Readonly<Record<string, number>> }[];
}

/** A topic that a program writes by a lane of its own. */
export interface LaneReport {
  topic: string;
  /** component/version/instance/boot. */
  writer: string;
  pid: number;
  /** The most that readers may ask for: latest, queue or lossless. */
  policy: string;
  /** Those attached now, the gateway included where it reads along. */
  readers: number;
  /** Messages in it so far, by its writer's own word. */
  messages: number;
}

/** A process that owns the CAN buses, or stands by to. */
export interface ReflexReport {
  instance: "a" | "b";
  /** Whether it answers. */
  there: boolean;
  /** Why not; empty while it answers. */
  reason: string;
  /** starting, standby, fencing, claiming, owner, yielding, outvoted or stopped; empty while it does not answer, as all numbers are 0. */
  role: string;
  /** Under which it commands, or has commanded last. */
  epoch: number;
  pid: number;
  uptimeMs: number;
  /** Whether it works by this gateway's table. */
  tableIsOurs: boolean;
  healthy: boolean;
  realtime: boolean;
  /** Whether it feeds a hardware watchdog. */
  watchdog: boolean;
  /** Its twin's beat was last seen to change so long ago; undefined without a twin. */
  twinSeenMsAgo: number | undefined;
  /** Turns of its loop that came later than half the twin's deadline, and the longest gap between two. */
  lateTurns: number;
  turnMsMax: number;
  takeovers: number;
  plansRun: number;
  plansResumed: number;
  sentFrames: number;
  /** Commands that it refused, by reason. */
  refused: Readonly<Record<string, number>>;
}

/** The policy in force. */
export interface PolicyReport {
  /** Empty: the lists of the configuration are all there is. */
  file: string;
  hash: string;
  rules: number;
  components: number;
  /** Why the file as it is now was not taken over; empty when it was. */
  refused: string;
}

/** Supervision of the gateway's own tasks (AUTOSAR Watchdog Manager). */
export interface SupervisionReport {
  /** Of all tasks together. Stopped: this instance ends, and the other one goes on. */
  state: "ok" | "failed" | "expired" | "stopped";
  /** Tasks that are not ok: which, where it showed, why. */
  faults: readonly { entity: string; state: "failed" | "expired"; checkpoint: string; why: string }[];
}

export interface StatusReport {
  robot: string;
  version: string;
  /** Which of the redundant instances answers. */
  instance: string;
  /** Changes with each start of the gateway. */
  boot: string;
  pid: number;
  uptimeMs: number;
  /** Under which it commands: rises with each start and each takeover. */
  epoch: number;
  state: GatewayState;
  /** Why it came into that state; empty at the start. */
  stateReason: string;
  /** Why it cannot be armed now: one sentence each; empty when it could. */
  /** The safe pose that runs, or that was reached last and not reset. */
  pose?: { trigger: string; why: string; msAgo: number; latched: boolean; reset: string };
  missingForArming: readonly string[];
  links: readonly LinkReport[];
  nodes: readonly NodeReport[];
  rejects: readonly RejectReport[];
  clients: readonly ClientReport[];
  policy: PolicyReport;
  quota: QuotaReport;
  lanes: readonly LaneReport[];
  /** Calls of services so far: requests, calls, failovers, timeouts, cancelled, refused, lateResults, unknownResults, violations. */
  services: Readonly<Record<string, number>>;
  /** Processes that own the CAN buses; empty where the gateway opens them itself. */
  reflexes: readonly ReflexReport[];
  /** What supervises the gateway's own tasks says of them; absent where the gateway runs alone: nobody would go on. */
  supervision?: SupervisionReport | undefined;
  commands: { sent: number; refused: Readonly<Record<string, number>> };
  topics: number;
  process: { rssBytes: number; heapUsedBytes: number; cpuPercent: number; eventLoopDelayP99Us: number };
}
