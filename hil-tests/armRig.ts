/**
 * What most tests of this folder start from: some simulated joints on an emulated bus in the test's own process, a node that listens to everything and
 * acknowledges nothing, the daemon in a process of its own, and a client of it.
 */
import { join } from "node:path";
import type { CanFrame } from "../drivers/can/frame.ts";
import { BusHost } from "../drivers/can/emulator/host.ts";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import type { BusNode } from "../drivers/can/emulator/node.ts";
import { type BusServer, serveBuses } from "../drivers/can/emulator/server.ts";
import { Joint, type JointOptions } from "../examples/arm/joint.ts";
import { jointCodecs, NODE_NUMBERS } from "../examples/arm/messages.ts";
import type { JointName } from "../examples/arm/teleop.ts";
import { systemClock } from "../schemas/clock.ts";
import type { StatusReport } from "../schemas/messages/statusReport.ts";
import { type Client, IpcnetError } from "../shm/client/index.ts";
import { ARM_FOLDER, FD_BUS, writeArmFiles } from "./armFiles.ts";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { CLAIM_ID, type ReflexProcesses, startReflexes, withReflex } from "./reflexProcesses.ts";
import { eventually } from "./waiting.ts";

/** How long commands live here: longer than a busy machine keeps a program waiting. Where a command is to grow old, the test says how soon. */
export const LIFE_MS = 5_000;
/** When a bus or a node that says nothing counts as lost: longer than a machine stands still. */
const LOST_MS = 5_000;
/** What the bus-health machine sends to ask whether anybody is there. */
export const PROBE_ID = 0x7ff;

/** A configuration as an object, one entry per section. */
export type Configuration = Record<string, unknown> & { buses: Record<string, unknown>[]; nodes: Record<string, unknown>[]; commands: Record<string, unknown>[]; safePose: Record<string, unknown>; arming: Record<string, unknown> };

/** What is timed here is not how fast a busy machine is. */
export function patient({ buses, nodes, safePose }: Configuration): void {
  for (const bus of buses) bus["deadAfterMs"] = 30_000;
  for (const node of nodes) node["timeoutMs"] = 30_000;
  safePose["budgetMs"] = 120_000;
  for (const step of safePose["steps"] as { deadlineMs: number; until: { ageMsMax: number }[] }[]) {
    step.deadlineMs = 55_000;
    for (const condition of step.until) condition.ageMsMax = 5_000;
  }
}

export const commandId = (joint: JointName): number => (NODE_NUMBERS[joint] << 5) | 2;
export const moveTo = (targetPosition: number, velocityLimit = 1.5): Record<string, number | string> => ({ mode: "Move", targetPosition, velocityLimit });

/** As text for the daemon: YAML's flow style is JSON. */
export function yamlOf(configuration: object): string {
  return Object.entries(configuration).map(([section, value]) => `${section}: ${JSON.stringify(value)}\n`).join("");
}

/** `deadAfterMs` and node timeouts are generous: all joints live in the test's process, which a loaded machine may keep waiting. */
export function armConfiguration(joints: readonly JointName[], busSocket: string): Configuration {
  const send = (values: object) => joints.map((joint) => ({ bus: "arm", message: `${joint}_Command`, values }));
  const until = (signal: string) => joints.map((joint) => ({ topic: `can/arm/${joint}_State`, signal, absMax: 0.02, holdMs: 30, ageMsMax: 500 }));
  return {
    version: 1,
    robot: "test-arm",
    buses: [{
      name: "arm", driver: "emulator", interface: busSocket, bitrateBps: 500_000, deadAfterMs: LOST_MS,
      databases: [{ dbc: "arm.dbc", checks: "arm.checks.yaml", lint: "required", template: { id: "node_id << 5 | message_id", nodes: Object.fromEntries(joints.map((joint) => [joint, NODE_NUMBERS[joint]])) } }],
    }],
    nodes: joints.map((joint) => ({ name: joint, link: "arm", heartbeat: { canopen: NODE_NUMBERS[joint] }, timeoutMs: LOST_MS })),
    commands: joints.map((joint) => ({ bus: "arm", message: `${joint}_Command`, ttlMsMax: LIFE_MS, rateHzMax: 200, writers: [] })),
    arming: { autoDisarmAfterSilentMs: 0 },
    safePose: {
      budgetMs: 60_000,
      steps: [
        { name: "stop", deadlineMs: 20_000, send: send({ mode: "Hold", targetPosition: 0, velocityLimit: 0 }), until: until("velocity") },
        { name: "park", deadlineMs: 30_000, send: send({ mode: "Park", targetPosition: 0, velocityLimit: 1.5 }), until: until("position") },
      ],
    },
  };
}

interface SimulatedJointOptions extends Pick<JointOptions, "claimId" | "claimQuietMs" | "claimTimeoutMs"> {
  /** The folder of arm.dbc and arm.checks.yaml. Default: examples/arm. */
  definitions?: string;
}

/** A motor node that can lose its power: what it remembered is gone with it. */
export class SimulatedJoint {
  readonly name: JointName;
  joint!: Joint;
  readonly node: BusNode;
  /** A joint whose motor does not obey: it reports and acknowledges, and keeps moving as before. */
  deaf = false;
  readonly #host: BusHost;
  readonly #send: (frame: CanFrame) => void;
  readonly #options: SimulatedJointOptions;
  #cancel: (() => void) | undefined;

  /** With a `claimId` it obeys who claims the bus, and says so. */
  constructor(host: BusHost, name: JointName, options: SimulatedJointOptions = {}) {
    const { port, node } = attachInProcess(host, { name, fd: host.bus.fd });
    this.name = name;
    this.node = node;
    this.#host = host;
    this.#send = (frame) => void port.send(frame);
    this.#options = options;
    port.onFrame((frame) => {
      if (this.deaf || !this.node.powered) return;
      for (const answer of this.joint.receive(frame, systemClock.nowUs())) this.#send(answer);
    });
    this.#boot();
  }

  /** On its own again as after power-up: at the same place, without any memory of counters. */
  #boot(): void {
    const positionRad = this.joint?.positionRad ?? 0;
    const { definitions = ARM_FOLDER, ...claims } = this.#options;
    this.joint = new Joint({ nodeId: NODE_NUMBERS[this.name], codecs: jointCodecs(definitions)[this.name], positionRad, ...claims });
    const turn = (): void => {
      for (const frame of this.joint.tick(systemClock.nowUs())) this.#send(frame);
      this.#cancel = systemClock.at(this.joint.nextDeadlineUs(), turn);
    };
    turn();
  }

  /** Stops sending, stays on the bus: a firmware that hangs. */
  silence(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  setPower(on: boolean): void {
    if (on === this.node.powered) return;
    this.silence();
    this.#host.setPower(this.node, on);
    if (on) this.#boot();
  }
}

export interface SeenFrame {
  canId: number;
  flags: number;
  data: Uint8Array;
  timeUs: number;
}

export interface ArmRigOptions {
  joints?: readonly JointName[];
  /** Changes the configuration before the daemon reads it. */
  configure?: (configuration: Configuration, rig: ArmRig) => void;
  /** The bus belongs to processes of their own (ipcnet-reflex), and the joints follow who claims it. */
  reflex?: "single" | "pair";
  /** The arm with FD frames of armFiles.ts. */
  fd?: boolean;
  /** The test itself puts the joints on the bus. */
  withoutJoints?: boolean;
}

export class ArmRig {
  readonly folder = testFolder();
  readonly joints: readonly JointName[];
  readonly host: BusHost;
  readonly nodes = new Map<JointName, SimulatedJoint>();
  /** Every frame that was on the bus, as a node saw it that neither sends nor acknowledges. */
  readonly seen: SeenFrame[] = [];
  configuration!: Configuration;
  daemon!: Daemon;
  client!: Client;
  /** What keeps the reflexes running; undefined without them. */
  reflexes: ReflexProcesses | undefined;
  readonly #servers: BusServer[] = [];
  readonly #buses: BusHost[] = [];

  /** Starts everything; whatever fails, `stop` clears up. */
  static async start(options: ArmRigOptions = {}): Promise<ArmRig> {
    const rig = new ArmRig(options);
    try {
      await rig.#start(options);
    } catch (error) {
      await rig.stop();
      throw error;
    }
    return rig;
  }

  private constructor({ joints = ["base", "shoulder"], fd = false }: ArmRigOptions) {
    this.joints = joints;
    this.host = this.addBus("arm", fd ? FD_BUS : {});
    const { port } = attachInProcess(this.host, { name: "tap", listenOnly: true, fd });
    port.onFrame(({ canId, flags, data, timeUs }) => void this.seen.push({ canId, flags, data: Uint8Array.from(data), timeUs }));
  }

  /** Another bus beside the arm's; to be called in `configure`. */
  addBus(name: string, rates: { dataBitrateBps?: number; fd?: boolean } = {}): BusHost {
    const host = new BusHost({ name, bitrateBps: 500_000, ...rates });
    this.#buses.push(host);
    return host;
  }

  get busSocket(): string {
    return this.socketOf("arm");
  }

  socketOf(bus: string): string {
    return join(this.folder.path, `${bus}.bus`);
  }

  /** The gateway's own controller on the arm's bus. */
  get gatewayNode(): BusNode {
    const node = this.host.node("arm");
    if (!node) throw new Error("the gateway is not on the bus");
    return node;
  }

  async #start({ configure, reflex, withoutJoints, fd = false }: ArmRigOptions): Promise<void> {
    this.configuration = armConfiguration(this.joints, this.busSocket);
    if (fd) Object.assign(this.configuration.buses[0]!, FD_BUS);
    writeArmFiles(this.folder.path, { fd });
    if (reflex) withReflex(this.configuration, reflex);
    configure?.(this.configuration, this);
    for (const bus of this.#buses) this.#servers.push(await serveBuses({ socketPath: this.socketOf(bus.name), buses: [bus] }));
    if (!withoutJoints) for (const name of this.joints) this.nodes.set(name, new SimulatedJoint(this.host, name, { definitions: this.folder.path, ...(reflex ? { claimId: CLAIM_ID } : {}) }));
    if (reflex) this.reflexes = await startReflexes(this.folder.path, yamlOf(this.configuration));
    await this.startDaemon();
  }

  /** After they were killed. */
  async restartReflexes(): Promise<void> {
    this.reflexes = await startReflexes(this.folder.path, yamlOf(this.configuration));
  }

  /** Also after the daemon was killed. */
  async startDaemon(): Promise<void> {
    this.daemon = await startDaemon(this.folder.path, yamlOf(this.configuration));
    this.client = await this.daemon.connect();
  }

  async stop(): Promise<void> {
    await this.client?.close();
    if (this.daemon && this.daemon.process.exitCode === null && this.daemon.process.signalCode === null) {
      // A test that failed half-way: nobody waits for a safe pose then.
      this.daemon.process.kill("SIGKILL");
      await this.daemon.ended;
    }
    await this.reflexes?.end();
    for (const node of this.nodes.values()) node.silence();
    for (const server of this.#servers) await server.close();
    for (const bus of this.#buses) bus.close();
    this.folder.remove();
  }

  joint(name: JointName): SimulatedJoint {
    return this.nodes.get(name)!;
  }

  setPower(on: boolean): void {
    for (const node of this.nodes.values()) node.setPower(on);
  }

  status(): Promise<StatusReport> {
    return this.client.request("gateway/status", undefined, { timeoutMs: 10_000 }) as Promise<StatusReport>;
  }

  /** Resolves with the first status that fits. */
  async until(what: string, fits: (status: StatusReport) => boolean, timeoutMs = 20_000): Promise<StatusReport> {
    let last: StatusReport | undefined;
    return eventually(what, async () => {
      last = await this.status();
      return fits(last) ? last : undefined;
    }, { timeoutMs, last: () => last && { state: last.state, reason: last.stateReason, missing: last.missingForArming, links: last.links, nodes: last.nodes, log: this.daemon.log() } });
  }

  /** Waits until nothing is missing, then arms. */
  async arm(): Promise<void> {
    await this.until("nothing missing for arming", ({ missingForArming }) => missingForArming.length === 0);
    await this.client.request("gateway/arm", { why: "test" });
  }

  command(joint: JointName, values: Readonly<Record<string, unknown>>, options: { ttlMs?: number; client?: Client } = {}): Promise<void> {
    const { client = this.client, ...rest } = options;
    return client.publish(`cmd/arm/${joint}_Command`, values, rest);
  }

  /** Commands every joint at `rateHz` until it is stopped; refusals are counted by status, and `why` has the first sentence of each. */
  commandAll(values: (joint: JointName) => Readonly<Record<string, unknown>>, { rateHz = 100, ttlMs = 100, client = this.client }: { rateHz?: number; ttlMs?: number; client?: Client } = {}): { readonly accepted: number; readonly refused: Map<number, number>; readonly why: Map<number, string>; stop(): void } {
    const counts = { accepted: 0, refused: new Map<number, number>(), why: new Map<number, string>() };
    const timer = setInterval(() => {
      for (const joint of this.joints) {
        this.command(joint, values(joint), { ttlMs, client }).then(() => (counts.accepted += 1), (error: unknown) => {
          const status = error instanceof IpcnetError ? error.status : 0;
          counts.refused.set(status, (counts.refused.get(status) ?? 0) + 1);
          if (!counts.why.has(status)) counts.why.set(status, String(error));
        });
      }
    }, 1000 / rateHz);
    return {
      get accepted() {
        return counts.accepted;
      },
      refused: counts.refused,
      why: counts.why,
      stop: () => clearInterval(timer),
    };
  }

  /** Frames on the bus that no joint sends: ours, or an intruder's. */
  commandsSeen(from = 0): SeenFrame[] {
    const own = new Set(this.joints.flatMap((joint) => [...[1, 3, 4].map((message) => (NODE_NUMBERS[joint] << 5) | message), 0x700 + NODE_NUMBERS[joint]]));
    const isClaim = (canId: number): boolean => this.reflexes !== undefined && canId >= CLAIM_ID && canId < CLAIM_ID + 4;
    return this.seen.slice(from).filter(({ canId }) => !own.has(canId) && !isClaim(canId));
  }
}

/** What a refusal said. */
export async function refusal(promise: Promise<unknown>): Promise<IpcnetError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof IpcnetError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}
