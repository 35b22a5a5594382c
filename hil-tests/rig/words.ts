/** The command line of `npm run hil`, as a value. */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { type MachineKind, machineKinds } from "./behaviour.ts";

export interface Words {
  /** Only behaviours whose file or sentence contains one of them. */
  only: string[];
  /** Kinds of machines, each once. */
  machines: MachineKind[];
  /** Nobody has said which. */
  machinesByDefault: boolean;
  help: boolean;
  list: boolean;
  fetch: boolean;
  /** It is no success that nothing ran, or that this machine lacks something. */
  require: boolean;
  json: boolean;
  keep: boolean;
  /** Says what happens while it happens. */
  follow: boolean;
  /** Where the report goes. */
  out: string | undefined;
  /** A real bench instead of a virtual machine. */
  target: { host: string; port: number | undefined } | undefined;
  /** The bench's CAN interfaces, two on one bus. */
  can: string[];
  /** Where the built repository lies on the bench. */
  folder: string | undefined;
  /** How often each is run: for what must hold each time. */
  times: number;
  /** A robot's configuration. */
  config: string | undefined;
  /** Machines that are on at once. */
  jobs: number;
}

/** Each machine computes on one processor of the host; more than two would starve each other of it on most. */
const jobsDefault = (processors: number): number => Math.min(2, processors);
const JOBS_MAX = 16;

/** The arm64 machine has files of its own that have to be fetched first; two go by the host's clock, and want a processor each. */
const machinesDefault = (processors: number): MachineKind[] => ["plain", "systemd", ...(processors > 1 ? ["two" as const] : [])];

export const usage = `npm run hil -- [WORD…] [--list] [--json] [--keep] [--follow] [--out DIR] [--times N] [--jobs N] [--config FILE] [--fetch] [--require] [--machine KIND,…]
              [--target ssh://USER@HOST[:PORT] --can can0,can1 --folder /path/of/the/built/repository]

  WORD      only behaviours whose file or sentence contains one of the words
  --help    says this
  --list    says what there is, which machine each needs, and how it is done on a bench; runs nothing. With --machine for these kinds
  --json    the results on standard output as JSON, everything else on standard error
  --keep    keeps the machines' folders (console, logs, CAN log)
  --follow  says what happens while it happens, CAN frames aside
  --out     the folder of the report (default dist/hil/report)
  --times   runs each so often
  --jobs    so many machines are on at once (default 2, on a host with one processor 1); a pair of them is on alone
  --config  a robot's configuration: the package is set up with it, on a virtual cable for each of its CAN buses. Without a WORD only what tries it is run
  --machine only behaviours for these kinds of machines (${machineKinds.join(", ")}; default plain,systemd,two; on a host with one processor plain,systemd)
  --fetch   unpacks below dist first what the machines need: the kernel's package; for --machine arm64 that machine's files
  --require ends with 3 if nothing ran, or if this machine lacks something that a behaviour needs; without it that is skipped, and the end is 0
  --target  a real bench, by ssh; whoever runs it is root there. What needs a virtual machine is listed as skipped, with the way to do it by hand
`;

export interface Surroundings {
  /** Whose paths are relative to it. */
  folder: string;
  /** Of the host. */
  processors?: number;
}

/** What the words mean, or one sentence about what is wrong with them. */
export function readWords(argv: readonly string[], { folder, processors = availableParallelism() }: Surroundings): Words | string {
  const words: Words = { only: [], machines: machinesDefault(processors), machinesByDefault: true, help: false, require: false, list: false, fetch: false, json: false, keep: false, follow: false, out: undefined, target: undefined, can: [], folder: undefined, times: 1, config: undefined, jobs: jobsDefault(processors) };
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "-h") {
      words.help = true;
      continue;
    }
    if (!word.startsWith("-")) {
      words.only.push(word);
      continue;
    }
    if (word === "--list" || word === "--fetch" || word === "--json" || word === "--keep" || word === "--follow" || word === "--help" || word === "--require") {
      words[word.slice(2) as "list" | "fetch" | "json" | "keep" | "follow" | "help" | "require"] = true;
      continue;
    }
    if (!["--out", "--machine", "--target", "--can", "--folder", "--times", "--jobs", "--config"].includes(word)) return `${word} is not known`;
    const value = rest.shift();
    if (value === undefined || value.startsWith("--")) return `${word} needs a value`;
    const trouble = take(words, word, value, folder);
    if (trouble !== undefined) return trouble;
  }
  if (words.target && words.can.length === 0) return "--target needs --can: the names of the bench's CAN interfaces, two on one bus";
  if (words.target && words.folder === undefined) return "--target needs --folder: where the built repository lies there";
  if (!words.target && (words.can.length > 0 || words.folder !== undefined)) return "--can and --folder are those of a bench: --target is missing";
  if (words.target && words.config !== undefined) return "--config is for a virtual machine: a bench is set up by ipcnet setup --config";
  return words;
}

function take(words: Words, word: string, value: string, folder: string): string | undefined {
  if (word === "--out") words.out = resolve(folder, value);
  else if (word === "--config") {
    const path = resolve(folder, value);
    // It is put into scripts, with all the folders above it.
    if (!/^[\w./@+ -]+$/.test(path)) return `--config is the name of a file, in letters, digits and . / - _ @ +: ${path}`;
    words.config = path;
  }
  else if (word === "--machine") {
    const kinds = value.split(",");
    if (kinds.some((kind) => !(machineKinds as readonly string[]).includes(kind))) return `--machine is one or several of ${machineKinds.join(", ")}`;
    words.machines = [...new Set(kinds as MachineKind[])];
    words.machinesByDefault = false;
  }
  else if (word === "--folder") {
    if (!/^\/[\w./-]+$/.test(value)) return "--folder is an absolute path";
    words.folder = value;
  } else if (word === "--times") {
    const times = Number(value);
    if (!Number.isInteger(times) || times < 1 || times > 1000) return "--times is a number from 1 to 1000";
    words.times = times;
  } else if (word === "--jobs") {
    const jobs = Number(value);
    if (!Number.isInteger(jobs) || jobs < 1 || jobs > JOBS_MAX) return `--jobs is a number from 1 to ${JOBS_MAX}`;
    words.jobs = jobs;
  } else if (word === "--can") {
    const names = value.split(",");
    // IFNAMSIZ of the kernel is 16 with the zero. They are put into scripts.
    if (names.length > 2 || names.some((name) => !/^[A-Za-z0-9_.-]{1,15}$/.test(name))) return "--can is one or two interface names with a comma between them";
    words.can = names;
  } else {
    const match = /^ssh:\/\/((?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9.-]+|(?:[A-Za-z0-9_.-]+@)?\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/.exec(value);
    // ssh would take a host that begins with a minus for one of its options.
    if (!match || match[1]!.startsWith("-")) return "--target is ssh://USER@HOST or ssh://USER@HOST:PORT";
    words.target = { host: match[1]!.replace(/\[|\]/g, ""), port: match[2] === undefined ? undefined : Number(match[2]) };
  }
  return undefined;
}
