// Tests of the tests: small faults are put into the rules of the reflex, one at a time, and each must make a C test fail.
//   npm run mutate -- [--only SUBSTRING,…] [--sample N] [--seed S] [--jobs N] [--fresh] [--list] [--json FILE]
// All faults are compiled at once (scripts/mutator.mjs): where the source says `a < b`, the mutated one says `(ipcnet_mutant == 17 ? a <= b : a < b)`, so that one build serves them all; the driver
// (failsafe/reflex/mutation/driver.c) forks, wakes one and runs the tests until one fails; each test has ten times the processor time that it
// needs without a mutant, so that a loop that never ends is noticed too. failsafe/reflex/mutation/known.json names those that no test can notice, with the reason
// ("equivalent": true), and those for which there is no test yet. The run fails if one survives that is not named there, if one that is called equivalent is noticed, and if a name fits no mutant any longer.
// Results are kept in dist/mutation: who was noticed by a test is asked again only when the core or that test has changed, who survived when any test has. --fresh forgets them.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { availableParallelism } from "node:os";
import { basename, dirname } from "node:path";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { cc } from "./compile.mjs";
import { manifests } from "./native.mjs";
import { Mutator } from "./mutator.mjs";
import { dist, fingerprint, join, refuse, root } from "./lib.mjs";

const core = join(root, "failsafe/reflex/core");
const here = join(root, "failsafe/reflex/mutation");
const out = join(dist, "mutation");
/** What is mutated, and which tests are asked first; then all others. Static tables are data: they have tests of every cell. */
const targets = {
  "reflex_gate.c": ["gate_edge", "gate", "service", "takeover", "model"],
  "reflex_watch.c": ["watch_edge", "watch", "service", "arming", "claim"],
  "reflex_arming.c": ["arming_edge", "arming", "takeover", "claim"],
  "reflex_bus.c": ["bus_edge", "bus", "compose_edge", "gate", "arming"],
  "reflex_claim.c": ["claim_edge", "claim", "takeover", "arming"],
  "reflex_time.c": ["time"],
  "reflex_plan.c": ["plan_edge", "plan", "plan_cut"],
  "reflex_twin.c": ["twin", "takeover", "claim"],
  "reflex_image.c": ["image", "takeover", "arming", "claim"],
  "reflex_table.c": ["table_edge", "table", "time", "service"],
  "reflex_field.c": ["table_edge", "table"],
  "reflex_protect.c": ["protect", "table", "gate", "watch"],
  "reflex.c": ["compose_edge", "bus_edge", "takeover", "claim", "arming", "gate", "watch", "bus", "deadline"],
};
/** Those that take seconds: what they find here the others find too. `core` is of sizes alone. */
const slow = ["core", "fuzz", "sweep", "twin_model"];
const tests = readdirSync(core).map((name) => /^reflex_(\w+)_test\.c$/.exec(name)?.[1]).filter((name) => name !== undefined && !slow.includes(name));
const flags = ["-std=gnu11", "-O1", "-g0", "-w", "-D_GNU_SOURCE"];
/** Whom the quick one does not notice is asked again with the sanitizers that the tests have in `npm test`, but only the tests of its own file. */
const builds = { quick: ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"], thorough: ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] };

function option(name) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1] ?? "";
}
const flag = (name) => process.argv.includes(`--${name}`);

// ---- Building ------------------------------------------------------------------------------------------------------------------------------------

function cFiles(folder) {
  return readdirSync(folder).filter((name) => /\.[ch]$/.test(name)).map((name) => join(folder, name));
}

/** Everything that the outcome depends on: `core` for all mutants, and each test by itself. */
function fingerprints(manifest) {
  const below = ["../../../drivers/can/core", "../../../schemas/crc/c", "../../../schemas/e2e/c"].flatMap((folder) => cFiles(manifest.at(folder)));
  const ours = cFiles(core).filter((path) => !path.endsWith("_test.c"));
  const base = fingerprint([...ours, ...below, join(here, "driver.c"), join(here, "failFast.h"), join(root, "scripts/mutator.mjs")], JSON.stringify([flags, builds]));
  return { core: base, tests: Object.fromEntries(tests.map((name) => [name, fingerprint([join(core, `reflex_${name}_test.c`)])])) };
}

/** All mutants of the sources, with the mutated text of each file. */
function read(manifest) {
  const mutants = [];
  const texts = new Map();
  for (const source of manifest.groups.reflex) {
    const file = basename(source);
    if (!targets[file]) continue;
    const path = manifest.at(source);
    const mutator = new Mutator(file, readFileSync(path, "utf8"), mutants.length + 1);
    texts.set(file, mutator.mutated().replaceAll(/#include "(\.\.[^"]*)"/g, (_, name) => `#include "${join(dirname(path), name)}"`));
    mutants.push(...mutator.mutants);
  }
  return { mutants, texts };
}

function compile(args) {
  return new Promise((resolve) => {
    let errors = "";
    const child = spawn(cc, [...flags, ...args], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (chunk) => { errors += chunk; });
    child.on("error", (error) => refuse(`cannot run ${cc}: ${error.message}`));
    child.on("exit", (code) => { if (code === 0) resolve(); else refuse(`the mutated source does not compile:\n${errors.slice(0, 4000)}`); });
  });
}

/** Objects whose inputs have not changed are kept. */
async function build(name, manifest, texts, prints, jobs) {
  const folder = join(out, name);
  mkdirSync(folder, { recursive: true });
  const includes = [core, ...manifest.include.map(manifest.at)].map((folder) => `-I${folder}`);
  const objects = [];
  const work = [];
  const unit = (object, print, args) => {
    objects.push(object);
    const stamp = `${object}.stamp`;
    if (existsSync(object) && existsSync(stamp) && readFileSync(stamp, "utf8") === print) return;
    work.push(async () => {
      await compile([...builds[name], ...args, "-o", object]);
      writeFileSync(stamp, print);
    });
  };
  for (const source of manifest.groups.reflex) {
    const file = basename(source);
    const mutated = texts.get(file);
    const path = mutated === undefined ? manifest.at(source) : join(folder, file);
    if (mutated !== undefined) writeFileSync(path, mutated);
    unit(join(folder, `${file}.o`), prints.core, [...includes, "-c", path]);
  }
  for (const test of tests) unit(join(folder, `${test}_test.o`), prints.core + prints.tests[test], [...includes, "-include", join(here, "failFast.h"), `-Dmain=${test}_main`, "-c", join(core, `reflex_${test}_test.c`)]);
  await Promise.all(Array.from({ length: jobs }, async () => { for (let next = work.shift(); next !== undefined; next = work.shift()) await next(); }));
  await compile([...builds[name], `-DTESTS=${tests.map((test) => `TEST(${test})`).join(" ")}`, join(here, "driver.c"), ...objects, "-lm", "-o", join(folder, "mutants")]);
}

// ---- Running -------------------------------------------------------------------------------------------------------------------------------------

/** A driver that answers lines with lines. */
function openDriver(name) {
  const child = spawn(join(out, name, "mutants"), [], { stdio: ["pipe", "pipe", "inherit"], cwd: root });
  const waiting = [];
  let ended = false;
  createInterface({ input: child.stdout }).on("line", (line) => waiting.shift()?.(line));
  child.on("exit", () => { ended = true; for (const wake of waiting.splice(0)) wake(undefined); });
  return {
    ask: (line) => new Promise((resolve) => {
      if (ended) { resolve(undefined); return; }
      waiting.push(resolve);
      child.stdin.write(`${line}\n`);
    }),
    close: () => child.stdin.end(),
  };
}

/** Processor time of every test without a mutant, ms; refuses if one fails. */
async function measure(driver) {
  const times = {};
  for (const name of tests) {
    const [word, ms] = (await driver.ask(`0 ${name}:600000`) ?? "").split(" ");
    if (word !== "survived") refuse(`reflex_${name}_test fails without a mutant`, `node scripts/native.mjs --test reflex_${name}`);
    times[name] = Number(ms);
  }
  return times;
}

/** Asks for each mutant; `settled(mutant, test or undefined)` for each answer. */
async function run(name, mutants, hints, jobs, settled) {
  const drivers = Array.from({ length: jobs }, () => openDriver(name));
  const times = await measure(drivers[0]);
  const quickFirst = [...tests].sort((a, b) => times[a] - times[b]);
  const queue = [...mutants];
  await Promise.all(drivers.map(async (driver) => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const first = [hints.get(mutant.key), ...targets[mutant.file]].filter((name) => tests.includes(name));
      const order = [...new Set(name === "thorough" ? first : [...first, ...quickFirst])];
      const [word, test] = (await driver.ask(`${mutant.id} ${order.map((name) => `${name}:${200 + 10 * times[name]}`).join(",")}`) ?? refuse("the driver of the mutants died")).split(" ");
      settled(mutant, word === "killed" ? test : undefined);
    }
    driver.close();
  }));
}

// ---- What is known -------------------------------------------------------------------------------------------------------------------------------

/** The results of before that still hold: key → test, or null for one that survived. And the test that noticed it last, whether that still holds or not. */
function recall(prints) {
  const path = join(out, "results.json");
  const results = new Map();
  const hints = new Map();
  if (flag("fresh") || !existsSync(path)) return { results, hints };
  const before = JSON.parse(readFileSync(path, "utf8"));
  const sameCore = before.core === prints.core;
  const sameTest = (name) => before.tests[name] === prints.tests[name];
  for (const [key, test] of before.results) {
    if (test !== null) hints.set(key, test);
    if (sameCore && (test === null ? tests.every(sameTest) : sameTest(test))) results.set(key, test);
  }
  return { results, hints };
}

function remember(prints, results, hints) {
  const lines = [...results].map((entry) => JSON.stringify(entry));
  /* What was not asked this time is still a hint. */
  for (const [key, test] of hints) if (!results.has(key)) lines.push(JSON.stringify([key, test]));
  const kept = { core: prints.core, tests: prints.tests };
  writeFileSync(join(out, "results.json"), `{"core":${JSON.stringify(kept.core)},"tests":${JSON.stringify(kept.tests)},"results":[\n${lines.join(",\n")}\n]}\n`);
}

/** key → whether nothing can notice it (else there is no test yet). */
function knownMutants() {
  return new Map(JSON.parse(readFileSync(join(here, "known.json"), "utf8")).flatMap(({ equivalent, mutants }) => mutants.map((key) => [key, equivalent])));
}

/** `count` of them, the same for the same seed. */
function sampled(mutants, count, seed) {
  let state = seed >>> 0 || 1;
  const draw = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return mutants.map((mutant) => ({ mutant, order: draw() })).sort((a, b) => a.order - b.order).slice(0, count).map(({ mutant }) => mutant).sort((a, b) => a.id - b.id);
}

// ---- The whole -----------------------------------------------------------------------------------------------------------------------------------

async function main() {
  if (cc === undefined) refuse("no C compiler found");
  const manifest = manifests().find(({ folder }) => folder === core);
  const { mutants, texts } = read(manifest);
  const known = knownMutants();
  const keys = new Set(mutants.map(({ key }) => key));
  const stale = [...known.keys()].filter((key) => !keys.has(key));
  const only = option("only") ?? "";
  let chosen = mutants.filter(({ file }) => only.split(",").some((part) => file.includes(part)));
  if (flag("list")) {
    for (const { file, line, key } of chosen) process.stdout.write(`${file}:${line}: ${JSON.stringify(key)}\n`);
    return;
  }
  const count = Number(option("sample") ?? 0);
  const seed = Number(option("seed") ?? 1);
  if (count > 0) chosen = sampled(chosen, count, seed);
  const jobs = Math.max(1, Number(option("jobs") ?? availableParallelism()));
  const prints = fingerprints(manifest);
  const startMs = Date.now();
  const { results, hints } = recall(prints);
  const rank = Object.fromEntries(Object.keys(targets).map((file, index) => [file, index]));
  const open = chosen.filter(({ key }) => !results.has(key)).sort((a, b) => rank[a.file] - rank[b.file]);
  if (open.length > 0) {
    let toldMs = Date.now();
    let asked = open;
    for (const name of Object.keys(builds)) {
      await build(name, manifest, texts, prints, jobs);
      const left = [];
      let done = 0;
      await run(name, asked, hints, jobs, (mutant, test) => {
        if (test !== undefined) results.set(mutant.key, test);
        else if (name === "thorough") results.set(mutant.key, null);
        else left.push(mutant);
        done++;
        if (Date.now() - toldMs < 10_000) return;
        toldMs = Date.now();
        remember(prints, results, hints);
        process.stdout.write(`${name}: ${done} of ${asked.length}\n`);
      });
      asked = left;
      if (asked.length === 0) break;
    }
    remember(prints, results, hints);
  }
  const perFile = Object.fromEntries(Object.keys(targets).map((file) => [file, { mutants: 0, killed: 0, equivalent: 0, untested: 0, survived: 0 }]));
  const survivors = [];
  const noticed = [];
  for (const mutant of chosen) {
    const sum = perFile[mutant.file];
    sum.mutants++;
    const survived = results.get(mutant.key) === null;
    if (!survived) sum.killed++;
    else if (known.get(mutant.key) === true) sum.equivalent++;
    else if (known.has(mutant.key)) sum.untested++;
    else sum.survived++;
    if (survived && !known.has(mutant.key)) survivors.push(mutant);
    if (!survived && known.has(mutant.key)) noticed.push({ ...mutant, test: results.get(mutant.key) });
  }
  for (const { file, line, key } of survivors) process.stdout.write(`survived: ${file}:${line}\n  ${JSON.stringify(key)}\n`);
  for (const { file, line, key, test } of noticed) process.stdout.write(`named in known.json, but noticed by reflex_${test}_test: ${file}:${line}\n  ${JSON.stringify(key)}\n`);
  for (const key of stale) process.stdout.write(`named in known.json, but no longer there:\n  ${JSON.stringify(key)}\n`);
  for (const [file, sum] of Object.entries(perFile)) if (sum.mutants > 0) process.stdout.write(`${file.padEnd(18)} ${sum.killed} killed, ${sum.equivalent} equivalent, ${sum.untested} without a test, ${sum.survived} survived of ${sum.mutants}\n`);
  const total = { mutants: chosen.length, killed: 0, equivalent: 0, untested: 0, survived: survivors.length };
  for (const sum of Object.values(perFile)) { total.killed += sum.killed; total.equivalent += sum.equivalent; total.untested += sum.untested; }
  const seconds = Math.round((Date.now() - startMs) / 1e3);
  process.stdout.write(`mutants: ${chosen.length} of ${mutants.length}${count > 0 ? ` (seed ${seed})` : ""}, ${open.length} of them asked in ${seconds} s: ${total.killed} killed, ${total.equivalent} equivalent, ${total.untested} without a test yet, ${total.survived} survived\n`);
  /* One that had no test and has one now is good news: only a claim that nothing can notice it would be false. */
  const failed = survivors.length > 0 || noticed.some(({ key }) => known.get(key) === true) || stale.length > 0;
  const json = option("json");
  if (json) writeFileSync(json, `${JSON.stringify({ ok: !failed, seconds, asked: open.length, total, files: perFile, survived: survivors.map(({ key }) => key), noticed: noticed.map(({ key }) => key), stale }, null, 1)}\n`);
  process.exit(failed ? 1 : 0);
}

await main();
