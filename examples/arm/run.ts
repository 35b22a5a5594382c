/**
 * `npm start`: the simulated robot, two bus processes, two gateways, a program that moves the arm, and the live view. Ctrl-C ends in the safe pose and prints its
 * verdict. All are processes of their own that end with this one, whatever ends it: their standard input is ours.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { runCli } from "../../gateway/cli/main.ts";
import { columnsOf } from "../../gateway/view/text.ts";
import { verdictText } from "../../gateway/view/verdict.ts";
import type { PoseVerdict } from "../../failsafe/safePose/sequence.ts";
import { Status } from "../../schemas/status.ts";
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import { connect, type Client } from "../../shm/client/index.ts";
import { KeptGateway } from "./keptGateway.ts";
import { runFolder } from "./runFolder.ts";
import { COMMAND_PERIOD_MS, COMMAND_TTL_MS, commandsAt, type Stick } from "./teleop.ts";

/** Where the sources lie: the DBC and the configuration are not compiled. */
const sourceFolder = join(import.meta.dirname, "../../../../examples/arm");
const START_TIMEOUT_MS = 10_000;
/** As in ipcnet.template.yaml: the joints follow who claims the bus. */
const CLAIM_ID = 0x10;

interface Running {
  robot: ChildProcess;
  /** What keeps the two bus processes running. */
  reflexes: ChildProcess;
  /** In the order in which they are ended. */
  gateways: readonly KeptGateway[];
  folder: string;
  logFile: string;
}

let isFirstLook = true;
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort(signal));
process.exitCode = await main();

async function main(): Promise<number> {
  const folder = runFolder();
  const socketPath = join(folder, "ipcnet.sock");
  if (await answers(socketPath)) {
    process.stderr.write(`ipcnet: a gateway runs already (${socketPath})\n        remedy: ipcnet status shows it; end it first\n`);
    return 3;
  }
  const running = await startAll(folder);
  let client: Client | undefined;
  let stopTeleop = (): void => {};
  try {
    client = await waitForGateway(socketPath, running);
    stopTeleop = teleoperate(client, stop.signal);
    await Promise.race([showView(socketPath), Promise.all(running.gateways.map(({ failed }) => failed))]);
  } catch (error) {
    process.stderr.write(`ipcnet: ${(error as Error).message}\n`);
  } finally {
    stopTeleop();
    await client?.close();
  }
  return end(running);
}

/** Starts the robot, writes the configuration for it, starts the gateway. */
async function startAll(folder: string): Promise<Running> {
  const mqttPort = await freePort(1883);
  for (const user of ["imu", "viewer"]) writeFileSync(join(folder, `${user}.password`), `${randomBytes(12).toString("base64url")}\n`, { mode: 0o600 });
  const configFile = join(folder, "arm.yaml");
  const text = readFileSync(join(sourceFolder, "ipcnet.template.yaml"), "utf8").replaceAll("@RUN@", folder).replaceAll("@MQTT_PORT@", String(mqttPort))
    .replace(/\b(dbc|checks|schema): (arm\.|imu\.)/g, (_all, key: string, file: string) => `${key}: ${sourceFolder}/${file}`);
  writeFileSync(configFile, text, { mode: 0o600 });

  // Sessions of their own: a Ctrl-C in the terminal is for this process alone, which then ends the others in order.
  const robot = spawn(process.execPath, ["--enable-source-maps", join(import.meta.dirname, "robot.js"), folder, String(mqttPort), String(CLAIM_ID)], { stdio: ["pipe", "pipe", "inherit"], detached: true });
  await firstLine(robot, "the simulated robot");
  const logFile = join(folder, "ipcnetd.log");
  const log = openSync(logFile, "w", 0o600);
  const reflexes = spawn(process.execPath, ["--enable-source-maps", join(import.meta.dirname, "../../gateway/bin/reflexes.js"), "--config", configFile, "--until-stdin-closes"], { stdio: ["pipe", "pipe", log], detached: true });
  await firstLine(reflexes, "the bus processes' keeper");
  return { robot, reflexes, gateways: ["b", "a"].map((instance) => new KeptGateway(instance, configFile, log)), folder, logFile };
}

/** Connects as soon as the gateway listens; an end of the gateway before that is told with its own words. */
async function waitForGateway(socketPath: string, { gateways, logFile }: Running): Promise<Client> {
  let ended = false;
  void Promise.all(gateways.map(({ failed }) => failed)).then(() => (ended = true));
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await connect({ socketPath, name: "teleop", timeoutMs: 1_000 });
    } catch (error) {
      if (ended || Date.now() > deadlineMs || stop.signal.aborted) throw new Error(`the gateway did not start:\n${readFileSync(logFile, "utf8").trimEnd()}`, { cause: error });
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Arms as soon as nothing is missing, then commands the joints until it is stopped. */
function teleoperate(client: Client, signal: AbortSignal): () => void {
  // Refused: disarmed, or in the safe pose. Then nothing is commanded until it is armed again.
  client.onNotice(({ status }) => {
    if (status === Status.preconditionFailed) armedAtMs = undefined;
  });
  let stick: Stick | undefined;
  let armedAtMs: number | undefined;
  let asking = false;
  void client.subscribe("serial/hand/Joystick", { rateHzMax: 25 }, (message) => (stick = message.quality === "good" ? (message.value as Stick) : undefined)).catch(() => (stick = undefined));
  const timer = setInterval(() => {
    if (signal.aborted) return;
    if (armedAtMs === undefined) {
      if (asking) return;
      asking = true;
      // A demonstration arms itself; on a real robot this is a person's decision: ipcnet arm.
      // Not answered: the gateway is gone or we are ending. Whoever is still here then asks again.
      void armWhenReady(client).then((armed) => (armedAtMs = armed ? performance.now() : undefined), () => undefined).finally(() => (asking = false));
      return;
    }
    const timeS = (performance.now() - armedAtMs) / 1e3;
    for (const { joint, values } of commandsAt(timeS, stick)) {
      void client.publish(`cmd/arm/${joint}_Command`, values, { ttlMs: COMMAND_TTL_MS, acknowledge: false }).catch(() => (armedAtMs = undefined));
    }
  }, COMMAND_PERIOD_MS);
  return () => clearInterval(timer);
}

async function armWhenReady(client: Client): Promise<boolean> {
  const status = (await client.request("gateway/status")) as StatusReport;
  if (status.state === "armed") return true;
  // Where the last demonstration has ended, the next one begins: whoever started it knows.
  const isLeftOver = isFirstLook && (status.state === "posed" || status.state === "fault");
  isFirstLook = false;
  if (isLeftOver) await client.request("gateway/reset", { why: "demonstration" });
  // After a stop button nothing moves again by itself, here neither.
  if (status.state !== "disarmed" || status.missingForArming.length > 0) return false;
  return client.request("gateway/arm", { why: "demonstration" }).then(() => true, () => false);
}

/** `ipcnet top` in this process. */
async function showView(socketPath: string): Promise<void> {
  await runCli(["--socket", socketPath, "top", "can/arm/+", "serial/hand/+", "mqtt/broker/+", "--fields", "position,velocity,x,y,roll"], {
    stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, env: process.env, exitCode: 0, signal: stop.signal,
  });
}

/** Ends the gateways (safe pose first), prints the verdict, then switches the robot off. */
async function end({ robot, reflexes, gateways, folder, logFile }: Running): Promise<number> {
  process.stdout.write("stopping: safe pose first …\n");
  for (const gateway of gateways) await gateway.stop();
  const line = gateways.map(({ verdictLine }) => verdictLine).find((each) => each !== "") ?? "";
  const reflexesEnded = new Promise((resolve) => reflexes.once("close", resolve));
  reflexes.kill("SIGTERM");
  await reflexesEnded;
  robot.stdin?.end();
  robot.kill("SIGTERM");
  if (line === "") {
    process.stderr.write(`ipcnet: the gateways ended without a verdict:\n${readFileSync(logFile, "utf8").trimEnd()}\n`);
    return 1;
  }
  const verdict = JSON.parse(line) as PoseVerdict;
  process.stdout.write(`${verdictText(verdict, { columns: columnsOf(process.stdout, 100), color: process.stdout.isTTY && process.env["NO_COLOR"] === undefined }).join("\n")}\n`);
  for (const name of ["imu.password", "viewer.password", "arm.yaml", "hand", "bus.sock", "ipcnet.sock", "reflex.lock", "state", "pair"]) rmSync(join(folder, name), { force: true, recursive: true });
  return verdict.verdict === "posed" ? 0 : 1;
}

/** Resolves with the child's first line, rejects if it ends before. */
function firstLine(child: ChildProcess, what: string): Promise<string> {
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout! }).once("line", resolve);
    child.once("close", (code) => reject(new Error(`${what} ended with exit code ${code}`)));
    child.once("error", reject);
  });
}

async function answers(socketPath: string): Promise<boolean> {
  try {
    await (await connect({ socketPath, name: "start", timeoutMs: 500 })).close();
    return true;
  } catch {
    // Nobody there, or nobody who speaks: either way nothing that this start would disturb.
    return false;
  }
}

/** The preferred port if it is free, else any. */
function freePort(preferred: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", () => (preferred === 0 ? reject(new Error("no free TCP port on 127.0.0.1")) : resolve(freePort(0))));
    server.listen(preferred, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
