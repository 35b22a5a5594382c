import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ManualClock, systemClock } from "../../../schemas/clock.ts";
import type { DriverEvent } from "../../../drivers/driver.ts";
import { compileTable } from "../table/compile.ts";
import { testInput } from "../table/testInput.ts";
import { ReflexBus } from "./bus.ts";
import { newer, ReflexClient } from "./client.ts";
import { triggerKinds } from "../table/layout.ts";
import { FakeReflex, lack } from "./fakeReflex.ts";
import { ReflexSupervisor } from "./supervisor.ts";
import { FIRST_OWNER_MS_MAX } from "./limits.ts";
import { busPhases } from "../../../drivers/can/busHealth.ts";
import { roles, stepStates } from "./status.ts";

const MOVE = 33;
const STATE = 34;
const UP = 1;
/** As a phase. */
const PROBING = busPhases.indexOf("probing");

async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!holds()) {
    if (performance.now() > deadlineMs) throw new Error(`not within a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function rig(t: TestContext, { pair = false, brainEpoch = 1, input = testInput } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-reflex-"));
  const table = compileTable(input);
  assert.ok(table.ok);
  const fakes: FakeReflex[] = [];
  const start = async (instance: "a" | "b", role: "owner" | "standby" = "owner", epoch = 1): Promise<FakeReflex> => {
    const fake = await FakeReflex.start(folder, { instance, clock: systemClock, role, epoch });
    fakes.push(fake);
    return fake;
  };
  const epoch = { value: brainEpoch };
  const codes: string[] = [];
  const told: string[] = [];
  const client = await ReflexClient.create({
    runFolder: folder, instances: pair ? ["a", "b"] : ["a"], clock: systemClock, brainEpoch: () => epoch.value, outdated: (known) => (epoch.value = known + 1), isActive: () => true, bootId: new Uint8Array(16), table, brainTimeoutMs: 1_000, event: ({ code, severity, text }) => {
      codes.push(code);
      told.push(`${severity} ${code} ${text}`);
    },
  });
  const refused: [number, string][] = [];
  const bus = new ReflexBus({ client, bus: 0, name: "arm", bitrateBps: 500_000, fd: false, clock: systemClock, onRefused: (token, reason) => void refused.push([token, reason]) });
  const states: string[] = [];
  const supervisor = new ReflexSupervisor({ client, clock: systemClock, missing: () => [], clearCommands: () => {}, stateChanged: (from, to, why) => void states.push(`${from} → ${to}: ${why}`), autoDisarmAfterSilentMs: 0 });
  const received: { canId: number; token: number; first: number }[] = [];
  bus.onFrames((batch) => {
    for (let i = 0; i < batch.count; i++) received.push({ canId: batch.canId(i), token: batch.token(i), first: batch.bytes[batch.dataOffset(i)]! });
  });
  const events: DriverEvent[] = [];
  bus.onEvent((event) => void events.push(event));
  t.after(async () => {
    await bus.stop();
    for (const fake of fakes) fake.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await bus.start();
  const move = (token: number, raw = 0) => {
    const data = new Uint8Array(8);
    new DataView(data.buffer).setInt16(4, raw, true);
    return bus.send({ canId: MOVE, flags: 0, data, timeUs: systemClock.nowUs() + 30e6, token });
  };
  return { client, bus, supervisor, start, move, received, refused, events, states, codes, told, table };
}

test("it connects when the reflex comes, hands the table over, beats, and comes back after its death", async (t) => {
  const { client, bus, start, codes, move } = await rig(t);
  assert.equal(move(1), "linkDown");
  assert.equal(bus.health().state, "starting");
  const first = await start("a");
  await eventually("the table is there", () => first.rows !== undefined && client.owner !== undefined);
  await eventually("a beat", () => first.orders.some(({ order, a }) => order === "brainBeat" && a === 1));
  first.tellBus(UP, UP);
  await eventually("the bus is up", () => bus.health().state === "up");
  first.stop();
  await eventually("gone", () => client.owner === undefined && codes.includes("reflexGone"));
  const second = await start("a", "owner", 2);
  await eventually("back", () => second.rows !== undefined && client.owner?.epoch === 2);
});

test("a reflex that has obeyed a newer brain says so, and is commanded under an epoch above that", async (t) => {
  const { start } = await rig(t, { brainEpoch: 7 });
  const fake = await start("a");
  await eventually("beats of ours", () => fake.orders.some(({ order, a }) => order === "brainBeat" && a === 7));
  fake.brainEpoch = 900;
  await eventually("beats above", () => fake.orders.some(({ order, a }) => order === "brainBeat" && a === 901));
  assert.deepEqual([...new Set(fake.orders.filter(({ order }) => order === "brainBeat").map(({ a }) => a))], [7, 901]);
});

test("who was obeyed and then hears of a newer brain does not rise above it: that one lives, and they would outbid each other", async (t) => {
  const { client, start } = await rig(t, { brainEpoch: 7 });
  const fake = await start("a");
  fake.brainEpoch = 7;
  await eventually("obeyed", () => client.ends[0]!.status?.brainEpoch === 7);
  fake.brainEpoch = 900;
  await eventually("another one is", () => client.ends[0]!.status?.brainEpoch === 900);
  const before = fake.orders.length;
  await eventually("beats after that", () => fake.orders.slice(before).filter(({ order }) => order === "brainBeat").length >= 3);
  assert.ok(fake.orders.every(({ order, a }) => order !== "brainBeat" || a === 7));
});

test("a table that is refused is offered again, and the refusal is told", async (t) => {
  const { start, codes } = await rig(t);
  const fake = await start("a");
  fake.tableAnswer = "busy";
  await eventually("told", () => codes.includes("tableRefused"));
  fake.tableAnswer = undefined;
  await eventually("taken", () => fake.rows !== undefined);
  assert.ok(fake.tables >= 2);
});

test("commands go out unprotected with their row, come back as echoes, or as refusals with their reason", async (t) => {
  const { client, bus, supervisor, start, move, received, refused } = await rig(t);
  const fake = await start("a");
  await eventually("ready", () => fake.rows !== undefined && client.takesCommands && client.owner !== undefined);
  assert.deepEqual(await supervisor.arm("test"), []);
  assert.equal(move(11, 500), "queued");
  await eventually("the echo", () => received.some(({ token }) => token === 11));
  assert.deepEqual([fake.commands[0]?.message, fake.commands[0]?.lengthBytes, fake.commands[0]?.data[0]], [0, 8, 0]);
  assert.equal(move(12, 32_000), "queued");
  await eventually("the refusal", () => refused.length > 0);
  assert.deepEqual(refused, [[12, "outOfRange"]]);
  assert.equal(bus.send({ canId: 999, flags: 0, data: new Uint8Array(8), timeUs: systemClock.nowUs() + 30e6 }), "unsupported");
  assert.equal(bus.send({ canId: MOVE, flags: 0, data: new Uint8Array(8), timeUs: 1 }), "expired");
  assert.ok(fake.commands[1]!.sequence > fake.commands[0]!.sequence);
});

test("when the owner dies the other one's frames go on where it stopped, once each; what was on its way is settled", async (t) => {
  const { client, start, move, received, refused, bus, supervisor } = await rig(t, { pair: true });
  const [a, b] = [await start("a"), await start("b", "standby")];
  await eventually("ready", () => a.rows !== undefined && b.rows !== undefined && client.owner?.instance === "a" && client.ends.every((end) => end.takesCommands));
  a.tellBus(UP, UP);
  b.tellBus(UP, UP);
  await eventually("up", () => bus.health().state === "up");
  await supervisor.arm("test");
  const payload = (first: number): Uint8Array => Uint8Array.of(first, 0, 0, 0, 0, 0, 0, 0);
  const nowUs = systemClock.nowUs();
  // Both hear the same; the owner dies before it has told of the last two.
  for (const first of [1, 2]) for (const fake of [a, b]) fake.frame(STATE, payload(first), { timeUs: nowUs + first });
  for (const first of [3, 4]) b.frame(STATE, payload(first), { timeUs: nowUs + first });
  await eventually("the owner's", () => received.filter(({ canId }) => canId === STATE).length === 2);
  a.role = "standby";
  move(21);
  await eventually("on its way", () => b.commands.length > 0);
  a.stop();
  b.become("owner", 2);
  await eventually("taken over", () => client.owner?.instance === "b");
  b.frame(STATE, payload(5));
  await eventually("five frames", () => received.filter(({ canId }) => canId === STATE).length === 5);
  assert.deepEqual(received.filter(({ canId }) => canId === STATE).map(({ first }) => first), [1, 2, 3, 4, 5]);
  assert.ok(refused.some(([token]) => token === 21), JSON.stringify(refused));
  assert.equal(bus.health().state, "up", "and the bus was never down");
});

test("whoever reads too late waits for no echo that was lost, and asks anew how the buses are", async (t) => {
  const { client, bus, start, move, refused, codes, supervisor } = await rig(t);
  const fake = await start("a");
  await eventually("ready", () => fake.rows !== undefined && client.takesCommands && client.owner !== undefined);
  fake.tellBus(UP, UP);
  await eventually("up", () => bus.health().state === "up");
  await supervisor.arm("test");
  fake.isMute = true;
  assert.equal(move(31), "queued");
  await eventually("on its way", () => fake.commands.length > 0);
  fake.busPhase = PROBING;
  // More than the lane holds, before anybody can read.
  for (let count = 0; count < 300; count++) fake.frame(STATE, new Uint8Array(8));
  await eventually("given up", () => refused.length > 0);
  assert.deepEqual(refused, [[31, "recordsLost"]]);
  assert.ok(codes.includes("recordsLost"));
  await eventually("its status is believed", () => bus.health().state === "dead");
});

test("an owner that was started again knows nothing of what its predecessor had in hand", async (t) => {
  const { client, start, move, refused, supervisor } = await rig(t, { pair: true });
  const [a, b] = [await start("a"), await start("b", "standby")];
  await eventually("ready", () => a.rows !== undefined && b.rows !== undefined && client.owner?.instance === "a" && client.ends.every((end) => end.takesCommands));
  await supervisor.arm("test");
  a.isMute = true;
  assert.equal(move(41), "queued");
  await eventually("on its way", () => a.commands.length > 0);
  a.stop();
  await eventually("gone", () => client.owner === undefined);
  await start("a", "owner", 2);
  await eventually("given up", () => refused.length > 0);
  assert.deepEqual(refused, [[41, "ownerChanged"]]);
});

test("whoever goes on for another brain knows whether it is armed when an owner has told it; without one that is waited for a moment, and no longer", async (t) => {
  const { client, supervisor, start } = await rig(t);
  assert.equal(supervisor.settling, false, "who begins from nothing has nothing to wait for");
  supervisor.takenOver({ state: "armed", reason: "before" }, systemClock.nowUs());
  assert.deepEqual([supervisor.settling, supervisor.armed], [true, false]);
  await eventually("given up", () => !supervisor.settling);
  supervisor.takenOver({ state: "armed", reason: "before" }, systemClock.nowUs());
  const fake = await start("a");
  fake.arming = "armed";
  await eventually("armed", () => supervisor.armed);
  assert.equal(supervisor.settling, false);
  fake.stop();
  await eventually("gone", () => client.owner === undefined);
  supervisor.takenOver({ state: "armed", reason: "before" }, systemClock.nowUs());
  assert.equal(supervisor.settling, false, "who has followed knows it");
});

test("whoever has followed and knows of no arming asks the owner once more: it may have been armed in records that are still to be read", async (t) => {
  const { client, supervisor, start } = await rig(t);
  const fake = await start("a");
  await eventually("it is known to be disarmed", () => client.owner?.status !== undefined && supervisor.state === "disarmed");
  fake.arming = "armed";
  supervisor.takenOver({ state: "armed", reason: "before" }, systemClock.nowUs());
  assert.deepEqual([supervisor.settling, supervisor.armed], [true, false]);
  await eventually("heard", () => !supervisor.settling);
  assert.deepEqual([supervisor.armed, supervisor.reason], [true, "before"]);
});

test("where nothing can be sent that moves anything, the robot is at rest: with a plan that is missing it is not", async (t) => {
  const plans = { plans: [], triggers: [] };
  const { supervisor, start } = await rig(t, { input: { ...testInput, commands: [], measured: [], nodes: [], plans } });
  await start("a");
  assert.deepEqual(await supervisor.safePose("stopped"), { verdict: "posed", why: "stopped", tookMs: 0, budgetMs: 0, steps: [] });
  const other = await rig(t, { input: { ...testInput, plans } });
  await other.start("a");
  assert.equal((await other.supervisor.safePose("stopped")).verdict, "failed");
});

test("a takeover is one event, and the state does not flicker with what the standby had said of itself", async (t) => {
  const { client, start, supervisor, states, codes, told } = await rig(t, { pair: true });
  const [a, b] = [await start("a"), await start("b", "standby")];
  await eventually("ready", () => a.rows !== undefined && b.rows !== undefined && client.owner?.instance === "a");
  await supervisor.arm("test");
  // The standby's own word, told by its socket: it has armed nothing.
  await eventually("the standby has told of itself", () => client.ends[1]!.status !== undefined);
  told.length = codes.length = 0;
  a.stop();
  // Its role comes first, its state after it.
  b.role = "owner";
  b.epoch = 2;
  b.report("role", Uint8Array.of(roles.indexOf("owner"), 0, 2, 0));
  await eventually("taken over", () => client.owner?.instance === "b");
  b.arming = "armed";
  b.tellState();
  await eventually("its state", () => client.owner?.state?.arming === "armed");
  await eventually("the end of a", () => !client.ends[0]!.isReady);
  assert.deepEqual(states, ["disarmed → armed: test"]);
  assert.equal(told.length, 1, told.join("\n"));
  assert.match(told[0]!, /^warning reflexTookOver reflex b owns the buses, epoch 2: it took over from a.*, epoch 1, \d+\.\d ms after that was last heard$/);
  // What it had owned before does not speak for it when it comes to own again.
  b.become("standby");
  const again = await start("a", "owner", 3);
  await eventually("a owns again", () => again.rows !== undefined && client.owner?.instance === "a");
  await eventually("disarmed", () => supervisor.state === "disarmed");
  again.role = "standby";
  b.role = "owner";
  b.epoch = 4;
  b.arming = "disarmed";
  b.report("role", Uint8Array.of(roles.indexOf("owner"), 0, 4, 0));
  await eventually("b owns again", () => client.owner?.epoch === 4);
  b.tellState();
  await eventually("its state", () => client.owner?.state?.epoch === 4);
  assert.deepEqual(states.slice(1).map((text) => text.split(":")[0]), ["armed → disarmed"]);
});

test("an owner that goes and is not followed is told as an error, once it is certain", async (t) => {
  const { client, start, told } = await rig(t, { pair: true });
  const [a, b] = [await start("a"), await start("b", "standby")];
  await eventually("ready", () => a.rows !== undefined && b.rows !== undefined && client.owner?.instance === "a");
  a.stop();
  await eventually("told", () => told.some((text) => /^error reflexGone reflex a: .*nobody has taken over: no reflex owns the buses \(b is standby\)/.test(text)));
});

test("an older word about a role does not undo a newer one, by whichever way it comes", async (t) => {
  const { client, start, codes } = await rig(t);
  const fake = await start("a", "standby");
  await eventually("ready", () => fake.rows !== undefined && client.ends[0]!.status !== undefined);
  const [end] = client.ends;
  assert.equal(end!.roleTold("owner", 2, systemClock.nowUs() + 60e6), true);
  const before = end!.status;
  await eventually("another status", () => end!.status !== before);
  assert.deepEqual([end!.role, end!.epoch], ["owner", 2], "the status is older");
  assert.ok(!codes.includes("reflexGone"));
});

test("a gateway that starts before its reflexes waits for them; when they do not come it says so", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-reflex-"));
  const table = compileTable(testInput);
  assert.ok(table.ok);
  const clock = new ManualClock();
  const client = await ReflexClient.create({ runFolder: folder, instances: ["a"], clock, brainEpoch: () => 1, isActive: () => true, bootId: new Uint8Array(16), table, brainTimeoutMs: 1_000, event: () => {} });
  const bus = new ReflexBus({ client, bus: 0, name: "arm", bitrateBps: 500_000, fd: false, clock, onRefused: () => {} });
  t.after(async () => {
    await bus.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const states: [string | undefined, string][] = [];
  bus.onEvent(({ state, text }) => void states.push([state, text]));
  await bus.start();
  clock.advanceMs(FIRST_OWNER_MS_MAX - 1);
  assert.deepEqual(states.map(([state]) => state), ["starting"]);
  assert.match(bus.health().reason, /^waiting for an owner: no reflex answers/);
  clock.advanceMs(1);
  assert.deepEqual(states.map(([state]) => state), ["starting", "down"]);
  assert.match(states[1]![1], /no reflex answers/);
});

test("arming: everything that is missing, in sentences; the state is the reflex's own", async (t) => {
  const { client, start, supervisor, states } = await rig(t);
  assert.match(supervisor.missing()[0]!, /no reflex answers/);
  assert.match((await supervisor.arm("nobody there"))[0]!, /no reflex/);
  const fake = await start("a");
  fake.lacks = [lack("node"), lack("bus"), lack("foreignMaster")];
  await eventually("owner", () => client.owner !== undefined && fake.rows !== undefined);
  const missing = await supervisor.arm("test");
  assert.deepEqual(missing, ["node joint is not there", "bus arm is not proven alive", "somebody else sends what only the reflex may send on bus arm: a second master"]);
  fake.lacks = [];
  assert.deepEqual(await supervisor.arm("test"), []);
  assert.equal(supervisor.armed, true);
  assert.deepEqual(states, ["disarmed → armed: test"]);
  fake.arming = "safePose";
  fake.tellState({ plan: 0, trigger: 0 });
  await eventually("told", () => supervisor.state === "safePose");
  assert.match(supervisor.reason, /trigger busDead/);
  await supervisor.reset("not yet");
});

test("a bus that was dead and has proved alive is opened by whoever arms, when nothing else is missing", async (t) => {
  const { client, start, supervisor } = await rig(t);
  const fake = await start("a");
  await eventually("owner", () => client.owner !== undefined && fake.rows !== undefined);
  fake.lacks = [lack("bus")];
  fake.tellBus(3, 6);
  await eventually("told", () => client.owner?.buses.get(0)?.phase === 6);
  await eventually("nothing missing", () => supervisor.missing().length === 0);
  const arming = supervisor.arm("test");
  await eventually("opened", () => fake.orders.some(({ order }) => order === "rearmBus"));
  await arming;
  assert.deepEqual(fake.orders.filter(({ order }) => order !== "brainBeat").map(({ order }) => order), ["arm", "rearmBus", "arm"]);
});

test("a safe pose: the verdict lists the steps as they were told; unmet conditions are named", async (t) => {
  const { client, start, supervisor } = await rig(t);
  const fake = await start("a");
  await eventually("owner", () => client.owner !== undefined && fake.rows !== undefined);
  const verdict = supervisor.safePose("test");
  await eventually("asked", () => fake.orders.some(({ order }) => order === "trigger"));
  const step = new Uint8Array(8);
  step[0] = stepStates.indexOf("timedOut");
  new DataView(step.buffer).setUint32(4, 500_000, true);
  fake.report("step", step, { token: 0 });
  fake.arming = "fault";
  fake.tellState();
  fake.report("verdict", Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 2));
  const { verdict: word, why, steps, budgetMs } = await verdict;
  assert.deepEqual([word, why, budgetMs], ["cut", "test", 1_000]);
  assert.deepEqual(steps, [{ name: "stop", result: "timedOut", tookMs: 500, deadlineMs: 500, missing: ["can/arm/State v"] }]);
});

test("who is asked for the safe pose dies before it answers: its twin is asked, and an end that is told twice counts once", async (t) => {
  const { client, start, supervisor } = await rig(t, { pair: true });
  const [a, b] = [await start("a"), await start("b", "standby")];
  await eventually("ready", () => a.rows !== undefined && b.rows !== undefined && client.owner?.instance === "a" && client.ends.every((end) => end.isReady));
  a.diesOfTrigger = true;
  const verdict = supervisor.safePose("test");
  await eventually("asked", () => a.orders.some(({ order }) => order === "trigger"));
  b.become("owner", 2);
  await eventually("asked again", () => b.orders.some(({ order }) => order === "trigger"));
  const end = Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0, 1);
  b.report("verdict", end);
  assert.equal((await verdict).verdict, "posed");
  const next = supervisor.safePose("again");
  await eventually("asked once more", () => b.orders.filter(({ order }) => order === "trigger").length === 2);
  b.report("verdict", end);
  b.report("verdict", Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0, 2));
  assert.equal((await next).verdict, "cut", "not the end of the run before");
});

test("the cause of a pose: what the reflex saw, then who asked and took over with the same plan, until it is reset", async (t) => {
  const { client, start, supervisor } = await rig(t);
  const fake = await start("a");
  await eventually("owner", () => client.owner !== undefined && fake.rows !== undefined);
  const cause = () => (({ trigger, why, latched }) => ({ trigger, why, latched }))(supervisor.cause ?? { trigger: "none", why: "", latched: false });
  assert.equal(cause().trigger, "none");
  const row = (kind: string) => fake.rows!.triggers.findIndex((each) => triggerKinds[each.kind] === kind);
  fake.arming = "safePose";
  fake.tellState({ plan: 0, trigger: row("onNodeLost") });
  await eventually("told", () => cause().trigger === "nodeLost");
  assert.deepEqual(cause(), { trigger: "nodeLost", why: "seen by the reflex", latched: true });
  const verdict = supervisor.safePose("somebody in the cell", 0, "onStop");
  await eventually("asked", () => fake.orders.some(({ order }) => order === "trigger"));
  // A lower one changes nothing; then, had it been the higher one, it is the cause.
  assert.equal(cause().trigger, "nodeLost");
  fake.tellState({ plan: 0, trigger: row("onStop") });
  await eventually("taken over", () => cause().trigger === "stop");
  assert.equal(cause().why, "somebody in the cell");
  fake.report("verdict", Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 1));
  assert.equal((await verdict).trigger, "stop");
  fake.arming = "posed";
  fake.tellState({ plan: 0, trigger: row("onStop") });
  await eventually("posed", () => supervisor.state === "posed");
  assert.equal(cause().trigger, "stop");
  fake.arming = "disarmed";
  fake.tellState();
  await eventually("reset", () => supervisor.state === "disarmed");
  assert.equal(cause().trigger, "none");
});

test("epochs are compared as serial numbers", () => {
  assert.deepEqual([newer(2, 1), newer(1, 2), newer(1, 65_535), newer(65_535, 1), newer(1, 0), newer(0, 1), newer(5, 5)], [true, false, true, false, true, false, false]);
});

test("a hand-over is asked of the owner, to its twin or to the other host; refused it says why, and without an owner it is away", async (t) => {
  const { client, start } = await rig(t);
  assert.equal((await client.switchOver("host")).code, "away");
  const fake = await start("a");
  await eventually("ready", () => fake.rows !== undefined && client.owner !== undefined);
  assert.equal((await client.switchOver()).code, "done");
  assert.equal((await client.switchOver("host")).code, "done");
  assert.deepEqual(fake.switches, ["twin", "host"]);
  fake.switchAnswer = "switch: no other host is on a bus";
  const reply = await client.switchOver("host");
  assert.deepEqual([reply.code, reply.text], ["fault", "switch: no other host is on a bus"]);
});
