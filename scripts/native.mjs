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
import { dist, files, fingerprint, has, join, mkdirSync, readFileSync, refuse, relative, root, run, storeys, unlessStamped } from "./lib.mjs";

export const cc = process.env.CC ?? (has("gcc") ? "gcc" : "cc");
const warnings = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Wstrict-prototypes"];
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

function headersBeside(manifest) {
  const folders = new Set([manifest.folder, ...(manifest.include ?? []).map(manifest.at)]);
  return [...folders].flatMap((folder) => files(folder, (path) => path.endsWith(".h") || path.endsWith(".inc")));
}

export function compile({ manifest, sources, output, flags, libs, compiler = cc }) {
  const inputs = sources.map(manifest.at);
  const command = [compiler, ...warnings, ...flags, ...(manifest.include ?? []).map((name) => `-I${manifest.at(name)}`), ...inputs, "-o", output, ...(libs ?? manifest.libs ?? [])];
  const print = fingerprint([...inputs, ...headersBeside(manifest), manifest.path], command.map((word) => word.replace(root, "")).join(" "));
  unlessStamped({ stampFile: `${output}.stamp`, print, result: output }, () => {
    process.stdout.write(`  cc ${relative(root, output)}\n`);
    run(command[0], command.slice(1));
  });
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

/** Builds every program that tests start. */
export function buildPrograms() {
  mkdirSync(testDir, { recursive: true });
  for (const manifest of manifests()) {
    for (const { name, sources, libs, flags = [] } of manifest.programs ?? []) {
      compile({ manifest, sources, output: join(testDir, name), libs: libs ?? manifest.libs, flags: [...sanitized("-fsanitize=address,undefined"), ...flags] });
    }
  }
}

/** Builds and runs every C test; returns how many passed. */
export function runNativeTests({ only } = {}) {
  mkdirSync(testDir, { recursive: true });
  let passed = 0;
  const failed = [];
  for (const manifest of manifests()) {
    for (const test of manifest.tests ?? []) {
      if (only && !test.name.includes(only)) continue;
      const builds = [{ suffix: "asan", sanitizer: "-fsanitize=address,undefined" }];
      if (test.tsan) builds.push({ suffix: "tsan", sanitizer: "-fsanitize=thread" });
      for (const build of builds) {
        const output = join(testDir, `${test.name}.${build.suffix}`);
        compile({ manifest, sources: test.sources, output, libs: test.libs ?? manifest.libs,
          flags: [...sanitized(build.sanitizer), ...(test.flags ?? [])] });
        const result = spawnSync(output, test.args ?? [], { cwd: root, stdio: "inherit", timeout: 300_000 });
        if (result.status === 0) passed += 1;
        else failed.push(`${test.name} (${build.suffix}): ${result.signal ?? `exit ${result.status}`}`);
      }
    }
  }
  for (const line of failed) process.stderr.write(`C test failed: ${line}\n`);
  process.stdout.write(`C tests: ${passed} passed, ${failed.length} failed\n`);
  return failed.length === 0;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  if (!has(cc)) refuse("a C compiler is needed (gcc)", "sudo apt-get install -y gcc libc6-dev");
  if (process.argv.includes("--test")) process.exit(runNativeTests({ only: process.argv[process.argv.indexOf("--test") + 1] }) ? 0 : 1);
  if (process.argv.includes("--programs")) {
    buildPrograms();
    process.exit(0);
  }
  if (process.argv.includes("--bench")) {
    const [only, ...args] = process.argv.slice(process.argv.indexOf("--bench") + 1);
    for (const { path } of buildBenches({ only })) run(path, args);
    process.exit(0);
  }
  buildAddons();
}
