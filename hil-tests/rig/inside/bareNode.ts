/**
 * In the machine: the joint's firmware in an emulator of its own (nestedNode.ts), its CAN controller on one end of a cable on which frames can be altered (wire.ts); on the other end a real gateway and
 * a real reflex, and a program that commands. The steps share one rig, because an emulator in an emulator needs seconds for everything; each leaves it able to be armed.
 */
import assert from "node:assert/strict";
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { canopenIds } from "../../../drivers/nodekit/canopen.ts";
import { encodeClaim } from "../../../drivers/nodekit/claimFrame.ts";
import { SdoTransfer, type SdoRequest } from "../../../drivers/nodekit/sdoTransfer.ts";
import { jointCodecs, NODE_NUMBERS } from "../../../examples/arm/messages.ts";
import { systemClock } from "../../../schemas/clock.ts";
import { applyTemplate, parseDbc } from "../../../schemas/dbc/index.ts";
import { loadChecks } from "../../../schemas/e2e/index.ts";
import { checkedMessage } from "../../../schemas/messages/check/databases.ts";
import type { StatusReport } from "../../../schemas/messages/statusReport.ts";
import type { Client } from "../../../shm/client/index.ts";
import { ARM_FOLDER, writeArmFiles } from "../../armFiles.ts";
import { armConfiguration, commandId, moveTo, yamlOf, type Configuration } from "../../armRig.ts";
import { type Daemon, startDaemon, testFolder } from "../../daemon.ts";
import { CLAIM_ID, type ReflexProcesses, startReflexes, withReflex } from "../../reflexProcesses.ts";
import { eventually } from "../../waiting.ts";
import { NestedNode } from "./nestedNode.ts";
import { Wire } from "./wire.ts";

const environment = (name: string): string => process.env[`IPCNET_HIL_${name}`]!;
/** As the firmware is built. */
const NUMBER = NODE_NUMBERS.elbow;
const [COMMAND_ID, STATE_ID, WITNESS_ID] = [commandId("elbow"), (NUMBER << 5) | 1, (NUMBER << 5) | 4];
const ITSELF = { vendor: 0x1234, product: 0x4a01, revision: 0x0001_0000, serial: NUMBER };
const NOBODY = 7;
/** Objects of the firmware (examples/firmware/joint/joint.h). */
const [COUNTS, FAULT] = [0x2100, 0x2101];
const counts = { accepted: 1, refused: 2, deadManStops: 3, staleClaims: 4, senseless: 5, late: 6 } as const;
const COMMAND_PERIOD_MS = 50;
/** Of a command: the program may be held up for long. */
const LIFE_MS = 5_000;
const NODE_LOST_MS = 2_000;
const PATIENCE_MS = 300_000;
/** Slow: it shall be on its way as long as a step of this file needs. */
const SPEED_RAD_S = 0.05;
const MOVES_RAD_S = 0.02;
/** Of the firmware's reports, ten milliseconds apart. */
const A_WHILE = 100;

const codecs = jointCodecs(ARM_FOLDER).elbow;
const protectCommand = (() => {
  const database = applyTemplate(parseDbc(readFileSync(join(ARM_FOLDER, "arm.dbc")), { file: "arm.dbc" }), { id: "node_id << 5 | message_id", nodes: NODE_NUMBERS });
  const checks = loadChecks(readFileSync(join(ARM_FOLDER, "arm.checks.yaml"), "utf8"), { file: "arm.checks.yaml" });
  assert.ok(checks.ok);
  return checks.checks.protectorFor(checkedMessage(database.messages.find(({ name }) => name === "elbow_Command")!))!;
})();

interface State {
  position: number;
  velocity: number;
}

/** What was on the wire, as the gateway's end has it. */
const heard = { bootUps: 0, heartbeats: 0, emergencies: [] as number[], states: [] as State[], witness: { epoch: 0, owner: NOBODY }, claims: 0 };
const figures: { figure: string; value: string }[] = [];
const folder = testFolder();
const node = new NestedNode({ firmware: environment("FIRMWARE"), canInterface: environment("NODE"), folder: folder.path });
const wire = new Wire({ gatewaySide: environment("WIRE"), nodeSide: environment("NODE_WIRE"), command: COMMAND_ID, report: STATE_ID, onFrame: hear });
let transfer: SdoTransfer | undefined;
let reflexes: ReflexProcesses | undefined;
let daemon: Daemon | undefined;
let client: Client;
let program: NodeJS.Timeout | undefined;
let strangers: NodeJS.Timeout | undefined;
let refusals = 0;

function hear(canId: number, data: Uint8Array): void {
  if (canId === canopenIds.heartbeat + NUMBER) heard[data[0] === 0 ? "bootUps" : "heartbeats"] += 1;
  else if (canId === canopenIds.emcy + NUMBER) heard.emergencies.push(data[0]! | (data[1]! << 8));
  else if (canId >= CLAIM_ID && canId < CLAIM_ID + 4) heard.claims += 1;
  else if (canId === STATE_ID) {
    const decoded = codecs.state.decode(data, 0, data.length);
    if (decoded.ok) heard.states.push({ position: Number(decoded.signals["position"]), velocity: Number(decoded.signals["velocity"]) });
  } else if (canId === WITNESS_ID) {
    const decoded = codecs.witness.decode(data, 0, data.length);
    if (decoded.ok) heard.witness = { epoch: Number(decoded.signals["epoch"]), owner: Number(decoded.signals["owner"]) };
  } else transfer?.hear({ id: canId, data: data.slice() }, systemClock.nowUs());
}

// ---- The node, as a stranger on the bus sees it -------------------------------------------------------------------------------------------

const last = (): State | undefined => heard.states.at(-1);
const describe = (): unknown => ({ ...heard, states: heard.states.slice(-3), node: node.describe(), daemon: daemon?.log().split("\n").slice(-15), reflexes: reflexes?.log.split("\n").slice(-8) });
/** How far it is, by the machine's clock: for whoever waits for it. */
const say = (text: string): void => appendFileSync(environment("LOG"), `${(systemClock.nowUs() / 1e6).toFixed(2)} ${text}\n`);

function until<Answer>(what: string, ask: () => Answer | Promise<Answer>, last: () => unknown = describe): Promise<Exclude<Answer, undefined | false>> {
  say(what);
  return eventually(what, ask, { timeoutMs: PATIENCE_MS, last });
}

async function reports(count = A_WHILE): Promise<State[]> {
  const from = heard.states.length;
  await until(`${count} more reports`, () => heard.states.length >= from + count);
  return heard.states.slice(from);
}

async function standsStill(count = A_WHILE): Promise<void> {
  const seen = await reports(count);
  assert.deepEqual([...new Set(seen.map(({ velocity, position }) => `${velocity} rad/s at ${position} rad`))], [`0 rad/s at ${seen[0]!.position} rad`]);
}

async function sdo(request: SdoRequest): Promise<Uint8Array> {
  const result = await until(`object 0x${request.index.toString(16)}`, async () => {
    const asked = (transfer = new SdoTransfer(NUMBER, request, systemClock.nowUs()));
    await until("an answer", () => {
      for (const { id, data } of asked.take()) wire.send(id, data);
      asked.poll(systemClock.nowUs());
      return asked.result;
    });
    // Nobody answered: a question got lost among its emulator's hardships.
    return asked.result!.ok || asked.result!.code === "aborted" ? asked.result : undefined;
  });
  assert.ok(result.ok, JSON.stringify(result));
  return result.bytes;
}

async function counted(what: keyof typeof counts): Promise<number> {
  const bytes = await sdo({ type: "read", index: COUNTS, subindex: counts[what] });
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

/** Commands of somebody who is not the owner, until the returned function is called, or all is over. */
function stranger({ epoch, owner, claims = false }: { epoch: number; owner: number; claims?: boolean }): () => void {
  let counter = 0;
  clearInterval(strangers);
  strangers = setInterval(() => {
    if (claims) wire.send(CLAIM_ID + owner, encodeClaim({ kind: "claim", epoch, owner, last: 1, counter: counter++ & 0xff }));
    const encoded = codecs.command.encode({ crc: 0, counter: 0, epoch: epoch & 0xff, targetPosition: 2, velocityLimit: 0.3, mode: "Move", owner });
    assert.ok(encoded.ok, encoded.ok ? "" : encoded.text);
    protectCommand.protect(encoded.data, 0, encoded.data.length, COMMAND_ID);
    wire.send(COMMAND_ID, encoded.data);
  }, COMMAND_PERIOD_MS);
  return () => clearInterval(strangers);
}

// ---- The gateway ---------------------------------------------------------------------------------------------------------------------------

function configuration(): Configuration {
  const made = armConfiguration(["elbow"], environment("OURS"));
  Object.assign(made.buses[0]!, { driver: "socketcan", deadAfterMs: 3_000, txQueueFrames: 64 });
  Object.assign(made.nodes[0]!, { timeoutMs: NODE_LOST_MS, identity: ITSELF });
  made.commands[0]!["ttlMsMax"] = LIFE_MS;
  withReflex(made, "single");
  Object.assign(made["redundancy"] as object, { brainTimeoutMs: 30_000 });
  made.safePose["budgetMs"] = 10_000;
  for (const step of made.safePose["steps"] as Record<string, unknown>[]) step["deadlineMs"] = 4_000;
  return made;
}

const status = (): Promise<StatusReport> => client.request("gateway/status", undefined, { timeoutMs: 60_000 }) as Promise<StatusReport>;

async function told(what: string, holds: (status: StatusReport) => boolean): Promise<StatusReport> {
  let seen: StatusReport | undefined;
  return until(what, async () => {
    seen = await status();
    return holds(seen) ? seen : undefined;
  }, () => [seen && { state: seen.state, why: seen.stateReason, missing: seen.missingForArming, nodes: seen.nodes, links: seen.links, rejects: seen.rejects }, refusals, describe()]);
}

/** As a person does: resets what is latched and arms, and again if something is still missing. A node that is new says who it is only between the two, while nothing can move. */
async function arm(): Promise<void> {
  let refused = "";
  await until("armed", async () => {
    if ((await status()).state === "armed") return true;
    await client.request("gateway/arm", { reset: true, why: "test" }, { timeoutMs: 60_000 }).catch((error: Error) => (refused = error.message));
    return false;
  }, () => [refused, describe()]);
}

/** Commands from now on, whatever becomes of them. */
function command(): void {
  clearInterval(program);
  const target = (last()?.position ?? 0) > 0 ? -2.5 : 2.5;
  program = setInterval(() => void client.publish("cmd/arm/elbow_Command", moveTo(target, SPEED_RAD_S), { ttlMs: LIFE_MS }).catch(() => (refusals += 1)), COMMAND_PERIOD_MS);
}

const moves = (): Promise<true> => until("it moves", () => Math.abs(last()?.velocity ?? 0) > MOVES_RAD_S);

async function inMotion(): Promise<void> {
  command();
  await arm();
  await moves();
}

/** The gateway has noticed that the node is not there, or is a new one; what is armed has ended, posed or not. In ms since `sinceUs`. */
async function noticed(what: string, sinceUs: number): Promise<void> {
  await told(`${what}: not armed`, ({ state }) => state !== "armed");
  figures.push({ figure: `${what}: until the gateway is not armed any more, ms by the machine's clock`, value: ((systemClock.nowUs() - sinceUs) / 1e3).toFixed(0) });
  await told(`${what}: the pose has ended`, ({ state }) => state === "posed" || state === "fault");
}

/** It is there again under the eyes of the gateway, stands still although it is commanded all the time, and moves only when a person has armed again. */
async function comesBackSafely(): Promise<void> {
  await told("it is there again", ({ nodes, state }) => nodes[0]!.state === "operational" && (state === "posed" || state === "fault"));
  const [refused, accepted] = [refusals, await counted("accepted")];
  await standsStill();
  await until("the program is refused", () => refusals > refused + 10);
  assert.equal(await counted("accepted"), accepted, "it was commanded meanwhile");
  await arm();
  assert.equal((await status()).nodes[0]!.identity?.state, "known");
  command();
  await moves();
}

async function lost(what: string, sinceUs: number): Promise<void> {
  const { nodes } = await told(`${what}: lost`, ({ nodes: [each] }) => each!.state !== "operational" && each!.state !== "bootUp");
  figures.push({ figure: `${what}: until the gateway calls the node ${nodes[0]!.state}, ms by the machine's clock (it is given ${NODE_LOST_MS})`, value: ((systemClock.nowUs() - sinceUs) / 1e3).toFixed(0) });
}

before(() => {
  writeArmFiles(folder.path);
});

after(async () => {
  clearInterval(program);
  clearInterval(strangers);
  await client?.close();
  daemon?.process.kill("SIGKILL");
  await daemon?.ended;
  await reflexes?.end();
  await node.cutPower();
  wire.close();
  folder.remove();
});

test("it boots, says so once, beats, says who it is, and stands still while commands come that nobody has claimed for", async () => {
  const stop = stranger({ epoch: 5, owner: 1 });
  const beganUs = systemClock.nowUs();
  say("the emulator is started");
  await node.powerOn();
  await until("a heartbeat", () => heard.heartbeats > 0);
  figures.push({ figure: "from starting the emulator to the node's first heartbeat, s by the machine's clock", value: ((systemClock.nowUs() - beganUs) / 1e6).toFixed(1) });
  await until("heartbeats", () => heard.heartbeats > 5);
  assert.equal(heard.bootUps, 1);
  await standsStill();
  const refused = await counted("refused");
  assert.ok(refused > 0, "it has heard them");
  await until("more are refused", async () => (await counted("refused")) > refused);
  stop();
  assert.deepEqual([last()!.position, heard.witness], [0, { epoch: 0, owner: NOBODY }]);
  assert.equal(Buffer.from(await sdo({ type: "read", index: 0x1008, subindex: 0 })).toString(), "elbow");
  assert.equal(await counted("accepted"), 0);
});

test("the gateway knows it, claims the bus, and it follows: not before somebody arms, then as commanded", async () => {
  const yaml = yamlOf(configuration());
  say("the gateway is started");
  reflexes = await startReflexes(folder.path, yaml);
  daemon = await startDaemon(folder.path, yaml);
  client = await daemon.connect();
  const { nodes } = await told("it is known", ({ nodes: [each] }) => each!.state === "operational" && each!.identity?.state === "known");
  assert.deepEqual(nodes[0]!.identity, { state: "known", ...ITSELF, name: "elbow", firmware: "1.0.0" });
  await until("it follows the reflex", () => heard.witness.epoch > 0 && heard.witness.owner !== NOBODY);
  command();
  await until("commands are refused", () => refusals > 10);
  await standsStill();
  assert.equal(await counted("accepted"), 0);
  await inMotion();
  assert.ok((await counted("accepted")) > 0);
});

test("commands and claims of an older epoch move nothing", async () => {
  clearInterval(program);
  await client.request("gateway/disarm", {}, { timeoutMs: 60_000 });
  // What was on its way is there by then.
  await reports();
  await until("it stands", () => last()?.velocity === 0);
  const { epoch, owner } = heard.witness;
  const [accepted, refused, stale] = [await counted("accepted"), await counted("refused"), await counted("staleClaims")];
  const stop = stranger({ epoch: epoch - 1 > 0 ? epoch - 1 : 0xffff, owner: (owner + 1) % 4, claims: true });
  await until("refused", async () => (await counted("refused")) > refused + 10 && (await counted("staleClaims")) > stale + 10);
  await standsStill();
  stop();
  assert.deepEqual(heard.witness, { epoch, owner });
  assert.equal(await counted("accepted"), accepted);
  await inMotion();
});

test("no command reaches it any more: its dead-man stops it, although its owner is there and armed", async () => {
  await inMotion();
  const stops = await counted("deadManStops");
  heard.emergencies.length = 0;
  wire.command.set("cut");
  await until("it stands", () => last()?.velocity === 0);
  await standsStill();
  assert.equal(await counted("deadManStops"), stops + 1);
  assert.ok(heard.emergencies.includes(0x8250), `${heard.emergencies}`);
  assert.equal((await status()).state, "armed");
  wire.command.set("whole");
  await moves();
});

test("altered commands feed nothing and are counted by the node: it stops; whole ones move it again", async () => {
  await inMotion();
  const refused = await counted("refused");
  wire.command.set("altered");
  await until("it stands", () => last()?.velocity === 0);
  const accepted = await counted("accepted");
  await standsStill();
  await until("they are counted", async () => (await counted("refused")) > refused + 10);
  assert.equal(await counted("accepted"), accepted);
  wire.command.set("whole");
  await moves();
});

test("altered reports are refused and counted by the gateway", async () => {
  await inMotion();
  const rejected = ({ rejects }: StatusReport): number => rejects.find(({ link, reason }) => link === "arm" && reason === "crcMismatch")?.count ?? 0;
  const before = rejected(await status());
  const values: number[] = [];
  const subscription = await client.subscribe("can/arm/elbow_State", { policy: { queue: 1_000 } }, ({ value }) => void values.push((value as State).position));
  wire.report.set("altered");
  await told("they are counted", (each) => rejected(each) > before + 50);
  const passed = values.length;
  await told("more are counted", (each) => rejected(each) > before + 150);
  assert.equal(values.length, passed, "an altered value was let through");
  wire.report.set("whole");
  await until("values again", () => values.length > passed + 10);
  await subscription.close();
});

test("it is killed while it moves: its loss ends in the pose; it comes back as a new one and is not moved on", async () => {
  await inMotion();
  const bootUps = heard.bootUps;
  const sinceUs = systemClock.nowUs();
  await node.cutPower();
  await lost("killed", sinceUs);
  await noticed("killed", sinceUs);
  await node.powerOn();
  await until("it boots", () => heard.bootUps === bootUps + 1);
  await comesBackSafely();
});

test("the whole board stands still while it moves, and goes on later: what waited for it meanwhile moves nothing", async () => {
  await inMotion();
  const late = await counted("late");
  const sinceUs = systemClock.nowUs();
  await node.freeze();
  await lost("standing still", sinceUs);
  await noticed("standing still", sinceUs);
  const from = heard.states.length;
  const { position } = last()!;
  node.thaw();
  await comesBackSafely();
  assert.ok((await counted("late")) > late, "frames had waited for it");
  figures.push({ figure: "went on after standing still: farther, rad, before somebody armed", value: String(Math.max(...heard.states.slice(from, from + A_WHILE).map((state) => Math.abs(state.position - position)))) });
});

test("its firmware hangs while it moves: lost, although its controller acknowledges on; the reset pin brings it back", async () => {
  await inMotion();
  const bootUps = heard.bootUps;
  const sinceUs = systemClock.nowUs();
  // Its answer may hang with it.
  for (const { id, data } of new SdoTransfer(NUMBER, { type: "write", index: FAULT, subindex: 0, bytes: Uint8Array.of(1) }, sinceUs).take()) wire.send(id, data);
  await lost("hung", sinceUs);
  await noticed("hung", sinceUs);
  await node.pressReset();
  await until("it boots", () => heard.bootUps === bootUps + 1);
  await comesBackSafely();
});

test("its reset pin is pressed while it moves: the boot-up message ends what is armed, and it is not moved on", async (context) => {
  await inMotion();
  const bootUps = heard.bootUps;
  const sinceUs = systemClock.nowUs();
  await node.pressReset();
  await until("it boots", () => heard.bootUps === bootUps + 1);
  const from = heard.states.length;
  await noticed("reset", sinceUs);
  assert.deepEqual(heard.states.slice(from).filter(({ velocity }) => velocity !== 0), [], "it was moved on");
  await comesBackSafely();
  for (const each of figures) context.diagnostic(JSON.stringify(each));
});
