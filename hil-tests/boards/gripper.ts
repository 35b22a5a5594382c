/** The gateway's side of examples/firmware/gripper: its configuration, and a client that moves it. */
import assert from "node:assert/strict";
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import type { Client } from "../../shm/client/index.ts";
import { type Daemon, startDaemon } from "../daemon.ts";
import { eventually } from "../waiting.ts";

/** Shorter than the emulated board's own (1.5 s), and its third longer than what a busy machine keeps a process waiting. */
const SILENCE_MS = 1_200;

/** `patient`: nothing is lost for what a busy machine does. */
export function gripperConfiguration(port: string, { patient = false } = {}): string {
  const silenceMs = patient ? 30_000 : SILENCE_MS;
  const configuration = {
    version: 1,
    robot: "bench",
    serial: [{
      name: "gripper", port, baudBps: 115_200, dataId: 0x4752_4950, silenceTimeoutMs: silenceMs, services: ["parameter", "identity", "counters"],
      messages: [
        { id: 1, name: "State", direction: "in", timeoutMs: 1_000, fields: [
          { name: "position", type: "i16", factor: 0.001 }, { name: "velocity", type: "i16", factor: 0.001 },
          { name: "outputs", type: "u8", values: { Safe: 0, Follow: 1 } },
          { name: "startedBy", type: "u8", values: { Power: 0, Watchdog: 1, Request: 2, Fault: 3, ResetPin: 4 } },
          { name: "obeyed", type: "u32" }, { name: "refused", type: "u32" }, { name: "poses", type: "u16" }, { name: "uptimeMs", type: "u32" },
        ] },
        { id: 2, name: "Move", direction: "out", fields: [
          { name: "mode", type: "u8", values: { Hold: 0, Go: 1, Open: 2 } }, { name: "target", type: "i16", factor: 0.001, minimum: 0, maximum: 1 }, { name: "velocityLimit", type: "u16", factor: 0.001, minimum: 0, maximum: 2 },
        ] },
        { id: 3, name: "Fault", direction: "out", fields: [{ name: "what", type: "u8", values: { Hang: 1, Restart: 2 } }] },
      ],
    }],
    nodes: [{ name: "gripper", link: "gripper", heartbeat: { message: "State" }, timeoutMs: silenceMs, required: true }],
    commands: [{ serial: "gripper", message: "Move", ttlMsMax: 500, rateHzMax: 100, writers: [] }, { serial: "gripper", message: "Fault", ttlMsMax: 500, rateHzMax: 10, writers: [] }],
    arming: { autoDisarmAfterSilentMs: 0 },
    safePose: {
      budgetMs: 3_000,
      steps: [
        { name: "stop", deadlineMs: 1_000, send: [{ serial: "gripper", message: "Move", values: { mode: "Hold", target: 0, velocityLimit: 0 } }], until: [{ topic: "serial/gripper/State", signal: "velocity", absMax: 0.01, holdMs: 50, ageMsMax: 500 }] },
      ],
    },
  };
  return Object.entries(configuration).map(([section, value]) => `${section}: ${JSON.stringify(value)}\n`).join("");
}

/** One report of the board. */
export interface GripperState {
  position: number;
  velocity: number;
  outputs: string | number;
  startedBy: string | number;
  obeyed: number;
  refused: number;
  poses: number;
  uptimeMs: number;
}

export const parameters = { forceLimit: 0, velocityLimit: 1 } as const;
export interface ParameterAnswer {
  value: number;
  minimum: number;
  maximum: number;
}
const COUNTERS = ["uptimeMs", "obeyed", "refused", "poses", "crcErrors", "outOfSequence", "silences", "gateways", "deadManStops", "requests", "circuitsRefused", "parametersLost"] as const;

/** A gateway with the gripper, and a program that watches and moves it. */
export class GripperRig {
  readonly daemon: Daemon;
  readonly client: Client;
  readonly states: GripperState[] = [];
  /** How many commands the gateway has refused. */
  refused = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(daemon: Daemon, client: Client) {
    this.daemon = daemon;
    this.client = client;
  }

  static async start(folder: string, port: string, options: { patient?: boolean } = {}): Promise<GripperRig> {
    const daemon = await startDaemon(folder, gripperConfiguration(port, options));
    const rig = new GripperRig(daemon, await daemon.connect());
    await rig.client.subscribe("serial/gripper/State", { policy: { queue: 1_000 } }, ({ value }) => void rig.states.push(value as GripperState));
    return rig;
  }

  status(): Promise<StatusReport> {
    return this.client.request("gateway/status") as Promise<StatusReport>;
  }

  async until(what: string, holds: (status: StatusReport) => boolean): Promise<StatusReport> {
    let last: StatusReport | undefined;
    return eventually(what, async () => {
      last = await this.status();
      return holds(last) ? last : undefined;
    }, { timeoutMs: 60_000, last: () => ({ state: last?.state, reason: last?.stateReason, missing: last?.missingForArming, links: last?.links.map(({ name, state, reason }) => ({ name, state, reason })), nodes: last?.nodes, board: this.states.at(-1), log: this.daemon.log().split("\n").slice(-12) }) });
  }

  /** The next report for which it holds; those before are not asked. */
  async report(what: string, holds: (state: GripperState) => boolean): Promise<GripperState> {
    let from = this.states.length;
    return eventually(what, () => {
      for (; from < this.states.length; from++) if (holds(this.states[from]!)) return this.states[from]!;
      return undefined;
    }, { timeoutMs: 60_000, last: () => this.states.at(-1) });
  }

  async arm(reset = false): Promise<void> {
    await this.until("nothing missing for arming", ({ missingForArming }) => missingForArming.length === (reset ? 1 : 0));
    await this.client.request("gateway/arm", { reset, why: "test" });
  }

  async #ask(service: string, body: Uint8Array = new Uint8Array(0), timeoutMs = 60_000): Promise<DataView> {
    const answer = (await this.client.request(`serial/gripper/${service}`, body, { timeoutMs })) as Uint8Array;
    return new DataView(answer.buffer, answer.byteOffset, answer.length);
  }

  /** Reads it, or sets it to `value`. */
  async parameter(which: number, value?: number): Promise<ParameterAnswer> {
    const answer = await this.#ask("parameter", Uint8Array.of(which, ...(value === undefined ? [] : [value & 0xff, value >>> 8])));
    assert.equal(answer.byteLength, 6);
    return { value: answer.getUint16(0, true), minimum: answer.getUint16(2, true), maximum: answer.getUint16(4, true) };
  }

  async identity(): Promise<{ vendor: number; product: number; version: number; startedBy: number }> {
    const answer = await this.#ask("identity");
    assert.equal(answer.byteLength, 13);
    return { vendor: answer.getUint32(0, true), product: answer.getUint32(4, true), version: answer.getUint32(8, true), startedBy: answer.getUint8(12) };
  }

  async counters(): Promise<Record<(typeof COUNTERS)[number], number>> {
    const answer = await this.#ask("counters");
    assert.equal(answer.byteLength, 4 * COUNTERS.length);
    return Object.fromEntries(COUNTERS.map((name, index) => [name, answer.getUint32(4 * index, true)])) as Record<(typeof COUNTERS)[number], number>;
  }

  /** Commands 50 times a second from now on, whatever becomes of them. */
  move(target: number, velocityLimit: number): void {
    this.hold();
    this.#timer = setInterval(() => void this.client.publish("cmd/gripper/Move", { mode: "Go", target, velocityLimit }, { ttlMs: 200 }).catch(() => (this.refused += 1)), 20);
  }

  /** Commands no more. */
  hold(): void {
    clearInterval(this.#timer);
  }

  async stop(): Promise<void> {
    this.hold();
    await this.client.close();
    await this.daemon.stop();
  }
}
