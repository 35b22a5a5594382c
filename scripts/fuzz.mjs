// Feeds random and mutated inputs to everything that parses. `npm run fuzz -- [--inputs N] [--only NAME] [--seed S]`
// A folder's fuzz.ts exports `fuzzTargets: { name, run(input), seeds?: Uint8Array[] }[]`; `run` throws only on a bug.
// Each target runs in a worker of its own: a crash, an input that takes longer than HANG_MS, or memory that keeps growing fails the run;
// the seed and the input (hex) are printed, and `--seed S --only NAME` repeats it.
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { pathToFileURL } from "node:url";
import { dist, files, join, relative } from "./lib.mjs";

const HANG_MS = 10_000;
const INPUT_BYTES_MAX = 4_096;
/** Growth of the heap over a run that means a leak, not a cache. */
const GROWTH_BYTES_MAX = 128 << 20;

if (isMainThread) await main();
else await fuzzOne(workerData);

async function main() {
  const option = (name, fallback) => { const at = process.argv.indexOf(`--${name}`); return at < 0 ? fallback : process.argv[at + 1]; };
  const inputs = Number(option("inputs", 1_000_000));
  const seed = Number(option("seed", Math.floor(Math.random() * 2 ** 31)));
  const only = option("only");
  const jobs = [];
  for (const path of files(join(dist, "ts"), (name) => name.endsWith("/fuzz.js"))) {
    const { fuzzTargets } = await import(pathToFileURL(path));
    for (const [index, target] of fuzzTargets.entries()) if (!only || target.name.includes(only)) jobs.push({ path, index, name: target.name });
  }
  if (jobs.length === 0) { process.stderr.write("no fuzz target matches\n"); process.exit(1); }
  process.stdout.write(`fuzzing ${jobs.length} targets with ${inputs.toLocaleString("en")} inputs each, seed ${seed}\n`);
  let failed = 0;
  const next = async () => { for (let job = jobs.shift(); job; job = jobs.shift()) if (!(await runJob({ ...job, inputs, seed }))) failed += 1; };
  await Promise.all([next(), next()]);
  process.stdout.write(`fuzz: ${failed === 0 ? "no crash, no hang, no growth" : `${failed} targets failed`}\n`);
  process.exit(failed === 0 ? 0 : 1);
}

function runJob(job) {
  return new Promise((resolve) => {
    const shared = new SharedArrayBuffer(8 + INPUT_BYTES_MAX);
    const worker = new Worker(new URL(import.meta.url), { workerData: { ...job, shared } });
    const state = new Int32Array(shared, 0, 2);
    let last = -1;
    const startMs = Date.now();
    const end = (ok, text) => {
      clearInterval(watch);
      void worker.terminate();
      const rate = Math.round((Math.max(1, Atomics.load(state, 0)) / Math.max(1, Date.now() - startMs)) * 1e3);
      process.stdout.write(`  ${ok ? "ok    " : "FAILED"} ${job.name} (${relative(join(dist, "ts"), job.path)}) ${rate.toLocaleString("en")}/s ${text}\n`);
      resolve(ok);
    };
    const inputHex = () => Buffer.from(new Uint8Array(shared, 8, Atomics.load(state, 1))).toString("hex");
    const watch = setInterval(() => {
      const count = Atomics.load(state, 0);
      if (count === last) end(false, `hangs at input ${count}: ${inputHex()}`);
      last = count;
    }, HANG_MS);
    worker.on("message", ({ ok, text }) => end(ok, text));
    worker.on("error", (error) => end(false, `${error.stack ?? error} at input ${Atomics.load(state, 0)}: ${inputHex()}`));
  });
}

async function fuzzOne({ path, index, inputs, seed, shared }) {
  const { fuzzTargets } = await import(pathToFileURL(path));
  const target = fuzzTargets[index];
  const state = new Int32Array(shared, 0, 2);
  const current = new Uint8Array(shared, 8);
  const random = xorshift(seed ^ (index * 0x9e3779b9));
  const seeds = target.seeds ?? [];
  let baseline = 0;
  for (let count = 0; count < inputs; count++) {
    const input = makeInput(random, seeds);
    Atomics.store(state, 1, input.length);
    current.set(input);
    Atomics.store(state, 0, count);
    target.run(input);
    // What a target left for the end of the turn is done now and then: it would look like memory that is kept.
    if (count % 256 === 0) await Promise.resolve();
    if (count === Math.floor(inputs / 4)) baseline = heapAfterCollection();
  }
  const growth = heapAfterCollection() - baseline;
  // eslint-disable-next-line unicorn/require-post-message-target-origin -- a worker, not a window
  parentPort.postMessage(growth > GROWTH_BYTES_MAX ? { ok: false, text: `heap grew by ${growth >> 20} MiB` } : { ok: true, text: "" });
}

function heapAfterCollection() {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

/** A seed mutated a few times, or random bytes, or random printable text. */
function makeInput(random, seeds) {
  const kind = random() % 8;
  let bytes;
  if (seeds.length > 0 && kind < 6) bytes = Uint8Array.from(seeds[random() % seeds.length].subarray(0, INPUT_BYTES_MAX));
  else {
    bytes = new Uint8Array(random() % (kind === 7 ? 1024 : 64));
    for (let i = 0; i < bytes.length; i++) bytes[i] = kind === 6 ? 32 + (random() % 95) : random();
  }
  for (let n = random() % 6; n > 0 && bytes.length > 0; n--) {
    const at = random() % bytes.length;
    switch (random() % 6) {
      case 0: bytes[at] ^= 1 << (random() % 8); break;
      case 1: bytes[at] = [0, 1, 0x7f, 0x80, 0xff, 0x0d, 0x0a, 0x20, 0x22, 0x3a][random() % 10]; break;
      case 2: bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(Math.min(bytes.length, at + 1 + (random() % 8)))]); break;
      case 3: bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at, at + (random() % 32)), ...bytes.subarray(at)]).subarray(0, INPUT_BYTES_MAX); break;
      case 4: bytes = bytes.slice(0, at); break;
      default: if (seeds.length > 0) {
        const other = seeds[random() % seeds.length];
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...other.subarray(random() % (other.length + 1))]).subarray(0, INPUT_BYTES_MAX);
      }
    }
  }
  return bytes;
}

function xorshift(seed) {
  let x = seed | 0 || 1;
  return () => {
    x ^= x << 13; x ^= x >>> 17; x ^= x << 5;
    return x >>> 0;
  };
}
