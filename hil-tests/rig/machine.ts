/**
 * A virtual single-board computer, for what this machine's own kernel may not have: CAN, a hardware watchdog, a reset, a power cut.
 * The host's files are its files (read-only; writes go to its memory and are gone with its power, with systemd to a disk that keeps them); an agent in it runs what the rig asks for, as root.
 *
 * One processor, no hardware virtualisation: user space is there after 4 to 10 s on a quiet host, and programs run at a tenth of their speed.
 * While it computes its clock counts its instructions, so that a busy host makes it slower and not late; while it waits its clock is the host's.
 * One of two has the host's clock alone: two that counted their own instructions would each find the other late.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, openSync, readFileSync, rmSync, ftruncateSync, closeSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { eventually } from "../waiting.ts";
import { Agent, type Hello } from "./agent.ts";
import { type Kernel, made, prepare, sources } from "./kernel.ts";
import { Qmp, type QmpEvent } from "./qmp.ts";

/** From power to the agent's first word. A host with ten other programs for each processor has needed over three minutes. */
const BOOT_TIMEOUT_MS = 600_000;
const DISK_BYTES = 64 << 20;
/** What a machine with systemd writes, the package among it. The file is as large as what was written. */
const LAYER_BYTES = 2 ** 30;
/** The name of the agent's port, as the machine sees it. */
const AGENT_PORT = "ipcnet.agent";
const GUEST_FILES = ["start.sh", "systemd.sh", "agent.py"];

/** What differs between the two: x86-64's board is a PC, arm64's is QEMU's own with the processor of a Raspberry Pi 4. */
const boards = {
  x86_64: { words: ["-machine", "pc", "-cpu", "max"], console: "ttyS0", append: ["tsc=reliable", "no_timer_check", "random.trust_cpu=on"] },
  aarch64: { words: ["-machine", "virt,gic-version=3", "-cpu", "cortex-a72"], console: "ttyAMA0", append: [] },
} as const;

export interface MachineOptions {
  kernel: Kernel;
  boot: "plain" | "systemd";
  /** Shared with it, as /shared, through reset and power cut. Short: it holds sockets. */
  folder: string;
  /** It is one of two, with a network cable between them. */
  cable?: Cable;
}

/** One end: a socket of ours that takes its packets, and one of the other's; either may be off. */
export interface Cable {
  here: string;
  there: string;
  mac: string;
}

/** The cable's device and port, as QEMU's monitor names them. */
const CABLE = "cable";
const MEMORY_MB = { alone: 1536, ofTwo: 768 };

/** Children of ours that are on. Whoever ends the rig does not leave one behind. */
const running = new Set<ChildProcess>();
export function cutPowerOfAll(): void {
  for (const child of running) child.kill("SIGKILL");
}
process.on("exit", cutPowerOfAll);
/** QEMU goes with the rig, also where that is killed and can do nothing about it (prctl(2), PR_SET_PDEATHSIG; util-linux). */
const TIED = ["setpriv", "--pdeathsig", "KILL"] as const;

export class Machine {
  readonly #options: MachineOptions;
  /** What QEMU has told since the machine was made. */
  readonly events: QmpEvent[] = [];
  onEvent: ((event: QmpEvent) => void) | undefined;
  onClock: ((machineS: number) => void) | undefined;
  #child: ChildProcess | undefined;
  #closed: Promise<unknown> = Promise.resolve();
  #qmp: Qmp | undefined;
  #agent: Agent | undefined;
  #sockets: Socket[] = [];
  #trouble = "";
  /** Starts of its agent: one more after each reset. */
  boots = 0;

  constructor(options: MachineOptions) {
    this.#options = options;
  }

  get folder(): string {
    return this.#options.folder;
  }
  get isOn(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }
  /** A robot's files are there again after its next start; a plain machine's are gone. */
  get #keepsFiles(): boolean {
    return this.#options.boot === "systemd";
  }
  get agent(): Agent {
    if (!this.#agent) throw new Error("the machine was never switched on");
    return this.#agent;
  }
  get qmp(): Qmp {
    if (!this.#qmp) throw new Error("the machine was never switched on");
    return this.#qmp;
  }

  /** Switches it on; resolves when its agent answers. */
  async on(): Promise<Hello> {
    const { folder } = this.#options;
    for (const name of ["qmp", "agent"]) rmSync(join(folder, name), { force: true });
    for (const name of GUEST_FILES) copyFileSync(join(sources, "guest", name), join(folder, name));
    if (!existsSync(join(folder, "disk"))) makeDisk(join(folder, "disk"), DISK_BYTES);
    if (this.#keepsFiles && !existsSync(join(folder, "layer"))) await makeLayer(join(folder, "layer"));
    const child = spawn(TIED[0], [...TIED.slice(1), `qemu-system-${this.#options.kernel.processor}`, ...this.#words()], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    running.add(child);
    child.once("close", () => running.delete(child));
    this.#closed = new Promise((resolve) => child.once("close", resolve));
    child.once("error", (error) => (this.#trouble += error.message));
    this.#trouble = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#trouble += text));
    child.once("close", () => this.#agent?.lost("the machine is off"));
    await this.#listen();
    return this.#hello();
  }

  #words(): string[] {
    const { kernel, boot, folder, cable } = this.#options;
    const { image, initrd } = prepare(kernel);
    const share = (id: string, path: string, more: string): string[] => ["-fsdev", `local,id=${id},path=${path},security_model=none${more}`, "-device", `virtio-9p-pci,fsdev=${id},mount_tag=${id}`];
    const board = boards[kernel.processor];
    // Of its own files where those are not the host's.
    const modules = kernel.root === "/" ? kernel.modules : `/lib/modules/${kernel.version}`;
    const append = [`console=${board.console}`, "quiet", "loglevel=3", "panic=-1", ...board.append, "mitigations=off", "nokaslr", `vm.modules=${modules}`, `vm.start=/shared/${boot === "plain" ? "start.sh" : "systemd.sh"}`, ...(this.#keepsFiles ? ["vm.layer=disk"] : []),
      ...(kernel.root === "/" ? [] : ["vm.host=share"]), ...(kernel.native === undefined ? [] : [`vm.native=${kernel.native}`, `vm.replaces=${join(made, "../native")}`])];
    return [
      "-accel", `tcg,thread=single,tb-size=${cable ? 256 : 512}`,
      // 1 ns an instruction: however busy the host is, the machine's programs are late by their own work alone, and by what QEMU is kept waiting while they wait.
      ...(cable ? [] : ["-icount", "shift=0,sleep=on"]), ...board.words, "-smp", "1", "-m", String(cable ? MEMORY_MB.ofTwo : MEMORY_MB.alone), "-nodefaults", "-no-user-config", "-display", "none",
      "-kernel", image, "-initrd", initrd, "-append", append.join(" "),
      ...share("root", kernel.root, ",readonly=on,multidevs=remap"), ...(kernel.root === "/" ? [] : share("host", "/", ",readonly=on,multidevs=remap")), ...share("shared", folder, ""),
      "-chardev", `file,id=console,path=${join(folder, "console")},append=on`, "-serial", "chardev:console",
      "-object", "can-bus,id=bus", "-device", "kvaser_pci,canbus=bus,id=sja0", "-device", "kvaser_pci,canbus=bus,id=sja1",
      "-device", "qemu-xhci,id=usb", "-chardev", `socket,id=usbSerial,path=${join(folder, "usb")},server=on,wait=off`, "-device", "usb-serial,chardev=usbSerial,id=usbSerial0,bus=usb.0,always-plugged=on",
      // What it has flushed is on the host's side: what a power cut takes is what it had not.
      "-drive", `if=none,id=disk,file=${join(folder, "disk")},format=raw,cache=writeback`, "-device", "virtio-blk-pci,drive=disk",
      ...(this.#keepsFiles ? ["-drive", `if=none,id=layer,file=${join(folder, "layer")},format=raw,cache=writeback`, "-device", "virtio-blk-pci,drive=layer"] : []),
      // Nothing goes out; a behaviour may let something in (hostfwd_add).
      "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile=",
      // Datagrams, so that each end outlives the other's power.
      ...(cable ? ["-netdev", `dgram,id=${CABLE}Port,local.type=unix,local.path=${cable.here},remote.type=unix,remote.path=${cable.there}`, "-device", `virtio-net-pci,id=${CABLE},netdev=${CABLE}Port,mac=${cable.mac},romfile=`] : []),
      "-device", "i6300esb", "-action", "watchdog=reset",
      "-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random",
      "-device", "virtio-serial-pci", "-chardev", `socket,id=agent,path=${join(folder, "agent")},server=on,wait=off`, "-device", `virtserialport,chardev=agent,name=${AGENT_PORT}`,
      "-qmp", `unix:${join(folder, "qmp")},server=on,wait=off`,
    ];
  }

  async #listen(): Promise<void> {
    const { folder } = this.#options;
    this.#qmp = await this.#connected(() => Qmp.connect(join(folder, "qmp")));
    this.#qmp.onEvent = (event) => {
      this.events.push(event);
      this.onEvent?.(event);
      // A kernel that panics starts again, and again.
      if (event.event === "RESET" && this.#agent && !this.#agent.hello && event.data["guest"] === true) this.#agent.lost("it was reset before it had started");
    };
    const socket = await this.#connected(() => connected(join(folder, "agent")));
    this.#sockets.push(socket);
    const agent = new Agent(socket, socket);
    agent.onClock = (machineS) => this.onClock?.(machineS);
    agent.onHello = () => void (this.boots += 1);
    this.#agent = agent;
  }

  /** Asks until QEMU listens; fails with its own words if it has ended. */
  #connected<Made>(make: () => Promise<Made>): Promise<Made> {
    return eventually("QEMU's sockets", async () => {
      if (!this.isOn) throw new Error(`QEMU ended: ${this.#trouble}`);
      try {
        return await make();
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== "ENOENT" && code !== "ECONNREFUSED") throw error;
        return false;
      }
    }) as Promise<Made>;
  }

  async #hello(): Promise<Hello> {
    const timer = setTimeout(() => this.agent.lost(`no agent within ${BOOT_TIMEOUT_MS / 1e3} s of power`), BOOT_TIMEOUT_MS);
    try {
      const hello = await this.agent.ready;
      this.boots += 1;
      return hello;
    } catch (error) {
      throw new Error(`${(error as Error).message}; the console's end: ${this.console().slice(-2_000)}${this.#trouble === "" ? "" : `; QEMU: ${this.#trouble}`}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when it has been reset (by its watchdog, by itself) since it had started `boots` times, and its agent answers again. */
  async restarted(boots: number): Promise<void> {
    await eventually("the machine's next start", () => {
      if (!this.isOn) throw new Error("the machine is off");
      return this.boots > boots;
    }, { timeoutMs: BOOT_TIMEOUT_MS, last: () => this.console().slice(-2000) });
  }

  /** It executes nothing, and its clock stands still: it will not know that it was away. */
  async freeze(): Promise<void> {
    await this.qmp.order("stop");
  }
  async thaw(): Promise<void> {
    await this.qmp.order("cont");
  }

  /** Of one of two: pulls its network cable out, or puts it back. */
  async setCable(isIn: boolean): Promise<void> {
    await this.qmp.order("set_link", { name: CABLE, up: isIn });
  }

  /** The events of a name since our time `sinceMs`. */
  told(event: string, sinceMs = 0): QmpEvent[] {
    return this.events.filter((each) => each.event === event && each.atMs >= sinceMs);
  }

  console(): string {
    const path = join(this.#options.folder, "console");
    return existsSync(path) ? readFileSync(path, "latin1") : "";
  }

  /** At once, as when the plug is pulled; the disk and the shared folder stay. Also how the rig ends it. */
  async cutPower(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#closed;
    this.#qmp?.close();
    for (const socket of this.#sockets.splice(0)) socket.destroy();
  }
}

function makeDisk(path: string, bytes: number): void {
  const file = openSync(path, "w");
  ftruncateSync(file, bytes);
  closeSync(file);
}

/** With a file system in it. */
async function makeLayer(path: string): Promise<void> {
  makeDisk(path, LAYER_BYTES);
  // Another machine may be on, and is driven from here meanwhile.
  const making = spawn("mke2fs", ["-q", "-t", "ext4", "-F", path], { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` } });
  const [stderr, [status]] = await Promise.all([text(making.stderr), once(making, "close") as Promise<[number | null]>]);
  if (status !== 0) throw new Error(`mke2fs ${path}: ${stderr}`);
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
  });
}
