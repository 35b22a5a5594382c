/**
 * A virtual machine with the kernel of a Debian package, for what this machine's own kernel may not have: CAN, a hardware watchdog, a reset.
 * The host's files are its files (read-only, writes go to its memory); a script runs in it as root, its exit code and output come back through a shared folder.
 *
 * Nothing is installed: the kernel's package lies unpacked in a folder (`IPCNET_VM_KERNEL`, default dist/virtualMachine/kernel, see `fetchKernel`) or is the host's own in /boot and /lib/modules.
 * No hardware virtualisation, one processor: user space is there after 4 to 10 s on a quiet host, and programs run at a tenth of their speed.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { basename, join } from "node:path";
import { eventually } from "../waiting.ts";

const root = join(import.meta.dirname, "../../../..");
const sources = join(root, "hil-tests/virtualMachine");
const made = join(root, "dist/virtualMachine");
/** Loaded before there is a root: it comes over 9p. */
const EARLY_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
/** Documentation/x86/boot.rst of the kernel: setup_sects, payload_offset, payload_length. */
const BOOT_HEADER = { setupSectors: 0x1f1, payloadOffset: 0x248, payloadLength: 0x24c, sectorBytes: 512 };

export interface Kernel {
  version: string;
  image: string;
  modules: string;
  headers: string;
}

/** The kernel that can be booted, and for which modules can be built; else one line that says what is missing. */
export function findKernel(): Kernel | string {
  for (const program of ["qemu-system-x86_64", "busybox", "cpio", "depmod", "modprobe", "make", "gcc"]) {
    if (!isThere(program)) return `${program} is not installed (Debian: qemu-system-x86 busybox-static cpio kmod make gcc)`;
  }
  const folders = [process.env["IPCNET_VM_KERNEL"] ?? join(made, "kernel"), "/"];
  for (const version of headerVersions()) {
    for (const folder of folders) {
      const [image, modules] = [join(folder, `boot/vmlinuz-${version}`), join(folder, `lib/modules/${version}`)];
      if (existsSync(image) && existsSync(join(modules, "kernel"))) return { version, image, modules, headers: `/usr/src/linux-headers-${version}` };
    }
  }
  return headerVersions().length === 0 ? "no kernel headers in /usr/src (Debian: linux-headers-amd64)" : `no kernel to boot: npm run virtual -- --fetch unpacks linux-image-${headerVersions()[0]} below dist`;
}

function headerVersions(): string[] {
  return readdirSync("/usr/src").flatMap((name) => /^linux-headers-(.+-amd64)$/.exec(name)?.[1] ?? []).sort().reverse();
}

function isThere(program: string): boolean {
  return ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].some((folder) => existsSync(join(folder, program)));
}

/** Downloads the package of the kernel that belongs to the installed headers and unpacks it below dist: 70 MB, 400 MB unpacked. */
export function fetchKernel(): void {
  const [version] = headerVersions();
  if (version === undefined) throw new Error("no kernel headers in /usr/src (Debian: linux-headers-amd64)");
  const folder = join(made, "kernel");
  mkdirSync(folder, { recursive: true });
  run("apt-get", ["download", `linux-image-${version}`], folder);
  const [name] = readdirSync(folder).filter((file) => file.endsWith(".deb"));
  run("dpkg-deb", ["-x", name!, folder], folder);
  rmSync(join(folder, name!));
}

function run(program: string, args: readonly string[], cwd: string, input?: Buffer): Buffer {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, ...(input ? { input } : {}), maxBuffer: 1 << 28 });
  if (error || status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr.toString()}`);
  return stdout;
}

/** What is made once: the unpacked kernel (its own unpacking takes 3 s of every boot), the first root, the simulated controllers. */
export function prepare(kernel: Kernel): { image: string; initrd: string; dcan: string } {
  mkdirSync(made, { recursive: true });
  return { image: unpackedImage(kernel), initrd: initialRoot(kernel), dcan: controllers(kernel) };
}

function unpackedImage({ image, version }: Kernel): string {
  const to = join(made, `vmlinux-${version}`);
  if (existsSync(to)) return to;
  const bytes = readFileSync(image);
  const start = (bytes[BOOT_HEADER.setupSectors]! + 1) * BOOT_HEADER.sectorBytes + bytes.readUInt32LE(BOOT_HEADER.payloadOffset);
  const payload = bytes.subarray(start, start + bytes.readUInt32LE(BOOT_HEADER.payloadLength));
  const { status, stdout } = spawnSync("python3", ["-c", "import lzma, sys; sys.stdout.buffer.write(lzma.LZMADecompressor().decompress(sys.stdin.buffer.read()))"], { input: payload, maxBuffer: 1 << 28 });
  // Packed in another way: then the machine unpacks it itself.
  if (status !== 0) return image;
  writeFileSync(`${to}.new`, stdout);
  renameSync(`${to}.new`, to);
  return to;
}

function initialRoot({ version, modules }: Kernel): string {
  const [to, folder] = [join(made, `initrd-${version}`), join(made, "initrd")];
  const above = join(modules, "../../..");
  if (!existsSync(join(modules, "modules.dep"))) run("depmod", ["-b", above, version], made);
  rmSync(folder, { recursive: true, force: true });
  for (const name of ["bin", "dev", "proc", "sys", "modules"]) mkdirSync(join(folder, name), { recursive: true });
  const order = EARLY_MODULES.flatMap((name) => run("modprobe", ["-d", above, "-S", version, "--show-depends", name], made).toString().split("\n").flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []));
  for (const path of order) copyFileSync(path, join(folder, "modules", basename(path)));
  writeFileSync(join(folder, "modules/order"), [...new Set(order.map((path) => basename(path)))].join("\n"));
  copyFileSync(["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path))!, join(folder, "bin/busybox"));
  copyFileSync(join(sources, "guest/init.sh"), join(folder, "init"));
  chmodSync(join(folder, "init"), 0o755);
  run("sh", ["-c", `find . | cpio -o -H newc --quiet | gzip -1 > ${JSON.stringify(to)}`], folder);
  return to;
}

function controllers({ version, headers }: Kernel): string {
  const folder = join(made, `dcan-${version}`);
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(sources, "dcan.c"), join(folder, "dcan.c"));
  writeFileSync(join(folder, "Makefile"), "obj-m := dcan.o\n");
  run("make", ["-s", "-C", headers, `M=${folder}`, "modules"], folder);
  return join(folder, "dcan.ko");
}

export interface MachineOptions {
  kernel: Kernel;
  /** Shared with it, as /shared; with the script's own files. Emptied by nobody. */
  folder: string;
  /** Bash, as root. */
  script: string;
}

export class Machine {
  /** What QEMU has told: WATCHDOG, RESET, SHUTDOWN and so on, with their data. */
  readonly events: { event: string; data?: Record<string, unknown> }[] = [];
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly ended: Promise<void>;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    this.ended = once(child, "close").then(() => undefined);
  }

  /** Switches it on. */
  static async start({ kernel, folder, script }: MachineOptions): Promise<Machine> {
    const { image, initrd } = prepare(kernel);
    for (const name of ["code", "out", "booted"]) rmSync(join(folder, name), { force: true });
    copyFileSync(join(sources, "guest/start.sh"), join(folder, "start.sh"));
    writeFileSync(join(folder, "script.sh"), script);
    const share = (id: string, path: string, more: string): string[] => ["-fsdev", `local,id=${id},path=${path},security_model=none${more}`, "-device", `virtio-9p-pci,fsdev=${id},mount_tag=${id}`];
    const monitor = join(folder, "qmp");
    const child = spawn("qemu-system-x86_64", [
      // Its clock counts its instructions, 4 ns each: however busy the host is, its programs are late by their own work alone, and no deadline in it means less.
      "-accel", "tcg,thread=single,tb-size=512", "-icount", "shift=2,sleep=on", "-machine", "pc", "-cpu", "max", "-smp", "1", "-m", "1536", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
      "-kernel", image, "-initrd", initrd,
      "-append", `console=ttyS0 quiet loglevel=3 panic=-1 tsc=reliable no_timer_check random.trust_cpu=on mitigations=off nokaslr vm.modules=${kernel.modules}`,
      ...share("host", "/", ",readonly=on,multidevs=remap"), ...share("shared", folder, ""),
      "-chardev", `file,id=console,path=${join(folder, "console")}`, "-serial", "chardev:console",
      "-device", "i6300esb", "-action", "watchdog=reset",
      "-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random",
      "-qmp", `unix:${monitor},server=on,wait=off`,
    ], { stdio: ["ignore", "ignore", "pipe"] });
    const machine = new Machine(child, folder);
    let trouble = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (trouble += text));
    await machine.#listen(monitor, () => trouble);
    return machine;
  }

  async #listen(monitor: string, trouble: () => string): Promise<void> {
    await eventually("the machine's monitor", () => {
      if (this.#child.exitCode !== null) throw new Error(`QEMU ended: ${trouble()}`);
      return existsSync(monitor);
    });
    const socket = connect(monitor);
    let text = "";
    socket.setEncoding("utf8").on("data", (more: string) => {
      const lines = (text + more).split("\n");
      text = lines.pop()!;
      for (const line of lines.filter((each) => each.trim() !== "")) {
        const message = JSON.parse(line) as { event?: string; data?: Record<string, unknown> };
        if (message.event !== undefined) this.events.push({ event: message.event, ...(message.data ? { data: message.data } : {}) });
      }
    });
    // It goes with the machine.
    socket.on("error", () => undefined);
    socket.write('{"execute":"qmp_capabilities"}\n');
  }

  /** Of a file in the shared folder; empty while there is none. */
  read(name: string): string {
    const path = join(this.#folder, name);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** The script's exit code; undefined: it did not come to its end. */
  get code(): number | undefined {
    const text = this.read("code").trim();
    return text === "" ? undefined : Number(text);
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}
