// Builds the C parts. Each folder with C in it has a `native.json`:
//   { "addon": "ipcnet_can",                 // optional: dist/native/ipcnet_can.node, a Node-API addon
//     "sources": ["core/can.c", "addon.c"],  // relative to that folder; "../../x.c" may name C of a lower storey
//     "include": ["core"],
//     "libs": ["-lpthread"],
//     "groups": { "lane": ["lane_writer.c"] },  // sources named together: "@lane" here, "@../core:lane" from another folder
//     "tests": [ { "name": "can_core", "sources": ["core/can.c", "core/can_test.c"], "tsan": true } ],
//     "libraries": [ { "name": "ipcnet", "abi": 0, "sources": [...], "headers": ["ipcnet.h"] } ],  // dist/native/libipcnet.so.0, .a, include/ and pkgconfig/
//     "benches": [ { "name": "lane_bench", "sources": ["core/lane.c", "bench/lane_bench.c"] } ],
//     "programs": [ { "name": "attacker", "sources": ["attacker.c"] } ] }                       // dist/native/test/attacker: for TypeScript tests to start; with "ship": true also dist/native/attacker, as it is delivered
// Addons, libraries and benches are built with -O2; tests and programs with the address and undefined-behaviour sanitizers (and again with the thread
// sanitizer where "tsan" says so; or for arm64, see arm64.mjs: not those with "arm64": false). Warnings are errors.
// No node-gyp: the headers come from npm's node-api-headers.
//   node scripts/native.mjs [--test [NAME] | --bench NAME ARG… | --programs]
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { copyFileSync, existsSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { cc, compile, compileTogether } from "./compile.mjs";
import { dist, files, fingerprint, has, join, mkdirSync, readFileSync, refuse, root, run, storeys, unlessStamped } from "./lib.mjs";

const outDir = join(dist, "native");
const testDir = join(outDir, "test");

export function manifests() {
  return [...storeys, "examples"].flatMap((storey) => files(join(root, storey), (path) => path.endsWith("/native.json"))).map((path) => {
    const folder = dirname(path);
    const at = (name) => join(folder, name);
    const manifest = JSON.parse(readFileSync(path, "utf8"));
    for (const part of [manifest, ...(manifest.libraries ?? []), ...(manifest.tests ?? []), ...(manifest.benches ?? []), ...(manifest.programs ?? [])]) part.sources &&= [...new Set(part.sources.flatMap((name) => expand(name, folder, manifest)))];
    return { path, folder, at, ...manifest };
  });
}

/** "@lane": the sources of the manifest's group of that name; "@../core:lane": those of another folder's. */
function expand(name, folder, manifest) {
  if (!name.startsWith("@")) return [name];
  const [other, group] = name.includes(":") ? name.slice(1).split(":") : [".", name.slice(1)];
  const groups = other === "." ? manifest.groups : JSON.parse(readFileSync(join(folder, other, "native.json"), "utf8")).groups;
  if (!groups?.[group]) refuse(`${folder}/native.json names the group ${group}, which does not exist`);
  return groups[group].map((source) => (other === "." ? source : join(other, source)));
}

/** What an addon is compiled with. */
export function addonFlags(manifest) {
  // Beside us in the repository, anywhere above where we are an installed package.
  const headers = join(dirname(createRequire(import.meta.url).resolve("node-api-headers/package.json")), "include");
  return ["-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-DNAPI_VERSION=8", "-D_GNU_SOURCE", `-I${headers}`, ...(manifest.flags ?? [])];
}

/** Builds every addon and library that is out of date. */
export function buildAddons({ libraries = true } = {}) {
  mkdirSync(outDir, { recursive: true });
  for (const manifest of manifests()) {
    if (!manifest.addon) continue;
    compile({ manifest, sources: manifest.sources, output: join(outDir, `${manifest.addon}.node`), flags: ["-g", ...addonFlags(manifest)] });
  }
  if (libraries) buildLibraries();
  buildShipped();
}

/** Builds every program that is delivered: dist/native/NAME, without what "flags" adds for tests. */
export function buildShipped() {
  for (const manifest of manifests()) {
    for (const { name, sources, libs, shipFlags = [] } of (manifest.programs ?? []).filter((program) => program.ship)) {
      compile({ manifest, sources, output: join(outDir, name), libs: libs ?? manifest.libs, flags: ["-O2", "-g", "-D_GNU_SOURCE", ...shipFlags] });
    }
  }
}

/** Builds every library, shared and static, each exporting only what its headers mark; with a pkg-config file that finds everything beside itself. */
export function buildLibraries() {
  const { version, description } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const folder of ["include", "pkgconfig"]) mkdirSync(join(outDir, folder), { recursive: true });
  for (const manifest of manifests()) {
    for (const { name, abi, sources, headers = [], flags = [], libs = [] } of manifest.libraries ?? []) {
      const shared = join(outDir, `lib${name}.so.${abi}`);
      const script = join(outDir, `lib${name}.map`);
      const common = ["-O2", "-g", "-fPIC", "-fvisibility=hidden", "-D_GNU_SOURCE", `-D${name.toUpperCase()}_VERSION="${version}"`, ...flags];
      // Only symbols that are visible at all get the version: the rest stays inside.
      writeFileSync(script, `${name.toUpperCase()}_${abi} { global: ${name}_*; local: *; };\n`);
      compile({ manifest, sources, output: shared, libs, flags: [...common, "-shared", `-Wl,-soname,lib${name}.so.${abi}`, `-Wl,--version-script=${script}`, "-Wl,-z,defs"] });
      const object = join(outDir, `lib${name}.o`);
      const archive = join(outDir, `lib${name}.a`);
      compile({ manifest, sources, output: object, libs: [], flags: [...common, "-r", "-nostdlib"] });
      unlessStamped({ stampFile: `${archive}.stamp`, print: fingerprint([object]), result: archive }, () => {
        rmSync(archive, { force: true });
        if (has("objcopy")) run("objcopy", ["--localize-hidden", object]);
        run("ar", ["rcs", archive, object]);
      });
      if (!existsSync(join(outDir, `lib${name}.so`))) symlinkSync(`lib${name}.so.${abi}`, join(outDir, `lib${name}.so`));
      for (const header of headers) copyFileSync(manifest.at(header), join(outDir, "include", basename(header)));
      writeFileSync(join(outDir, "pkgconfig", `${name}.pc`), [
        "prefix=${pcfiledir}/..", "includedir=${prefix}/include", "libdir=${prefix}", "", `Name: ${name}`, `Description: ${description}`, `Version: ${version}`,
        "Cflags: -I${includedir}", `Libs: -L\${libdir} -Wl,-rpath,\${libdir} -l${name}`, `Libs.private: ${libs.join(" ")}`, "",
      ].join("\n"));
    }
  }
}

/** Builds every bench whose name contains `only`; returns [{ name, path }]. */
export function buildBenches({ only = "" } = {}) {
  const benchDir = join(outDir, "bench");
  mkdirSync(benchDir, { recursive: true });
  return manifests().flatMap((manifest) => (manifest.benches ?? []).filter(({ name }) => name.includes(only)).map((bench) => {
    const path = join(benchDir, bench.name);
    compile({ manifest, sources: bench.sources, output: path, libs: bench.libs ?? manifest.libs, flags: ["-O2", "-g", "-D_GNU_SOURCE", ...(bench.flags ?? [])] });
    return { name: bench.name, path };
  }));
}

const sanitized = (sanitizer) => ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", sanitizer, "-D_GNU_SOURCE"];

/** Every program that tests start. */
const programs = () => manifests().flatMap((manifest) => (manifest.programs ?? []).map(({ name, sources, libs, flags = [] }) => (
  { manifest, sources, libs, output: join(testDir, name), flags: [...sanitized("-fsanitize=address,undefined"), ...flags] }
)));

/** Every C test whose name contains `only`, once for each of its sanitizers. */
const tests = (only = "") => manifests().flatMap((manifest) => (manifest.tests ?? []).filter(({ name }) => name.includes(only)).flatMap(({ name, sources, libs, flags = [], args = [], tsan = false }) => (
  [["asan", "-fsanitize=address,undefined"], ...(tsan ? [["tsan", "-fsanitize=thread"]] : [])].map(([suffix, sanitizer]) => (
    { manifest, sources, libs, name: `${name} (${suffix})`, args, output: join(testDir, `${name}.${suffix}`), flags: [...sanitized(sanitizer), ...flags] }
  ))
)));

/** Builds every program that tests start. */
export async function buildPrograms() {
  mkdirSync(testDir, { recursive: true });
  await compileTogether(programs());
}

/** Builds and runs every C test; returns whether all passed. */
export async function runNativeTests({ only } = {}) {
  mkdirSync(testDir, { recursive: true });
  const all = tests(only);
  await compileTogether(all);
  return runOneByOne("C tests", all);
}

/** Runs programs, each { name, output, args }, by way of `emulator` if there is one; says how many passed, and which did not. Returns whether all did. */
export function runOneByOne(title, programs, emulator = []) {
  let passed = 0;
  const failed = [];
  for (const { name, output, args } of programs) {
    const [command, ...words] = [...emulator, output, ...args];
    const result = spawnSync(command, words, { cwd: root, stdio: "inherit", timeout: 300_000 });
    if (result.status === 0) passed += 1;
    else failed.push(`${name}: ${result.signal ?? `exit ${result.status}`}`);
  }
  for (const line of failed) process.stderr.write(`${title}: failed: ${line}\n`);
  process.stdout.write(`${title}: ${passed} passed, ${failed.length} failed\n`);
  return failed.length === 0;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  if (!has(cc)) refuse("a C compiler is needed (gcc)", "sudo apt-get install -y gcc libc6-dev");
  if (process.argv.includes("--test")) process.exit(await runNativeTests({ only: process.argv[process.argv.indexOf("--test") + 1] }) ? 0 : 1);
  if (process.argv.includes("--programs")) {
    await buildPrograms();
    process.exit(0);
  }
  if (process.argv.includes("--bench")) {
    const [only, ...args] = process.argv.slice(process.argv.indexOf("--bench") + 1);
    for (const { path } of buildBenches({ only })) run(path, args);
    process.exit(0);
  }
  buildAddons();
}
