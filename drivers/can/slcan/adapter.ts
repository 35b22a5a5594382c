/**
 * The other side of slcan: an adapter between a serial line and the emulated bus, so that slcand, python-can or our own driver can join it.
 *
 * Follows Lawicel's command set. Deliberate simplifications: acceptance masks (`M`, `m`) and UART rates (`U`) are accepted and have no effect,
 * as in most relatives; BTR settings (`s`) are accepted as they are.
 */
import type { CanFrame } from "../frame.ts";
import { CanFlag } from "../frame.ts";
import type { BusHost } from "../emulator/host.ts";
import { attachInProcess } from "../emulator/inProcess.ts";
import type { BusNode } from "../emulator/node.ts";
import type { NodePort } from "../emulator/port.ts";
import { BITRATES_BPS, decodeFrame, encodeFrame, LineReader, StatusFlag } from "./frame.ts";

export interface AdapterOptions {
  host: BusHost;
  /** The node's name on the bus. Default "slcan". */
  name?: string;
  /** Whether the FD letters are known. */
  fd?: boolean;
  /** When a frame is answered: once it is queued, as Lawicel's do, or once the bus has taken it. Default "queued". */
  replyWhen?: "queued" | "transmitted";
  /** Where the adapter's bytes go. */
  write(bytes: Buffer): void;
}

const OK = "\r";
const REFUSED = "\x07";
/** Frames kept for `P` and `A` when automatic sending is off. */
const POLL_FIFO_FRAMES = 64;

export class SlcanAdapter {
  readonly #options: AdapterOptions;
  readonly #reader = new LineReader();
  #attached: { port: NodePort; node: BusNode } | undefined;
  #bitrateBps = 0;
  #stamps = false;
  #automatic = true;
  #fifo: string[] = [];
  #overrun = false;
  #token = 0;
  #out = "";

  constructor(options: AdapterOptions) {
    this.#options = options;
    this.#bitrateBps = options.host.bus.bitrateBps;
  }

  /** The adapter's controller on the bus while its channel is open. */
  get node(): BusNode | undefined {
    return this.#attached?.node;
  }

  /** Bytes from the host. */
  push(bytes: Uint8Array): void {
    // What the bus has taken by now makes room in the queue before more is put in.
    this.#options.host.run();
    this.#reader.push(bytes, {
      // Empty lines are what programs send to get an adapter's attention; slcanpty too says nothing to them.
      line: (line) => void (line.length > 0 && this.#answer(this.#command(line))),
      bel: () => this.#answer(REFUSED),
      bad: () => this.#answer(REFUSED),
    });
    this.#flush();
  }

  /** Leaves the bus. */
  async close(): Promise<void> {
    const { port } = this.#attached ?? {};
    this.#attached = undefined;
    await port?.close();
  }

  #command(line: Uint8Array): string {
    const text = Buffer.from(line).toString("latin1");
    switch (text.charAt(0)) {
      case "S":
        return this.#setRate(BITRATES_BPS[Number(text.slice(1))]);
      case "s":
        return this.#setRate(this.#options.host.bus.bitrateBps || 1);
      case "O":
      case "L":
        return text.length === 1 ? this.#open(text === "L") : REFUSED;
      case "C":
        if (!this.#attached) return REFUSED;
        void this.close();
        return OK;
      case "F":
        return this.#attached && text.length === 1 ? `F${this.#flags().toString(16).toUpperCase().padStart(2, "0")}\r` : REFUSED;
      case "V":
        return "V1013\r";
      case "v":
        return "v0001\r";
      case "N":
        return "NEMU1\r";
      case "Z":
        return this.#setting(text, (on) => (this.#stamps = on));
      case "X":
        return this.#setting(text, (on) => (this.#automatic = on));
      case "P":
        return this.#attached && !this.#automatic ? this.#fifo.shift() ?? OK : REFUSED;
      case "A":
        return this.#attached && !this.#automatic ? `${this.#fifo.splice(0).join("")}A\r` : REFUSED;
      case "M":
      case "m":
        return this.#attached === undefined && /^[0-9A-Fa-f]{8}$/.test(text.slice(1)) ? OK : REFUSED;
      case "U":
        return OK;
      default:
        return this.#send(line);
    }
  }

  #setRate(bitrateBps: number | undefined): string {
    if (this.#attached || bitrateBps === undefined) return REFUSED;
    this.#bitrateBps = bitrateBps;
    return OK;
  }

  #setting(text: string, set: (on: boolean) => void): string {
    if (this.#attached || (text[1] !== "0" && text[1] !== "1") || text.length !== 2) return REFUSED;
    set(text[1] === "1");
    return OK;
  }

  /** A wrong bit rate would only destroy frames on a real bus; here it is refused, which says more. */
  #open(listenOnly: boolean): string {
    const { host } = this.#options;
    if (this.#attached || (host.bus.bitrateBps > 0 && this.#bitrateBps !== host.bus.bitrateBps)) return REFUSED;
    const attached = attachInProcess(host, { name: this.#options.name ?? "slcan", listenOnly, fd: this.#options.fd ?? false });
    this.#attached = attached;
    this.#fifo = [];
    this.#overrun = false;
    attached.port.onFrame((frame) => this.#received(frame));
    attached.port.onEcho((frame) => {
      if (this.#options.replyWhen === "transmitted") this.#answer(reply(frame.flags), true);
    });
    attached.port.onDropped(() => {
      if (this.#options.replyWhen === "transmitted") this.#answer(REFUSED, true);
    });
    return OK;
  }

  #send(line: Uint8Array): string {
    const decoded = decodeFrame(line, this.#options.fd ?? false);
    if (!decoded || decoded.timestampMs !== undefined || !this.#attached) return REFUSED;
    const verdict = this.#attached.port.send({ ...decoded.frame, token: ++this.#token });
    if (verdict !== "queued") return REFUSED;
    if (this.#options.replyWhen === "transmitted") return "";
    return this.#automatic ? reply(decoded.frame.flags) : OK;
  }

  #received(frame: CanFrame): void {
    const line = encodeFrame(frame, this.#stamps ? Math.floor(frame.timeUs / 1000) % 60_000 : undefined);
    if (line === undefined || ((frame.flags & CanFlag.fd) !== 0 && !this.#options.fd)) return;
    if (this.#automatic) this.#answer(line, true);
    else if (this.#fifo.length < POLL_FIFO_FRAMES) this.#fifo.push(line);
    else this.#overrun = true;
  }

  /** Status since it was last asked for. */
  #flags(): number {
    const { port, node } = this.#attached!;
    let flags = 0;
    if (this.#fifo.length === POLL_FIFO_FRAMES) flags |= StatusFlag.rxFifoFull;
    if (port.inFlight >= node.queueFrames) flags |= StatusFlag.txFifoFull;
    if (this.#overrun) flags |= StatusFlag.overrun;
    if (node.state !== "errorActive") flags |= StatusFlag.warning;
    if (node.state === "passive" || node.state === "busOff") flags |= StatusFlag.passive | StatusFlag.busError;
    this.#overrun = false;
    return flags;
  }

  #answer(text: string, soon = false): void {
    if (this.#out === "" && soon && text !== "") queueMicrotask(() => this.#flush());
    this.#out += text;
  }

  #flush(): void {
    if (this.#out === "") return;
    const bytes = Buffer.from(this.#out, "latin1");
    this.#out = "";
    this.#options.write(bytes);
  }
}

function reply(flags: number): string {
  return (flags & CanFlag.extended) === 0 ? "z\r" : "Z\r";
}
