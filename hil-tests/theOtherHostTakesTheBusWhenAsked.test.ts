/**
 * Two hosts on one bus, each with its gateway and its reflex as processes of their own: `ipcnet failover switch host` moves the bus from the one that owns it to the other, from which the joints are
 * commanded then. Who does not own is refused, and says so.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { BusHost } from "../drivers/can/emulator/host.ts";
import { serveBuses } from "../drivers/can/emulator/server.ts";
import type { StatusReport } from "../schemas/messages/statusReport.ts";
import type { Client } from "../shm/client/index.ts";
import { writeArmFiles } from "./armFiles.ts";
import { armConfiguration, moveTo, patient, SimulatedJoint, yamlOf } from "./armRig.ts";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { CLAIM_ID, type ReflexProcesses, startReflexes, withReflex } from "./reflexProcesses.ts";
import { eventually } from "./waiting.ts";

const cli = join(import.meta.dirname, "../../../bin/ipcnet.mjs");
const JOINTS = ["base", "shoulder"] as const;
const PATIENCE_MS = 120_000;
/** As long as a busy machine needs: who stands still for longer than a lease gives the bus up, and the other host takes it. */
const BEAT_MS = 400;
const SELF_FENCE_MS = 1_000;
const CLAIM_TIMEOUT_MS = 5_000;
const LIFE_MS = 10_000;

interface Host {
  readonly number: 0 | 1;
  readonly reflexes: ReflexProcesses;
  readonly daemon: Daemon;
  readonly client: Client;
}

class TwoHosts {
  readonly #bus = new BusHost({ name: "arm", bitrateBps: 500_000 });
  readonly joints: readonly SimulatedJoint[];
  readonly hosts: Host[] = [];
  readonly #ends: (() => unknown)[] = [];

  private constructor() {
    this.joints = JOINTS.map((name) => new SimulatedJoint(this.#bus, name, { claimId: CLAIM_ID, claimQuietMs: 2 * BEAT_MS, claimTimeoutMs: CLAIM_TIMEOUT_MS }));
  }

  static async start(t: TestContext): Promise<TwoHosts> {
    const two = new TwoHosts();
    const { path, remove } = testFolder();
    const socketPath = join(path, "arm.bus");
    const server = await serveBuses({ socketPath, buses: [two.#bus] });
    // Whoever uses it first: hooks run in the order in which they are given.
    t.after(async () => {
      for (const end of two.#ends.toReversed()) await end();
      for (const joint of two.joints) joint.silence();
      await server.close();
      two.#bus.close();
      remove();
    });
    for (const number of [0, 1] as const) two.hosts.push(await startHost((end) => two.#ends.push(end), number, socketPath));
    return two;
  }

  /** The one whom all joints follow, and whose reflex says that it owns the bus. */
  owner(): Promise<Host> {
    return eventually("one host owns the bus, and all joints follow it", async () => {
      const [first, ...more] = this.joints.map(({ joint }) => joint.follows.owner >> 1);
      const host = this.hosts.find(({ number }) => number === first);
      return host && more.every((owner) => owner === first) && (await statusOf(host)).reflexes[0]!.role === "owner" ? host : undefined;
    }, { timeoutMs: PATIENCE_MS, last: () => this.said() });
  }

  other(host: Host): Host {
    return this.hosts[1 - host.number]!;
  }

  said(): unknown[] {
    return [this.joints.map(({ joint }) => joint.follows), ...this.hosts.map(({ daemon, reflexes }) => [daemon.log().slice(-3_000), reflexes.log.slice(-2_000)])];
  }
}

/** `atEnd`: what is to be done when the test is over, the last one first. */
async function startHost(atEnd: (end: () => unknown) => void, number: 0 | 1, busSocket: string): Promise<Host> {
  const { path, remove } = testFolder();
  atEnd(remove);
  writeArmFiles(path);
  const configuration = armConfiguration(JOINTS, busSocket);
  withReflex(configuration, "single");
  patient(configuration);
  Object.assign(configuration["redundancy"] as object, { beatPeriodMs: BEAT_MS, brainTimeoutMs: 20_000 });
  Object.assign(configuration.buses[0]!, { host: number, selfFenceMs: SELF_FENCE_MS });
  for (const command of configuration.commands) command["ttlMsMax"] = LIFE_MS;
  const reflexes = await startReflexes(path, yamlOf(configuration));
  atEnd(() => reflexes.end());
  const daemon = await startDaemon(path, yamlOf(configuration));
  atEnd(async () => {
    daemon.process.kill("SIGKILL");
    await daemon.ended;
  });
  const client = await daemon.connect();
  atEnd(() => client.close());
  return { number, reflexes, daemon, client };
}

const statusOf = ({ client }: Host): Promise<StatusReport> => client.request("gateway/status", undefined, { timeoutMs: 30_000 }) as Promise<StatusReport>;

async function ipcnet(host: Host, ...words: string[]): Promise<{ code: number; text: string }> {
  const child = spawn(process.execPath, [cli, ...words, "--socket", host.daemon.socketPath], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (more: string) => (text += more));
  const [code] = (await once(child, "close")) as [number];
  return { code, text };
}

/** Resolves with true when it is so, with false when this host does not own the bus any more: a machine that stands still for a second moves it by itself. */
async function whileOwner(two: TwoHosts, host: Host, what: string, isSo: () => Promise<boolean>): Promise<boolean> {
  const outcome = await eventually(`${what}, host ${host.number}`, async () => {
    if (await isSo()) return "so";
    return (await statusOf(host)).reflexes[0]!.role === "owner" ? undefined : "gone";
  }, { timeoutMs: PATIENCE_MS, last: () => two.said() });
  return outcome === "so";
}

function armed(two: TwoHosts, host: Host): Promise<boolean> {
  return whileOwner(two, host, "armed", async () => {
    const { state, missingForArming } = await statusOf(host);
    if (state !== "armed" && missingForArming.length === 0) await host.client.request("gateway/arm", { why: "test" }).catch(() => undefined);
    return state === "armed";
  });
}

/** Whether a joint obeys a command that a program of this host has sent. */
function obeyed(two: TwoHosts, host: Host): Promise<boolean> {
  const base = two.joints[0]!.joint;
  const before = base.counters.commandsAccepted;
  return whileOwner(two, host, "the base joint obeys", async () => {
    await host.client.publish("cmd/arm/base_Command", moveTo(0.3, 0.1), { ttlMs: LIFE_MS }).catch(() => undefined);
    return base.counters.commandsAccepted > before && base.follows.owner >> 1 === host.number;
  });
}

test("the bus goes to the other host when an operator asks, and the joints are commanded from there; who does not own it is refused", async (t) => {
  const two = await TwoHosts.start(t);
  const took = new Set<number>();
  for (let round = 0; round < 20 && took.size < 2; round++) {
    const from = await two.owner();
    const to = two.other(from);
    const early = await ipcnet(to, "failover", "switch", "host");
    assert.ok(early.code !== 0 || (await two.owner()) === from, "only its owner gives a bus away");
    if (!(await armed(two, from)) || !(await obeyed(two, from))) continue;
    const { code, text } = await ipcnet(from, "failover", "switch", "host");
    t.diagnostic(`host ${from.number}: ${text.trim()}`);
    if (code !== 0) continue;
    assert.match(text, /the other host commands the buses now; this one stands by/);
    // (The gateway there hears of it a moment later than the joints.)
    if ((await two.owner()) === to && (await armed(two, to)) && (await obeyed(two, to))) took.add(to.number);
  }
  assert.deepEqual([...took].sort(), [0, 1], "each host has taken the bus over from the other");
});
