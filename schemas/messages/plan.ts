// Generated from planSchema.ts by generate.ts: change that file, then run `npm run build && node dist/ts/schemas/messages/generate.js`.

/** How a robot comes to rest, and why. */
export interface PlanFile {
  /** Version of this format. */
  version: 1;
  /** Plans. */
  plans: readonly Plan[];
  /** What starts which plan. Kinds that are not listed have defaults (docs/specs/plan.md). */
  triggers: readonly Trigger[];
}

/** A message of the plan with all its values; nothing about what goes to a motor is guessed. */
export type PlanSend = CanPlanSend | SerialPlanSend | MqttPlanSend;

/** Physical value, or the name of a value. */
export type PlanValue = number | string;

/** On a CAN bus. */
export interface CanPlanSend {
  /** The bus. */
  bus: string;
  /** The message. */
  message: string;
  /** Signal to physical value or value name; counters and checksums are filled in. */
  values: Readonly<Record<string, PlanValue>>;
}

/** On a serial link. */
export interface SerialPlanSend {
  /** The serial link. */
  serial: string;
  /** The message (direction: out). */
  message: string;
  /** Field to physical value or value name. */
  values: Readonly<Record<string, PlanValue>>;
}

/** A measured condition. */
export interface PlanCondition {
  /** Where it is measured. */
  topic: string;
  /** Which signal. */
  signal: string;
  /** Magnitude at most this. */
  absMax?: number;
  /** At least this. */
  minimum?: number;
  /** At most this. */
  maximum?: number;
  equals?: PlanValue;
  /** It must hold for so long without interruption. Default: 0. */
  holdMs: number;
  /** Older samples do not count. Default: 100. */
  ageMsMax: number;
}

/** On MQTT, as a JSON object. */
export interface MqttPlanSend {
  /** The broker or connection. */
  mqtt: string;
  /** Where to. */
  topic: string;
  /** What the object says. */
  values: Readonly<Record<string, PlanValue>>;
}

/** A service that the gateway calls for the step; met when its answer is OK. */
export interface Call {
  /** The service. */
  service: string;
  /** What it is called with. */
  arguments: Readonly<Record<string, PlanValue>>;
}

/** A step: what is sent together, and what must then be measured. */
export interface Step {
  /** Name of the step. */
  name: string;
  /** Steps that must have ended before it begins; []: it begins at once. Absent: the step before it in the list. */
  needs?: readonly string[];
  /** Messages sent at the start of each try. */
  send: readonly PlanSend[];
  call?: Call;
  /** The step is reached when all of these hold; []: as soon as everything was sent. */
  until: readonly PlanCondition[];
  /** One try takes no longer. Default: 20. */
  deadlineMs: number;
  /** How often it is tried before it is given up. Default: 1. */
  tries: number;
  /** Pause between two tries. Default: 0. */
  backoffMs: number;
  /** While it waits, its messages go out again so often; 0: once per try. Default: 20. */
  resendMs: number;
  /** Given up: continue: what needs it begins. fail: the same, and the verdict is failed. last: straight to the last rung. Absent: continue. */
  onTimeout?: "continue" | "fail" | "last";
  /** Step that runs in its place when it is given up; asks for less. */
  fallback?: string;
  /** Its messages are sent at least once whatever happens, also when the budget runs out before. Default: false. */
  mandatory: boolean;
}

/** One way to come to rest. */
export interface Plan {
  /** Name of the plan. */
  name: string;
  /** Stop category of IEC 60204-1: 0 power off at once, 1 stopped and parked with power, then off, 2 stopped, power stays. */
  category: "offNow" | "parkedThenOff" | "hold" | 0 | 1 | 2;
  /** When it is used up, the last rung is sent; the steps' longest way must fit. */
  budgetMs: number;
  /** Steps; a graph by what they need. */
  steps: readonly Step[];
  /** What is sent when nothing else helped. On CAN only: it needs no answer and no gateway. */
  lastRung: readonly CanPlanSend[];
}

/** What starts a plan. */
export interface Trigger {
  /** Kind of event. */
  on: "request" | "stop" | "shutdown" | "condition" | "nodeLost" | "expired" | "busDead" | "brainLost" | "takeover" | "compromise" | "powerFail";
  /** The plan; none: nothing happens. */
  plan: string;
  /** For request: which category was asked for. */
  category?: "offNow" | "parkedThenOff" | "hold" | 0 | 1 | 2;
  /** For condition: what is measured, such as the state of an emergency stop. */
  when?: PlanCondition;
  /** For nodeLost: which node; absent: any required one. */
  node?: string;
  /** For expired: which command, cmd/<bus>/<message>; absent: any. */
  command?: string;
  /** For busDead: which bus; absent: any. */
  bus?: string;
  /** A higher one takes over from a lower one; each has its own. Absent: by kind. */
  priority?: number;
  /** Arming needs a reset by an operator. Absent: true, except for stop and shutdown. */
  latched?: boolean;
  /** Counts only while armed. Absent: by kind. */
  onlyArmed?: boolean;
}
