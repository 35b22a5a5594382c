/**
 * In the machine: the joint's firmware in an emulator of its own, whose CAN controller is on one end of a virtual cable, and on the other end we, as an owner of the bus. The emulator in the emulator needs
 * seconds to start and is in no hurry: nothing here is timed.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { CanFlag, FRAME_STRIDE_BYTES, readFrame } from "../../../drivers/can/frame.ts";
import { NativeBus } from "../../../drivers/can/nativeBus.ts";
import { encodeClaim } from "../../../drivers/nodekit/claimFrame.ts";
import { jointCodecs, NODE_NUMBERS } from "../../../examples/arm/messages.ts";
import { systemClock } from "../../../schemas/clock.ts";
import { applyTemplate, parseDbc } from "../../../schemas/dbc/index.ts";
import { loadChecks } from "../../../schemas/e2e/index.ts";
import { checkedMessage } from "../../../schemas/messages/check/databases.ts";
import { CLAIM_ID } from "../../reflexProcesses.ts";
import { eventually } from "../../waiting.ts";

const folder = join(import.meta.dirname, "../../../../../examples/arm");
const OURS = process.env["IPCNET_HIL_OURS"]!;
const PEERS = process.env["IPCNET_HIL_PEERS"]!;
const FIRMWARE = process.env["IPCNET_HIL_FIRMWARE"]!;
/** As the firmware is built. */
const NUMBER = NODE_NUMBERS.elbow;
const OWNER = 1;
const LIFE_US = 1_000_000;
const PATIENCE_MS = 180_000;

const codecs = jointCodecs(folder).elbow;
const database = applyTemplate(parseDbc(readFileSync(join(folder, "arm.dbc")), { file: "arm.dbc" }), { id: "node_id << 5 | message_id", nodes: NODE_NUMBERS });
const checks = loadChecks(readFileSync(join(folder, "arm.checks.yaml"), "utf8"), { file: "arm.checks.yaml" });
assert.ok(checks.ok);
const commandMessage = database.messages.find(({ name }) => name === "elbow_Command")!;
const stateMessage = database.messages.find(({ name }) => name === "elbow_State")!;
const protectCommand = checks.checks.protectorFor(checkedMessage(commandMessage))!;
const checkState = checks.checks.forMessage(checkedMessage(stateMessage))!;

const heard = { heartbeats: [] as number[], states: [] as { position: number; velocity: number; mode: unknown }[], witness: { epoch: 0, owner: 7 }, refused: 0 };
let node: ChildProcess | undefined;

const bus = new NativeBus({ kind: "socketcan", interface: OURS, busName: "", nodeName: "", fd: false, listenOnly: false, txQueueFrames: 64, ringFrames: 8192, batchFrames: 256, receiveBufferBytes: 1 << 20 }, () => {
  bus.woken();
  const events = bus.eventsWaiting();
  while (bus.drain() > 0) {
    for (let index = 0; index < bus.batch.count; index++) {
      const { canId, flags, data } = readFrame(bus.batch.bytes, bus.batch.view, index * FRAME_STRIDE_BYTES);
      if ((flags & (CanFlag.echo | CanFlag.error)) === 0) hear(canId, data);
    }
  }
  for (let left = events; left > 0 && bus.nextEvent(); left--) continue;
});
{
  const { code, message } = bus.open();
  assert.equal(code, "ok", message);
}

function hear(canId: number, data: Uint8Array): void {
  if (canId === 0x700 + NUMBER) heard.heartbeats.push(data[0]!);
  if (canId === codecs.witness.message.canId) {
    const decoded = codecs.witness.decode(data, 0, data.length);
    if (decoded.ok) heard.witness = { epoch: Number(decoded.signals["epoch"]), owner: Number(decoded.signals["owner"]) };
  }
  if (canId !== stateMessage.canId) return;
  const decoded = codecs.state.decode(data, 0, data.length);
  const result = checkState.check(data, 0, data.length, canId, systemClock.nowUs());
  if (!decoded.ok || result > 1) heard.refused += 1;
  else heard.states.push({ position: Number(decoded.signals["position"]), velocity: Number(decoded.signals["velocity"]), mode: decoded.signals["mode"] });
}

const send = (canId: number, data: Uint8Array): void => void bus.send({ canId, flags: 0, data, timeUs: systemClock.nowUs() + LIFE_US });

/** What an owner does, as often as asked for. */
const speech = { claims: false, epoch: 5, target: undefined as number | undefined, damage: false };
let claimCounter = 0;
const timer = setInterval(() => {
  if (speech.claims) send(CLAIM_ID + OWNER, encodeClaim({ kind: "claim", epoch: speech.epoch, owner: OWNER, last: 1, counter: claimCounter++ & 0xff }));
  if (speech.target === undefined) return;
  const encoded = codecs.command.encode({ crc: 0, counter: 0, epoch: speech.epoch & 0xff, targetPosition: speech.target, velocityLimit: 0.3, mode: "Move", owner: OWNER });
  assert.ok(encoded.ok);
  protectCommand.protect(encoded.data, 0, encoded.data.length, commandMessage.canId);
  if (speech.damage) encoded.data[4]! ^= 1;
  send(commandMessage.canId, encoded.data);
}, 40);

function switchOn(): void {
  node = spawn("qemu-system-aarch64", ["-M", "xlnx-zcu102,canbus0=cb0", "-accel", "tcg,tb-size=32", "-smp", "1", "-m", "64M", "-display", "none", "-monitor", "none", "-serial", "none", "-nic", "none",
    "-object", "can-bus,id=cb0", "-object", `can-host-socketcan,id=sc0,if=${PEERS},canbus=cb0`, "-device", `loader,file=${FIRMWARE},cpu-num=0`], { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, QEMU_AUDIO_DRV: "none" } });
}

async function switchOff(): Promise<void> {
  const child = node;
  node = undefined;
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGKILL");
  await closed;
}

const until = (what: string, holds: () => boolean): Promise<boolean> => eventually(what, holds, { timeoutMs: PATIENCE_MS, last: () => ({ ...heard, heartbeats: heard.heartbeats.length, states: heard.states.slice(-3), node: node?.exitCode }) });
const last = () => heard.states.at(-1);

/** So many more reports; returns them. */
async function reports(count: number): Promise<(typeof heard)["states"]> {
  const from = heard.states.length;
  await until(`${count} more reports`, () => heard.states.length >= from + count);
  return heard.states.slice(from);
}

after(async () => {
  clearInterval(timer);
  await switchOff();
  bus.dispose();
});

test("it boots, says so, and reports; it stands still while commands come that nobody claimed", async () => {
  speech.target = 1;
  switchOn();
  await until("heartbeats", () => heard.heartbeats.includes(0) && heard.heartbeats.filter((state) => state === 5).length > 3);
  for (const { velocity, position } of await reports(50)) assert.deepEqual([velocity, position], [0, 0]);
  assert.deepEqual(heard.witness, { epoch: 0, owner: 7 });
});

test("it follows who claims, and moves as commanded", async () => {
  speech.claims = true;
  await until("it follows", () => heard.witness.epoch === 5 && heard.witness.owner === OWNER);
  await until("it moves", () => (last()?.velocity ?? 0) > 0.2);
});

test("damaged commands feed nothing: it stops; whole ones move it again", async () => {
  speech.damage = true;
  await until("it stands", () => last()?.velocity === 0);
  const position = last()!.position;
  for (const report of await reports(50)) assert.equal(report.position, position);
  speech.damage = false;
  await until("it moves", () => (last()?.velocity ?? 0) > 0.1);
});

test("its power is cut and returns: it obeys nobody before it has heard a claim again", async () => {
  await switchOff();
  speech.claims = false;
  heard.heartbeats.length = 0;
  heard.witness = { epoch: 0, owner: 7 };
  switchOn();
  await until("it boots", () => heard.heartbeats.includes(0) && heard.heartbeats.includes(5));
  for (const { velocity } of await reports(50)) assert.equal(velocity, 0);
  speech.epoch = 6;
  speech.claims = true;
  await until("it moves", () => (last()?.velocity ?? 0) > 0.2);
  assert.equal(heard.witness.epoch, 6);
});

test("an owner of an older epoch is not obeyed", async () => {
  speech.epoch = 5;
  await until("it stands", () => last()?.velocity === 0);
  for (const { velocity } of await reports(50)) assert.equal(velocity, 0);
  assert.equal(heard.witness.epoch, 6);
});
