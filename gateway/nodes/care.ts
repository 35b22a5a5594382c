/**
 * Care of CANopen nodes: who they are (read when they appear), new firmware for them; and for nodes at serial lines, through ./serialCare.ts. All of it is said while the robot is disarmed and in no other state; the way onto the bus is judged there once more by whatever
 * owns it. Pure: frames go out by `lines`, come in by `hear`, time passes by `poll`.
 *
 * One conversation at a time on a bus. What is cut because the robot left the state is given up cleanly: when it is disarmed again, the node is told so and put back to work.
 */
import { encodeNmt, type NodeFrame } from "../../drivers/nodekit/canopen.ts";
import { firmwareVersion, IdentityReading, type NodeIdentity } from "../../drivers/nodekit/identity.ts";
import { NodeUpdate, type UpdateResult } from "../../drivers/nodekit/update.ts";
import type { Node } from "../../schemas/messages/config.ts";
import type { NodeIdentityReport } from "../../schemas/messages/statusReport.ts";
import type { EventInput } from "../observe/events.ts";
import type { NodeEvent } from "./monitor.ts";
import { SerialCare, type SerialCarePorts } from "./serialCare.ts";

export interface CareLine {
  room(nowUs: number): number;
  send(frame: NodeFrame, nowUs: number): boolean;
}

export interface CarePorts {
  nowUs(): number;
  /** Whether anything may be said now: the robot is disarmed. */
  allowed(): boolean;
  line(bus: string): CareLine | undefined;
  event(input: EventInput): void;
  /** Something is due earlier than the timer thinks. */
  reschedule(): void;
  /** `updating` is another: for a successor. */
  updatesChanged(): void;
  /** For nodes at serial lines; absent: there are none. */
  serial?: SerialCarePorts;
}

/** Between two looks while a conversation runs. Answers and echoes drive it; this is for silence. */
const LOOK_US = 10_000;
/** A node that did not answer is asked again. */
const RETRY_US = 5_000_000;
/** For what the nodes are about to say somebody is kept waiting so long: a reading takes milliseconds, an answer that is lost once a second. */
const READING_US_MAX = 3_000_000;
const NOT_DISARMED = "firmware is replaced only while the robot is disarmed (ipcnet disarm)";

export type UpdateState = { state: "running"; progress: number } | { state: "ended"; result: UpdateResult | { ok: false; code: "interrupted"; why: string } };

interface Cared {
  node: Node;
  number: number;
  identity: NodeIdentity | undefined;
  /** It is there, and nobody has asked it yet. */
  wanted: boolean;
  /** It was asked and has not answered; when it is asked again. */
  failed: boolean;
  askUs: number;
  /** Told to be at work again as soon as anything may be said. */
  owesStart: boolean;
}

type Talk = { kind: "identity"; cared: Cared; course: IdentityReading } | { kind: "update"; cared: Cared; course: NodeUpdate; state: { now: UpdateState } };

export class NodeCare {
  readonly #ports: CarePorts;
  readonly #cared: Cared[];
  readonly #serial: SerialCare | undefined;
  /** By bus. */
  readonly #talks = new Map<string, Talk>();
  /** Who waits until the nodes have said who they are. */
  readonly #waiting: { untilUs: number; resolve: () => void }[] = [];
  /** What is still to be said of a conversation that is over, by bus. */
  readonly #last = new Map<string, NodeFrame[]>();

  constructor(nodes: readonly Node[], ports: CarePorts) {
    this.#ports = ports;
    this.#serial = ports.serial && new SerialCare(nodes, ports, ports.serial, (node, result) => this.#tellUpdated(node.name, result));
    this.#cared = nodes.flatMap((node) => ("canopen" in node.heartbeat && (node.identity !== undefined || node.update)
      ? [{ node, number: node.heartbeat.canopen, identity: undefined, wanted: false, failed: false, askUs: 0, owesStart: false }] : []));
  }

  /** Frames of nodes on a bus that is cared for: answers and heartbeats. */
  hear(bus: string, frame: NodeFrame, nowUs: number): void {
    const talk = this.#talks.get(bus);
    if (!talk) return;
    talk.course.hear(frame, nowUs);
    this.#go(bus, nowUs);
  }

  /** A frame of ours was on the bus: there may be room for the next. */
  moved(bus: string): void {
    if (this.#talks.has(bus) || this.#last.has(bus)) this.#go(bus, this.#ports.nowUs());
  }

  nodeEvent(event: NodeEvent): void {
    const cared = this.#cared.find(({ node }) => node.name === event.node.name);
    if (!cared || event.type === "duplicate") return;
    const isNew = event.type === "appeared" || event.type === "returned" || (event.type === "stateChanged" && event.state === "bootUp");
    // Who was silent or has started anew may be another: it is asked again.
    if (isNew || event.type === "lost") {
      cared.identity = undefined;
      cared.failed = false;
      cared.wanted = isNew && cared.node.identity !== undefined;
      cared.askUs = event.atUs;
      if (isNew) this.#ports.reschedule();
    }
  }

  poll(nowUs: number): void {
    const allowed = this.#ports.allowed();
    this.#serial?.poll(allowed);
    for (const [bus, talk] of this.#talks) {
      if (!allowed) {
        this.#cut(bus, talk, "the robot is not disarmed any more");
        continue;
      }
      talk.course.poll(nowUs);
      this.#go(bus, nowUs);
    }
    if (allowed) for (const bus of this.#last.keys()) this.#go(bus, nowUs);
    if (allowed) for (const cared of this.#cared) this.#begin(cared, nowUs);
    this.#letGo(nowUs);
  }

  /** Resolves when every node that is there and has not been asked in vain has said who it is; at once when nothing may be said, and after READING_US_MAX whatever they say. */
  identitiesRead(): Promise<void> {
    const nowUs = this.#ports.nowUs();
    return new Promise((resolve) => {
      this.#waiting.push({ untilUs: nowUs + READING_US_MAX, resolve });
      // Who has just been allowed to speak begins in the next turn.
      this.#letGo(nowUs);
      this.#ports.reschedule();
    });
  }

  #letGo(nowUs: number): void {
    const isReading = this.#ports.allowed() && this.#cared.some((cared) => {
      const talk = this.#talks.get(cared.node.link);
      // Behind new firmware for another node nobody is waited for: that is itself what is missing.
      return talk ? talk.kind === "identity" && !talk.cared.failed : cared.wanted && !cared.failed;
    });
    for (let at = this.#waiting.length - 1; at >= 0; at--) if (!isReading || nowUs >= this.#waiting[at]!.untilUs) this.#waiting.splice(at, 1)[0]!.resolve();
  }

  nextDeadlineUs(nowUs: number): number | undefined {
    if (this.#talks.size > 0 || this.#waiting.length > 0 || (this.#serial?.updating().length ?? 0) > 0) return nowUs + LOOK_US;
    if (!this.#ports.allowed()) return undefined;
    if (this.#last.size > 0) return nowUs + LOOK_US;
    const due = this.#cared.flatMap(({ wanted, askUs, owesStart }) => (owesStart ? [nowUs] : wanted ? [askUs] : []));
    return due.length === 0 ? undefined : Math.max(nowUs + LOOK_US, Math.min(...due));
  }

  /** One sentence for each reason not to arm. `isThere`: whether a node was heard; one that is away is missing already. */
  missing(isThere: (node: string) => boolean): string[] {
    return (this.#serial?.missing() ?? []).concat(this.#cared.flatMap((cared) => {
      const { node } = cared;
      if (this.#updating(cared)) return [`the firmware of node ${node.name} is being replaced`];
      if (node.identity?.onMismatch !== "refuseArming") return [];
      const wrong = this.#wrong(cared);
      if (wrong.length > 0) return [`node ${node.name} is not the configured one: ${wrong.join(", ")}`];
      if (cared.identity !== undefined || !node.required || !isThere(node.name)) return [];
      return [cared.failed ? `node ${node.name} does not say who it is` : `node ${node.name} has not said who it is yet`];
    }));
  }

  /** What is known of a node; undefined: it is not asked. */
  identityOf(name: string): NodeIdentityReport | undefined {
    const cared = this.#cared.find(({ node }) => node.name === name);
    if (!cared?.node.identity) return undefined;
    const { identity, failed } = cared;
    if (!identity) return { state: failed ? "noAnswer" : "unread" };
    const { vendor, product, revision, serial, report } = identity;
    const wrong = this.#wrong(cared);
    return {
      state: wrong.length > 0 ? "mismatch" : "known", vendor, product, revision, serial, name: identity.name, firmware: firmwareVersion(identity), ...(report ? { slot: report.slot, onProbation: report.onProbation } : {}),
      ...(wrong.length > 0 ? { mismatch: wrong } : {}),
    };
  }

  /** Share of the image that the node has, while it is given one. */
  progressOf(name: string): number | undefined {
    const talk = [...this.#talks.values()].find(({ kind, cared }) => kind === "update" && cared.node.name === name);
    return talk?.kind === "update" ? talk.course.progress : this.#serial?.progressOf(name);
  }

  /** Begins to replace a node's firmware; what comes of it stands in `now` of what is returned. A text: why not. */
  update(name: string, image: Uint8Array, steadyUs: number | undefined): { now: UpdateState } | string {
    const cared = this.#cared.find(({ node }) => node.name === name);
    if (this.#serial?.has(name)) return this.#ports.allowed() ? this.#serial.update(name, image, steadyUs) : NOT_DISARMED;
    if (!cared?.node.update) return `the configuration does not let the firmware of ${name} be replaced (update: true)`;
    if (!this.#ports.allowed()) return NOT_DISARMED;
    const { link } = cared.node;
    const before = this.#talks.get(link);
    if (before?.kind === "update") return `the firmware of ${before.cared.node.name} is being replaced on the same bus`;
    const nowUs = this.#ports.nowUs();
    // It is asked again when this is over.
    if (before) before.cared.wanted = true;
    before?.course.abort();
    if (before) this.#last.set(link, before.course.take());
    const course = new NodeUpdate({ node: cared.number, image, ...(steadyUs === undefined ? {} : { steadyUs, steadyWithinUs: 3 * steadyUs + 30e6 }) }, nowUs);
    const state: { now: UpdateState } = { now: { state: "running", progress: 0 } };
    this.#talks.set(link, { kind: "update", cared, course, state });
    this.#ports.event({ severity: "info", code: "nodeUpdate", source: name, text: `the firmware of node ${name} is being replaced (${image.length} bytes)` });
    this.#ports.updatesChanged();
    this.#go(link, nowUs);
    this.#ports.reschedule();
    return state;
  }

  /** Nodes whose firmware is being replaced. */
  updating(): string[] {
    return this.#cared.filter((cared) => this.#updating(cared)).map(({ node }) => node.name).concat(this.#serial?.updating() ?? []);
  }

  /** The gateway before this one has ended in the middle of these. Nothing is mended silently: the node gives a transfer up by itself, and (on a bus) stays pre-operational until somebody decides. */
  wereCut(names: readonly string[]): void {
    for (const name of names) {
      const isSerial = this.#serial?.has(name) ?? false;
      if (isSerial) void this.#serial?.rests(name);
      // At a line there is no NMT: a device that has given the transfer up is at work.
      const remedy = isSerial ? "ipcnet node update goes on where it stands" : `ipcnet node update goes on, ipcnet node start ${name} leaves it`;
      this.#ports.event({
        severity: "error", code: "nodeUpdateCut", source: name,
        text: `the gateway before this one ended while it replaced the firmware of node ${name}: the node has the image that it had, or tries the new one and returns by itself; ${remedy}`,
      });
    }
  }

  /** Gives an update up; false: there is none of this node. */
  abort(name: string, why: string): boolean {
    for (const [bus, talk] of this.#talks) {
      if (talk.kind !== "update" || talk.cared.node.name !== name) continue;
      this.#cut(bus, talk, why);
      return true;
    }
    return this.#serial?.abort(name, why) ?? false;
  }

  /** Puts a node to work (NMT start): one that an update left pre-operational. A text: why not. */
  start(name: string): string | undefined {
    const cared = this.#cared.find(({ node }) => node.name === name);
    if (this.#serial?.has(name)) return `node ${name} is at a serial line: there is nothing to start, it is at work whenever it answers`;
    if (!cared?.node.update) return `the configuration does not let ${name} be cared for in this way (update: true)`;
    if (!this.#ports.allowed()) return "nodes are started only while the robot is disarmed (ipcnet disarm)";
    if (this.#updating(cared)) return `the firmware of ${name} is being replaced`;
    cared.owesStart = true;
    this.#ports.reschedule();
    return undefined;
  }

  #begin(cared: Cared, nowUs: number): void {
    const bus = cared.node.link;
    if (this.#talks.has(bus) || this.#last.has(bus)) return;
    if (cared.owesStart) {
      cared.owesStart = false;
      this.#last.set(bus, [encodeNmt("start", cared.number)]);
      this.#go(bus, nowUs);
    } else if (cared.wanted && nowUs >= cared.askUs) {
      cared.wanted = false;
      this.#talks.set(bus, { kind: "identity", cared, course: new IdentityReading(cared.number, nowUs) });
      this.#go(bus, nowUs);
    }
  }

  #go(bus: string, nowUs: number): void {
    const talk = this.#talks.get(bus);
    const line = this.#ports.line(bus);
    if (!line || !this.#ports.allowed()) return;
    this.#sayLast(bus, line, nowUs);
    if (talk && !this.#last.has(bus)) converse(talk.course, line, nowUs);
    if (talk?.kind === "update" && talk.state.now.state === "running") talk.state.now = { state: "running", progress: talk.course.progress };
    if (talk?.course.result !== undefined) this.#ended(bus, talk, nowUs);
  }

  #sayLast(bus: string, line: CareLine, nowUs: number): void {
    const frames = this.#last.get(bus);
    if (!frames) return;
    while (frames.length > 0 && line.room(nowUs) > 0) line.send(frames.shift()!, nowUs);
    if (frames.length === 0) this.#last.delete(bus);
  }

  #ended(bus: string, talk: Talk, nowUs: number): void {
    this.#talks.delete(bus);
    const left = talk.course.take();
    if (left.length > 0) this.#last.set(bus, left);
    if (talk.kind === "identity") this.#identified(talk.cared, talk.course.result!, nowUs);
    else this.#updated(talk, talk.course.result!);
    const line = this.#ports.line(bus);
    if (line) this.#sayLast(bus, line, nowUs);
  }

  #identified(cared: Cared, result: NonNullable<IdentityReading["result"]>, nowUs: number): void {
    const { name } = cared.node;
    if (!result.ok) {
      if (!cared.failed) this.#ports.event({ severity: "warning", code: "nodeIdentityUnread", source: name, text: `node ${name} does not say who it is (object 0x1018)` });
      cared.failed = true;
      cared.wanted = true;
      cared.askUs = nowUs + RETRY_US;
      return;
    }
    cared.failed = false;
    cared.identity = result.identity;
    const { vendor, product, serial } = result.identity;
    const version = firmwareVersion(result.identity);
    const wrong = this.#wrong(cared);
    const who = `vendor 0x${vendor.toString(16)}, product 0x${product.toString(16)}${serial === undefined ? "" : `, serial ${serial}`}${version === "" ? "" : `, firmware ${version}`}`;
    if (wrong.length > 0) this.#ports.event({ severity: cared.node.identity?.onMismatch === "refuseArming" ? "error" : "warning", code: "nodeMismatch", source: name, text: `node ${name} is not the configured one: ${wrong.join(", ")}` });
    else this.#ports.event({ severity: "info", code: "nodeIdentified", source: name, text: `node ${name} is ${who}` });
  }

  #updated({ cared, state }: Extract<Talk, { kind: "update" }>, result: UpdateResult): void {
    const { name } = cared.node;
    state.now = { state: "ended", result };
    this.#ports.updatesChanged();
    cared.wanted = cared.node.identity !== undefined;
    cared.identity = undefined;
    this.#tellUpdated(name, result);
  }

  #tellUpdated(name: string, result: Extract<UpdateState, { state: "ended" }>["result"]): void {
    if (result.ok) this.#ports.event({ severity: "info", code: "nodeUpdated", source: name, text: `node ${name} runs its new firmware` });
    else this.#ports.event({ severity: "error", code: "nodeUpdateFailed", source: name, text: `the firmware of node ${name} was not replaced: ${updateText(result)}` });
  }

  #cut(bus: string, talk: Talk, why: string): void {
    talk.course.abort();
    const left = talk.course.take();
    this.#talks.delete(bus);
    // Said now, or when the robot is disarmed again.
    if (left.length > 0) this.#last.set(bus, left);
    if (talk.kind === "identity") {
      talk.cared.wanted = true;
      return;
    }
    talk.state.now = { state: "ended", result: { ok: false, code: "interrupted", why } };
    this.#ports.updatesChanged();
    talk.cared.wanted = talk.cared.node.identity !== undefined;
    talk.cared.identity = undefined;
    this.#ports.event({ severity: "error", code: "nodeUpdateFailed", source: talk.cared.node.name, text: `the firmware of node ${talk.cared.node.name} was not replaced: ${why}` });
    this.#ports.reschedule();
  }

  #updating(cared: Cared): boolean {
    const talk = this.#talks.get(cared.node.link);
    return talk?.kind === "update" && talk.cared === cared;
  }

  /** What of its identity is not as configured, in words. */
  #wrong({ node, identity }: Cared): string[] {
    if (!identity || !node.identity) return [];
    const numbers = (["vendor", "product", "revision", "serial"] as const).flatMap((key) => {
      const wanted = node.identity![key];
      const found = identity[key];
      return wanted === undefined || wanted === found ? [] : [`${key} ${found === undefined ? "unknown" : `0x${found.toString(16)}`}, not 0x${wanted.toString(16)}`];
    });
    const version = firmwareVersion(identity);
    return node.identity.firmware === undefined || node.identity.firmware === version ? numbers : [...numbers, `firmware ${version === "" ? "unknown" : version}, not ${node.identity.firmware}`];
  }
}

/** As much as the line takes. A frame that it refuses is lost, as one on the wire may be: whoever waits for the answer asks again, and the rest waits for the next look. */
function converse(course: { take(max: number): NodeFrame[] }, line: CareLine, nowUs: number): void {
  for (let room = line.room(nowUs); room > 0; room = line.room(nowUs)) {
    const frames = course.take(room);
    if (frames.length === 0 || !frames.every((frame) => line.send(frame, nowUs))) return;
  }
}

/** What came of an update, in words. */
export function updateText(result: Exclude<Extract<UpdateState, { state: "ended" }>["result"], { ok: true }>): string {
  switch (result.code) {
    case "badImage": return `the file is no image for a node (${result.fault})`;
    case "wrongNode": return `the image is for another kind of node; this one is vendor 0x${result.vendor.toString(16)}, product 0x${result.product.toString(16)}`;
    case "sameImage": return "this image runs there already";
    case "onProbation": return "another image is still on probation; it is confirmed or given up within a minute";
    case "refused": return `the node refuses it (${result.refusal}, ${result.abortCode < 1_000 ? `status ${result.abortCode}` : `abort code 0x${result.abortCode.toString(16)}`})`;
    case "noAnswer": return `the node does not answer (${result.during})`;
    case "notRestarted": return "the node has not restarted with it in time";
    case "reverted": return "the node came back with the image that it had before";
    case "unsteady": return "with the new image the node did not stay operational; it returns to the one before by itself";
    case "interrupted": return result.why;
    default: return result satisfies never;
  }
}
