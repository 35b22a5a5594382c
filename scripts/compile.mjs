// How C is compiled here: `compile` makes one file from its sources, `compileTogether` many programs that share sources. Warnings are errors. Nothing is done again that is up to date.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { dist, existsSync, files, fingerprint, has, join, mkdirSync, readFileSync, readIfThere, relative, root, run, statSync, unlessStamped } from "./lib.mjs";

export const cc = process.env.CC ?? (has("gcc") ? "gcc" : "cc");
const warnings = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Wstrict-prototypes"];

const includes = (manifest) => (manifest.include ?? []).map((name) => `-I${manifest.at(name)}`);
/** Without the folder that the project lies in: a copy of it is as up to date as it was. */
const rootless = (words) => words.map((word) => word.replace(root, "")).join(" ");

// ---- One file ------------------------------------------------------------------------------------------------------------------------------------

function headersBeside(manifest) {
  const folders = new Set([manifest.folder, ...(manifest.include ?? []).map(manifest.at)]);
  return [...folders].flatMap((folder) => files(folder, (path) => path.endsWith(".h") || path.endsWith(".inc")));
}

export function compile({ manifest, sources, output, flags, libs, compiler = cc }) {
  const inputs = sources.map(manifest.at);
  const command = [compiler, ...warnings, ...flags, ...includes(manifest), ...inputs, "-o", output, ...(libs ?? manifest.libs ?? [])];
  const print = fingerprint([...inputs, ...headersBeside(manifest), manifest.path], rootless(command));
  unlessStamped({ stampFile: `${output}.stamp`, print, result: output }, () => {
    process.stdout.write(`  cc ${relative(root, output)}\n`);
    run(command[0], command.slice(1));
  });
}

// ---- Many programs -------------------------------------------------------------------------------------------------------------------------------

/**
 * Makes every program of `jobs`, each { manifest, sources, output, flags, libs, compiler }. A source that several name with the same flags is compiled once, and as many compilers run as there are
 * processors. The first error ends the script. Others may build the same at the same time, and programs may run while they are replaced.
 */
export async function compileTogether(jobs, { objectDir = join(dist, "native/objects") } = {}) {
  mkdirSync(objectDir, { recursive: true });
  const lanes = new Lanes(availableParallelism());
  const objects = new Map();
  await Promise.all(jobs.map(async ({ manifest, sources, output, flags, libs = manifest.libs ?? [], compiler = cc }) => {
    const made = await Promise.all(sources.map((source) => {
      const command = [compiler, ...warnings, ...flags.filter((flag) => !isForTheLinker(flag)), ...includes(manifest), "-c", manifest.at(source)];
      const key = [versionOf(compiler), rootless(command)].join("\n");
      const path = join(objectDir, `${createHash("sha256").update(key).digest("hex").slice(0, 16)}-${basename(source, ".c")}.o`);
      if (!objects.has(path)) objects.set(path, makeObject(lanes, command, path));
      return objects.get(path);
    }));
    const command = [compiler, ...flags, ...made, ...libs];
    // Which objects they are, not what they should have been made from: one that was replaced, or is not trusted, is another one the next time.
    const print = fingerprint([], [rootless(command), ...made.map(identityOf)].join(" "));
    if (existsSync(output) && readIfThere(`${output}.stamp`) === print) return;
    await lanes.run([...command, "-o", inProgress(output)], { first: true });
    rmSync(`${output}.stamp`, { force: true });
    renameSync(inProgress(output), output);
    writeWhole(`${output}.stamp`, print);
    process.stdout.write(`  cc ${relative(root, output)}\n`);
  }));
}

/** Clang takes it for a mistake when it is told so and does not link. */
const isForTheLinker = (flag) => flag.startsWith("-Wl,") || flag === "-static" || flag === "-shared";

/** The object of `command` at `path`, which is returned. What it was made from is kept beside it, as the compiler says it. */
async function makeObject(lanes, command, path) {
  const stamp = `${path}.json`;
  const printOf = (dependencies) => fingerprint(dependencies.map((name) => join(root, name)));
  if (existsSync(path) && isFresh(readIfThere(stamp), printOf)) return path;
  const [object, rule] = [inProgress(path), inProgress(`${path}.d`)];
  const { startedMs } = await lanes.run([...command, "-MMD", "-MF", rule, "-o", object]);
  const dependencies = dependenciesOf(readFileSync(rule, "utf8"));
  rmSync(rule);
  rmSync(stamp, { force: true });
  renameSync(object, path);
  // What was changed while it was read is compiled again the next time.
  if (dependencies.every((name) => statSync(join(root, name)).ctimeMs < startedMs)) writeWhole(stamp, JSON.stringify({ print: printOf(dependencies), dependencies }));
  return path;
}

function isFresh(stamp, printOf) {
  if (stamp === undefined) return false;
  const { print, dependencies } = JSON.parse(stamp);
  return dependencies.every((name) => existsSync(join(root, name))) && printOf(dependencies) === print;
}

/** Of a rule for make, as `-MMD` writes it: what means something to make has a mark before it, lines that go on a backslash at their end. */
function dependenciesOf(rule) {
  const [, ...names] = rule.replaceAll("\\\n", " ").trim().split(/(?<!\\)\s+/);
  return names.map((name) => relative(root, name.replace(/\\([ #])/g, "$1").replaceAll("$$", "$")));
}

const versions = new Map();
/** Objects of two compilers are not linked with each other. */
function versionOf(compiler) {
  if (!versions.has(compiler)) versions.set(compiler, spawnSync(compiler, ["--version"], { encoding: "utf8" }).stdout?.split("\n", 1)[0]);
  return versions.get(compiler);
}

// ---- Files that others may be writing --------------------------------------------------------------------------------------------------------------

const inProgress = (path) => `${path}.${process.pid}`;

function identityOf(path) {
  const { size, mtimeNs } = statSync(path, { bigint: true });
  return `${basename(path)} ${size} ${mtimeNs}`;
}

/** Cut short, there is nothing. */
function writeWhole(path, text) {
  writeFileSync(inProgress(path), text);
  renameSync(inProgress(path), path);
}

/** So many commands at a time, in the order in which they came; `first` goes before those that wait. */
class Lanes {
  #free;
  #waiting = [];
  #running = new Set();

  constructor(free) {
    this.#free = free;
  }

  /** Returns when it was its turn, by the clock of files. */
  async run([program, ...words], { first = false } = {}) {
    if (this.#free === 0) await new Promise((resolve) => (first ? this.#waiting.unshift(resolve) : this.#waiting.push(resolve)));
    else this.#free -= 1;
    const startedMs = Date.now();
    const child = spawn(program, words, { cwd: root, stdio: "inherit" });
    this.#running.add(child);
    const [code, signal] = await new Promise((resolve) => {
      child.on("error", (error) => {
        process.stderr.write(`ipcnet: cannot run ${program}: ${error.message}\n`);
        resolve([1, null]);
      });
      child.on("exit", (...end) => resolve(end));
    });
    this.#running.delete(child);
    if (code !== 0) {
      for (const other of this.#running) other.kill();
      process.exit(signal === null ? code : 130);
    }
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
    return { startedMs };
  }
}
