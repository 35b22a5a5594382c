/** The driver in the machine (inside/driverShell.ts), as the rig's side sees it. */
import type { NativeCanDriver, NativeCanOptions } from "../../drivers/can/nativeDriver.ts";
import type { PurgeVerdict } from "../../drivers/can/driver.ts";
import type { DriverEvent, DriverHealth, DriverState, SendVerdict } from "../../drivers/driver.ts";
import { eventually } from "../waiting.ts";
import type { Running } from "./agent.ts";

/** `frame` as candump's log has it: 123#DEADBEEF. */
export type Order =
  | { do: "start"; options: NativeCanOptions }
  | { do: "stop" | "rearm" | "purge" | "health" | "seen" | "clear" }
  | { do: "send"; frame: string; token?: number; lifeMs?: number }
  | { do: "burst"; id: string; count: number }
  | { do: "flood"; canId: number; count: number; lengthBytes?: number }
  | { do: "stall"; ms: number };

export interface SeenFrame {
  text: string;
  /** When the kernel had it, and when JavaScript read it: CLOCK_MONOTONIC, µs. */
  timeUs: number;
  readUs: number;
  token: number;
}

export interface Seen {
  received: number;
  echoes: number;
  errors: number;
  /** Frames that were told as lost. */
  lostBefore: number;
  /** Of numbered frames: those that came behind a later one. */
  outOfOrder: number;
  /** The first 4,000 of each. */
  frames: SeenFrame[];
  echoFrames: SeenFrame[];
  errorFrames: SeenFrame[];
}

export interface Flooded {
  queued: number;
  /** Attempts that were refused, by verdict; "queueFull" is tried again. */
  refused: Record<string, number>;
  tookUs: number;
}

export interface Started {
  bitrateBps: number | null;
  confirms: boolean;
  canPurge: boolean;
  link: ReturnType<NativeCanDriver["link"]> | null;
}

export class RemoteError extends Error {
  readonly code: string;
  readonly remedy: string;
  constructor({ code, text, remedy }: { code: string; text: string; remedy: string }) {
    super(text);
    this.name = "RemoteError";
    this.code = code;
    this.remedy = remedy;
  }
}

const PATIENCE_MS = 120_000;

export class RemoteDriver {
  readonly events: DriverEvent[] = [];
  readonly #running: Running;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #number = 0;
  #isReady = false;

  /** `heard`: each event, when it came. */
  constructor(running: Running, heard: (event: DriverEvent, atS: number) => void) {
    this.#running = running;
    running.onLine = (line, atS) => {
      const message = JSON.parse(line) as { ready?: true; event?: DriverEvent; n?: number; answer?: unknown; error?: { code: string; text: string; remedy: string } };
      if (message.ready) this.#isReady = true;
      else if (message.event) {
        this.events.push(message.event);
        heard(message.event, atS);
      } else if (message.n !== undefined) {
        const waiting = this.#waiting.get(message.n);
        this.#waiting.delete(message.n);
        if (message.error) waiting?.reject(new RemoteError(message.error));
        else waiting?.resolve(message.answer);
      }
    };
    const gone = (why: string): void => {
      for (const { reject } of this.#waiting.values()) reject(new Error(why));
      this.#waiting.clear();
    };
    running.ended.then(({ code, signal, err }) => gone(`the driver's program ended (${code ?? signal}): ${err}`), (error: Error) => gone(error.message));
  }

  async ready(): Promise<void> {
    await eventually("the driver's program", () => this.#isReady, { timeoutMs: PATIENCE_MS, last: () => this.#running.err });
  }

  #ask(order: Order): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const n = ++this.#number;
      this.#waiting.set(n, { resolve, reject });
      this.#running.write(`${JSON.stringify({ n, ...order })}\n`);
    });
  }

  /** Rejects with a RemoteError, as the driver would with a DriverError. */
  start = (options: NativeCanOptions): Promise<Started> => this.#ask({ do: "start", options }) as Promise<Started>;
  stop = (): Promise<unknown> => this.#ask({ do: "stop" });
  send = (frame: string, { token, lifeMs }: { token?: number; lifeMs?: number } = {}): Promise<SendVerdict> => this.#ask({ do: "send", frame, ...(token === undefined ? {} : { token }), ...(lifeMs === undefined ? {} : { lifeMs }) }) as Promise<SendVerdict>;
  /** So many frames of one byte in one go: their verdicts. */
  burst = (id: string, count: number): Promise<SendVerdict[]> => this.#ask({ do: "burst", id, count }) as Promise<SendVerdict[]>;
  flood = (canId: number, count: number, lengthBytes = 8): Promise<Flooded> => this.#ask({ do: "flood", canId, count, lengthBytes }) as Promise<Flooded>;
  rearm = (): Promise<boolean> => this.#ask({ do: "rearm" }) as Promise<boolean>;
  purge = (): Promise<PurgeVerdict> => this.#ask({ do: "purge" }) as Promise<PurgeVerdict>;
  health = (): Promise<DriverHealth & { link: ReturnType<NativeCanDriver["link"]> | null; nowUs: number }> => this.#ask({ do: "health" }) as Promise<DriverHealth & { link: ReturnType<NativeCanDriver["link"]> | null; nowUs: number }>;
  seen = (): Promise<Seen> => this.#ask({ do: "seen" }) as Promise<Seen>;
  clear = (): Promise<unknown> => this.#ask({ do: "clear" });
  /** Its JavaScript thread does nothing for so long. */
  stall = (ms: number): Promise<unknown> => this.#ask({ do: "stall", ms });

  /** Waits for one of the states. */
  async reaches(...states: DriverState[]): Promise<void> {
    await eventually(`state ${states.join(" or ")}`, async () => states.includes((await this.health()).state), { timeoutMs: PATIENCE_MS, last: () => this.events.slice(-8) });
  }
  /** Waits for an event, of those since `from` of `events`. */
  async tells(code: DriverEvent["code"], from = 0): Promise<DriverEvent> {
    return eventually(`event ${code}`, () => this.events.slice(from).find((event) => event.code === code), { timeoutMs: PATIENCE_MS, last: () => this.events.slice(-8) });
  }
  /** Re-arms as soon as the bus is proven. */
  async rearmed(): Promise<void> {
    await eventually("re-arm", () => this.rearm(), { timeoutMs: PATIENCE_MS, last: () => this.events.slice(-8) });
  }
  async end(): Promise<void> {
    this.#running.closeInput();
    await this.#running.ended;
  }
}
