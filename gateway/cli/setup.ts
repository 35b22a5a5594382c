/** `ipcnet setup`: from what this machine has and what a person says to a configuration that the gateway takes, and to services that are allowed what it names. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { Option, type Command } from "commander";
import { checkConfig, type CheckResult } from "../../schemas/messages/checkConfig.ts";
import { checkConfigFile, readWhole } from "../../schemas/messages/configFile.ts";
import { renderFault } from "../../schemas/messages/fault.ts";
import { judgeReflex } from "../build/reflex/judge.ts";
import { gatherFacts } from "../doctor/facts.ts";
import { complete, isAsked, loadAnswers, missingLinks, questions, saveAnswers, type Answers, type Question } from "../setup/answers.ts";
import { changesOf, differenceOf, type Change } from "../setup/changes.ts";
import { configurationText } from "../setup/configuration.ts";
import { boardKind, hardwareOf, type Hardware } from "../setup/hardware.ts";
import { askGateway } from "../setup/ask.ts";
import { missingOf, toBeInForce } from "../setup/health.ts";
import { allUnits, DROP_IN, MARK, needsOf, type Needs } from "../setup/needs.ts";
import { printable } from "../view/text.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { toJson } from "./json.ts";
import { services, type CliServices } from "./services.ts";
import { globalOptions } from "./terminal.ts";

const CONFIG = "/etc/ipcnet/ipcnet.yaml";
const KEPT = "/var/lib/ipcnet/setup.json";
/** As long as the units give it; a Node process on a small computer starts within seconds. */
const HEALTHY_MS = 180_000;
const LOOK_MS = 100;

interface SetupOptions {
  robot?: string;
  buses?: string;
  serial?: string;
  watchdog?: string;
  start?: boolean;
  config?: string;
  yes?: boolean;
  dryRun?: boolean;
  fresh?: boolean;
  root: string;
}

export const register: Register = (program, context) => {
  program
    .command("setup")
    .description("write a configuration for this robot, check it, allow the services what it names, and start them")
    .option("-y, --yes", "ask nothing: flags, answers of an interrupted run, else what is proposed")
    .option("--robot <NAME>", "name of the robot")
    .option("--buses <LIST>", "CAN buses: NAME=INTERFACE@BITRATE,…, with CAN FD @BITRATE/DATABITRATE; none: an emulated one")
    .option("--serial <LIST>", "serial links: NAME=DEVICE,…; none")
    .addOption(new Option("--watchdog <WHO>", "who feeds the hardware watchdog").choices(["reflex", "systemd", "none"]))
    .option("--config <FILE>", "take this configuration instead of writing one; it is copied with the files that it names")
    .option("--start", "start now and with the machine")
    .option("--no-start", "do not start anything")
    .option("--dry-run", "show what would be written, and write nothing")
    .option("--fresh", "forget the answers of an interrupted run")
    .option("--root <DIR>", "write below this folder and start nothing: for images", "/")
    .addHelpText("after", `
An interrupted run (Ctrl-C) is gone on with by the next one. A file of yours is never replaced without a copy beside it. After a change of the
configuration's links or devices run it again with --config ${CONFIG}: the services are allowed what the file names, and no more.

Examples:
  sudo ipcnet setup
  sudo ipcnet setup --yes --buses arm=can0@500000,base=can1@500000/2000000 --watchdog reflex
  sudo ipcnet setup --yes --config robot.yaml
  ipcnet setup --yes --dry-run`)
    .action((options: SetupOptions, command: Command) => setup(options, globalOptions(command, context).json, context));
};

async function setup(options: SetupOptions, json: boolean, context: CliContext): Promise<void> {
  const outside = services(context.services);
  const machine = outside.machine();
  const at = (path: string): string => (options.root === "/" ? path : join(options.root, path));
  const say = (text: string): void => void context.stderr.write(`${text}\n`);
  const hardware = hardwareOf(machine, await gatherFacts(machine));
  introduce(hardware, say);

  const answers = await ask({ options, hardware, context, kept: at(KEPT), say });
  if (options.config === undefined) {
    for (const name of missingLinks(answers, hardware)) say(`${name} is not there now: it is opened when it appears`);
  }
  const judged = options.config === undefined ? judgeText(configurationText(answers), answers) : judgeFile(options.config);
  const faults = judged.result.faults.map((fault) => renderFault(fault, (file) => judged.result.texts.get(file))).join("\n");
  if (faults !== "") say(faults.split("\n").map(printable).join("\n"));
  if (!judged.result.config) throw new CliError(ExitCode.problem, "this configuration would be refused; nothing was written");
  const needs = needsOf(judged.result.config, answers);

  const wanted = new Map<string, string | undefined>([...judged.files].map(([path, text]) => [at(path), text]));
  for (const unit of ["ipcnet-reflex@.service", "ipcnetd@.service", "ipcnet-purge.service"]) wanted.set(at(`/etc/systemd/system/${unit}.d/${DROP_IN}`), needs.dropIns.get(unit));
  wanted.set(at(`/etc/systemd/system.conf.d/${DROP_IN}`), managerWatchdog(answers.watchdog, hardware));
  const changes = changesOf({ wanted, read: readOrNothing, isOwn: (text) => text.startsWith(MARK) });
  const present = (): void => show(changes, needs, json, context);
  present();
  if (options.dryRun === true) return;
  if (options.yes !== true && !(await agree(context, changes.length === 0 ? "Nothing to write. Go on?" : "Write this?"))) throw new CliError(ExitCode.problem, "nothing was written", "your answers are kept: ipcnet setup goes on from there");

  write(changes);
  rmSync(at(KEPT), { force: true });
  if (options.root !== "/") return say("not started: --root");
  await settleServices(needs, { start: options.start ?? answers.start, hardware, reexec: changes.some(({ path }) => path.includes("/system.conf.d/")), changed: changes.length > 0, hash: judged.result.hash, watchdog: answers.watchdog, outside }, say);
}

/* ---- Asking ------------------------------------------------------------------------------------------------------------------------------ */

function introduce({ board, can, serial, watchdog, preemptRt, systemd }: Hardware, say: (text: string) => void): void {
  say(`${board ?? "This machine"}: ${can.length === 0 ? "no CAN interface" : can.map(({ name, virtual }) => `${name}${virtual ? " (virtual)" : ""}`).join(", ")}; ${serial.length === 0 ? "no serial device" : `${serial.length} serial device${serial.length === 1 ? "" : "s"}`}; `
    + `${watchdog === undefined ? "no hardware watchdog" : `${watchdog.device}${watchdog.timeoutS === undefined ? "" : `, ${watchdog.timeoutS} s`}`}; ${preemptRt ? "PREEMPT_RT" : "no PREEMPT_RT kernel"}${systemd ? "" : "; systemd does not run here"}`);
  const kind = boardKind(board);
  if (can.length === 0 && kind === "raspberryPi") say("A CAN hat needs an overlay in /boot/firmware/config.txt: /usr/share/doc/ipcnet/RASPBERRY-PI.md");
  if (can.length === 0 && kind === "jetson") say("The CAN controllers need their pins and modules: /usr/share/doc/ipcnet/JETSON.md");
}

interface Asking {
  options: SetupOptions;
  hardware: Hardware;
  context: CliContext;
  kept: string;
  say(text: string): void;
}

async function ask({ options, hardware, context, kept, say }: Asking): Promise<Answers> {
  const all = questions(hardware, hostname());
  const flags: Partial<Record<Question["key"], string | undefined>> = { robot: options.robot, buses: options.buses, serial: options.serial, watchdog: options.watchdog, ...(options.start === undefined ? {} : { start: options.start ? "yes" : "no" }) };
  const given = new Map(options.fresh === true ? [] : loadAnswers(readOrNothing(kept), all));
  if (given.size > 0) say(`Kept from the run before: ${[...given].map(([key, text]) => `${key} ${text}`).join("; ")} (--fresh forgets them)`);
  for (const { key, parse } of all) {
    const text = flags[key];
    if (text === undefined) continue;
    const parsed = parse(text);
    if (typeof parsed === "string") throw new CliError(ExitCode.usage, `--${key} ${text}: ${parsed}`);
    given.set(key, text);
  }
  const open = all.filter((question) => !given.has(question.key) && isAsked(question, hardware) && (options.config === undefined || question.key === "watchdog" || question.key === "start"));
  if (options.yes === true || options.dryRun === true || open.length === 0) return complete(given, all);
  if (!("isTTY" in context.stdin && context.stdin.isTTY)) throw new CliError(ExitCode.usage, "there is nobody to ask: standard input is no terminal", "ipcnet setup --yes takes what is proposed; ipcnet setup --help lists the flags");
  return withTerminal(context, async (type) => {
    for (const question of open) {
      given.set(question.key, await askOne(question, type, context));
      // Whatever comes now, this one is not asked again.
      keep(kept, saveAnswers(given));
    }
    return complete(given, all);
  });
}

/** Types a question; what is typed in return, without the spaces around it. */
type Type = (question: string) => Promise<string>;

/** Ctrl-C and Ctrl-D end it in words of ours; without the latter's event a question would stay open for ever. */
async function withTerminal<Result>({ stdin, stderr, signal }: CliContext, body: (type: Type) => Promise<Result>): Promise<Result> {
  const terminal = createInterface({ input: stdin, output: stderr });
  const closed = new AbortController();
  terminal.once("close", () => closed.abort());
  try {
    return await body(async (question) => (await terminal.question(question, { signal: AbortSignal.any([signal, closed.signal]) })).trim());
  } catch (error) {
    if ((error as Error).name !== "AbortError") throw error;
    stderr.write("\n");
    throw new CliError(ExitCode.problem, "interrupted: nothing was written", "your answers are kept: ipcnet setup goes on from there");
  } finally {
    terminal.close();
  }
}

async function askOne({ text, help, shown, proposal, parse }: Question, type: Type, { stderr }: CliContext): Promise<string> {
  for (;;) {
    const typed = await type(`\n${text} (${help})\n  [${shown}]: `);
    const answer = typed === "" ? (Array.isArray(proposal) && proposal.length === 0 ? "none" : shown) : typed;
    const parsed = parse(answer);
    if (typeof parsed !== "string") return answer;
    stderr.write(`  ${printable(typed)}: ${parsed}\n`);
  }
}

async function agree(context: CliContext, question: string): Promise<boolean> {
  if (!("isTTY" in context.stdin && context.stdin.isTTY)) throw new CliError(ExitCode.usage, "there is nobody to ask: standard input is no terminal", "ipcnet setup --yes");
  return withTerminal(context, async (type) => {
    for (;;) {
      const typed = await type(`${question} [yes]: `);
      if (/^(?:y|yes|)$/i.test(typed)) return true;
      if (/^no?$/i.test(typed)) return false;
      context.stderr.write("  yes or no\n");
    }
  });
}

function keep(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode: 0o600 });
  } catch {
    // Asked by somebody who may not write there: they can look, and are told when it comes to writing.
    return;
  }
}

/* ---- Judging ------------------------------------------------------------------------------------------------------------------------------ */

interface Judged {
  result: CheckResult;
  /** By absolute path on the robot. */
  files: ReadonlyMap<string, string>;
}

function judgeText(text: string, { robot }: Answers): Judged {
  const result = checkConfig({ text, file: CONFIG, readFile: readWhole });
  if (!result.config && robot === "") throw new CliError(ExitCode.usage, "a robot needs a name");
  return { result: judgeReflex(result, CONFIG).result, files: new Map([[CONFIG, text]]) };
}

/** A file of a person's, with the files that it names: they go where the same relative paths find them. */
function judgeFile(path: string): Judged {
  const file = resolve(path);
  const read = checkConfigFile(file);
  if (!read.readable) throw new CliError(ExitCode.usage, `cannot read ${file}: ${read.why}`);
  const { result } = judgeReflex(read.result, file);
  const files = new Map<string, string>();
  for (const [name, text] of [[file, read.text] as const, ...result.texts]) {
    const absolute = resolve(dirname(file), name);
    const inside = relative(dirname(file), absolute);
    if (inside.startsWith("..") || isAbsolute(inside)) {
      if (!isAbsolute(name)) throw new CliError(ExitCode.usage, `${name} lies outside the folder of ${file} and would not be found from ${dirname(CONFIG)}`, "name it with its absolute path, or put it beside the configuration");
      continue;
    }
    files.set(join(dirname(CONFIG), absolute === file ? "ipcnet.yaml" : inside), text);
  }
  return { result, files };
}

/** The manager's own use of the watchdog. Only one process can have the device. */
function managerWatchdog(who: Answers["watchdog"], { watchdog }: Hardware): string | undefined {
  if (watchdog === undefined || who === "none") return undefined;
  // 10 s: the Raspberry Pi's can count no further than 15, and a value above that is refused as a whole. While the system stops, the manager has it in any case.
  return `${MARK}\n[Manager]\nRuntimeWatchdogSec=${who === "systemd" ? "10s" : "0"}\nRebootWatchdogSec=60s\n`;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------------------------------ */

function show(changes: readonly Change[], { reasons, leftOut, units }: Needs, json: boolean, { stdout }: CliContext): void {
  if (json) return void stdout.write(`${toJson({ changes, units, reasons, leftOut })}\n`);
  for (const { path, before, after, backup } of changes) {
    stdout.write(`\n${after === undefined ? "remove" : before === undefined ? "write" : "change"} ${path}${backup === undefined ? "" : ` (as it was: ${backup})`}\n`);
    for (const line of differenceOf(before, after)) stdout.write(`  ${printable(line)}\n`);
  }
  if (reasons.length > 0) stdout.write(`\nThe services are allowed more than as shipped:\n${reasons.map((reason) => `  ${printable(reason)}\n`).join("")}`);
  if (leftOut.length > 0) stdout.write(`\nThis cannot be set up:\n${leftOut.map((each) => `  ${printable(each)}\n`).join("")}`);
  stdout.write(`\nServices: ${units.join(", ")}\n\n`);
}

/** Each file is replaced at once; a backup is there before. */
function write(changes: readonly Change[]): void {
  for (const { path, before, after, backup } of changes) {
    try {
      // Behind a link lies what a person put there.
      const real = before === undefined ? path : realpathSync(path);
      if (backup !== undefined) writeFileSync(backup, before!, { flag: "wx" });
      if (after === undefined) {
        rmSync(real);
        continue;
      }
      mkdirSync(dirname(real), { recursive: true });
      writeFileSync(`${real}.new`, after);
      chmodSync(`${real}.new`, 0o644);
      renameSync(`${real}.new`, real);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw code === "EACCES" || code === "EPERM" || code === "EROFS" ? new CliError(ExitCode.notPermitted, `${path} cannot be written: ${message}`, "sudo ipcnet setup") : new CliError(ExitCode.problem, `${path} cannot be written: ${message}`);
    }
  }
}

function readOrNothing(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new CliError(ExitCode.notPermitted, `cannot read ${path}: ${(error as Error).message}`, "sudo ipcnet setup");
  }
}

/* ---- Services ------------------------------------------------------------------------------------------------------------------------------ */

interface Settling {
  start: boolean;
  hardware: Hardware;
  reexec: boolean;
  /** Whether anything was written. */
  changed: boolean;
  /** Of the configuration that is to be in force. */
  hash: string | undefined;
  watchdog: Answers["watchdog"];
  outside: CliServices;
}

async function settleServices({ units }: Needs, { start, hardware, reexec, changed, hash, watchdog, outside }: Settling, say: (text: string) => void): Promise<void> {
  if (!hardware.systemd) return say("systemd does not run here: start ipcnet-reflex(8) and ipcnetd(8) yourself");
  const call = (...words: readonly string[]): boolean => spawnSync("systemctl", [...words], { stdio: ["ignore", "ignore", "inherit"] }).status === 0;
  const runs = call("is-active", "--quiet", "ipcnet.target");
  const next = toBeInForce({ runs, written: changed, hash, answer: runs ? await askGateway(outside.connect) : undefined });
  if (typeof next === "object") {
    throw new CliError(ExitCode.problem, `${changed ? "written, but " : ""}not put in force: ${next.not}`,
      `bring the robot to rest (ipcnet disarm, or ipcnet safe-pose), then: sudo systemctl stop ipcnet.target; sudo ipcnet setup --yes --config ${CONFIG} --watchdog ${watchdog} --start`);
  }
  call(reexec ? "daemon-reexec" : "daemon-reload");
  const others = allUnits.filter((unit) => !units.includes(unit));
  if (others.length > 0) call("disable", "--quiet", "--now", ...others);
  if (!start) {
    call("disable", "--quiet", "ipcnet.target", ...units);
    return say(runs ? "what runs goes on as it was until it is stopped, and does not start with the machine any more: sudo systemctl stop ipcnet.target" : "not started: sudo ipcnet setup --start, or sudo systemctl start ipcnet.target");
  }
  if (!call("enable", "--quiet", "ipcnet.target", ...units)) throw new CliError(ExitCode.notPermitted, "the services cannot be enabled", "sudo ipcnet setup");
  const beganMs = performance.now();
  // In order, by way of the safe pose.
  if (next === "restart" && !call("stop", "ipcnet.target")) say("the services did not stop in order: journalctl -u 'ipcnet*'");
  for (const { name, virtual } of hardware.can) if (!virtual) call("restart", `ipcnet-can@${name}.service`);
  if (!call("start", "ipcnet.target", ...units)) throw new CliError(ExitCode.problem, "the services do not start", "journalctl -u 'ipcnet*' -e");
  for (let missing = missingOf(await askGateway(outside.connect), units); missing !== undefined; missing = missingOf(await askGateway(outside.connect), units)) {
    if (performance.now() - beganMs > HEALTHY_MS) throw new CliError(ExitCode.problem, `${missing}, ${HEALTHY_MS / 1e3} s after the start`, "journalctl -u 'ipcnet*' -e");
    await new Promise((resolvePause) => setTimeout(resolvePause, LOOK_MS));
  }
  say(`running after ${((performance.now() - beganMs) / 1e3).toFixed(1)} s: ipcnet status says how it is, ipcnet doctor what the machine lacks`);
  // Whoever called it by sudo will go on without.
  const person = process.env["SUDO_USER"];
  if (person !== undefined && person !== "root" && /^[a-z_][a-z0-9_-]*$/.test(person)) say(`to use it without sudo: sudo usermod -aG ipcnet ${person}, then log in again`);
}
