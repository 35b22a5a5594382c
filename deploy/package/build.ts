/** The edge that puts a package together: fetches the runtime and the npm packages, lays out the tree, calls dpkg-deb. What goes where is in `tree.ts`, the texts are in `control.ts`. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, lutimesSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { projectRoot, version } from "../../gateway/cli/root.ts";
import { configSchema } from "../../schemas/messages/configSchema.ts";
import { configurationPage, programPage, type SchemaNode } from "../man/pages.ts";
import { changelog, conffiles, control, copyright, shlibs, triggers, type Licence } from "./control.ts";
import { compareVersions, elfMachine, newestVersion } from "./elf.ts";
import { isWantedOfModules, runtime, targets, type DebianArch, type Target } from "./target.ts";
import { foldersOf, isWantedOfDist, modeOf, scripts, sources } from "./tree.ts";

export interface PackageOptions {
  arch: DebianArch;
  /** Where the C parts for that architecture are. */
  native: string;
  /** A folder of our own to work in. */
  work: string;
  /** Where the package goes. */
  out: string;
  /** For a machine that is too slow to unpack it (hil-tests/rig); the same files. */
  uncompressed?: boolean;
}

/** Returns the package's path. Throws with one sentence when something is missing. */
export async function buildPackage({ arch, native, work, out, uncompressed = false }: PackageOptions): Promise<string> {
  const root = projectRoot();
  const target = targets[arch];
  const tree = join(work, "tree");
  rmSync(tree, { recursive: true, force: true });
  const wallTimeS = sourceDate(root);
  const modules = installModules({ root, work, target });
  const node = fetchRuntime({ work: dirname(work), target });
  const put = (path: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
  };
  const copy = (from: string, path: string): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    cpSync(from, join(tree, path), { verbatimSymlinks: true });
  };

  // Our programs.
  for (const path of filesBelow(join(root, "dist/ts")).filter(isWantedOfDist)) copy(join(root, "dist/ts", path), `usr/lib/ipcnet/dist/ts/${path}`);
  for (const name of ["ipcnet_shm.node", "ipcnet_can.node", "ipcnet-reflex", "ipcnet-purge"]) copy(join(native, name), `usr/lib/ipcnet/dist/native/${name}`);
  for (const path of filesBelow(modules).filter((each) => isWantedOfModules(`node_modules/${each}`, target.nodeArch))) copy(join(modules, path), `usr/lib/ipcnet/node_modules/${path}`);
  copy(join(node, "bin/node"), "usr/lib/ipcnet/node/bin/node");
  for (const path of filesBelow(join(tree, "usr/lib/ipcnet")).filter((each) => each.endsWith(".node") || each === "node/bin/node")) stripForeign(join(tree, "usr/lib/ipcnet", path), target);
  const { name, description, type, exports, dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, unknown>;
  put("usr/lib/ipcnet/package.json", `${JSON.stringify({ name, version: version(), description, type, exports, dependencies }, null, 2)}\n`);
  for (const file of ["ipcnet.mjs", "ipcnetd.mjs"]) copy(join(root, "bin", file), `usr/lib/ipcnet/bin/${file}`);
  for (const [path, text] of scripts) put(path, text);

  // The C library and the Python package.
  const library = `usr/lib/${target.triplet}`;
  for (const file of ["libipcnet.so.0", "libipcnet.a"]) copy(join(native, file), `${library}/${file}`);
  symlinkSync("libipcnet.so.0", join(tree, library, "libipcnet.so"));
  for (const header of readdirSync(native).filter((each) => /\.(?:h|hpp)$/.test(each))) copy(join(native, header), `usr/include/${header}`);
  put(`${library}/pkgconfig/ipcnet.pc`, `prefix=/usr\nlibdir=\${prefix}/lib/${target.triplet}\nincludedir=\${prefix}/include\n\nName: ipcnet\nDescription: ${String(description)}\nVersion: ${version()}\nCflags: -I\${includedir}\nLibs: -L\${libdir} -lipcnet\nLibs.private: -lpthread\n`);
  for (const path of filesBelow(join(root, "shm/python/ipcnet")).filter((each) => /\.py$|py\.typed$/.test(each))) copy(join(root, "shm/python/ipcnet", path), `usr/lib/python3/dist-packages/ipcnet/${path}`);

  // What the system reads.
  for (const [from, path] of sources) copy(join(root, from), path);
  mkdirSync(join(tree, "usr/sbin"), { recursive: true });
  symlinkSync("../lib/ipcnet/dist/native/ipcnet-reflex", join(tree, "usr/sbin/ipcnet-reflex"));
  put("usr/share/ipcnet/config.schema.json", `${JSON.stringify(configSchema, null, 2)}\n`);
  const examples = "usr/share/doc/ipcnet/examples";
  for (const path of filesBelow(join(root, "examples/config"))) copy(join(root, "examples/config", path), `${examples}/${path}`);
  for (const shell of ["bash", "zsh", "fish"] as const) put(completionPath(shell), ask(process.execPath, [join(root, "bin/ipcnet.mjs"), "completion", shell]));

  // For people.
  for (const [path, text] of manualPages(root)) put(`${path}.gz`, zipped(text));
  put("usr/share/doc/ipcnet/copyright", copyright([...licencesOf(tree), { files: "usr/lib/ipcnet/node/*", name: "Node.js", text: "Its licence and those of the libraries in it are in /usr/share/doc/ipcnet/LICENSE.node.gz." }]));
  put("usr/share/doc/ipcnet/LICENSE.node.gz", zipped(readFileSync(join(node, "LICENSE"), "utf8")));
  put("usr/share/doc/ipcnet/changelog.gz", zipped(changelog(version(), wallTimeS)));
  for (const file of ["RASPBERRY-PI.md", "JETSON.md", "README.md"]) copy(join(root, "deploy", file), `usr/share/doc/ipcnet/${file}`);
  put("usr/share/lintian/overrides/ipcnet", readFileSync(join(root, "deploy/debian/lintian-overrides"), "utf8"));

  const paths = filesBelow(tree);
  const libc = judgeBinaries(tree, paths, target);
  const installedKiB = Math.ceil(paths.reduce((sum, path) => sum + Math.ceil(lstatSync(join(tree, path)).size / 1024), 0));
  put("DEBIAN/control", control({ version: version(), target, installedKiB, libc }));
  put("DEBIAN/conffiles", conffiles(paths));
  put("DEBIAN/shlibs", shlibs(version()));
  put("DEBIAN/triggers", triggers);
  put("DEBIAN/md5sums", paths.filter((path) => !path.startsWith("etc/") && !lstatSync(join(tree, path)).isSymbolicLink()).sort().map((path) => `${createHash("md5").update(readFileSync(join(tree, path))).digest("hex")}  ${path}\n`).join(""));
  for (const script of ["postinst", "prerm", "postrm"]) copy(join(root, "deploy/debian", script), `DEBIAN/${script}`);
  settle(tree, wallTimeS);

  mkdirSync(out, { recursive: true });
  const deb = join(out, `ipcnet_${version()}_${arch}.deb`);
  // One thread: with several, xz cuts the data into blocks by the number of processors.
  const packing = uncompressed ? ["-Znone"] : ["-Zxz", "-z6"];
  run("dpkg-deb", ["--root-owner-group", ...packing, "--threads-max=1", "--build", tree, deb], { ...process.env, SOURCE_DATE_EPOCH: String(wallTimeS) }, ["--root-owner-group", ...packing, "--build", tree, deb]);
  process.stdout.write(`${deb}: ${(statSync(deb).size / 1e6).toFixed(1)} MB, ${(installedKiB / 1024).toFixed(0)} MiB installed, sha256 ${createHash("sha256").update(readFileSync(deb)).digest("hex")}\n`);
  return deb;
}

function completionPath(shell: "bash" | "zsh" | "fish"): string {
  return { bash: "usr/share/bash-completion/completions/ipcnet", zsh: "usr/share/zsh/vendor-completions/_ipcnet", fish: "usr/share/fish/vendor_completions.d/ipcnet.fish" }[shell];
}

/** SOURCE_DATE_EPOCH, else the last commit's time, else a day that is never in the future. */
function sourceDate(root: string): number {
  const given = Number(process.env["SOURCE_DATE_EPOCH"] ?? "NaN");
  if (Number.isInteger(given)) return given;
  const commit = Number(spawnSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" }).stdout?.trim() || "NaN");
  return Number.isInteger(commit) ? commit : Date.UTC(2026, 0, 1) / 1e3;
}

/** npm's packages for that machine without what only development needs; again only when the lock file has changed. */
function installModules({ root, work, target }: { root: string; work: string; target: Target }): string {
  const folder = join(work, "npm");
  const stamp = join(folder, ".lock-hash");
  const hash = createHash("sha256").update(readFileSync(join(root, "package-lock.json"))).digest("hex");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== hash) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const file of ["package.json", "package-lock.json", ".npmrc"]) cpSync(join(root, file), join(folder, file));
    // No package's script runs: what is compiled, we compile ourselves.
    run("npm", ["ci", "--prefix", folder, "--omit=dev", "--omit=peer", "--ignore-scripts", "--os=linux", `--cpu=${target.nodeArch}`, "--libc=glibc", "--no-audit", "--no-fund", "--loglevel=error"]);
    writeFileSync(stamp, hash);
  }
  return join(folder, "node_modules");
}

/** Node from npm's registry, checked against the pinned hash. */
function fetchRuntime({ work, target }: { work: string; target: Target }): string {
  const folder = join(work, `node-${runtime.version}-${target.nodeArch}`);
  if (!existsSync(join(folder, "package/bin/node"))) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    run("npm", ["pack", `node-linux-${target.nodeArch}@${runtime.version}`, "--pack-destination", folder, "--loglevel=error"]);
    const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
    if (tarball === undefined) throw new Error("npm pack has left no tarball");
    const found = `sha512-${createHash("sha512").update(readFileSync(join(folder, tarball))).digest("base64")}`;
    if (found !== runtime.integrity[target.nodeArch]) throw new Error(`node-linux-${target.nodeArch}@${runtime.version} is not what was pinned (deploy/package/target.ts): ${found}`);
    run("tar", ["-xzf", join(folder, tarball), "-C", folder, "package/bin/node", "package/LICENSE"]);
    rmSync(join(folder, tarball));
  }
  return join(folder, "package");
}

/** Without the symbols that only a debugger reads: a fifth of the size. */
function stripForeign(path: string, { nodeArch, triplet }: Target): void {
  chmodSync(path, 0o755);
  run(nodeArch === process.arch ? "strip" : `${triplet}-strip`, ["--strip-unneeded", path]);
}

function manualPages(root: string): readonly (readonly [path: string, text: string])[] {
  const daemon = ask(process.execPath, [join(root, "dist/ts/gateway/bin/ipcnetd.js"), "--help"]);
  const reflex = spawnSync(join(root, "dist/native/ipcnet-reflex"), [], { encoding: "utf8" }).stderr;
  const units = "systemctl start ipcnet.target starts everything, systemctl stop ipcnet.target brings the robot to rest first; journalctl -u 'ipcnet*' shows what they say.";
  return [
    ["usr/share/man/man1/ipcnet.1", readFileSync(join(root, "docs/ipcnet.1"), "utf8")],
    ["usr/share/man/man8/ipcnetd.8", programPage({
      name: "ipcnetd", section: 8, about: "the IPCNet gateway", usage: daemon, seeAlso: "ipcnet(1), ipcnet-reflex(8), ipcnet.yaml(5)", more: [
        { title: "DESCRIPTION", lines: ["Bridges the programs of a robot with its CAN, serial and MQTT nodes. As a service it is ipcnetd@a and ipcnetd@b, one of which stands by.", units] },
        { title: "EXIT STATUS", lines: ["0 stopped, and the safe pose was measured. 1 stopped, but the verdict is not \"posed\". 2 wrong usage, or a configuration that is refused. 3 a link or the client socket could not be opened."] },
        { title: "FILES", lines: ["/etc/ipcnet/ipcnet.yaml, /run/ipcnet/ipcnet.sock, /var/lib/ipcnet/brain-epoch"] },
      ],
    })],
    ["usr/share/man/man8/ipcnet-reflex.8", programPage({
      name: "ipcnet-reflex", section: 8, about: "owns the CAN buses of a robot, whatever becomes of the gateway", usage: reflex, seeAlso: "ipcnet(1), ipcnetd(8), ipcnet.yaml(5)", more: [
        { title: "DESCRIPTION", lines: ["As a service it is ipcnet-reflex@a and ipcnet-reflex@b: one owns the buses, the other takes over within a millisecond when it dies.", units] },
        { title: "FILES", lines: ["/etc/ipcnet/reflex.env, /run/ipcnet/reflex-a.sock, /run/ipcnet/reflex.lock, /var/lib/ipcnet/a, /var/lib/ipcnet/b"] },
      ],
    })],
    ["usr/share/man/man5/ipcnet.yaml.5", configurationPage(configSchema as SchemaNode)],
  ];
}

function licencesOf(tree: string): readonly Licence[] {
  const modules = "usr/lib/ipcnet/node_modules";
  return filesBelow(join(tree, modules)).filter((path) => /(?:^|\/)licen[cs]e[^/]*$/i.test(path)).map((path) => {
    const folder = dirname(path);
    const about = JSON.parse(readFileSync(join(tree, modules, folder, "package.json"), "utf8")) as { license?: string; name?: string };
    return { files: `${modules}/${folder}/*`, name: about.license ?? "see-below", text: readFileSync(join(tree, modules, path), "utf8") };
  });
}

/** Everything compiled is for this machine; returns the newest C library that any of it needs. */
function judgeBinaries(tree: string, paths: readonly string[], { machine, arch }: Target): readonly number[] {
  let libc: readonly number[] = [2, 28];
  let binaries = 0;
  for (const path of paths.filter((each) => !lstatSync(join(tree, each)).isSymbolicLink())) {
    const bytes = readFileSync(join(tree, path));
    const found = elfMachine(bytes);
    if (found === undefined) continue;
    binaries += 1;
    if (found !== machine) throw new Error(`${path} is not for ${arch} (ELF machine ${found})`);
    const needs = newestVersion(bytes, "GLIBC");
    if (needs !== undefined && compareVersions(needs, libc) > 0) libc = needs;
  }
  if (binaries < 5) throw new Error(`only ${binaries} compiled files are in the package: something is missing`);
  return libc;
}

/** Modes and times that depend on nothing but the sources. */
function settle(tree: string, wallTimeS: number): void {
  for (const path of filesBelow(tree)) {
    const at = join(tree, path);
    if (!lstatSync(at).isSymbolicLink()) chmodSync(at, modeOf(path));
    lutimesSync(at, wallTimeS, wallTimeS);
  }
  for (const folder of foldersOf(filesBelow(tree)).reverse()) {
    chmodSync(join(tree, folder), 0o755);
    lutimesSync(join(tree, folder), wallTimeS, wallTimeS);
  }
}

function zipped(text: string): Uint8Array {
  // zlib writes no name and no time: the same text gives the same bytes.
  return gzipSync(text, { level: 9 });
}

/** Relative paths of all files and links, sorted. */
function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory()).map((entry) => relative(folder, join(entry.parentPath, entry.name))).sort();
}

function ask(command: string, words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, [...words], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${words.join(" ")}: ${error?.message ?? stderr}`);
  return stdout;
}

function run(command: string, words: readonly string[], env: NodeJS.ProcessEnv = process.env, otherwise?: readonly string[]): void {
  const { status, error } = spawnSync(command, [...words], { stdio: ["ignore", otherwise === undefined ? "inherit" : "ignore", otherwise === undefined ? "inherit" : "ignore"], env });
  if (status === 0) return;
  if (otherwise !== undefined) return run(command, otherwise, env);
  throw new Error(`${command} ${words.join(" ")} ended with ${error?.message ?? String(status)}`);
}

