/**
 * `npm run hil`: boots what the behaviours need, runs them, writes the report, however the run ends. Exit code 0: nothing failed, also where there is nothing to boot: one line says what is missing, and
 * `--require` makes that 3. 1: something failed. 2: the words are wrong. 130, 143: ended by a signal.
 */
import { constants } from "node:os";
import { join } from "node:path";
import { checkConfigFile } from "../../schemas/messages/configFile.ts";
import { fetchArm64, findArm64 } from "./arm64.ts";
import { type Found, type MachineKind, machineKinds } from "./behaviour.ts";
import { allBehaviours, chosen, listed } from "./behaviours.ts";
import { removeFolders } from "./boards.ts";
import { groupsOf } from "./grouping.ts";
import { fetchKernel, fetchUdev, findKernel, type Kernel, made } from "./kernel.ts";
import { cutPowerOfAll } from "./machine.ts";
import { builtPackage } from "./package.ts";
import { Places } from "./places.ts";
import { exitCodes, RunRecord } from "./report/record.ts";
import { type Job, runAll } from "./schedule.ts";
import { readWords, usage, type Words } from "./words.ts";

/** Why a run ends before its end. `code`: the exit code; undefined: what happened is a failure. */
class Ending extends Error {
  readonly code: number | undefined;
  constructor(message: string, code: number | undefined, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const ending = new AbortController();

/** Machines lose their power at once, whatever runs fails with why, and the report is written. The second time nobody waits. */
function end(why: Ending): void {
  if (ending.signal.aborted) process.exit(why.code ?? exitCodes.failed);
  ending.abort(why);
  cutPowerOfAll();
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => end(new Ending(`not finished: ${signal}`, 128 + constants.signals[signal])));
// What is thrown where nobody waits for it, in a timer or while something is read.
process.on("uncaughtException", (error) => {
  process.stderr.write(`${error.stack ?? String(error)}\n`);
  end(new Ending(`the rig itself failed: ${error.stack ?? String(error)}`, undefined, error));
});
process.on("exit", removeFolders);

async function main(): Promise<number> {
  // npm runs this in the repository, whoever called it from wherever.
  const words = readWords(process.argv.slice(2), { folder: process.env["INIT_CWD"] ?? process.cwd() });
  const refuse = (text: string): number => {
    process.stderr.write(`${text}\n`);
    return exitCodes.usage;
  };
  if (typeof words === "string") return refuse(`${words}\n\n${usage}`);
  const say = (text: string): void => void (words.json ? process.stderr : process.stdout).write(`${text}\n`);
  if (words.help) {
    say(usage);
    return exitCodes.fine;
  }
  const trouble = words.config === undefined ? undefined : wrongWith(words.config);
  if (trouble !== undefined) return refuse(trouble);
  const all = await allBehaviours();
  const found = chosen(all, words);
  if (found.length === 0) return refuse(`no behaviour has ${words.only.join(" or ")} in its name`);
  if (words.list) {
    for (const line of listed(found, words.machinesByDefault ? undefined : words.machines)) say(line);
    return exitCodes.fine;
  }
  const groups = groupsOf(Array.from({ length: words.times }, () => found).flat(), words.machines, words.jobs > 1);
  if (!words.target && groups.length === 0) return refuse(`nothing of that is for ${words.machines.join(" or ")}; it is for ${[...new Set(found.map(({ behaviour: { needs } }) => needs.machine))].join(" or ")}: npm run hil -- --machine`);
  let record: RunRecord;
  try {
    record = new RunRecord({ out: words.out ?? join(made, "report"), say, json: words.json ? (text) => void process.stdout.write(text) : undefined, now: () => performance.now() });
  } catch (error) {
    return refuse(`--out: ${(error as Error).message}`);
  }
  const places = new Places({ words, record, say, stop: ending.signal });
  let jobs: Job[] = [];
  try {
    jobs = words.target ? [places.onBench(Array.from({ length: words.times }, () => found).flat())] : await virtual({ words, places, record, say, found, groups });
    for (const { job, error } of await runAll(jobs, words.jobs)) for (const each of job.waiting.splice(0)) record.fail(each, job.machine, error instanceof Error ? (error.stack ?? error.message) : String(error));
  } catch (error) {
    end(new Ending(`the rig itself failed: ${(error as Error).stack}`, undefined, error));
  }
  const why = ending.signal.aborted ? (ending.signal.reason as Ending) : undefined;
  for (const { machine, waiting } of why ? jobs : []) record.skipAll(waiting, machine, why!.message.split("\n")[0]!);
  return record.finish({ code: why && (why.code ?? exitCodes.failed), isRequired: words.require });
}

/** What is fetched is fetched, what is made for all of them is made, and each boot is a job. */
async function virtual({ words, places, record, say, found, groups }: { words: Words; places: Places; record: RunRecord; say: (text: string) => void; found: readonly Found[]; groups: ReturnType<typeof groupsOf> }): Promise<Job[]> {
  const asked = (kind: MachineKind): boolean => groups.some(({ machine }) => machine === kind);
  if (words.fetch) {
    const isX86 = machineKinds.some((kind) => kind !== "arm64" && asked(kind));
    for (const [isMeant, fetch] of [[isX86, fetchKernel], [isX86, fetchUdev], [asked("arm64"), fetchArm64]] as const) {
      if (!isMeant) continue;
      try {
        fetch();
      } catch (error) {
        // What is there is found, what is not is said, below: a machine without a network is no failure of the product.
        say(`not fetched: ${(error as Error).message.trim().split("\n").at(-1)}`);
      }
    }
  }
  if (words.machinesByDefault) leftOut(found, words, record);
  const kernels = new Map<boolean, Kernel | string>();
  const kernelFor = (kind: MachineKind): Kernel | string => {
    const isArm64 = kind === "arm64";
    if (!kernels.has(isArm64)) kernels.set(isArm64, isArm64 ? tried(findArm64) : tried(findKernel));
    return kernels.get(isArm64)!;
  };
  const jobs = groups.flatMap((group) => places.virtual(group, kernelFor(group.machine)));
  if (jobs.some(({ machine }) => machine === "systemd")) {
    // Before a machine is on: what it runs is what is compiled, and building compiles.
    say("the package is being built");
    await builtPackage().catch((error: Error) => say(`the package is not built; what installs it will fail: ${error.message.split("\n")[0]}`));
  }
  return jobs;
}

/** By default not all kinds of machines are on: what is for others only is not forgotten. */
function leftOut(found: readonly Found[], { machines }: Words, record: RunRecord): void {
  const is = (kind: MachineKind): boolean => machines.includes(kind);
  for (const kind of machineKinds) {
    const those = found.filter(({ behaviour: { needs } }) => needs.machine === kind && !is(kind) && !needs.alsoOn?.some(is));
    record.skipAll(those, kind, `only with --machine ${kind}${kind === "two" ? ": this host has one processor, and two machines go by its clock" : ""}`);
  }
}

/** Looking for one may compile for it. */
function tried(find: () => Kernel | string): Kernel | string {
  try {
    return find();
  } catch (error) {
    return (error as Error).message;
  }
}

/** A robot's configuration that no package would take. */
function wrongWith(path: string): string | undefined {
  const read = checkConfigFile(path, { machine: false });
  if (!read.readable) return `--config ${path}: ${read.why}`;
  const { config, faults } = read.result;
  return config ? undefined : `--config ${path} is refused (${faults.length} ${faults.length === 1 ? "fault" : "faults"}); ipcnet config check says them line by line`;
}

process.exit(await main());
