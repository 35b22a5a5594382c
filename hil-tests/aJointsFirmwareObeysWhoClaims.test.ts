/** The joint's firmware as a process on the emulated bus, against a real reflex and a real gateway: it claims nothing, obeys who does, stops by itself, and starts anew without being moved on. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { CanFlag } from "../drivers/can/frame.ts";
import { ArmRig, LIFE_MS, moveTo } from "./armRig.ts";
import { CLAIM_ID } from "./reflexProcesses.ts";
import { systemClock } from "../schemas/clock.ts";
import { eventually, standsStill } from "./waiting.ts";
import { projectRoot } from "../schemas/testData.ts";
import { NODE_NUMBERS } from "../examples/arm/messages.ts";
import { dataIds, dataIdsPath } from "../examples/firmware/joint/dataIds.ts";

test("the firmware's Data IDs are those of the DBC", () => {
  assert.equal(readFileSync(join(projectRoot(), dataIdsPath), "utf8"), dataIds(), "write them again: node dist/ts/examples/firmware/joint/dataIds.js --write");
});

/** One C joint on the rig's bus; off until it is switched on. */
class FirmwareJoint {
  readonly #number: number;
  readonly #attached: ReturnType<typeof attachInProcess>;
  readonly #rig: ArmRig;
  #process: ChildProcess | undefined;

  constructor(rig: ArmRig, number: number) {
    this.#rig = rig;
    this.#number = number;
    this.#attached = attachInProcess(rig.host, { name: `joint${number}` });
    this.#attached.port.onFrame(({ canId, flags, data }) => {
      if ((flags & (CanFlag.remote | CanFlag.error)) === 0 && this.#process?.stdin?.writable) this.#process.stdin.write(`${canId.toString(16)} ${Buffer.from(data).toString("hex")}\n`);
    });
  }

  powerOn(): void {
    const child = (this.#process = spawn(join(projectRoot(), "dist/native/test/joint_host"), [String(this.#number), String(CLAIM_ID)], { stdio: ["pipe", "pipe", "inherit"] }));
    child.stdin.on("error", () => child.stdin.destroy());
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [id, hex] = line.split(" ") as [string, string];
      if (this.#process === child) this.#attached.port.send({ timeUs: 0, canId: Number.parseInt(id, 16), flags: 0, data: Uint8Array.from(Buffer.from(hex, "hex")) });
    });
    this.#rig.host.setPower(this.#attached.node, true);
  }

  async powerOff(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    this.#rig.host.setPower(this.#attached.node, false);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGKILL");
    await closed;
  }

  /** Frames wait for it meanwhile. */
  async freeze(): Promise<void> {
    this.#process!.kill("SIGSTOP");
    await standsStill(this.#process!.pid!);
  }
  thaw(): void {
    this.#process!.kill("SIGCONT");
  }

  busOff(on: boolean): void {
    this.#process!.stdin!.write(on ? "off\n" : "on\n");
  }
}

interface State {
  position: number;
  velocity: number;
  mode: number;
  fault: number;
}

async function bench(t: TestContext): Promise<{ rig: ArmRig; joint: FirmwareJoint; states: State[] }> {
  const rig = await ArmRig.start({ joints: ["base"], reflex: "single", withoutJoints: true });
  t.after(() => rig.stop());
  const joint = new FirmwareJoint(rig, NODE_NUMBERS.base);
  t.after(() => joint.powerOff());
  joint.powerOn();
  const states: State[] = [];
  await rig.client.subscribe("can/arm/base_State", { policy: { queue: 1_000 } }, ({ value }) => void states.push(value as State));
  return { rig, joint, states };
}

const last = (states: readonly State[]): State | undefined => states.at(-1);

test("it moves where it is told to, and the safe pose parks it, measured", { timeout: 180_000 }, async (t) => {
  const { rig, states } = await bench(t);
  await rig.arm();
  const moving = rig.commandAll(() => moveTo(0.6), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => moving.stop());
  await eventually("it moves", () => (last(states)?.velocity ?? 0) > 0.5, { timeoutMs: 60_000, last: () => [last(states), [...moving.refused]] });
  await eventually("it is there", () => Math.abs((last(states)?.position ?? 0) - 0.6) < 0.01, { timeoutMs: 60_000, last: () => last(states) });
  assert.equal(rig.seen.filter(({ canId, data }) => canId === 0x701 && data[0] === 5).length > 3, true, "heartbeats");
  const { verdict } = await rig.daemon.stop();
  moving.stop();
  assert.equal(verdict?.verdict, "posed", JSON.stringify(verdict));
});

test("its power fails while it moves: it comes back standing still, and is not moved on before somebody arms again", { timeout: 180_000 }, async (t) => {
  const { rig, joint, states } = await bench(t);
  await rig.arm();
  const moving = rig.commandAll(() => moveTo(2, 0.3), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => moving.stop());
  await eventually("it moves", () => (last(states)?.velocity ?? 0) > 0.2, { timeoutMs: 60_000, last: () => [last(states), [...moving.refused]] });
  await joint.powerOff();
  await rig.until("the loss is seen", ({ state }) => state !== "armed", 60_000);
  joint.powerOn();
  await rig.until("it is back, and the pose has ended", ({ state, nodes }) => (state === "fault" || state === "posed") && nodes[0]!.state === "operational", 60_000);
  const from = states.length;
  await eventually("half a second of reports", () => states.length > from + 50, { timeoutMs: 60_000 });
  for (const { velocity } of states.slice(from)) assert.equal(velocity, 0);
  await rig.client.request("gateway/arm", { reset: true, why: "test" });
  await eventually("it moves again", () => (last(states)?.velocity ?? 0) > 0.2, { timeoutMs: 60_000, last: () => [last(states), [...moving.refused]] });
});

test("it is bus-off for a while: it has stopped by itself when it speaks again", { timeout: 180_000 }, async (t) => {
  const { rig, joint, states } = await bench(t);
  await rig.arm();
  const moving = rig.commandAll(() => moveTo(2, 0.3), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => moving.stop());
  await eventually("it moves", () => (last(states)?.velocity ?? 0) > 0.2, { timeoutMs: 60_000, last: () => [last(states), [...moving.refused]] });
  joint.busOff(true);
  await rig.until("the loss is seen", ({ state }) => state !== "armed", 60_000);
  moving.stop();
  const from = states.length;
  const emergencies = rig.seen.filter(({ canId }) => canId === 0x81).length;
  joint.busOff(false);
  await eventually("it speaks", () => states.length > from + 5, { timeoutMs: 60_000 });
  // Back to where the pose parks it, if that still runs; never on.
  for (const { velocity } of states.slice(from)) assert.ok(velocity <= 0, `${velocity}`);
  await eventually("it says that it was bus-off", () => rig.seen.filter(({ canId }) => canId === 0x81).length > emergencies, { timeoutMs: 60_000 });
});

test("it stands still for a while and goes on: what waited for it meanwhile moves nothing", { timeout: 180_000 }, async (t) => {
  const { rig, joint, states } = await bench(t);
  await rig.arm();
  const moving = rig.commandAll(() => moveTo(2, 0.3), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => moving.stop());
  await eventually("it moves", () => (last(states)?.velocity ?? 0) > 0.2, { timeoutMs: 60_000, last: () => [last(states), [...moving.refused]] });
  await joint.freeze();
  await rig.until("the loss is seen, and the pose has ended", ({ state }) => state === "fault" || state === "posed", 60_000);
  const from = states.length;
  joint.thaw();
  await eventually("half a second of reports", () => states.length > from + 50, { timeoutMs: 60_000 });
  // It brakes from what it did before; nothing speeds it up, and nothing turns it round.
  const velocities = states.slice(from).map(({ velocity }) => velocity);
  assert.deepEqual(velocities, velocities.toSorted((a, b) => b - a));
  assert.equal(velocities.at(-1), 0);
});

test("it was told to stop while it stood still: that is obeyed, however old it is", { timeout: 180_000 }, async (t) => {
  const { rig, joint, states } = await bench(t);
  const operator = attachInProcess(rig.host, { name: "operator" });
  await eventually("it reports", () => states.length > 0, { timeoutMs: 60_000 });
  await joint.freeze();
  // CiA 301: NMT, stop this node.
  operator.port.send({ timeUs: 0, canId: 0, flags: 0, data: Uint8Array.from([2, NODE_NUMBERS.base]) });
  await eventually("the frame has been on the bus", () => rig.seen.some(({ canId }) => canId === 0), { timeoutMs: 60_000 });
  // Longer than it takes for late.
  const fromUs = systemClock.nowUs();
  await eventually("a second has passed", () => systemClock.nowUs() > fromUs + 1_000_000, { timeoutMs: 60_000 });
  const from = rig.seen.length;
  joint.thaw();
  const HEARTBEAT = 0x700 + NODE_NUMBERS.base;
  const STOPPED = 4;
  await eventually("it says that it is stopped", () => rig.seen.slice(from).some(({ canId, data }) => canId === HEARTBEAT && data[0] === STOPPED), { timeoutMs: 60_000, last: () => rig.seen.slice(from).slice(-5) });
});
