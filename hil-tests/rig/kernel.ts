/**
 * The kernel of the virtual machine: Debian's, with modules of ours beside it.
 *
 * Nothing is installed: the kernel's package lies unpacked in a folder (`IPCNET_VM_KERNEL`, default dist/hil/kernel, see `fetchKernel`) or is the host's own in /boot and /lib/modules.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

export const root = join(import.meta.dirname, "../../../..");
/** Of the rig: its scripts for the machine, its modules. */
export const sources = join(root, "hil-tests/rig");
export const made = join(root, "dist/hil");
/** Modules of ours, in modules/. */
const OWN_MODULES = ["dcan", "faultcan"];
/** Loaded before there is a root: it comes over 9p. */
const EARLY_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
/** And these where what it writes is kept on a disk. */
const DISK_MODULES = ["virtio_blk", "ext4", "crc32c_generic"];
/** Documentation/x86/boot.rst of the kernel: setup_sects, payload_offset, payload_length. */
const BOOT_HEADER = { setupSectors: 0x1f1, payloadOffset: 0x248, payloadLength: 0x24c, sectorBytes: 512 };

/** What the rig starts here, and what runs in the machine, whose files are this machine's; each with Debian's package. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86", busybox: "busybox-static", cpio: "cpio", depmod: "kmod", modprobe: "kmod", make: "make", gcc: "gcc", python3: "python3",
  candump: "can-utils", ip: "iproute2", tc: "iproute2", mke2fs: "e2fsprogs", sysctl: "procps", setpriv: "util-linux",
};

export interface Kernel {
  processor: "x86_64" | "aarch64";
  version: string;
  /** Whose files are the machine's. "/": the host's. */
  root: string;
  image: string;
  modules: string;
  headers: string;
  /** What stands in for dist/native in the machine; undefined: that is compiled for it. */
  native: string | undefined;
}

/** The kernel that can be booted, and for which modules can be built; else one line that says what is missing. */
export function findKernel(): Kernel | string {
  const missing = Object.keys(PROGRAMS).filter((program) => !isThere(program));
  if (missing.length > 0) return `not installed: ${missing.join(", ")} (Debian: apt-get install ${[...new Set(missing.map((program) => PROGRAMS[program]!)), "linux-headers-amd64"].join(" ")})`;
  const folders = [process.env["IPCNET_VM_KERNEL"] ?? join(made, "kernel"), "/"];
  for (const version of headerVersions()) {
    for (const folder of folders) {
      const [image, modules] = [join(folder, `boot/vmlinuz-${version}`), join(folder, `lib/modules/${version}`)];
      if (existsSync(image) && existsSync(join(modules, "kernel"))) return { processor: "x86_64", version, root: "/", image, modules, headers: `/usr/src/linux-headers-${version}`, native: undefined };
    }
  }
  return headerVersions().length === 0 ? "no kernel headers in /usr/src (Debian: linux-headers-amd64)" : `no kernel to boot: npm run hil -- --fetch unpacks linux-image-${headerVersions()[0]} below dist`;
}

function headerVersions(): string[] {
  return readdirSync("/usr/src").flatMap((name) => /^linux-headers-(.+-amd64)$/.exec(name)?.[1] ?? []).sort().reverse();
}

export function isThere(program: string): boolean {
  return ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].some((folder) => existsSync(join(folder, program)));
}

/** Downloads the package of the kernel that belongs to the installed headers and unpacks it below dist: 70 MB, 400 MB unpacked. Nothing where there is a kernel to boot. */
export function fetchKernel(): void {
  if (typeof findKernel() !== "string") return;
  const [version] = headerVersions();
  if (version === undefined) throw new Error("no kernel headers in /usr/src (Debian: linux-headers-amd64)");
  unpackPackage(`linux-image-${version}`, join(made, "kernel"));
}

/** Downloads one of Debian's packages and unpacks it into `folder`, over what is there no longer: ended in the middle, nothing of it is there. */
function unpackPackage(name: string, folder: string, unread: readonly string[] = []): void {
  const unpacked = `${folder}.new`;
  rmSync(unpacked, { recursive: true, force: true });
  mkdirSync(unpacked, { recursive: true });
  run("apt-get", ["download", name], unpacked);
  const [file] = readdirSync(unpacked).filter((each) => each.endsWith(".deb"));
  run("dpkg-deb", ["-x", file!, unpacked], unpacked);
  for (const each of [file!, ...unread]) rmSync(join(unpacked, each), { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
  renameSync(unpacked, folder);
}

/** Its daemon is the same program: a link to it. */
const UDEV = "bin/udevadm";

/** The folder over whose root udev lies: "/" where it is installed, else where it was unpacked; undefined: there is none. Containers have none, and a robot has. */
export function findUdev(): string | undefined {
  return ["/", join(made, "udev")].find((folder) => existsSync(join(folder, UDEV)));
}

/** Unpacks udev's package below dist, if it is not installed: 2 MB, 10 MB unpacked. */
export function fetchUdev(): void {
  if (findUdev() !== undefined) return;
  // Names of vendors are most of it, and nobody asks for one here.
  unpackPackage("udev", join(made, "udev"), ["lib/udev/hwdb.d", "usr/share"]);
}

/** Its standard output; throws with the end of what it complained of. */
export function run(program: string, args: readonly string[], cwd: string): Buffer {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, maxBuffer: 1 << 28 });
  if (error || status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr.toString().slice(-2_000)}`);
  return stdout;
}

interface Prepared {
  image: string;
  initrd: string;
  /** Undefined: they cannot be built for this kernel. */
  ownModules: string | undefined;
}

const prepared = new Map<string, Prepared>();

/** What is made once a run: the unpacked kernel (its own unpacking takes 3 s of every boot), the first root, the folder of our modules. */
export function prepare(kernel: Kernel): Prepared {
  mkdirSync(made, { recursive: true });
  let those = prepared.get(kernel.version);
  if (!those) prepared.set(kernel.version, those = { image: unpackedImage(kernel), initrd: initialRoot(kernel), ownModules: ownModules(kernel) });
  return those;
}

function unpackedImage({ image, version, processor }: Kernel): string {
  if (processor !== "x86_64") return image;
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

function initialRoot({ version, modules, root: files }: Kernel): string {
  const [to, folder] = [join(made, `initrd-${version}`), join(made, `initrd-${version}.files`)];
  const above = join(modules, "../../..");
  if (!existsSync(join(modules, "modules.dep"))) run("depmod", ["-b", above, version], made);
  if (existsSync(to) && isSame(join(sources, "guest/init.sh"), join(folder, "init"))) return to;
  // What it is compared with goes first: ended in the middle, neither is there.
  for (const path of [to, folder]) rmSync(path, { recursive: true, force: true });
  for (const name of ["bin", "dev", "proc", "sys", "modules"]) mkdirSync(join(folder, name), { recursive: true });
  const withAll = (name: string): string[] => run("modprobe", ["-d", above, "-S", version, "--show-depends", name], made).toString().split("\n").flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []);
  for (const [file, names] of [["order", EARLY_MODULES], ["order.disk", DISK_MODULES]] as const) {
    const order = names.flatMap(withAll);
    for (const path of order) copyFileSync(path, join(folder, "modules", basename(path)));
    writeFileSync(join(folder, "modules", file), [...new Set(order.map((path) => basename(path)))].join("\n"));
  }
  copyFileSync(["bin/busybox", "usr/bin/busybox"].map((path) => join(files, path)).find((path) => existsSync(path))!, join(folder, "bin/busybox"));
  copyFileSync(join(sources, "guest/init.sh"), join(folder, "init"));
  chmodSync(join(folder, "init"), 0o755);
  run("bash", ["-o", "pipefail", "-c", 'find . | cpio -o -H newc --quiet | gzip -1 >"$0"', `${to}.new`], folder);
  renameSync(`${to}.new`, to);
  return to;
}

function isSame(a: string, b: string): boolean {
  return existsSync(b) && readFileSync(a).equals(readFileSync(b));
}

function ownModules({ version, headers, processor }: Kernel): string | undefined {
  // What is the same for all processors is taken from the headers that are installed here: it has to be the same version.
  const common = `/usr/src/linux-headers-${version.replace(/-[^-]+$/, "")}-common`;
  if (processor !== "x86_64" && !existsSync(common)) return undefined;
  const folder = join(made, `modules-${version}`);
  mkdirSync(folder, { recursive: true });
  const isMade = OWN_MODULES.every((name) => existsSync(join(folder, `${name}.ko`)) && isSame(join(sources, `modules/${name}.c`), join(folder, `${name}.c`)));
  if (isMade) return folder;
  for (const name of OWN_MODULES) {
    rmSync(join(folder, `${name}.ko`), { force: true });
    copyFileSync(join(sources, `modules/${name}.c`), join(folder, `${name}.c`));
  }
  writeFileSync(join(folder, "Makefile"), `obj-m := ${OWN_MODULES.map((name) => `${name}.o`).join(" ")}\n`);
  if (processor === "x86_64") run("make", ["-s", "-C", headers, `M=${folder}`, "modules"], folder);
  else run("make", ["-s", "-C", withToolsOfThisMachine(headers, version), `M=${folder}`, "DEB_BUILD_ARCH=amd64", "DEB_HOST_ARCH=arm64", "DEB_HOST_GNU_TYPE=aarch64-linux-gnu", "modules"], folder);
  return folder;
}

/** The headers for another processor come with tools that run on that processor. */
function withToolsOfThisMachine(headers: string, version: string): string {
  const folder = join(made, `headers-${version}`);
  if (existsSync(folder)) return folder;
  cpSync(headers, `${folder}.new`, { recursive: true, verbatimSymlinks: true });
  for (const name of ["scripts", "tools"]) {
    const tools = readlinkSync(join(headers, name));
    rmSync(join(`${folder}.new`, name));
    symlinkSync(join("/usr/src/any", tools), join(`${folder}.new`, name));
  }
  renameSync(`${folder}.new`, folder);
  return folder;
}
