// Builds the addons for the npm package: prebuilds/linux-x64/*.node and, where there is a cross compiler, prebuilds/linux-arm64/*.node (and the other way round on an arm64 machine).
// An addon needs no libnode to link: Node's and libuv's symbols are found when it is loaded. `npm pack` runs this.
import { rmSync } from "node:fs";
import { has, join, mkdirSync, relative, root, run } from "./lib.mjs";
import { cc, compile } from "./compile.mjs";
import { addonFlags, manifests } from "./native.mjs";

const targets = [{ arch: "x64", cross: "x86_64-linux-gnu-gcc" }, { arch: "arm64", cross: "aarch64-linux-gnu-gcc" }];

for (const { arch, cross } of targets) {
  const compiler = arch === process.arch ? cc : cross;
  if (!has(compiler)) {
    process.stdout.write(`prebuilds/linux-${arch}: left out, there is no ${compiler} (sudo apt-get install -y gcc-${arch === "arm64" ? "aarch64" : "x86-64"}-linux-gnu)\n`);
    rmSync(join(root, `prebuilds/linux-${arch}`), { recursive: true, force: true });
    continue;
  }
  const folder = join(root, `prebuilds/linux-${arch}`);
  mkdirSync(folder, { recursive: true });
  for (const manifest of manifests()) {
    if (!manifest.addon) continue;
    const output = join(folder, `${manifest.addon}.node`);
    // Without debugging symbols: a tenth of the size.
    compile({ manifest, compiler, sources: manifest.sources, output, flags: [...addonFlags(manifest), "-s"] });
    check(output, arch);
  }
}

/** What was built is for the machine it is meant for, and wants nothing but the C library. */
function check(path, arch) {
  if (!has("readelf")) return;
  const wanted = arch === "arm64" ? "AArch64" : "X86-64";
  run("sh", ["-c", `readelf -h "$0" | grep -q ${wanted} && ! readelf -d "$0" | grep NEEDED | grep -v -e libc.so -e ld-linux -e libm.so -e libpthread`, path]);
  process.stdout.write(`  ok ${relative(root, path)}\n`);
}
