/**
 * The daemon. `ipcnetd --config FILE [--instance a] [--pair FOLDER] [--log text|json] [--until-stdin-closes]`
 *
 * Exit codes: 0 stopped and the safe pose was measured; 1 stopped, but the verdict is not "posed"; 2 wrong usage or a configuration that is refused;
 * 3 a link or the client socket could not be opened. SIGINT and SIGTERM run the safe pose first; a second one ends the time that programs have to prepare themselves, and nothing cuts the pose short.
 * On stdout there is nothing but, at the end, the verdict as one line of JSON; everything else goes to stderr.
 */
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { DriverError } from "../../drivers/driver.ts";
import { systemClock } from "../../schemas/clock.ts";
import { protectProcess } from "../../shm/sockets/index.ts";
import { TopicDeclarationError } from "../topics/table.ts";
import { LogWriter } from "../observe/logWriter.ts";
import { eventLine, type GatewayEvent } from "../observe/events.ts";
import { loadConfiguration, type AcceptedConfig } from "../build/configuration.ts";
import type { PairVersion } from "../../failsafe/failover/version.ts";
import { assemble } from "../build/assemble.ts";
import type { Gateway } from "../gateway.ts";
import { defaultSocketPath } from "../front/socketPath.ts";
import { systemBusPath } from "../triggers/dbus/connection.ts";
import { ServiceManager } from "../triggers/serviceManager.ts";
import { StopSignals } from "../triggers/stopSignals.ts";
import { SystemWatch } from "../triggers/systemWatch.ts";
import { PairInstance } from "./pairInstance.ts";
import { rehearse } from "./rehearsal.ts";

const usage = `ipcnetd: the IPCNet gateway
  ipcnetd --config FILE        run with this configuration (ipcnet config check FILE judges it without running)
  --instance NAME              which of the redundant instances this is; default a
  --pair FOLDER                one of two instances that stand in for each other; the folder is theirs alone, below a runtime directory
  --log text|json              events on stderr; default text, with the journal's levels under systemd
  --until-stdin-closes         stop (with the safe pose) when standard input ends: for whoever starts it as a child
`;

const log = new LogWriter(2);
/** For log lines that are still on their way when everything else has ended. */
const FLUSH_MS = 500;

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        config: { type: "string", short: "c" }, pair: { type: "string" }, instance: { type: "string", default: "a" }, log: { type: "string", default: "text" },
        "until-stdin-closes": { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false },
      },
    }));
  } catch (error) {
    process.stderr.write(`ipcnetd: ${(error as Error).message}\n${usage}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (values.config === undefined || (values.log !== "text" && values.log !== "json")) {
    process.stderr.write(values.config === undefined ? `ipcnetd: --config FILE is needed\n${usage}` : `ipcnetd: --log is text or json\n${usage}`);
    return 2;
  }
  // Before anything is opened: its descriptors and its memory are what all others trust.
  protectProcess();
  const loaded = loadConfiguration(values.config);
  if (!loaded.ok) {
    process.stderr.write(loaded.text);
    return 2;
  }
  if (loaded.remarks) process.stderr.write(`${loaded.remarks}\n`);
  const form = { json: values.log === "json", journal: process.env["JOURNAL_STREAM"] !== undefined };
  const write = (event: GatewayEvent): void => log.line(eventLine(event, form));
  const options: RunOptions = { accepted: loaded.accepted, instance: values.instance, write, untilStdinCloses: values["until-stdin-closes"] };
  try {
    const { redundancy, socket } = loaded.accepted.config;
    const isPair = values.pair !== undefined || redundancy.brains === "pair";
    return await (isPair ? runPair(options, values.pair ?? join(redundancy.runFolder ?? dirname(socket.path ?? defaultSocketPath()), "pair")) : run(options));
  } catch (error) {
    if (error instanceof DriverError) {
      process.stderr.write(`ipcnetd: ${error.message}\n        remedy: ${error.remedy}\n`);
      return 3;
    }
    if (error instanceof TopicDeclarationError) {
      process.stderr.write(`ipcnetd: ${error.message}\n`);
      return 2;
    }
    throw error;
  }
}

interface RunOptions {
  accepted: AcceptedConfig;
  instance: string;
  write(event: GatewayEvent): void;
  untilStdinCloses: boolean;
}

async function run({ accepted, instance, write, untilStdinCloses }: RunOptions): Promise<number> {
  const gateway = await assemble({ accepted, instance, clock: systemClock, write });
  await gateway.start();
  const outside = Outside.watch(() => gateway);
  return stopWithVerdict(gateway, stopSignals(untilStdinCloses), outside);
}

/** One of two: active or standby, as the other one lets it be. */
async function runPair({ accepted, instance, write, untilStdinCloses }: RunOptions, folder: string): Promise<number> {
  const clock = systemClock;
  // What a rehearsal has compiled stays compiled, however long it is not needed.
  setFlagsFromString("--no-flush-bytecode");
  const pair: PairInstance = new PairInstance({
    folder, instance, ...versionForTests(), deadlineMs: accepted.config.redundancy.progressMs, drills: accepted.config.redundancy.drills, clock, build: (front) => assemble({ accepted, instance, clock, write, pair: front }),
    rehearse: (at, isOver) => rehearse({ folder: at, instance, clock, isOver }),
    say: (input) => (pair.gateway ? pair.gateway.event(input) : write({ ...input, atUs: clock.nowUs(), wallTime: new Date().toISOString() })),
  });
  await pair.start();
  const outside = Outside.watch(() => (pair.role === "active" ? pair.gateway : undefined));
  const signals = stopSignals(untilStdinCloses);
  const stop = async (): Promise<void> => {
    const { starterGone, byManager } = await signals.asked;
    // Handing over while everything stops would only lose time.
    pair.stop({ both: starterGone || (byManager && (await outside.system.isStopping())) });
  };
  void stop();
  return (await pair.ended) === "stopped" ? stopWithVerdict(pair.gateway!, signals, outside) : 0;
}

/** The service manager and the operating system, as far as they take part. */
class Outside {
  readonly manager = new ServiceManager(process.env);
  readonly system: SystemWatch;

  private constructor(gateway: () => Gateway | undefined) {
    this.system = new SystemWatch({
      bus: systemBusPath(process.env), uid: process.getuid!(), delay: process.env["INVOCATION_ID"] !== undefined,
      prepare: async () => gateway()?.systemStops("the operating system is about to stop (logind)"),
      trouble: (text) => gateway()?.event({ severity: "info", code: "systemUnwatched", source: "gateway", text: `an end of the operating system will look like an ordinary stop: ${text}` }),
    });
  }

  static watch(gateway: () => Gateway | undefined): Outside {
    const outside = new Outside(gateway);
    void outside.system.start();
    outside.manager.ready();
    return outside;
  }
}

/** For tests of what two releases say to each other: IPCNETD_PAIR_VERSION=MAJOR.MINOR instead of this one's. It says so loudly at the start. */
function versionForTests(): { version?: PairVersion } {
  const [, major, minor] = /^(\d+)\.(\d+)$/.exec(process.env["IPCNETD_PAIR_VERSION"] ?? "") ?? [];
  if (major === undefined) return {};
  process.stderr.write(`ipcnetd: IPCNETD_PAIR_VERSION: speaks to its twin as version ${major}.${minor}; this is for tests alone\n`);
  return { version: { major: Number(major), minor: Number(minor) } };
}

async function stopWithVerdict(gateway: Gateway, signals: StopSignals, { system, manager }: Outside): Promise<number> {
  const { why, byManager } = await signals.asked;
  signals.onAgain((again) => gateway.hurry(again));
  const stopped = gateway.stop(why, system.isPreparing ? "onShutdown" : "onStop");
  manager.stopping(why, stopped);
  // The pose has begun: it does not wait for an answer, which may make it a severer one.
  if (byManager && !system.isPreparing) void system.isStopping().then((stops) => stops && gateway.stopIsShutdown(`${why}: the operating system stops`));
  const verdict = await stopped;
  system.close();
  // Whoever wanted the verdict may be gone (kill -9): then it is in the log alone.
  process.stdout.on("error", () => process.exit(1));
  await new Promise<void>((resolve) => process.stdout.write(`${JSON.stringify(verdict)}\n`, () => resolve()));
  return verdict.verdict === "posed" ? 0 : 1;
}

function stopSignals(untilStdinCloses: boolean): StopSignals {
  return new StopSignals({ signals: process, starter: untilStdinCloses ? process.stdin : undefined, nowMs: () => performance.now() });
}

const exitCode = await main();
await log.flush(FLUSH_MS);
// Nothing may keep a stopped gateway alive: the exit code is the verdict.
process.exit(exitCode);
