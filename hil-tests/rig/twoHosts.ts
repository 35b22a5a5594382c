/**
 * Two hosts on one CAN bus, with a network cable between them: a machine each, the arm's base joint beside them, and what can happen to each of the three links.
 *
 * The bus is the emulated one, in this process: it arbitrates, acknowledges and repeats as a bus does, and the joint on it lives on whatever happens to a machine. Each machine is on it by a USB CAN adapter
 * (canEnd.ts) and the kernel's slcan, whose queue and errors are not those of a controller: a host learns that nobody acknowledges from the reports that are missing alone.
 */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { BusHost } from "../../drivers/can/emulator/host.ts";
import { attachInProcess } from "../../drivers/can/emulator/inProcess.ts";
import { formatCandumpFrame } from "../../drivers/can/candump.ts";
import type { Running } from "./agent.ts";
import { CanEnd } from "./canEnd.ts";
import { BEAT_MS, CLAIM_QUIET_MS, CLAIM_TIMEOUT_MS } from "./inside/hostTimes.ts";
import type { Told } from "./inside/oneOfTwo.ts";
import type { Rig } from "./rig.ts";
import { type Judged, WatchedJoint } from "./watchedJoint.ts";

const examples = join(import.meta.dirname, "../../../../examples/arm");
const BITRATE_BPS = 500_000;
const CAN_INTERFACE = "slcan0";
/** Of the host that has the number, on the cable between them. */
export const ADDRESSES = ["192.168.77.1", "192.168.77.2"] as const;
const STATE = "/mnt/state/reflex";
/** Of what the bus has carried, for the report. */
const FRAMES_MAX = 200_000;
/** Where the program of each host wants the joint: who commands it can be seen by where it goes. */
export const TARGETS_RAD = [1, -1] as const;

/** While the joint obeys so many commands, one every 50 ms, the owner beats four times: a listener that is late now and then has heard some of it. */
const COMMANDS_IN_FOUR_BEATS = (4 * BEAT_MS) / 50;

type Number01 = 0 | 1;

export class Host {
  readonly number: Number01;
  readonly rig: Rig;
  readonly #bus: BusHost;
  #line: Socket | undefined;
  #end: CanEnd | undefined;
  #program: Running | undefined;
  #trouble: string | undefined;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** How often it was asked for by a person. */
  armings = 0;
  /** What its program has said. */
  history: Told[] = [];

  constructor(number: Number01, rig: Rig, bus: BusHost) {
    this.number = number;
    this.rig = rig;
    this.#bus = bus;
  }

  get told(): Told | undefined {
    return this.history.at(-1);
  }

  /** Its adapter is plugged in, its kernel has the bus, its disk and its network. `isNew`: the disk is. */
  async join(isNew: boolean): Promise<void> {
    const line = connect(join(this.rig.machine.folder, "usb"));
    const end = new CanEnd({ host: this.#bus, name: `host ${this.number}`, write: (bytes) => void (line.writable && line.write(bytes)) });
    line.on("data", (bytes: Buffer) => end.push(bytes));
    line.on("error", () => undefined);
    line.on("close", () => void end.close());
    [this.#line, this.#end] = [line, end];
    await this.rig.sh(`modprobe virtio_blk; modprobe ext4; umount /mnt/state 2>/dev/null || true; ${isNew ? "mke2fs -q -t ext4 -F /dev/vda; " : ""}mkdir -p /mnt/state; mount /dev/vda /mnt/state; mkdir -p ${STATE}`);
    await this.rig.sh(`modprobe virtio_net; for i in $(seq 100); do name=$(grep -l 52:54:00:00:00:0${this.number + 1} /sys/class/net/*/address | cut -d/ -f5); [ -n "$name" ] && break; sleep 0.1; done; [ -n "$name" ]; ip address replace ${ADDRESSES[this.number]}/24 dev $name; ip link set $name up`);
    await this.rig.sh("modprobe xhci_pci; modprobe ftdi_sio; modprobe can-raw; modprobe slcan; for i in $(seq 100); do [ -c /dev/ttyUSB0 ] && exit 0; sleep 0.1; done; exit 1");
    const daemon = this.rig.start(`exec slcand -F ttyUSB0 ${CAN_INTERFACE}`);
    await this.rig.eventually(CAN_INTERFACE, async () => (await this.rig.run(`ip link show ${CAN_INTERFACE}`, { quiet: true })).code === 0, () => daemon.err);
    await this.rig.sh(`ip link set ${CAN_INTERFACE} type can bitrate ${BITRATE_BPS}; ip link set ${CAN_INTERFACE} txqueuelen 64; ip link set ${CAN_INTERFACE} up`);
  }

  /** Its reflex, its gateway's end of it, and a program that commands the joint. */
  start(): void {
    const program = this.rig.start(`exec ${this.rig.inside("oneOfTwo")} ${CAN_INTERFACE} ${this.number} ${STATE}`, { input: true });
    program.onLine = (line) => {
      this.history.push(JSON.parse(line) as Told);
      this.rig.note(`host ${this.number}: ${line}`);
    };
    program.write(`${JSON.stringify({ target: TARGETS_RAD[this.number] })}\n`);
    this.#program = program;
    program.ended.then(({ code, signal, err }) => this.#gone(program, `its program ended with ${code ?? signal}: ${err.slice(-2_000)}`), (error: Error) => this.#gone(program, error.message));
  }

  /** Of a program that ran when the power was cut nobody asks any more. */
  #gone(program: Running, trouble: string): void {
    if (this.#program === program) this.#trouble = trouble;
  }

  /** As a person does who looks every second whether it is armed. */
  arm(): void {
    if (performance.now() < this.#askedMs + 1_000) return;
    this.#askedMs = performance.now();
    this.armings += 1;
    this.#program?.write(`${JSON.stringify({ arm: true })}\n`);
  }

  // ---- What happens to it -----------------------------------------------------------------------------------------------------------

  async freeze(): Promise<void> {
    await this.rig.machine.freeze();
    this.#end!.freeze();
    this.rig.note(`host ${this.number} stands still`, "bad");
  }
  async thaw(): Promise<void> {
    this.#end!.thaw();
    await this.rig.machine.thaw();
    this.rig.note(`host ${this.number} goes on`, "bad");
  }
  /** Frames that were on the bus while it stood still. */
  get missed(): number {
    return this.#end!.missed;
  }
  cutBus(): void {
    this.#end!.cut();
    this.rig.note(`host ${this.number} is cut off the bus`, "bad");
  }
  /** What waited for it. */
  mendBus(): readonly string[] {
    const waiting = [...this.#end!.waiting];
    this.#end!.mend();
    this.rig.note(`host ${this.number} is on the bus again; ${waiting.length} frames waited in its adapter`, "bad");
    return waiting;
  }
  async cutPower(): Promise<void> {
    this.rig.note(`host ${this.number} has lost its power`, "bad");
    this.#program = undefined;
    await this.rig.machine.cutPower();
    this.history = [];
  }

  /** Its program has ended, which it never does by itself: nobody waits for it then. */
  alive(): this {
    if (this.#trouble !== undefined) throw new Error(`host ${this.number}: ${this.#trouble}`);
    return this;
  }
  said(): unknown {
    return { host: this.number, told: this.told, err: this.#program?.err.slice(-2_000), adapter: this.#line?.destroyed };
  }
  async end(): Promise<void> {
    this.#line?.destroy();
    await this.#end?.close();
  }
}

export class TwoHosts {
  readonly hosts: readonly [Host, Host];
  readonly joint: WatchedJoint;
  readonly #rig: Rig;
  readonly #bus: BusHost;
  readonly #frames: string[] = [];

  private constructor(rig: Rig) {
    this.#rig = rig;
    this.#bus = new BusHost({ name: "arm", bitrateBps: BITRATE_BPS });
    this.joint = new WatchedJoint({ host: this.#bus, folder: examples, claimQuietMs: CLAIM_QUIET_MS, claimTimeoutMs: CLAIM_TIMEOUT_MS });
    this.joint.onFollowed = ({ epoch, owner }) => rig.note(owner > 3 ? `the joint follows nobody, after epoch ${epoch}` : `the joint follows host ${owner >> 1}, epoch ${epoch}`, owner > 3 ? "bad" : "good");
    this.hosts = [new Host(0, rig, this.#bus), new Host(1, rig.other, this.#bus)];
    const { port } = attachInProcess(this.#bus, { name: "recorder", listenOnly: true });
    port.onFrame((frame) => {
      if (this.#frames.length < FRAMES_MAX) this.#frames.push(`(${(performance.now() / 1e3).toFixed(6)}) bus ${formatCandumpFrame(frame)}`);
    });
  }

  /** Both hosts on the bus and the network, the first of them started before the other; gone when `body` has ended, or when one cannot be joined. What must hold whatever happened is looked at last. */
  static async during(rig: Rig, body: (two: TwoHosts) => Promise<void>): Promise<void> {
    const two = new TwoHosts(rig);
    try {
      for (const host of two.hosts) await host.join(true);
      for (const host of two.hosts) host.start();
      await body(two);
      two.check();
    } finally {
      await two.#end();
    }
  }

  /**
   * The host that commands: the joint follows it and obeys it, and the other one has listened for a while: it knows by the owner's beats that the owner is armed, else it would be an heir of nobody and disarmed.
   * A host that owns and is not armed is armed, as a person would.
   */
  async commanding(): Promise<Host> {
    let since: { owner: Host; judged: number } | undefined;
    return this.#rig.eventually("one host commands, and the other one listens", () => {
      const owner = this.hosts.find((host) => this.#commands(host, 10));
      if (!owner || this.other(owner).told?.role !== "outvoted") since = undefined;
      else if (since?.owner !== owner) since = { owner, judged: this.joint.judged.length };
      return since && this.joint.judged.length >= since.judged + COMMANDS_IN_FOUR_BEATS ? since.owner : undefined;
    }, () => this.said());
  }

  /** Waits until `host` has the bus and is obeyed. Whether it went on armed by itself. */
  async taken(host: Host): Promise<boolean> {
    const armings = host.armings;
    await this.#rig.eventually(`host ${host.number} commands`, () => this.#commands(host, 20), () => this.said());
    return host.armings === armings;
  }

  /** Whether the last `count` commands that the joint obeyed were of this host, under the epoch that it follows now. */
  #commands(host: Host, count: number): boolean {
    const { epoch, owner } = this.joint.joint.follows;
    const { role, state } = host.alive().told ?? {};
    if (role !== "owner" || owner >> 1 !== host.number) return false;
    if (state !== "armed") {
      host.arm();
      return false;
    }
    const last = this.joint.judged.slice(-count);
    return last.length === count && last.every((each) => each.accepted && each.follows.epoch === epoch);
  }

  other(host: Host): Host {
    return this.hosts[1 - host.number]!;
  }

  /** What the joint was told by a host under an epoch, from its `from`th command on. */
  commandsOf(host: Host, epoch: number, from: number): Judged[] {
    return this.joint.judged.slice(from).filter((each) => each.owner >> 1 === host.number && each.epoch === (epoch & 0xff));
  }

  /** When it first followed `host` after `sinceMs`, and under which epoch. */
  takeover(host: Host, sinceMs: number): { atMs: number; epoch: number } {
    const found = this.joint.followed.find(({ atMs, owner }) => atMs > sinceMs && owner >> 1 === host.number);
    assert.ok(found, `the joint has not followed host ${host.number} since`);
    return found;
  }

  accepted(from = 0): Judged[] {
    return this.joint.judged.slice(from).filter(({ accepted }) => accepted);
  }

  /** What must hold whatever happened: nothing stale was obeyed, and never two owners at once. */
  check(): void {
    assert.deepEqual(this.joint.bad, [], "each frame under the command's identifier is a command");
    for (const { owner, targetRad, follows, epoch } of this.accepted()) {
      assert.equal(owner, follows.owner, "a command of another owner than the one it followed was obeyed");
      assert.equal(epoch, follows.epoch & 0xff, "a command of another epoch was obeyed");
      // 0: a safe pose.
      assert.ok(targetRad === TARGETS_RAD[owner >> 1] || targetRad === 0, `host ${owner >> 1} commanded ${targetRad}`);
    }
    const epochs = this.joint.followed.filter(({ epoch }) => epoch > 0);
    for (const [index, { epoch, owner }] of epochs.entries()) {
      const before = epochs[index - 1];
      if (before) assert.ok(((epoch - before.epoch) & 0xffff) < 0x8000, `epoch ${epoch} after ${before.epoch}`);
      if (owner <= 3) assert.equal(epoch & 1, owner >> 1, `host ${owner >> 1} has used epoch ${epoch}`);
    }
  }

  said(): unknown {
    return [this.joint.followed.slice(-6), this.joint.judged.slice(-6), this.joint.joint.counters, [...this.joint.joint.refusals], ...this.hosts.map((host) => host.said())];
  }

  async #end(): Promise<void> {
    this.joint.stop();
    for (const host of this.hosts) await host.end();
    this.#bus.close();
    this.#rig.canLog(this.#frames.join("\n"));
  }
}
