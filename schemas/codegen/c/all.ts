/**
 * Every database of the field through the C generator: `npm run gen:all`. Each is generated in three arithmetics, compiled without a warning by every compiler that is there, as C and as C++, for 32 and 64 bits,
 * and its reference frames are decoded and packed again by the program. Exit code 1 at the first that fails; what a machine lacks is said in one line and passed over.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { Worker, isMainThread, parentPort } from "node:worker_threads";
import { loadDbcFile } from "../../dbc/index.ts";
import { WARNINGS } from "./harness.ts";
import type { Arithmetic } from "./model.ts";
import { referenceFiles, referenceFolder } from "../../dbc/referenceData.ts";
import { framesByFile, generated, runReference } from "./reference.ts";

interface Compiler {
  name: string;
  command: string;
  flags: readonly string[];
}

/** -O1 for one of them: warnings about what is not initialised need the optimiser. */
const COMPILERS: readonly Compiler[] = [
  { name: "gcc", command: "gcc", flags: ["-std=c99", "-O1", "-ffreestanding"] },
  { name: "gcc, 32 bits", command: "gcc", flags: ["-std=c99", "-m32", "-ffreestanding", "-fsyntax-only"] },
  { name: "clang", command: "clang", flags: ["-std=c99", "-ffreestanding", "-fsyntax-only"] },
  { name: "g++", command: "g++", flags: ["-x", "c++", "-std=c++11", "-fsyntax-only"] },
  { name: "arm-none-eabi-gcc", command: "arm-none-eabi-gcc", flags: ["-std=c99", "-mcpu=cortex-m0plus", "-ffreestanding", "-fsyntax-only"] },
];

interface Job {
  folder: string;
  file: string;
  index: number;
  work: string;
  compilers: readonly Compiler[];
}

async function runJob({ folder, file, index, work, compilers }: Job): Promise<{ frames: number; messages: number; signals: number }> {
  const database = loadDbcFile(join(folder, file));
  let [messages, signals] = [0, 0];
  if (database.messages.length === 0) return { frames: 0, messages, signals };
  for (const [arithmetic, few] of [["double", compilers], ["float", compilers.slice(0, 1)], ["fixed-point", compilers.slice(0, 1)]] as [Arithmetic, readonly Compiler[]][]) {
    const made = generated(database, `g${index}`, arithmetic);
    messages = made.messages.length;
    signals = made.messages.reduce((sum, message) => sum + message.signals.length, 0);
    for (const { name, text } of made.files) writeFileSync(join(work, name), text);
    for (const { name, command, flags } of few) await compile(`${file}, ${arithmetic}, ${name}`, command, [...flags, ...WARNINGS, "-c", `g${index}.c`, ...(flags.includes("-fsyntax-only") ? [] : ["-o", `g${index}.o`])], work);
  }
  const vectors = framesOnce(folder).get(file) ?? [];
  const frames = vectors.length === 0 ? 0 : runReference(folder, file, vectors, { folder: join(work, `h${index}`), flags: ["-O0"] });
  rmSync(join(work, `h${index}`), { recursive: true, force: true });
  return { frames, messages, signals };
}

let vectorsByFile: ReturnType<typeof framesByFile> | undefined;
function framesOnce(folder: string): ReturnType<typeof framesByFile> {
  vectorsByFile ??= framesByFile(folder);
  return vectorsByFile;
}

function compile(told: string, command: string, args: readonly string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`${told}: ${errors.slice(0, 2000)}`))));
  });
}

async function main(): Promise<void> {
  const folder = referenceFolder();
  if (folder === undefined) return void process.stdout.write("gen:all: skipped, the folder ../shared/data is not beside the project\n");
  const compilers = COMPILERS.filter(({ name, command, flags }) => {
    const isThere = spawnSync(command, [...flags.filter((flag) => flag !== "-fsyntax-only"), "-fsyntax-only", "-x", command === "g++" ? "c++" : "c", "-"], { input: "#include <stdint.h>\n#include <stddef.h>\n", stdio: ["pipe", "ignore", "ignore"] }).status === 0;
    if (!isThere) process.stdout.write(`gen:all: not compiled with ${name}, which this machine does not have\n`);
    return isThere;
  });
  const work = mkdtempSync(join(tmpdir(), "ipcnet-gen-all-"));
  const files = referenceFiles(folder);
  const jobs = files.map((file, index): Job => ({ folder, file, index, work, compilers }));
  const total = { files: 0, frames: 0, messages: 0, signals: 0 };
  const startMs = Date.now();
  try {
    await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, async () => {
      const worker = new Worker(new URL(import.meta.url));
      try {
        for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
          const answer = await ask(worker, job);
          if ("error" in answer) throw new Error(answer.error);
          total.files += 1;
          total.frames += answer.frames;
          total.messages += answer.messages;
          total.signals += answer.signals;
        }
      } finally {
        await worker.terminate();
      }
    }));
  } catch (error) {
    process.stderr.write(`gen:all: ${(error as Error).message}\n`);
    process.exitCode = 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const seconds = Math.round((Date.now() - startMs) / 1000);
  process.stdout.write(`gen:all: ${total.files} of ${files.length} databases, ${total.messages} messages, ${total.signals} signals; compilers: ${compilers.map(({ name }) => name).join("; ")}; ${total.frames} reference frames decoded and packed again; ${seconds} s\n`);
}

type Answer = { frames: number; messages: number; signals: number } | { error: string };

function ask(worker: Worker, job: Job): Promise<Answer> {
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("message", (answer: Answer) => {
      worker.off("error", reject);
      resolve(answer);
    });
    // eslint-disable-next-line unicorn/require-post-message-target-origin -- a worker, not a window
    worker.postMessage(job);
  });
}

if (isMainThread) await main();
else {
  const port = parentPort!;
  port.on("message", (job: Job) => {
    const reply = (answer: Answer): void => {
      // eslint-disable-next-line unicorn/require-post-message-target-origin -- a worker, not a window
      port.postMessage(answer);
    };
    runJob(job).then(reply, (error: unknown) => reply({ error: error instanceof Error ? error.message : String(error) }));
  });
}
