/**
 * Drills as an operator does them, with the `ipcnet` command, while a program commands the arm: planned hand-overs of the bus and of the gateway, and kill -9 of each of the four processes
 * in turn. The arm stays armed and moves on.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { Status } from "../shm/client/index.ts";
import { ArmRig, commandId, moveTo, type SeenFrame } from "./armRig.ts";
import { processesOf, type Standby, startStandby } from "./reflexProcesses.ts";
import { eventually } from "./waiting.ts";

const cli = join(import.meta.dirname, "../../../bin/ipcnet.mjs");
/** A machine that is busy with much else may hold up the program for seconds. */
const LIFE_MS = 10_000;
const PATIENCE_MS = 60_000;

const folders: string[] = [];
after(async () => {
  for (const folder of folders) await eventually("no process of a drill is left", () => processesOf(folder).length === 0, { timeoutMs: PATIENCE_MS, last: () => processesOf(folder) });
});

async function ipcnet(rig: ArmRig, ...words: string[]): Promise<string> {
  const child = spawn(process.execPath, [cli, ...words, "--socket", rig.daemon.socketPath], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (more: string) => (text += more));
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 0, `ipcnet ${words.join(" ")}: ${text}`);
  return text;
}

async function moving(t: TestContext, { brains }: { brains: "single" | "pair" }): Promise<{ rig: ArmRig; standby: Standby | undefined; commands: ReturnType<ArmRig["commandAll"]> }> {
  const rig = await ArmRig.start({ reflex: "pair", configure: (configuration) => {
    Object.assign(configuration["redundancy"] as object, { brains, brainTimeoutMs: 20_000 });
    for (const command of configuration.commands) command["ttlMsMax"] = LIFE_MS;
  } });
  folders.push(rig.folder.path);
  t.after(() => rig.stop());
  const standby = brains === "pair" ? await startStandby(rig.folder.path) : undefined;
  t.after(() => standby?.end());
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5, 0.05), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await accepts(rig, "motion");
  return { rig, standby, commands };
}

const accepted = (rig: ArmRig): number => Math.min(...rig.joints.map((joint) => rig.joint(joint).joint.counters.commandsAccepted));

/** Commands reach every joint. */
async function accepts(rig: ArmRig, what: string): Promise<void> {
  const before = accepted(rig);
  await eventually(what, () => accepted(rig) > before + 50, { timeoutMs: PATIENCE_MS, last: () => [rig.daemon.log().slice(-3_000), rig.reflexes!.log.slice(-2_000)] });
}

/** All four are there: one reflex owns, the other stands by, and so do the gateways. */
async function complete(rig: ArmRig): Promise<"a" | "b"> {
  const { reflexes } = await rig.until("two reflexes", ({ reflexes: all }) => ["owner", "standby"].every((role) => all.some((each) => each.role === role && each.healthy)), PATIENCE_MS);
  return reflexes.find(({ role }) => role === "owner")!.instance as "a" | "b";
}

const commandFrames = (rig: ArmRig, from: number): SeenFrame[] => rig.commandsSeen(from).filter(({ canId }) => canId === commandId("base"));

/** The longest time without a command for the base joint, ms. */
function longestGapMs(frames: readonly SeenFrame[]): number {
  return Math.max(0, ...frames.slice(1).map(({ timeUs }, index) => (timeUs - frames[index]!.timeUs) / 1e3));
}

function assertUndisturbed(rig: ArmRig, commands: ReturnType<ArmRig["commandAll"]>, status: Awaited<ReturnType<ArmRig["status"]>>): void {
  assert.equal(status.state, "armed", `${rig.daemon.log().slice(-3_000)}\n${rig.reflexes!.log.slice(-2_000)}`);
  assert.equal(status.reflexes.reduce((sum, { plansRun }) => sum + plansRun, 0), 0, "no plan was run");
  // A gateway that has taken over keeps what comes before it has heard of the reflex, but not for longer than a second, which is not much on a busy machine; and there a program may itself lose
  // patience with an answer. Nothing else is ever refused.
  const isBusy = (code: number): boolean => code === Status.requestTimeout || (code === Status.preconditionFailed && status.instance !== "a");
  assert.deepEqual([...commands.why].filter(([code]) => !isBusy(code)), [], "the program was told nothing");
}

const pairReady = (rig: ArmRig, standby: Standby): Promise<unknown> =>
  eventually("a standby that is ready", async () => ((await rig.client.request("gateway/failover", {}, { timeoutMs: PATIENCE_MS })) as { standby?: { ready: boolean } }).standby?.ready === true, { timeoutMs: PATIENCE_MS, last: () => standby.log() });

test("ipcnet failover switch reflex: the other one owns the bus, under a new epoch; no frame of the joints is lost and the program is refused nothing", async (t) => {
  const { rig, commands } = await moving(t, { brains: "single" });
  for (let round = 0; round < 4; round++) {
    const owner = await complete(rig);
    const before = await rig.status();
    const from = rig.seen.length;
    assert.match(await ipcnet(rig, "failover", "switch", "reflex"), /owns the buses now/);
    await accepts(rig, "commands accepted after it");
    assert.notEqual(await complete(rig), owner);
    const status = await rig.status();
    assertUndisturbed(rig, commands, status);
    assert.equal(status.links[0]!.counters["lost"], before.links[0]!.counters["lost"], "every frame of the joints was taken once");
    const frames = commandFrames(rig, from);
    assert.equal(new Set(frames.map(({ data }) => data[3])).size, 2, "frames of two epochs, the old and the new");
    // A claim overtakes, by its priority, what waits in the controller beside it: that comes late, with the old epoch, and the joint refuses it.
    const late = frames.filter(({ data }, index) => index > 0 && data[3] !== frames[index - 1]!.data[3]).length - 1;
    const refused = rig.joints.map((joint) => rig.joint(joint).joint.counters.commandsRejected);
    assert.ok(late <= 0 || refused[0]! > 0, "what comes late of the old one is refused");
    t.diagnostic(`hand-over ${round + 1}: longest time between two commands ${longestGapMs(frames).toFixed(1)} ms (one every 20 ms was asked for), ${refused.join(" and ")} refused by the joints`);
  }
});

test("ipcnet kill --test of each of the four processes in turn: the arm stays armed and moves on", async (t) => {
  const { rig, standby, commands } = await moving(t, { brains: "pair" });
  let last = standby!;
  // First whoever stands by; the gateway that every program is connected to comes last.
  for (const name of ["reflex-a", "reflex-b", "b", "a"]) {
    await complete(rig);
    await pairReady(rig, last);
    const from = rig.seen.length;
    await ipcnet(rig, "kill", "--test", name);
    if (name === "b") {
      await eventually("its end", () => last.process.signalCode !== null, { timeoutMs: PATIENCE_MS });
      await accepts(rig, "commands accepted without a second gateway");
      const next = await startStandby(rig.folder.path);
      t.after(() => next.end());
      last = next;
    }
    if (name === "a") await rig.daemon.ended;
    await accepts(rig, `commands accepted after the end of ${name}`);
    assertUndisturbed(rig, commands, await rig.status());
    t.diagnostic(`kill -9 of ${name}: longest time between two commands ${longestGapMs(commandFrames(rig, from)).toFixed(1)} ms (one every 20 ms was asked for)${[...commands.refused].map(([code, count]) => `, ${count} refused with ${code}`).join("")}`);
  }
  assert.equal((await rig.status()).instance, "b");
});

test("ipcnet failover switch: the other gateway goes on while the arm moves, and nobody has to force it, for the bus is the reflex's", async (t) => {
  const { rig, standby, commands } = await moving(t, { brains: "pair" });
  const owner = await complete(rig);
  await pairReady(rig, standby!);
  const [before, from] = [await rig.status(), rig.seen.length];
  assert.match(await ipcnet(rig, "failover", "switch"), /instance b is active now, after a/);
  const { code, signal } = await rig.daemon.ended;
  // Its successor may have killed it before it has ended by itself.
  assert.ok(code === 0 || signal === "SIGKILL", `an orderly end: ${code ?? signal}`);
  await accepts(rig, "commands accepted after it");
  const status = await rig.status();
  assertUndisturbed(rig, commands, status);
  assert.deepEqual([status.instance, await complete(rig)], ["b", owner]);
  assert.deepEqual(status.reflexes.map(({ instance, epoch, takeovers }) => [instance, epoch, takeovers]), before.reflexes.map(({ instance, epoch, takeovers }) => [instance, epoch, takeovers]), "the bus was not touched");
  // (A joint that stood still itself refuses the next command as the first of a new stream, whoever sends it: what was on the bus is asked.)
  assert.equal(new Set(commandFrames(rig, from).map(({ data }) => data[3])).size, 1, "frames of one epoch: no joint saw a command that was not its owner's");
  t.diagnostic(`hand-over: longest time between two commands ${longestGapMs(commandFrames(rig, from)).toFixed(1)} ms (one every 20 ms was asked for)`);
});
