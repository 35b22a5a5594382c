// The C parts for the package, for one architecture: `node deploy/native.mjs amd64|arm64 FOLDER`: addons, ipcnet-reflex and libipcnet, hardened and without debugging symbols.
// The same sources, flags and warnings as everywhere (scripts/native.mjs).
import { copyFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { existsSync, has, join, mkdirSync, readFileSync, refuse, root, run } from "../scripts/lib.mjs";
import { cc, compile } from "../scripts/compile.mjs";
import { addonFlags, manifests } from "../scripts/native.mjs";

const tools = { amd64: { node: "x64", prefix: "x86_64-linux-gnu-" }, arm64: { node: "arm64", prefix: "aarch64-linux-gnu-" } };
/** Addons that run on a robot; the others are for the simulator and its tests. */
const addons = ["ipcnet_shm", "ipcnet_can"];
// What Debian's own packages are built with. The paths of this machine must not be in the files: the same sources give the same bytes.
const hardened = ["-O2", "-g", `-ffile-prefix-map=${root}=.`, "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-D_GNU_SOURCE", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,--build-id=sha1"];

const [arch, folder] = process.argv.slice(2);
if (tools[arch] === undefined || folder === undefined) refuse("node deploy/native.mjs amd64|arm64 FOLDER");
const isNative = tools[arch].node === process.arch;
const tool = (name) => (isNative ? name : `${tools[arch].prefix}${name}`);
const compiler = isNative ? cc : tool("gcc");
for (const [name, packages] of [[compiler, isNative ? "gcc libc6-dev" : `gcc-${tools[arch].prefix.replace(/-$/, "").replaceAll("_", "-")} libc6-dev-${arch}-cross`], [tool("strip"), `binutils${isNative ? "" : `-${tools[arch].prefix.replace(/-$/, "").replaceAll("_", "-")}`}`]]) {
  if (!has(name)) refuse(`${name} is needed to build for ${arch}`, `sudo apt-get install -y ${packages}`);
}

mkdirSync(folder, { recursive: true });
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const strip = (path, ...words) => run(tool("strip"), [...words, "--remove-section=.comment", "--remove-section=.note", path]);

for (const manifest of manifests()) {
  if (addons.includes(manifest.addon)) {
    const output = join(folder, `${manifest.addon}.node`);
    compile({ manifest, compiler, sources: manifest.sources, output, flags: [...addonFlags(manifest), ...hardened] });
    strip(output, "--strip-unneeded");
  }
  for (const { name, sources, libs, shipFlags = [] } of (manifest.programs ?? []).filter((program) => program.ship)) {
    const output = join(folder, name);
    compile({ manifest, compiler, sources, output, libs: libs ?? manifest.libs, flags: [...hardened, "-fPIE", "-pie", ...shipFlags] });
    strip(output);
  }
  for (const { name, abi, sources, headers = [], flags = [], libs = [] } of manifest.libraries ?? []) {
    const shared = join(folder, `lib${name}.so.${abi}`);
    const script = join(folder, `lib${name}.map`);
    const common = [...hardened, "-fPIC", "-fvisibility=hidden", `-D${name.toUpperCase()}_VERSION="${version}"`, ...flags];
    writeFileSync(script, `${name.toUpperCase()}_${abi} { global: ${name}_*; local: *; };\n`);
    compile({ manifest, compiler, sources, output: shared, libs, flags: [...common, "-shared", `-Wl,-soname,lib${name}.so.${abi}`, `-Wl,--version-script=${script}`, "-Wl,-z,defs"] });
    strip(shared, "--strip-unneeded");
    const object = join(folder, `lib${name}.o`);
    compile({ manifest, compiler, sources, output: object, libs: [], flags: [...common.filter((flag) => !flag.startsWith("-Wl,")), "-r", "-nostdlib"] });
    run(tool("objcopy"), ["--localize-hidden", object]);
    strip(object, "--strip-debug");
    const archive = join(folder, `lib${name}.a`);
    rmSync(archive, { force: true });
    run(tool("ar"), ["rcsD", archive, object]);
    if (!existsSync(join(folder, `lib${name}.so`))) symlinkSync(`lib${name}.so.${abi}`, join(folder, `lib${name}.so`));
    for (const header of headers) copyFileSync(manifest.at(header), join(folder, basename(header)));
  }
}
