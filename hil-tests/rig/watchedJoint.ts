/** The arm's base joint on an emulated bus, and the record of whom it obeyed: what it made of each command, and of each claim. */
import { BusHost } from "../../drivers/can/emulator/host.ts";
import { attachInProcess } from "../../drivers/can/emulator/inProcess.ts";
import type { CanFrame } from "../../drivers/can/frame.ts";
import { Joint } from "../../examples/arm/joint.ts";
import { jointCodecs, NODE_NUMBERS } from "../../examples/arm/messages.ts";
import { systemClock } from "../../schemas/clock.ts";
import { commandId } from "../armRig.ts";
import { CLAIM_ID } from "../reflexProcesses.ts";

export interface Judged {
  atMs: number;
  /** As the command says: the lowest bits of its epoch, and who sent it. */
  epoch: number;
  owner: number;
  targetRad: number;
  accepted: boolean;
  /** Whom the joint followed then. */
  follows: { epoch: number; owner: number };
}

export interface WatchedJointOptions {
  host: BusHost;
  /** Where arm.dbc lies. */
  folder: string;
  claimQuietMs: number;
  claimTimeoutMs: number;
}

export class WatchedJoint {
  /** Each command for it, since the beginning. */
  readonly judged: Judged[] = [];
  /** Whom it has followed one after the other; owner 7: nobody. */
  readonly followed: { atMs: number; epoch: number; owner: number }[] = [];
  /** Frames under its command's identifier that are no command. */
  readonly bad: string[] = [];
  onFollowed: ((follows: { epoch: number; owner: number }) => void) | undefined;
  readonly joint: Joint;
  readonly #send: (frame: CanFrame) => void;
  readonly #codec;
  #cancel: (() => void) | undefined;

  constructor({ host, folder, claimQuietMs, claimTimeoutMs }: WatchedJointOptions) {
    const codecs = jointCodecs(folder).base;
    this.#codec = codecs.command;
    this.joint = new Joint({ nodeId: NODE_NUMBERS.base, codecs, claimId: CLAIM_ID, claimQuietMs, claimTimeoutMs });
    const { port } = attachInProcess(host, { name: "base" });
    this.#send = (frame) => void port.send(frame);
    port.onFrame((frame) => this.#receive(frame));
    this.#turn();
  }

  #turn(): void {
    for (const frame of this.joint.tick(systemClock.nowUs())) this.#send(frame);
    this.#look();
    this.#cancel = systemClock.at(this.joint.nextDeadlineUs(), () => this.#turn());
  }

  #receive(frame: CanFrame): void {
    const { commandsAccepted } = this.joint.counters;
    const { follows } = this.joint;
    for (const answer of this.joint.receive(frame, systemClock.nowUs())) this.#send(answer);
    this.#look();
    if (frame.canId !== commandId("base")) return;
    const decoded = this.#codec.decode(frame.data, 0, frame.data.length);
    if (!decoded.ok) {
      this.bad.push(Buffer.from(frame.data).toString("hex"));
      return;
    }
    const { epoch, owner, targetPosition } = decoded.signals;
    this.judged.push({ atMs: performance.now(), epoch: Number(epoch), owner: Number(owner), targetRad: Number(targetPosition), accepted: this.joint.counters.commandsAccepted > commandsAccepted, follows });
  }

  #look(): void {
    const { epoch, owner } = this.joint.follows;
    const last = this.followed.at(-1);
    if (last?.epoch === epoch && last.owner === owner) return;
    this.followed.push({ atMs: performance.now(), epoch, owner });
    this.onFollowed?.({ epoch, owner });
  }

  stop(): void {
    this.#cancel?.();
  }
}
