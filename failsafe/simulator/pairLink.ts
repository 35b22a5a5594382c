import type { LinkMessage, Page } from "./gatewayActive.ts";
import type { GatewayProcess } from "./gatewayProcess.ts";
import type { EventQueue } from "./queue.ts";

/** The link of one standby to its active: what was sent is read even when the sender is dead. */
export class Following {
  readonly active: GatewayProcess;
  readonly standby: GatewayProcess;
  /** Everything has been read, and the other end is closed. */
  isOver = false;
  /** Slower from now on. */
  delayUs = 0;
  readonly #time: EventQueue;
  readonly #random: () => number;
  readonly #activeLife: object;
  #busyUntilUs = 0;
  #isClosed = false;

  constructor({ time, random, active, standby }: { time: EventQueue; random: () => number; active: GatewayProcess; standby: GatewayProcess }) {
    this.#time = time;
    this.#random = random;
    this.active = active;
    this.standby = standby;
    this.#activeLife = active.life;
  }

  /** Somebody has stopped it from outside (SIGSTOP, a debugger): it hangs over nothing of its own. */
  get isActiveStopped(): boolean {
    return this.active.stalledUntilUs > this.#time.nowUs;
  }

  welcome(page: Page): void {
    this.#put(() => this.standby.receives(this, { op: "welcome", page }));
  }

  send(message: LinkMessage): void {
    if (this.#isClosed) return;
    if (message.op === "descriptor") message.socket.holders.add(this.standby);
    this.#put(() => this.standby.receives(this, message));
  }

  /** Either end closes it; whatever was sent is still read. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.active.left(this);
    this.#put(() => {
      this.isOver = true;
      this.standby.linkEnded(this);
    });
  }

  /** SIGKILL, through the descriptor that stands for this very process. */
  killActive(hung: boolean): void {
    if (this.active.life === this.#activeLife) this.active.kill(hung ? this.active.hangsOver : undefined);
  }

  isOf(active: GatewayProcess): boolean {
    return this.active === active && active.life === this.#activeLife;
  }

  #put(action: () => void): void {
    this.#busyUntilUs = Math.max(this.#busyUntilUs, this.#time.nowUs + 20 + Math.floor(this.#random() * 100) + this.delayUs);
    this.#time.at(this.#busyUntilUs, action);
  }
}
