// How C is compiled here: `compile` makes one file from its sources, `compileTogether` many programs that share sources. Warnings are errors. Nothing is done again that is up to date.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { dist, existsSync, files, fingerprint, has, join, mkdirSync, readFileSync, relative, root, run, statSync, unlessStamped } from "./lib.mjs";

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
 * processors. The first error ends the script.
 */
export async function compileTogether(jobs, { objectDir = join(dist, "native/objects") } = {}) {
  mkdirSync(objectDir, { recursive: true });
  const lanes = new Lanes(availableParallelism());
  const objects = new Map();
  await Promise.all(jobs.map(async ({ manifest, sources, output, flags, libs = manifest.libs ?? [], compiler = cc }) => {
    const parts = sources.map((source) => {
      const command = [compiler, ...warnings, ...flags.filter((flag) => !isForTheLinker(flag)), ...includes(manifest), "-c", manifest.at(source)];
      const name = `${createHash("sha256").update(rootless(command)).digest("hex").slice(0, 16)}-${basename(source, ".c")}.o`;
      if (!objects.has(name)) objects.set(name, makeObject(lanes, command, join(objectDir, name)));
      return objects.get(name);
    });
    const made = await Promise.all(parts);
    const command = [compiler, ...flags, ...made.map(({ path }) => path), ...libs];
    const print = fingerprint([], [rootless(command), ...made.map((part) => part.print)].join(" "));
    if (isStamped(output, print)) return;
    await lanes.run([...command, "-o", inProgress(output)], { first: true });
    rmSync(`${output}.stamp`, { force: true });
    renameSync(inProgress(output), output);
    writeFileSync(`${output}.stamp`, print);
    process.stdout.write(`  cc ${relative(root, output)}\n`);
  }));
}

/** Others may build the same at the same time, or run what was there. */
const inProgress = (path) => `${path}.${process.pid}`;
/** Clang takes it for a mistake when it is told so and does not link. */
const isForTheLinker = (flag) => flag.startsWith("-Wl,") || flag === "-static" || flag === "-shared";
const isStamped = (output, print) => existsSync(output) && existsSync(`${output}.stamp`) && readFileSync(`${output}.stamp`, "utf8") === print;

/** The object of `command` at `path`; what it was made from is kept beside it, as the compiler says it. Returns { path, print }. */
async function makeObject(lanes, command, path) {
  const stamp = `${path}.json`;
  const known = existsSync(path) && existsSync(stamp) ? JSON.parse(readFileSync(stamp, "utf8")) : undefined;
  const printOf = (dependencies) => fingerprint(dependencies.map((name) => join(root, name)), rootless(command));
  if (known?.dependencies.every((name) => existsSync(join(root, name))) && printOf(known.dependencies) === known.print) return { path, print: known.print };
  const [object, rule] = [inProgress(path), inProgress(`${path}.d`)];
  const { startedMs } = await lanes.run([...command, "-MMD", "-MF", rule, "-o", object]);
  const dependencies = dependenciesOf(readFileSync(rule, "utf8"));
  const print = printOf(dependencies);
  rmSync(rule);
  rmSync(stamp, { force: true });
  renameSync(object, path);
  // What was changed while it was read is compiled again the next time.
  if (dependencies.every((name) => statSync(join(root, name)).mtimeMs < startedMs)) writeFileSync(stamp, JSON.stringify({ print, dependencies }));
  return { path, print };
}

/** Of a rule for make, as `-MMD` writes it: spaces in names have a backslash before them, lines that go on one at their end. */
function dependenciesOf(rule) {
  const [, ...names] = rule.replaceAll("\\\n", " ").trim().split(/(?<!\\)\s+/);
  return names.map((name) => relative(root, name.replaceAll("\\ ", " ")));
}

/** So many commands at a time, in the order in which they came; `first` goes before those that wait. */
class Lanes {
  #free;
  #waiting = [];
  #running = new Set();

  constructor(lanes) {
    this.#free = lanes;
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
