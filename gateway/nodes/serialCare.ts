/**
 * New firmware for nodes at serial lines: what gateway/nodes/care does for a bus, over the device's service `update` (docs/specs/node-update.md, "Over a serial line"). One at a time on a line, only while the robot is disarmed. What is cut
 * is left alone: the device gives the transfer up by itself, keeps what it has been given, and the next update goes on behind that.
 */
import type { Node } from "../../schemas/messages/config.ts";
import { updateOverSerial } from "../../drivers/nodekit/serialUpdate.ts";
import type { DeviceService } from "../links/deviceServices.ts";
import type { CarePorts, UpdateState } from "./care.ts";

/** What it needs beside what all care needs. */
export interface SerialCarePorts {
  /** The service of the device at this link. */
  device(link: string): DeviceService | undefined;
  isOperational(node: string): boolean;
  wait(ms: number): Promise<void>;
}

interface Run {
  node: Node;
  state: { now: UpdateState };
  /** Why it was given up. */
  givenUp: string | undefined;
}

/** A device that was given a part of an image rests until it has heard nothing for IPCNET_SERIAL_UPDATE_SILENCE_US: commands that came earlier would be refused, and nobody would say so. */
const RESTS_MS = 2_500;

type Result = Extract<UpdateState, { state: "ended" }>["result"];

export class SerialCare {
  readonly #ports: CarePorts;
  readonly #serial: SerialCarePorts;
  readonly #nodes: readonly Node[];
  readonly #ended: (node: Node, result: Result) => void;
  /** By link. */
  readonly #runs = new Map<string, Run>();
  /** Nodes that may rest still, and how often that was begun. */
  readonly #resting = new Map<string, number>();

  constructor(nodes: readonly Node[], ports: CarePorts, serial: SerialCarePorts, ended: (node: Node, result: Result) => void) {
    this.#nodes = nodes.filter(({ heartbeat, update }) => update && "message" in heartbeat);
    this.#ports = ports;
    this.#serial = serial;
    this.#ended = ended;
  }

  has(name: string): boolean {
    return this.#nodes.some((node) => node.name === name);
  }

  /** As NodeCare's; the robot is disarmed. */
  update(name: string, image: Uint8Array, steadyUs: number | undefined): { now: UpdateState } | string {
    const node = this.#nodes.find((each) => each.name === name)!;
    const before = this.#runs.get(node.link);
    if (before) return `the firmware of ${before.node.name} is being replaced on the same line`;
    const service = this.#serial.device(node.link);
    if (!service) return `there is no line to ${name}`;
    const run: Run = { node, state: { now: { state: "running", progress: 0 } }, givenUp: undefined };
    this.#runs.set(node.link, run);
    this.#ports.event({ severity: "info", code: "nodeUpdate", source: name, text: `the firmware of node ${name} is being replaced (${image.length} bytes)` });
    this.#ports.updatesChanged();
    void this.#course(run, service, image, steadyUs);
    return run.state;
  }

  /** Those that run, for a state in which they may not, are given up. */
  poll(isAllowed: boolean): void {
    if (!isAllowed) for (const { node } of this.#runs.values()) this.abort(node.name, "the robot is not disarmed any more");
  }

  abort(name: string, why: string): boolean {
    const run = this.#runOf(name);
    if (run) run.givenUp ??= why;
    return run !== undefined;
  }

  updating(): string[] {
    return [...this.#runs.values()].map(({ node }) => node.name);
  }

  /** One sentence for each reason not to arm. */
  missing(): string[] {
    const updating = this.updating();
    const resting = [...this.#resting.keys()].filter((name) => !updating.includes(name));
    return [...updating.map((name) => `the firmware of node ${name} is being replaced`), ...resting.map((name) => `node ${name} is still giving up the firmware that it was sent (${RESTS_MS / 1e3} s)`)];
  }

  /** Nothing more is sent to this one of an update that did not end well, by us or by the gateway before. */
  async rests(name: string): Promise<void> {
    const turn = (this.#resting.get(name) ?? 0) + 1;
    this.#resting.set(name, turn);
    await this.#serial.wait(RESTS_MS);
    if (this.#resting.get(name) === turn) this.#resting.delete(name);
  }

  progressOf(name: string): number | undefined {
    const now = this.#runOf(name)?.state.now;
    return now?.state === "running" ? now.progress : undefined;
  }

  #runOf(name: string): Run | undefined {
    return [...this.#runs.values()].find(({ node }) => node.name === name);
  }

  async #course(run: Run, service: DeviceService, image: Uint8Array, steadyUs: number | undefined): Promise<void> {
    const { node, state } = run;
    const steady = steadyUs === undefined ? {} : { steadyMs: steadyUs / 1e3, steadyWithinMs: (3 * steadyUs + 30e6) / 1e3 };
    const result = await updateOverSerial({ image, ...steady }, {
      ask: service,
      wait: (ms) => this.#serial.wait(ms),
      nowUs: () => this.#ports.nowUs(),
      isOperational: () => this.#serial.isOperational(node.name),
      isGivenUp: () => run.givenUp !== undefined,
      progress: (bytes) => void (state.now = { state: "running", progress: bytes / image.length }),
      resumed: (bytes) => this.#ports.event({ severity: "info", code: "nodeUpdateResumed", source: node.name, text: `node ${node.name} has ${bytes} bytes of its new firmware already: the transfer goes on behind them` }),
    });
    this.#runs.delete(node.link);
    const ended: Result = result ?? { ok: false, code: "interrupted", why: run.givenUp ?? "it was given up" };
    state.now = { state: "ended", result: ended };
    if (!ended.ok) void this.rests(node.name);
    this.#ports.updatesChanged();
    this.#ended(node, ended);
  }
}
