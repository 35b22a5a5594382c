/**
 * Nobody is accused of being dead who is only late: `npm run bench:failover -- soak [--minutes 60] [--load compute,walk,fill,write] [--nice 0] [--json]`. The demonstration's robot, two bus processes and two gateways with the
 * deadlines of a real robot (twinDeadlineMs 10, brainTimeoutMs 1000), a program that moves the arm, and for an hour everything else that a machine may be busy with: computing, walking
 * through memory, filling and freeing it, writing to the disk. Ends with 1 when anybody was replaced. What the load may well do is counted apart: late turns, safe poses for want of set-points.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { COMMAND_PERIOD_MS, COMMAND_TTL_MS, commandsAt } from "../../examples/arm/teleop.ts";
import { KeptGateway } from "../../examples/arm/keptGateway.ts";
import type { PairReport } from "../../gateway/front/pairServices.ts";
import type { ReflexReport, StatusReport } from "../../schemas/messages/statusReport.ts";
import { eventually } from "../../schemas/testing.ts";
import { connect, type Client } from "../../shm/client/index.ts";
import { ANSWER_MS, armIfPossible, DemoRobot } from "./demoRobot.ts";
import { startStress, stressKinds, type StressKind } from "./stress.ts";

const LOOK_PERIOD_MS = 1_000;
const LOOKS_A_LINE = 60;
const START_MS = 60_000;
const MQTT_PORT = 18_831;

interface Look {
  brain: string;
  standby: string;
  reflexes: string;
  lateTurns: number;
  turnMsMax: number;
  state: string;
  healthy: boolean;
}

export interface SoakFigures {
  minutes: number;
  looks: number;
  /** What happened to whom, in words: must be empty. */
  replaced: string[];
  /** Turns of the bus processes that came late, the longest of them, and the gateway's longest wait for an answer. */
  lateTurns: number;
  turnMsMax: number;
  answerMsMax: number;
  commandsSent: number;
  safePoses: number;
  loadMax: number;
}

class Soak {
  readonly #folder = mkdtempSync(join(tmpdir(), "ipcnet-soak-"));
  readonly #log = openSync(join(this.#folder, "ipcnetd.log"), "w", 0o600);
  readonly #robot = new DemoRobot({ folder: this.#folder, mqttPort: MQTT_PORT, log: this.#log });
  #gateways: KeptGateway[] = [];
  #client: Client | undefined;
  #commanding: NodeJS.Timeout | undefined;
  #armedAtMs: number | undefined;
  #commandsSent = 0;
  #safePoses = 0;

  async start(): Promise<void> {
    const configFile = join(this.#folder, "arm.yaml");
    writeFileSync(configFile, `socket: { path: "${this.#folder}/ipcnet.sock", mode: "0600" }\n${this.#robot.configuration}`, { mode: 0o600 });
    await this.#robot.start(configFile);
    this.#gateways = ["b", "a"].map((instance) => new KeptGateway(instance, configFile, this.#log));
    this.#client = await this.#connect();
    await eventually("everybody is there, and armed", async () => {
      await this.#armIfPossible();
      const look = await this.look();
      return look.healthy && look.state === "armed";
    }, { timeoutMs: START_MS, last: () => this.logText() });
    this.#commanding = setInterval(() => this.#command(), COMMAND_PERIOD_MS);
  }

  async look(): Promise<Look> {
    const client = this.#client!;
    const [pair, reflexes, status] = (await Promise.all(["gateway/failover", "gateway/reflex", "gateway/status"].map((service) => client.request(service, {}, { timeoutMs: ANSWER_MS })))) as [PairReport, ReflexReport[], StatusReport];
    return {
      brain: `gateway ${pair.active}, pid ${pair.pid}`,
      standby: pair.standby?.ready ? `gateway ${pair.standby.instance}, pid ${pair.standby.pid}` : "none",
      reflexes: reflexes.map(({ instance, role, pid, epoch }) => `${instance} ${role} pid ${pid} epoch ${epoch}`).join(", "),
      lateTurns: reflexes.reduce((sum, each) => sum + each.lateTurns, 0),
      turnMsMax: Math.max(...reflexes.map((each) => each.turnMsMax)),
      state: status.state,
      healthy: pair.standby?.ready === true && reflexes.length === 2 && reflexes.every((each) => each.there && each.healthy),
    };
  }

  async run(minutes: number, interrupted: AbortSignal, progress: (text: string) => void): Promise<SoakFigures> {
    const figures: SoakFigures = { minutes, looks: 0, replaced: [], lateTurns: 0, turnMsMax: 0, answerMsMax: 0, commandsSent: 0, safePoses: 0, loadMax: 0 };
    let before = await this.look(), told = 0;
    const lateBefore = before.lateTurns;
    const endMs = performance.now() + minutes * 60_000;
    while (performance.now() < endMs && !interrupted.aborted) {
      await setTimeout(LOOK_PERIOD_MS, undefined, { signal: interrupted }).catch(() => undefined);
      const askedMs = performance.now();
      const look = await this.look().catch((error: unknown) => this.#lookAgain(figures, error));
      for (; told < figures.replaced.length; told++) progress(`${figures.replaced[told]}\n`);
      if (!look) continue;
      figures.answerMsMax = Math.max(figures.answerMsMax, performance.now() - askedMs);
      figures.looks += 1;
      for (const who of ["brain", "standby", "reflexes"] as const) {
        if (look[who] !== before[who]) figures.replaced.push(`${new Date().toISOString()}: ${before[who]} -> ${look[who]}`);
      }
      if (look.state !== "armed") {
        if (before.state === "armed") this.#safePoses += 1;
        this.#armedAtMs = undefined;
      }
      // Also when a command was refused, which ends the commanding.
      if (this.#armedAtMs === undefined) await this.#armIfPossible();
      before = look;
      figures.lateTurns = look.lateTurns - lateBefore;
      figures.turnMsMax = look.turnMsMax;
      figures.loadMax = Math.max(figures.loadMax, loadavg()[0]!);
      figures.commandsSent = this.#commandsSent;
      figures.safePoses = this.#safePoses;
      if (figures.looks % LOOKS_A_LINE === 0) progress(`${Math.round(minutes - (endMs - performance.now()) / 60_000)} of ${minutes} min, load ${loadavg()[0]!.toFixed(1)}: replaced ${figures.replaced.length}, late turns ${figures.lateTurns}, longest turn ${figures.turnMsMax.toFixed(1)} ms, longest answer ${Math.round(figures.answerMsMax)} ms, safe poses ${figures.safePoses}, ${look.state}\n`);
    }
    return figures;
  }

  /** Programs keep their connection whoever of a pair dies: that it has ended is a finding of its own. */
  async #lookAgain(figures: SoakFigures, error: unknown): Promise<undefined> {
    figures.replaced.push(`${new Date().toISOString()}: no answer: ${String(error)}`);
    await this.#client!.close().catch(() => undefined);
    this.#client = await this.#connect();
    return undefined;
  }

  #connect(): Promise<Client> {
    return eventually("the gateway", () => connect({ socketPath: join(this.#folder, "ipcnet.sock"), name: "soak", timeoutMs: 5_000 }).catch(() => undefined), { timeoutMs: START_MS, last: () => this.logText() });
  }

  /** `keep`: for whoever wants to know why. */
  async end({ keep }: { keep: boolean }): Promise<void> {
    clearInterval(this.#commanding);
    await this.#client?.close().catch(() => undefined);
    for (const gateway of this.#gateways) await gateway.stop();
    await this.#robot.stop();
    closeSync(this.#log);
    if (keep) process.stderr.write(`what was written is in ${this.#folder}/ipcnetd.log\n`);
    else rmSync(this.#folder, { recursive: true, force: true });
  }

  logText(): string {
    return readFileSync(join(this.#folder, "ipcnetd.log"), "utf8").split("\n").slice(-40).join("\n");
  }

  #command(): void {
    if (this.#armedAtMs === undefined) return;
    for (const { joint, values } of commandsAt((performance.now() - this.#armedAtMs) / 1e3, undefined)) {
      this.#commandsSent += 1;
      void this.#client!.publish(`cmd/arm/${joint}_Command`, values, { ttlMs: COMMAND_TTL_MS, acknowledge: false }).catch(() => (this.#armedAtMs = undefined));
    }
  }

  async #armIfPossible(): Promise<void> {
    if ((await armIfPossible(this.#client!, "soak")) === "armed") this.#armedAtMs ??= performance.now();
  }
}

const { values } = parseArgs({ options: { minutes: { type: "string", default: "60" }, json: { type: "boolean", default: false }, load: { type: "string", default: stressKinds.join(",") }, nice: { type: "string", default: "0" } } });
const soak = new Soak();
const wanted = stressKinds.filter((kind) => values.load.split(",").includes(kind));
// Whoever computes does so on every processor; one disk and one memory need one.
const kinds: StressKind[] = wanted.flatMap((kind) => Array.from({ length: kind === "fill" || kind === "write" ? 1 : availableParallelism() }, () => kind));
// Ctrl-C ends it with the figures so far, and leaves nothing behind.
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interruption.abort());
let isWell = false;
let stress: ReturnType<typeof startStress> | undefined;
try {
  await soak.start();
  stress = startStress(kinds, { folder: tmpdir(), niceness: Number(values.nice) });
  const figures = await soak.run(Number(values.minutes), interruption.signal, (text) => process.stderr.write(text));
  process.stdout.write(values.json ? `${JSON.stringify(figures)}\n` : `${Object.entries(figures).map(([name, value]) => `${name}: ${Array.isArray(value) ? value.length : value}`).join("\n")}\n${figures.replaced.join("\n")}${figures.replaced.length === 0 ? "nobody was replaced" : ""}\n`);
  isWell = figures.replaced.length === 0;
} finally {
  await stress?.stop();
  await soak.end({ keep: !isWell });
  if (!isWell) process.exitCode = 1;
}
