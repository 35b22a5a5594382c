/** What must always hold, looked at in every event. A violation ends the run. */
import type { BusFrame } from "./bus.ts";
import type { IssuedCommand } from "./brain.ts";
import type { Host } from "./host.ts";
import type { SimNode } from "./node.ts";
import type { Decided, ReflexProcess } from "./process.ts";
import type { EventQueue } from "./queue.ts";
import { BRAIN_TIMEOUT_US, COMMAND_TTL_US, DEAD_AFTER_US, DEAD_MAN_US, NODE_TIMEOUT_US, readCommand, SPEED_MAX, STATE_PERIOD_US, TARGET_MAX, TX_QUEUE_FRAMES } from "./robot.ts";

/** How much later than its deadline a command may reach a node by the bus's fault alone: the core notices after `dead_after` that nothing leaves (a full queue of its own frames takes 4.3 ms), and has the queue emptied. */
export const BUS_DELAY_US = DEAD_AFTER_US + TX_QUEUE_FRAMES * 270 + 10_000;

/** A core that may not empty its queue asks again after so long (drivers/can/core/bus_health.c), and the link answers. */
const PURGE_RETRY_US = 5_000_000 + 10_000;

export class Violation extends Error {
  readonly code: string;
  readonly atUs: number;
  constructor(code: string, atUs: number, text: string) {
    super(`${code} at ${(atUs / 1e3).toFixed(3)} ms: ${text}`);
    this.code = code;
    this.atUs = atUs;
  }
}

interface NodeMemory {
  life: object;
  newest: number;
  /** Of the frame accepted last. */
  order: number;
  owners: Map<number, object>;
  acceptedUs: number;
}

export class Judge {
  readonly issued: Map<number, IssuedCommand>[];
  /** Commands that reached a motor. */
  acceptedCommands = 0;
  acceptedOther = 0;
  readonly #time: EventQueue;
  readonly #nodes: NodeMemory[] = [];
  /** Epochs that were claimed, by host. */
  readonly #claimed: Map<number, object>[] = [new Map<number, object>(), new Map<number, object>()];

  constructor({ time, joints }: { time: EventQueue; joints: number }) {
    this.#time = time;
    this.issued = Array.from({ length: joints }, () => new Map<number, IssuedCommand>());
  }

  fail(code: string, text: string): never {
    throw new Violation(code, this.#time.nowUs, text);
  }

  // ---- Nodes ------------------------------------------------------------------------------------------------------------------------------

  accepted(node: SimNode, frame: BusFrame, data: Uint8Array): void {
    const { truth } = frame;
    const who = `${node.name} accepted a frame of ${frame.sender.name}`;
    const memory = this.#memory(node);
    if (data.some((byte, index) => byte !== frame.data[index])) this.fail("corruptAccepted", `${who} that was changed on the way`);
    if (truth.life === undefined && truth.kind !== "replay") this.fail("strangerAccepted", `${who}, which is no process of ours (${truth.kind})`);
    if (truth.epoch !== node.epoch) this.fail("otherEpochAccepted", `${who} with epoch ${truth.epoch}, it follows ${node.epoch}`);
    if (memory.newest !== 0 && ((truth.epoch - memory.newest) & 0xffff) >= 0x8000) this.fail("olderEpochAccepted", `${who} with epoch ${truth.epoch} after ${memory.newest}`);
    // A stranger's repetition that the joint had not seen comes late, no more: without a clock it cannot tell. One that it had must not count twice.
    if (truth.kind === "replay") {
      if (memory.newest === truth.epoch && truth.order <= memory.order) this.fail("replayAccepted", `${who}, which it had seen before`);
      memory.order = truth.order;
      memory.newest = truth.epoch;
      memory.acceptedUs = this.#time.nowUs;
      return;
    }
    memory.order = truth.order;
    const owner = memory.owners.get(truth.epoch);
    if (owner !== undefined && owner !== truth.life) this.fail("twoOwners", `${who}: two owners in epoch ${truth.epoch}`);
    memory.owners.set(truth.epoch, truth.life!);
    memory.newest = truth.epoch;
    memory.acceptedUs = this.#time.nowUs;
    this.#content(node, frame, data, who);
  }

  /** Outputs that still follow must have a reason that is not too old. */
  turned(node: SimNode): void {
    if (!node.isOn || node.outputsAreSafe || node.velocity === 0) return;
    const ageUs = this.#time.nowUs - this.#memory(node).acceptedUs;
    if (ageUs > DEAD_MAN_US * 1.01 + 2 * STATE_PERIOD_US) this.fail("movesUncommanded", `${node.name} moves, its last command is ${ageUs} µs old`);
  }

  #memory(node: SimNode): NodeMemory {
    const known = this.#nodes[node.number];
    if (known?.life === node.life) return known;
    return (this.#nodes[node.number] = { life: node.life, newest: 0, order: 0, owners: new Map(), acceptedUs: -Infinity });
  }

  #content(node: SimNode, frame: BusFrame, data: Uint8Array, who: string): void {
    const { truth } = frame;
    const { target, speed, mode } = readCommand(data);
    if (mode > 3 || Math.abs(target) > TARGET_MAX || speed > SPEED_MAX) this.fail("outOfRangeAccepted", `${who}: mode ${mode}, target ${target}, speed ${speed}`);
    if (truth.kind !== "command") {
      this.acceptedOther += 1;
      return;
    }
    this.acceptedCommands += 1;
    const issued = this.issued[node.number]!.get(target);
    if (issued === undefined) this.fail("inventedAccepted", `${who}: nobody has commanded ${target}`);
    if (issued.wrong !== undefined && issued.wrong !== "oldBrain" && issued.wrong !== "repeated") this.fail("unpermittedAccepted", `${who}: ${target} was ${issued.wrong}`);
    const lateUs = this.#time.nowUs - issued.deadlineUs;
    // Only a process that runs notices that nothing leaves; and one that is not allowed to empty the queue any more (it armed while it was) waits until it asks again.
    const stoodStillUs = truth.life!.stoodStillUs(this.#time.nowUs) - truth.stoodStillUs;
    const { purgeForbiddenUs, purgeAllowedUs } = issued.host;
    const couldNotPurge = this.#time.nowUs >= purgeForbiddenUs && truth.handedOverUs <= purgeAllowedUs && this.#time.nowUs <= purgeAllowedUs + PURGE_RETRY_US;
    if (!couldNotPurge && lateUs > BUS_DELAY_US + truth.sleptUs + stoodStillUs) this.fail("staleAccepted", `${who}: ${target}, ${lateUs} µs after its deadline (slept ${truth.sleptUs} µs within sending, stood still for ${stoodStillUs} µs)`);
  }

  // ---- Processes --------------------------------------------------------------------------------------------------------------------------

  handsOver(process: ReflexProcess, frame: BusFrame, { wasArmed }: Decided): void {
    const { truth } = frame;
    const { host } = process;
    const what = `${process.name} hands over a frame (${truth.kind}, identifier 0x${frame.canId.toString(16)})`;
    if (truth.kind === "probe") return;
    if (host.lockHolder !== process) this.fail("sentWithoutLock", `${what} while ${host.lockHolder?.name ?? "nobody"} holds the lock`);
    if (truth.kind === "claim") {
      const epoch = frame.data[4]! | (frame.data[5]! << 8);
      const claimed = this.#claimed[host.number]!;
      const before = claimed.get(epoch);
      if (before !== undefined && before !== process.life) this.fail("epochUsedTwice", `${what}: epoch ${epoch} was another's`);
      claimed.set(epoch, process.life);
      const store = host.stores[process.instance]!;
      if (!store.has(epoch)) this.fail("epochNotStored", `${what}: epoch ${epoch}, on disk is ${store.epoch}`);
      return;
    }
    if (truth.kind !== "command") return;
    const { target } = readCommand(frame.data);
    const issued = this.issued[frame.canId & 0xff]?.get(target);
    if (issued === undefined) this.fail("inventedSent", `${what}: nobody has commanded ${target}`);
    // That a brain is no longer the active one must have been heard of, and what it said before may still be sent.
    const unheard =
      (issued.wrong === "oldBrain" && (process.brainEpoch <= issued.brainEpoch || this.#time.nowUs - process.brainSinceUs < COMMAND_TTL_US)) ||
      (issued.wrong === "repeated" && !this.#wasRead(process, issued));
    if (issued.wrong !== undefined && !unheard) this.fail("unpermittedSent", `${what}: ${target} was ${issued.wrong}`);
    if (truth.sleptUs === 0 && host.nowUs >= issued.deadlineLocalUs) this.fail("staleSent", `${what}: ${target}, ${host.nowUs - issued.deadlineLocalUs} µs after its deadline`);
    if (!wasArmed) this.fail("sentUnarmed", `${what} while it is not armed`);
  }

  /** The one that it repeats was read by this life, and nobody knows better. */
  #wasRead(process: ReflexProcess, { brainEpoch, sequence }: IssuedCommand): boolean {
    const read = process.readBefore;
    return read.brainEpoch === brainEpoch && read.sequence >= sequence;
  }

  /** Armed: by evidence that was fresh when it looked at the clock, or because the one before was. */
  armed(process: ReflexProcess, joints: readonly SimNode[], resumed: boolean): void {
    const { host, core } = process;
    const what = `${process.name} ${resumed ? "goes on armed" : "arms"}`;
    if (host.lockHolder !== process) this.fail("armedWithoutLock", `${what} without the lock`);
    if (core.role !== 4) this.fail("armedAsOther", `${what} in role ${process.role}`);
    if (core.malfunction !== 0 || core.triggerLatched) this.fail("armedInSpite", `${what} in spite of a malfunction or a latched trigger`);
    for (const { number } of joints) {
      const ageUs = process.lookedUs - (process.heardUs[number] ?? (resumed ? process.lookedUs : -Infinity));
      if (ageUs > NODE_TIMEOUT_US) this.fail("armedBlindly", `${what}: joint ${number} was heard ${ageUs} µs ago`);
    }
    if (resumed) return;
    if (process.lookedUs - process.brainHeardUs >= BRAIN_TIMEOUT_US) this.fail("armedBrainless", `${what}: its brain beat ${process.lookedUs - process.brainHeardUs} µs ago`);
    if (!host.mayPurge) this.fail("armedUnpurgeable", `${what}: what waits cannot be emptied`);
    // A joint that follows it has heard it, though an overflow may have taken its echoes.
    const isFollowed = joints.some(({ owner, epoch }) => owner === process.owner && epoch === core.epoch);
    if (process.echoedUs === -Infinity && !isFollowed) this.fail("armedUnproven", `${what}: no frame of it ever came back from the bus`);
  }

  /** Whoever is armed goes on hearing its joints and its brain: after each whole turn, by the clock of that turn. */
  staysArmed(process: ReflexProcess, joints: readonly SimNode[]): void {
    const { judgedUs, resumedUs } = process;
    for (const { number } of joints) {
      const ageUs = judgedUs - (process.heardUs[number] ?? resumedUs);
      if (ageUs > NODE_TIMEOUT_US) this.fail("staysArmedBlindly", `${process.name} is still armed, joint ${number} was heard ${ageUs} µs ago`);
    }
    const brainUs = judgedUs - Math.max(process.brainHeardUs, resumedUs);
    if (brainUs >= BRAIN_TIMEOUT_US) this.fail("staysArmedBrainless", `${process.name} is still armed, its brain beat ${brainUs} µs ago`);
  }

  /** Of two processes on one host one may have the bus. */
  roles(host: Host): void {
    const [a, b] = host.processes;
    const owns = (process: ReflexProcess | undefined): boolean => process !== undefined && process.isAlive && (process.role === "owner" || process.role === "claiming");
    if (owns(a) && owns(b)) this.fail("twoOwnersOnAHost", `${a!.name} is ${a!.role}, ${b!.name} is ${b!.role}`);
  }
}
