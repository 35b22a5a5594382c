/**
 * The demonstration's robot for benches: the simulated arm on its emulated bus, and two bus processes with the deadlines of a real robot (twinDeadlineMs 10, brainTimeoutMs 1000). Gateways
 * are the bench's own; they read `configuration`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { GatewayState, StatusReport } from "../../schemas/messages/statusReport.ts";
import type { Client } from "../../shm/client/index.ts";
import { projectRoot } from "../paths.ts";

export const demoFolder = join(projectRoot, "examples/arm");
/** As in ipcnet.template.yaml. */
export const DEMO_CLAIM_ID = 0x10;
/** A gateway that answers nothing for so long is looked at again; whether it was replaced is what counts. */
export const ANSWER_MS = 20_000;

export interface DemoRobotOptions {
  /** For sockets, passwords and state. */
  folder: string;
  mqttPort: number;
  /** Open file for what the processes write. */
  log: number;
}

export class DemoRobot {
  /** YAML, without `socket`. */
  readonly configuration: string;
  readonly busSocket: string;
  readonly #options: DemoRobotOptions;
  readonly #children: ChildProcess[] = [];

  constructor(options: DemoRobotOptions) {
    const { folder, mqttPort } = options;
    this.#options = options;
    this.busSocket = join(folder, "bus.sock");
    const deadlines = "twinDeadlineMs: 10, brainTimeoutMs: 1000";
    this.configuration = readFileSync(join(demoFolder, "ipcnet.template.yaml"), "utf8").replaceAll("@RUN@", folder).replaceAll("@MQTT_PORT@", String(mqttPort))
      .replace(/^socket: .*\n/m, "")
      .replace(/\b(dbc|checks|schema): (arm\.|imu\.)/g, (_all, key: string, file: string) => `${key}: ${demoFolder}/${file}`)
      .replace(/twinDeadlineMs: \d+, brainTimeoutMs: \d+/, deadlines);
    if (!this.configuration.includes(deadlines) || /^socket:/m.test(this.configuration)) throw new Error("the demonstration's configuration has changed: its socket or its deadlines were not found");
    for (const user of ["imu", "viewer"]) writeFileSync(join(folder, `${user}.password`), "only for this run\n", { mode: 0o600 });
  }

  /** Starts the arm, then the bus processes with `configFile`. */
  async start(configFile: string): Promise<void> {
    const { folder, mqttPort } = this.#options;
    const robot = await this.#child("examples/arm/robot.js", [folder, String(mqttPort), String(DEMO_CLAIM_ID)]);
    // It stands for hardware, which has processors of its own.
    raise(robot.pid!, constants.priority.PRIORITY_HIGHEST);
    await this.#child("gateway/bin/reflexes.js", ["--config", configFile, "--until-stdin-closes"]);
  }

  /** The bus processes first. */
  async stop(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGTERM");
      await ended;
    }
  }

  async #child(program: string, args: readonly string[]): Promise<ChildProcess> {
    const child = spawn(process.execPath, ["--enable-source-maps", join(projectRoot, "dist/ts", program), ...args], { stdio: ["pipe", "pipe", this.#options.log], detached: true });
    this.#children.push(child);
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout! }).once("line", () => resolve());
      child.once("close", (code) => reject(new Error(`${program} ended with exit code ${code}`)));
    });
    return child;
  }
}

/** One attempt to arm, after a reset if that is needed; resolves with the state, "armed" if the attempt was granted. */
export async function armIfPossible(client: Client, why: string): Promise<GatewayState> {
  const { state, missingForArming } = (await client.request("gateway/status", {}, { timeoutMs: ANSWER_MS })) as StatusReport;
  if (state === "posed" || state === "fault") await client.request("gateway/reset", { why }).catch(() => undefined);
  if (state !== "disarmed" || missingForArming.length > 0) return state;
  return client.request("gateway/arm", { why }).then(() => "armed" as const, () => state);
}

/** Its session too: where each session is a scheduling group of its own (sched(7), "The autogroup feature"), a process's nice value counts among those of its session alone. */
function raise(pid: number, priority: number): void {
  try {
    setPriority(pid, priority);
    const group = `/proc/${pid}/autogroup`;
    if (existsSync(group)) writeFileSync(group, String(priority));
  } catch (error) {
    process.stderr.write(`the simulated robot has no priority (${(error as Error).message}): its own pauses will look like a dead bus\n`);
  }
}
