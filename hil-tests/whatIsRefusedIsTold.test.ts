/**
 * A reflex has the bus, and what a program asks for does not come about: overtaken by its own newer command, no room in front of the wire, given up there; not permitted, again and again; a stored
 * table that somebody has changed. Each time: what the program is told, what is counted, and what the bus saw.
 */
import assert from "node:assert/strict";
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { Status } from "../shm/client/index.ts";
import { ArmRig, type ArmRigOptions, commandId, LIFE_MS, moveTo, patient, refusal, type SeenFrame } from "./armRig.ts";
import { Program } from "./program.ts";
import { eventually } from "./waiting.ts";

const MOVE = 2;

async function start(t: TestContext, { configure, ...options }: ArmRigOptions = {}): Promise<ArmRig> {
  const rig = await ArmRig.start({ reflex: "single", ...options, configure: (configuration, its) => {
    patient(configuration);
    configure?.(configuration, its);
  } });
  t.after(() => rig.stop());
  return rig;
}

/** Targets that the bus was given for a joint from `from` on, rad. */
function targets(rig: ArmRig, joint: "base" | "shoulder", from: number): number[] {
  return rig.commandsSeen(from).filter((frame) => frame.canId === commandId(joint) && modeOf(frame) === MOVE).map(({ data }) => new DataView(data.buffer, data.byteOffset).getInt16(4, true) / 1e4);
}

function modeOf({ data }: SeenFrame): number {
  return (data[7]! >> 4) & 3;
}

async function refused(rig: ArmRig, code: string): Promise<number> {
  return (await rig.status()).commands.refused[code] ?? 0;
}

/** Somebody has the wire without pause: nothing else comes to it until the returned function is called. */
function jam(rig: ArmRig): () => void {
  const { node } = attachInProcess(rig.host, { name: "jammer" });
  rig.host.babble(node, () => ({ timeUs: 0, canId: 0, flags: 0, data: new Uint8Array(8) }));
  return () => rig.host.babble(node, undefined);
}

test("superseded: its program was told that they wait, the bus has the first and the newest, and those between are counted", async (t) => {
  const rig = await start(t, { joints: ["base"], configure: ({ commands }) => void Object.assign(commands[0]!, { ttlMsMax: 60_000, rateHzMax: 4 }) });
  await rig.arm();
  const from = rig.seen.length;
  // Each is answered with "accepted": none was refused when it came.
  await Promise.all([0.1, 0.2, 0.3, 0.4, 0.5, 0.6].map((target) => rig.command("base", moveTo(target), { ttlMs: 60_000 })));
  await eventually("the newest on the bus", () => targets(rig, "base", from).at(-1) === 0.6, { last: () => rig.reflexes!.log });
  const seen = targets(rig, "base", from);
  assert.equal(seen[0], 0.1);
  assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
  assert.equal(await refused(rig, "superseded"), 6 - seen.length);
});

test("queueFull: where only one frame may wait for the wire, the second command is counted as refused and never sent", async (t) => {
  const rig = await start(t, { joints: ["base", "shoulder"], configure: (configuration) => {
    configuration.buses[0]!["txQueueFrames"] = 1;
    for (const command of configuration.commands) command["ttlMsMax"] = 60_000;
  } });
  await rig.arm();
  const from = rig.seen.length;
  const clear = jam(rig);
  // The gateway has handed both over; the reflex, whose own beat may be the one that waits, has no room for two.
  await rig.command("base", moveTo(0.1), { ttlMs: 60_000 });
  await rig.command("shoulder", moveTo(0.2), { ttlMs: 60_000 });
  await eventually("a refusal", async () => (await refused(rig, "queueFull")) > 0, { last: () => rig.reflexes!.log });
  // The reflex's own count comes with its next status.
  await eventually("the reflex says the same", async () => {
    const { reflexes, commands } = await rig.status();
    return reflexes[0]!.refused["queueFull"] === commands.refused["queueFull"];
  });
  clear();
  // Room for one is little on a bus with a beat of its own: a program that goes on gets through.
  await eventually("later ones pass", async () => {
    await rig.command("base", moveTo(0.3));
    await rig.command("shoulder", moveTo(0.4));
    return targets(rig, "base", from).includes(0.3) && targets(rig, "shoulder", from).includes(0.4);
  }, { timeoutMs: 60_000, last: () => rig.reflexes!.log });
  const early = [...targets(rig, "base", from), ...targets(rig, "shoulder", from)].filter((target) => target < 0.25);
  assert.ok(early.length < 2, "what was refused was never sent, and the other one once");
});

test("dropped: the interface goes down while a command waits in front of the wire; it is counted, later ones are refused, and it is not on the bus when the interface is back", async (t) => {
  const rig = await start(t, { joints: ["base"], configure: ({ commands }) => void Object.assign(commands[0]!, { ttlMsMax: 60_000 }) });
  await rig.arm();
  const from = rig.seen.length;
  const clear = jam(rig);
  await rig.command("base", moveTo(0.1), { ttlMs: 60_000 });
  const [controller] = rig.host.controllers.values();
  await eventually("it waits for the wire", async () => (await rig.status()).reflexes[0]!.sentFrames > 0 && controller!.node.queuedFrames > 0);
  rig.host.setLink(controller!.node, false);
  await eventually("given up", async () => (await refused(rig, "dropped")) === 1, { last: () => rig.reflexes!.log });
  const { status, message } = await refusal(rig.command("base", moveTo(0.2)));
  assert.ok(status === Status.serviceUnavailable || status === Status.preconditionFailed, message);
  clear();
  rig.host.setLink(controller!.node, true);
  const heard = rig.seen.length;
  await eventually("500 more frames of the joint", () => rig.seen.length > heard + 500);
  assert.deepEqual(targets(rig, "base", from), []);
});

const notRoot = process.getuid?.() === 0 ? false : "only root can run programs as other users";
const STRANGER = { uid: 65_111, gid: 65_111 };

test("deniedAccess: a program that goes on and on with what it may not do is refused each time, and where that counts as a compromise the robot is posed", { skip: notRoot }, async (t) => {
  const rig = await start(t, { joints: ["base"], configure: (configuration) => {
    Object.assign(configuration.safePose, { compromise: ["deniedAccess"] });
    configuration["readers"] = [{ user: String(STRANGER.uid) }];
  } });
  chmodSync(rig.folder.path, 0o755);
  chmodSync(rig.daemon.socketPath, 0o666);
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5, 0.4), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.2);
  const from = rig.seen.length;
  const stranger = new Program(t, rig.daemon.socketPath, `
    const answers = new Set();
    say({ ready: true });
    for (;;) {
      await Promise.all(Array.from({ length: 50 }, () => client.publish("cmd/arm/base_Command", { mode: "Move", targetPosition: -1.25, velocityLimit: 1 }).then(() => "ok", (error) => error.status).then((answer) => answers.add(answer))));
      say({ answers: [...answers] });
    }`, { who: STRANGER, options: { name: "stranger" } });
  await stranger.hears("the program", ({ ready }: { ready?: boolean }) => ready === true);
  const { pose } = await rig.until("posed", ({ state }) => state === "posed", 60_000);
  assert.equal(pose?.trigger, "compromise");
  assert.match(pose!.why, /was refused 100 times within 10 s, last .*cmd\/arm\/base_Command/);
  assert.equal(pose!.latched, true);
  assert.deepEqual((await stranger.hears<{ answers: unknown[] }>("its answers", ({ answers }: { answers?: unknown[] }) => answers !== undefined)).answers, [Status.forbidden]);
  assert.ok(!targets(rig, "base", from).includes(-1.25), "nothing of it was on the bus");
  // Whoever may command is told as well that nothing moves before a person has reset it.
  assert.equal((await refusal(rig.command("base", moveTo(0.1)))).status, Status.preconditionFailed);
  assert.equal((await refusal(rig.client.request("gateway/arm", {}))).status, Status.preconditionFailed);
});

test("tamperedTable: a reflex that starts refuses a stored table that was changed; where that counts as a compromise its twin poses the robot, and after a reset both work by the right one", async (t) => {
  const rig = await start(t, { reflex: "pair", joints: ["base"], configure: (configuration) => void Object.assign(configuration.safePose, { compromise: ["tamperedTable"] }) });
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5, 0.4), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.2);
  const standby = (await rig.until("both work by the table", ({ reflexes }) => reflexes.length === 2 && reflexes.every(({ there, tableIsOurs }) => there && tableIsOurs))).reflexes.find(({ role }) => role === "standby")!;
  const folder = join(rig.folder.path, "state", standby.instance);
  const stored = await eventually("its stored table", () => readdirSync(folder).find((name) => /^table-[0-9a-f]{16}\.bin$/.test(name)));
  const bytes = readFileSync(join(folder, stored));
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(join(folder, stored), bytes);
  const from = rig.seen.length;
  await rig.reflexes!.kill(standby.instance);
  const { pose, reflexes } = await rig.until("posed", ({ state }) => state === "posed", 60_000);
  assert.deepEqual([pose?.trigger, pose?.why, pose?.latched], ["compromise", `the stored table of reflex ${standby.instance} is not what was stored`, true]);
  assert.match(rig.reflexes!.log, /the stored table is refused: crc/);
  assert.equal(reflexes.find(({ role }) => role === "owner")?.plansRun, 1, "by the one that had the right table all along");
  const modes = rig.commandsSeen(from).filter(({ canId }) => canId === commandId("base")).map(modeOf);
  assert.ok(!modes.slice(modes.findIndex((mode) => mode !== MOVE)).includes(MOVE), "after the first frame of the pose nothing of the program's");
  await eventually("the program is told", () => (commands.refused.get(Status.preconditionFailed) ?? 0) > 0);
  commands.stop();
  await rig.client.request("gateway/reset", { why: "looked after" });
  await rig.until("both work by the table again", (status) => status.reflexes.every(({ there, tableIsOurs }) => there && tableIsOurs));
  await rig.arm();
  await rig.command("base", moveTo(0.1));
});
