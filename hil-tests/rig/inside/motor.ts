/** In the machine: the arm's base joint behind a controller of its own, and everything that it hears. */
import { execFileSync } from "node:child_process";
import type { CanFrame } from "../../../drivers/can/frame.ts";
import { CanFlag, FRAME_STRIDE_BYTES, readFrame } from "../../../drivers/can/frame.ts";
import { NativeBus } from "../../../drivers/can/nativeBus.ts";
import { Joint } from "../../../examples/arm/joint.ts";
import { jointCodecs, NODE_NUMBERS } from "../../../examples/arm/messages.ts";
import { systemClock } from "../../../schemas/clock.ts";
import { CLAIM_ID } from "../../reflexProcesses.ts";

const LIFE_US = 100_000;

export class Motor {
  /** Frames of others, since the beginning, each with the kernel's time of reception. */
  readonly seen: { canId: number; flags: number; data: Uint8Array; timeUs: number }[] = [];
  joint: Joint;
  readonly #folder: string;
  readonly #interface: string;
  readonly #fd: boolean;
  #bus: NativeBus | undefined;
  #cancel: (() => void) | undefined;

  /** `folder`: where arm.dbc lies. `fd`: it hears and sends FD frames. */
  constructor(folder: string, canInterface: string, { positionRad = 0, fd = false }: { positionRad?: number; fd?: boolean } = {}) {
    this.#folder = folder;
    this.#interface = canInterface;
    this.#fd = fd;
    this.joint = this.#newJoint(positionRad);
  }

  #newJoint(positionRad: number): Joint {
    return new Joint({ nodeId: NODE_NUMBERS.base, codecs: jointCodecs(this.#folder).base, positionRad, claimId: CLAIM_ID });
  }

  /** Without power its controller acknowledges nothing; with it again the joint stands where it stood and remembers nothing. */
  setPower(on: boolean): void {
    if (!on) this.stop();
    execFileSync("ip", ["link", "set", this.#interface, on ? "up" : "down"]);
    if (!on) return;
    this.joint = this.#newJoint(this.joint.positionRad);
    const bus = new NativeBus({ kind: "socketcan", interface: this.#interface, busName: "", nodeName: "", fd: this.#fd, listenOnly: false, txQueueFrames: 64, ringFrames: 8192, batchFrames: 256, receiveBufferBytes: 1 << 20 }, () => this.#read(bus));
    const { code, message } = bus.open();
    if (code !== "ok") throw new Error(message);
    this.#bus = bus;
    const turn = (): void => {
      for (const frame of this.joint.tick(systemClock.nowUs())) this.#send(frame);
      this.#cancel = systemClock.at(this.joint.nextDeadlineUs(), turn);
    };
    turn();
  }

  stop(): void {
    this.#cancel?.();
    this.#bus?.dispose();
    this.#bus = undefined;
  }

  #send(frame: CanFrame): void {
    this.#bus?.send({ ...frame, timeUs: systemClock.nowUs() + LIFE_US });
  }

  #read(bus: NativeBus): void {
    if (this.#bus !== bus) return;
    bus.woken();
    const events = bus.eventsWaiting();
    while (bus.drain() > 0) {
      for (let index = 0; index < bus.batch.count; index++) {
        const frame = readFrame(bus.batch.bytes, bus.batch.view, index * FRAME_STRIDE_BYTES);
        if ((frame.flags & (CanFlag.echo | CanFlag.error)) !== 0) continue;
        this.seen.push({ canId: frame.canId, flags: frame.flags, data: Uint8Array.from(frame.data), timeUs: frame.timeUs });
        for (const answer of this.joint.receive(frame, systemClock.nowUs())) this.#send(answer);
      }
    }
    for (let left = events; left > 0 && bus.nextEvent(); left--) continue;
  }
}
