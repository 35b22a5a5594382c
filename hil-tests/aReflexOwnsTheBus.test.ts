/** The buses belong to processes of their own: commands pass through them, are refused there, and go on when one of them dies, or when the gateway does. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Status } from "../shm/client/index.ts";
import { ArmRig, type ArmRigOptions, commandId, LIFE_MS, moveTo, PROBE_ID, refusal, type SeenFrame } from "./armRig.ts";
import { startStandby } from "./reflexProcesses.ts";
import { eventually } from "./waiting.ts";

/** `targetPosition` of a command frame: bytes 4 and 5, 0.0001 rad. */
function targetRad({ data }: SeenFrame): number {
  return new DataView(data.buffer, data.byteOffset).getInt16(4, true) / 1e4;
}

/** The lowest bits of the epoch that a command carries: byte 3. */
function epochOf({ data }: SeenFrame): number {
  return data[3]!;
}

async function start(t: TestContext, options: ArmRigOptions = {}): Promise<ArmRig> {
  const rig = await ArmRig.start({ reflex: "pair", ...options });
  t.after(() => rig.stop());
  return rig;
}

/** An armed arm in motion; commands live for a second. */
async function moving(t: TestContext, options: ArmRigOptions = {}): Promise<{ rig: ArmRig; commands: ReturnType<ArmRig["commandAll"]> }> {
  const rig = await start(t, options);
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5, 0.4), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.2, { last: () => [rig.daemon.log(), rig.reflexes!.log] });
  return { rig, commands };
}

function acceptedBy(rig: ArmRig): number {
  return Math.min(...rig.joints.map((joint) => rig.joint(joint).joint.counters.commandsAccepted));
}

test("commands go through the reflex with its epoch; what is not armed, not listed or out of range never reaches the bus", async (t) => {
  const rig = await start(t);
  await rig.until("nothing missing for arming", ({ missingForArming }) => missingForArming.length === 0);
  assert.equal((await refusal(rig.command("base", moveTo(0.2)))).status, Status.preconditionFailed);
  await rig.arm();
  assert.equal((await refusal(rig.command("base", moveTo(7)))).status, Status.unprocessableContent);
  assert.notEqual((await refusal(rig.client.publish("cmd/arm/base_State", {}))).status, Status.ok);
  assert.deepEqual(rig.commandsSeen().filter(({ canId }) => canId !== PROBE_ID), []);
  // A joint that stood still itself follows nobody until it has heard a claim again, and refuses what comes before: then once more.
  await eventually("a command accepted by the joint", async () => {
    await rig.command("base", moveTo(0.2));
    return rig.joint("base").joint.counters.commandsAccepted > 0;
  }, { timeoutMs: 60_000, last: () => rig.reflexes!.log });
  const [frame] = rig.commandsSeen().filter(({ canId }) => canId === commandId("base"));
  assert.equal(targetRad(frame!), 0.2);
  assert.notEqual(epochOf(frame!), 0);
  assert.deepEqual([...rig.joint("base").joint.refusals].filter((why) => why !== "notFollowing"), []);
});

test("the owner is killed while a program commands the arm: it goes on under a new epoch, and the program notices nothing", async (t) => {
  const { rig, commands } = await moving(t);
  const owner = await eventually("an owner", () => /reflex (a|b) owns the buses/.exec(rig.daemon.log())?.[1] as "a" | "b" | undefined);
  const before = { seen: rig.seen.length, accepted: acceptedBy(rig), epoch: epochOf(rig.commandsSeen().findLast(({ canId }) => canId === commandId("base"))!) };
  await rig.reflexes!.kill(owner);
  await eventually("commands accepted after it", () => acceptedBy(rig) > before.accepted + 50, { last: () => [rig.daemon.log(), rig.reflexes!.log] });
  const after = rig.commandsSeen(before.seen).filter(({ canId }) => canId === commandId("base"));
  assert.ok(after.some((frame) => epochOf(frame) !== before.epoch), "a new epoch");
  assert.deepEqual([...commands.refused.keys()].filter((status) => status === 0), [], "no disconnect");
  const status = await rig.status();
  assert.equal(status.state, "armed", `${rig.daemon.log()}\n${rig.reflexes!.log}`);
  // The keeper has started it again, as a standby.
  await eventually("both are there again", () => rig.reflexes!.pid("a") !== undefined && rig.reflexes!.pid("b") !== undefined);
});

test("the gateway is killed while the arm moves: the set-points expire, and the plan runs and is measured without any gateway", async (t) => {
  const { rig } = await moving(t);
  rig.daemon.process.kill("SIGKILL");
  await rig.daemon.ended;
  await eventually("parked by the reflex alone", () => rig.joints.every((joint) => rig.joint(joint).joint.mode === "Park" && Math.abs(rig.joint(joint).joint.positionRad) < 0.03), { timeoutMs: 60_000, last: () => rig.reflexes!.log });
  await rig.startDaemon();
  const status = await rig.until("its verdict is known", ({ state }) => state === "posed", 60_000);
  assert.match(status.missingForArming.join(), /reset/);
  assert.equal((await refusal(rig.client.request("gateway/arm"))).status, Status.preconditionFailed);
  await rig.client.request("gateway/arm", { reset: true, why: "test" });
  assert.equal((await rig.status()).state, "armed");
});

test("of two gateways the active one is killed while a program commands the arm: the program keeps its connection, and the arm goes on without a safe pose", async (t) => {
  const rig = await start(t, { configure: (configuration) => Object.assign(configuration["redundancy"] as object, { brains: "pair" }) });
  const standby = await startStandby(rig.folder.path);
  t.after(() => standby.end());
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5, 0.4), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.2);
  await eventually("a standby that is ready", async () => ((await rig.client.request("gateway/failover")) as { standby?: { ready: boolean } }).standby?.ready === true, { last: () => standby.log() });
  const accepted = acceptedBy(rig);
  rig.daemon.process.kill("SIGKILL");
  await rig.daemon.ended;
  await eventually("commands accepted after it", () => acceptedBy(rig) > accepted + 80, { timeoutMs: 60_000, last: () => [standby.log(), rig.reflexes!.log, [...commands.refused]] });
  const status = await rig.status();
  assert.deepEqual([status.state, status.instance], ["armed", "b"], `${standby.log()}\n${rig.reflexes!.log}`);
  assert.equal(status.reflexes.reduce((sum, { plansRun }) => sum + plansRun, 0), 0, "no plan was run");
});

test("the safe pose by an operator runs in the reflex, and its verdict lists the measured steps", async (t) => {
  const { rig } = await moving(t);
  const verdict = (await rig.client.request("gateway/safe-pose", { why: "test" }, { timeoutMs: 60_000 })) as { verdict: string; why: string; steps: { name: string; result: string }[] };
  assert.equal(verdict.verdict, "posed", `${JSON.stringify(verdict)}\n${rig.reflexes!.log}`);
  assert.deepEqual(verdict.steps.map(({ name, result }) => [name, result]), [["stop", "reached"], ["park", "reached"]]);
  assert.match(verdict.why, /test/);
  for (const joint of rig.joints) assert.ok(Math.abs(rig.joint(joint).joint.positionRad) < 0.05);
});

test("Ctrl-C: posed by the reflex, exit code 0", async (t) => {
  const { rig } = await moving(t);
  rig.daemon.process.kill("SIGINT");
  const { code, verdict } = await rig.daemon.ended;
  assert.equal(verdict?.verdict, "posed", `${rig.daemon.log()}\n${rig.reflexes!.log}`);
  assert.equal(code, 0);
});

test("everything is killed in mid-plan: what starts again finishes the plan before anything else", async (t) => {
  const { rig } = await moving(t);
  // The plan cannot come to its end before all of them are dead: the joints hear nothing of it.
  for (const joint of rig.joints) rig.joint(joint).deaf = true;
  void rig.client.request("gateway/safe-pose", { why: "test" }, { timeoutMs: 30_000 }).catch(() => undefined);
  await eventually("the safe pose running", () => rig.daemon.log().includes("[safePose]"), { last: () => rig.reflexes!.log });
  rig.daemon.process.kill("SIGKILL");
  await rig.reflexes!.killAll();
  await rig.daemon.ended;
  for (const joint of rig.joints) rig.joint(joint).deaf = false;
  const seen = rig.seen.length;
  await rig.restartReflexes();
  await eventually("parked", () => rig.joints.every((joint) => rig.joint(joint).joint.mode === "Park" && Math.abs(rig.joint(joint).joint.positionRad) < 0.03), { timeoutMs: 60_000, last: () => rig.reflexes!.log });
  assert.ok(rig.commandsSeen(seen).length > 0);
  await rig.startDaemon();
  const status = await rig.until("its verdict is known", ({ state }) => state === "posed" || state === "fault");
  assert.match(status.missingForArming.join(), /reset/);
});

test("a bus that runs at another bit rate than configured is left alone, said once, and not armed", async (t) => {
  const rig = await start(t, { configure: (configuration) => (configuration.buses[0]!["bitrateBps"] = 250_000) });
  const told = (): number => rig.reflexes!.log.match(/arm\.bus runs at 500000 bit\/s, the configuration says 250000: it is not used/g)?.length ?? 0;
  await eventually("each of the two says it", () => told() >= 2, { last: () => rig.reflexes!.log });
  const { missingForArming } = await rig.until("missing for arming", ({ links, missingForArming: missing }) => missing.length > 0 && links[0]!.state === "down", 60_000);
  assert.ok(missingForArming.length > 0);
  assert.notEqual((await refusal(rig.client.request("gateway/arm"))).status, Status.ok);
  await eventually("frames of the joints", () => rig.seen.length > 200);
  assert.deepEqual(rig.seen.filter(({ canId }) => canId < 0x20 || canId === PROBE_ID || rig.joints.some((joint) => canId === commandId(joint))), [], "neither claims nor probes nor commands");
  assert.equal(told(), 2, rig.reflexes!.log);
});
