// Tests that a busy machine must not break: `npm run shake -- SUBSTR [--times N] [--burners N] [--one-core] [--freeze-ms MS] [--limit-s S]` runs each test file whose path contains SUBSTR (or that is
// named by its path) again and again, beside programs that keep the processors busy, and makes the whole of it stand still at random moments as a machine does: the test with every process that it has
// started. Prints what failed and where its output is (dist/shake). Build first: `npm run build`.
import { spawn, spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { readdirSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { dist, existsSync, files, join, mkdirSync, readFileSync, refuse, relative, statSync } from "./lib.mjs";
import { buildPrograms } from "./native.mjs";

const { values, positionals: [only, ...more] } = parseArgs({
  allowPositionals: true,
  options: {
    times: { type: "string", default: "20" },
    /** How many programs use a processor each, as much as they get. */
    burners: { type: "string", default: String(availableParallelism() + 1) },
    /** Everything shares the first processor. */
    "one-core": { type: "boolean", default: false },
    /** For how long everything stands still, again and again; 0: never. */
    "freeze-ms": { type: "string", default: "1500" },
    /** A run that takes longer hangs. */
    "limit-s": { type: "string", default: "900" },
  },
});
if (only === undefined || more.length > 0) refuse("which tests? npm run shake -- SUBSTR [--times N] [--burners N] [--one-core] [--freeze-ms MS] [--limit-s S]");
/** Of an option. */
function numberOf(name) {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 0) refuse(`--${name} is a number`);
  return value;
}
const [times, burners, freezeMs, limitS] = ["times", "burners", "freeze-ms", "limit-s"].map(numberOf);
const isFile = existsSync(only) && statSync(only).isFile();
const tests = isFile ? [only] : files(join(dist, "ts"), (path) => path.endsWith(".test.js") && relative(dist, path).includes(only));
if (tests.length === 0) refuse(`no test file matches ${only}`, "npm run build");
if (!isFile) await buildPrograms();

/** Between two times of standing still, ms: some tests are over before the first, most meet several. */
const RUNNING_MS = [300, 4_000];
const pinned = values["one-core"] && spawnSync("taskset", ["-V"]).error === undefined ? ["taskset", "-c", "0"] : [];
if (values["one-core"] && pinned.length === 0) refuse("there is no taskset", "sudo apt-get install -y util-linux");
const logs = join(dist, "shake");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const start = (words, options) => {
  const [command, ...args] = [...pinned, process.execPath, ...words];
  return spawn(command, args, options);
};

/** Every process: its parent, its group, and whether it stands still already (proc(5)). */
function processes() {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const [state, parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return [{ pid: Number(pid), state, parent: Number(parent), group: Number(group) }];
    } catch {
      return []; // it has ended between the two looks
    }
  });
}

/** The leader of a group with all that it has started, also in groups of their own, and what has lost its parent; the leader first. */
function familyOf(leader) {
  const all = processes();
  const family = new Set([leader]);
  for (const pid of family) for (const { pid: child, parent } of all) if (parent === pid) family.add(child);
  return all.filter(({ pid, group, state }) => (family.has(pid) || group === leader) && state !== "Z").sort((a, b) => Number(b.pid === leader) - Number(a.pid === leader));
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

/** All stand still for a while; whom the test itself has stopped stays so. */
async function freeze(leader) {
  const stopped = new Set();
  for (let found = -1; stopped.size > found;) {
    found = stopped.size;
    for (const { pid, state } of familyOf(leader)) {
      if (state === "T" || stopped.has(pid)) continue;
      signal(pid, "SIGSTOP");
      stopped.add(pid);
    }
  }
  await sleep(freezeMs);
  // The one that started the others last: nobody goes on alone for long.
  for (const pid of [...stopped].reverse()) signal(pid, "SIGCONT");
}

/** The test that runs. */
let running;

/** Runs a test file once; resolves with why it failed, undefined: it has not. */
async function runOnce(path) {
  const child = start(["--enable-source-maps", "--test-reporter=tap", path], { stdio: ["ignore", "pipe", "pipe"], detached: true, env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  running = child.pid;
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const ended = new Promise((resolve) => child.on("exit", (code, name) => resolve(code ?? name)));
  const closed = new Promise((resolve) => child.on("close", resolve));
  const limit = setTimeout(() => {
    output += `\n# not over within ${limitS} s: ${familyOf(child.pid).map(({ pid }) => pid).join(" ")}\n`;
    for (const { pid } of familyOf(child.pid)) signal(pid, "SIGKILL");
  }, limitS * 1e3);
  let frozen = 0;
  const freezing = (async () => {
    if (freezeMs === 0) return;
    for (;;) {
      await Promise.race([ended, sleep(RUNNING_MS[0] + Math.random() * (RUNNING_MS[1] - RUNNING_MS[0]))]);
      if (child.exitCode !== null || child.signalCode !== null) return;
      await freeze(child.pid);
      frozen += 1;
    }
  })();
  const code = await ended;
  clearTimeout(limit);
  const left = familyOf(child.pid);
  for (const { pid } of left) signal(pid, "SIGKILL");
  await Promise.all([closed, freezing]);
  running = undefined;
  const failed = [...output.matchAll(/^ *not ok \d+ - (.*)$/gm)].map(([, name]) => name);
  const why = [...(code === 0 ? [] : [`ended with ${code}`, ...failed]), ...(left.length > 0 ? [`left ${left.length} processes behind`] : [])];
  return { why, output, frozen };
}

// Nothing of it goes on alone: neither what keeps the processors busy nor a test that stands still.
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => {
  for (const { pid } of running === undefined ? [] : familyOf(running)) signal(pid, "SIGKILL");
  for (const child of busy) child.kill("SIGKILL");
  process.exit(130);
});
mkdirSync(logs, { recursive: true });
const busy = Array.from({ length: burners }, () => start(["-e", "for (;;);"], { stdio: "ignore" }));
let failures = 0;
try {
  for (const path of tests) {
    const name = basename(path).replace(/(\.test)?\.m?js$/, "");
    const bad = [];
    let frozen = 0;
    const startedMs = performance.now();
    for (let round = 1; round <= times; round++) {
      const run = await runOnce(path);
      frozen += run.frozen;
      if (run.why.length === 0) continue;
      const log = join(logs, `${name}-${round}.log`);
      writeFileSync(log, run.output);
      bad.push(`  run ${round}: ${run.why.join("; ")}\n    ${relative(process.cwd(), log)}\n`);
    }
    failures += bad.length;
    process.stdout.write(`${bad.length === 0 ? "ok " : "BAD"} ${name}: ${times - bad.length} of ${times} runs passed, ${((performance.now() - startedMs) / 1e3 / Math.max(1, times)).toFixed(1)} s each, stood still ${frozen} times\n${bad.join("")}`);
  }
} finally {
  for (const child of busy) child.kill("SIGKILL");
}
process.exit(failures === 0 ? 0 : 1);
