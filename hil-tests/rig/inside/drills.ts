/**
 * In the machine: a whole robot (two reflexes, two gateways, a program that commands) on the kernel's CAN, whose processes are killed and stopped one after the other while a joint on the other
 * controller obeys. What the bus noticed is measured by the kernel's times of reception. One line of JSON for each thing that happens; IPCNET_HIL_OURS and _PEERS name the two ends, _ROUNDS how often.
 */
import assert from "node:assert/strict";
import { type Instance, PairRig } from "../../../bench/failover/pairRig.ts";
import { systemClock } from "../../../schemas/clock.ts";
import type { StatusReport } from "../../../schemas/messages/statusReport.ts";
import type { Client } from "../../../shm/client/index.ts";
import { ARM_FOLDER, writeArmFiles } from "../../armFiles.ts";
import { commandId, moveTo, yamlOf } from "../../armRig.ts";
import { CLAIM_ID, startReflexes } from "../../reflexProcesses.ts";
import { eventually } from "../../waiting.ts";
import { Motor } from "./motor.ts";
import { LIFE_MS, pairConfiguration, PATIENCE_MS } from "./pair.ts";

const [ours, peers, rounds] = [process.env["IPCNET_HIL_OURS"]!, process.env["IPCNET_HIL_PEERS"]!, Number(process.env["IPCNET_HIL_ROUNDS"])];
const COMMAND_PERIOD_MS = 50;
const CLAIM_OWNERS = 4;
const victims = ["the reflex that owns", "the reflex that stands by", "the active gateway", "the gateway that stands by"] as const;
type Victim = (typeof victims)[number];
const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`);
const sinceMs = (fromUs: number): number => (systemClock.nowUs() - fromUs) / 1e3;

class Robot {
  readonly motor = new Motor(ARM_FOLDER, peers);
  readonly brains: PairRig;
  readonly refused = new Map<string, number>();
  client!: Client;
  readonly #yaml: string;
  #reflexes!: Awaited<ReturnType<typeof startReflexes>>;
  #timer: NodeJS.Timeout | undefined;
  #target = 0.5;

  constructor() {
    const configuration = pairConfiguration(ours);
    // 100 ms: less says more about QEMU than about a twin.
    Object.assign(configuration["redundancy"] as object, { brains: "pair", twinDeadlineMs: 100, beatPeriodMs: 20, progressMs: 1_000 });
    configuration.safePose["budgetMs"] = 20_000;
    for (const step of configuration.safePose["steps"] as Record<string, unknown>[]) step["deadlineMs"] = 9_000;
    this.#yaml = yamlOf(configuration);
    this.brains = new PairRig({ configuration: this.#yaml, keep: true });
    writeArmFiles(this.brains.folder);
  }

  async start(): Promise<void> {
    this.motor.setPower(true);
    const beganUs = systemClock.nowUs();
    this.#reflexes = await startReflexes(this.brains.folder, this.#yaml);
    this.brains.start("a");
    await this.brains.active();
    say({ readyMs: sinceMs(beganUs) });
    this.brains.start("b");
    await this.brains.rehearsed();
    this.client = await this.brains.connect("program");
    await this.whole();
    say({ wholeMs: sinceMs(beganUs) });
    await this.client.request("gateway/arm", { why: "test" });
    this.#timer = setInterval(() => {
      this.client.publish("cmd/arm/base_Command", moveTo(this.#target, 0.4), { ttlMs: LIFE_MS }).catch((error: Error) => {
        const why = error.message.slice(0, 80);
        this.refused.set(why, (this.refused.get(why) ?? 0) + 1);
      });
    }, COMMAND_PERIOD_MS);
  }

  async accepted(more: number): Promise<void> {
    const from = this.motor.joint.counters.commandsAccepted;
    await eventually(`${more} more commands obeyed`, () => this.motor.joint.counters.commandsAccepted >= from + more, { timeoutMs: PATIENCE_MS, last: () => this.describe() });
  }

  status(): Promise<StatusReport> {
    return this.client.request("gateway/status", undefined, { timeoutMs: 60_000 }) as Promise<StatusReport>;
  }

  /** Resolves when each has somebody who stands by, and nothing is missing but what a person has to say. */
  async whole(): Promise<StatusReport> {
    await this.brains.standby();
    return eventually("everybody there", async () => {
      const status = await this.status();
      const roles = status.reflexes.map(({ role, tableIsOurs }) => (tableIsOurs ? role : "")).sort().join();
      const pair = (await this.client.request("gateway/failover", {}, { timeoutMs: 60_000 })) as { standby?: { ready: boolean } };
      return roles === "owner,standby" && pair.standby?.ready === true && status.missingForArming.every((text) => text.includes("reset")) && status;
    }, { timeoutMs: PATIENCE_MS, last: () => this.describe() });
  }

  async pidOf(victim: Victim): Promise<number> {
    if (victim === "the active gateway") return (await this.brains.active()).child.pid!;
    if (victim === "the gateway that stands by") return (await this.brains.standby()).child.pid!;
    const { reflexes } = await this.status();
    return reflexes.find(({ role }) => role === (victim === "the reflex that owns" ? "owner" : "standby"))!.pid;
  }

  /** Whoever of the gateways is dead is started again. */
  async mend(): Promise<void> {
    for (const { name, hasEnded } of [...this.brains.instances.values()] as Instance[]) if (hasEnded) this.brains.start(name);
    await this.brains.rehearsed();
    await this.whole();
  }

  /** From a request for the safe pose at the joint's farthest to its verdict. */
  async pose(): Promise<void> {
    const beganUs = systemClock.nowUs();
    const verdict = (await this.client.request("gateway/safe-pose", { why: "test" }, { timeoutMs: PATIENCE_MS })) as { verdict: string; tookMs: number };
    say({ pose: verdict.verdict, tookMs: verdict.tookMs, askedMs: sinceMs(beganUs), atRad: this.motor.joint.positionRad });
    await this.whole();
    await this.client.request("gateway/arm", { reset: true, why: "test" }, { timeoutMs: 60_000 });
    await this.accepted(10);
  }

  describe(): unknown {
    return { accepted: this.motor.joint.counters, refused: [...this.refused], log: this.brains.logs().split("\n").slice(-30), reflexes: this.#reflexes.log.split("\n").slice(-15) };
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.client.close();
    await this.brains.close();
    await this.#reflexes.end();
    this.motor.stop();
  }
}

async function drill(robot: Robot, victim: Victim, kind: "kill" | "stop"): Promise<void> {
  const pid = await robot.pidOf(victim);
  const [from, rejected] = [robot.motor.seen.length, robot.motor.joint.counters.commandsRejected];
  const claimed = robot.motor.joint.follows;
  await robot.accepted(5);
  const faultUs = systemClock.nowUs();
  process.kill(pid, kind === "kill" ? "SIGKILL" : "SIGSTOP");
  await robot.accepted(20);
  const seen = robot.motor.seen.slice(from);
  const times = seen.filter(({ canId }) => canId === commandId("base")).map(({ timeUs }) => timeUs);
  // The gap that the fault lies in or before: until then the bus is commanded as ever.
  const gapMs = Math.max(...times.slice(1).map((timeUs, index) => (timeUs < faultUs ? 0 : timeUs - times[index]!))) / 1e3;
  const claim = seen.find(({ canId, timeUs }) => timeUs > faultUs && canId >= CLAIM_ID && canId < CLAIM_ID + CLAIM_OWNERS && canId - CLAIM_ID !== claimed.owner);
  if (kind === "stop" && victim.endsWith("stands by")) process.kill(pid, "SIGCONT");
  const { state, reflexes } = await robot.status();
  say({ drill: `${victim}, ${kind === "kill" ? "killed" : "stopped"}`, gapMs, ...(claim && victim === "the reflex that owns" ? { claimMs: (claim.timeUs - faultUs) / 1e3 } : {}), state, plansRun: reflexes.reduce((sum, { plansRun }) => sum + plansRun, 0) });
  assert.equal(robot.motor.joint.counters.commandsRejected, rejected, "a stale command was at the joint");
  await robot.mend();
}

const robot = new Robot();
try {
  await robot.start();
  await robot.accepted(20);
  for (let round = 0; round < rounds; round++) {
    for (const victim of victims) for (const kind of ["kill", "stop"] as const) await drill(robot, victim, kind);
    for (let pose = 0; pose < 3; pose++) await robot.pose();
  }
  const { rejects } = await robot.status();
  say({ deadManStops: robot.motor.joint.counters.deadManStops, accepted: robot.motor.joint.counters.commandsAccepted, rejected: robot.motor.joint.counters.commandsRejected, refused: [...robot.refused], rejects, unasked: robot.brains.unasked });
} catch (error) {
  process.stderr.write(`${String(error)}\n${JSON.stringify(robot.describe(), null, 1)}\n`);
  process.exitCode = 1;
} finally {
  await robot.end();
}
