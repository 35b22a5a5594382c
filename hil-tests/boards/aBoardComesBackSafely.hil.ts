/**
 * A microcontroller that loses its power, hears nothing but damaged bytes, hangs or is reset while it moves: the gateway says so and stops what is armed, the board stops by itself, the link comes
 * back by itself, nothing that was sent before is obeyed after, and nothing moves before somebody arms again. What local programs ask it meanwhile moves and stops nothing.
 *
 * Real are: ipcnetd, `serialport` and the tty, the firmware's code for a Cortex-M3, its interrupts and its watchdog as QEMU models them. On a bench the same cases are a board on a relay, a line with a
 * switch and a finger on the reset pin; the configuration is that of gripper.ts with the board's /dev/serial/by-id name.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { seededRandom } from "../../schemas/random.ts";
import { Status } from "../../schemas/status.ts";
import { IpcnetError } from "../../shm/client/index.ts";
import { testFolder } from "../daemon.ts";
import { eventually } from "../waiting.ts";
import { asItIs, EmulatedBoard, type Way, whatIsMissing } from "./emulatedBoard.ts";
import { GripperRig, type ParameterAnswer, parameters } from "./gripper.ts";

const FIRMWARE = "gripper-mps2";
const missing = whatIsMissing(FIRMWARE);
if (missing !== undefined) process.stdout.write(`skipped: ${missing}\n`);
const options = { skip: missing ?? false, timeout: 240_000 };

async function bench(t: TestContext): Promise<{ rig: GripperRig; board: EmulatedBoard }> {
  const folder = testFolder();
  t.after(() => folder.remove());
  const board = await EmulatedBoard.create({ folder: folder.path, firmware: FIRMWARE });
  t.after(() => board.remove());
  await board.powerOn();
  const rig = await GripperRig.start(folder.path, board.path);
  t.after(() => rig.stop());
  await rig.until("the board is there", ({ nodes }) => nodes[0]!.state === "operational");
  return { rig, board };
}

/** Armed and on the way to a target that it does not reach soon. */
async function inMotion({ rig }: { rig: GripperRig }, reset = false): Promise<void> {
  await rig.arm(reset);
  rig.move(1, 0.05);
  await rig.report("it moves", ({ outputs, velocity }) => outputs === 1 && velocity > 0.04);
}

/** The gateway has stopped, the board too; the commands of a program that does not notice are refused, and the board obeys none, until somebody arms again. */
async function comesBackSafely({ rig, board }: { rig: GripperRig; board: EmulatedBoard }, startedBy: number | undefined, old: readonly Uint8Array[]): Promise<void> {
  const stopped = await rig.until("the pose ran, the board is back", ({ state, nodes, links }) => (state === "fault" || state === "posed") && nodes[0]!.state === "operational" && links[0]!.state === "up");
  assert.match(stopped.stateReason, /gripper|safe pose/);
  const before = await rig.report("the board reports", () => true);
  if (startedBy !== undefined) assert.equal(before.startedBy, startedBy);
  // All that it was ever sent before, once more.
  for (const bytes of old) board.inject(bytes);
  const refusedBefore = rig.refused;
  await eventually("the program's commands are refused", () => rig.refused > refusedBefore + 20);
  const from = rig.states.length;
  await eventually("a second of reports", () => rig.states.length > from + 40, { timeoutMs: 60_000 });
  for (const state of rig.states.slice(from)) assert.deepEqual([state.outputs, state.velocity], [0, 0], "safe, and still");
  assert.equal(rig.states.at(-1)!.position, before.position);
  await inMotion({ rig }, true);
  rig.hold();
  await rig.report("nobody commands: its dead-man", ({ outputs, velocity }) => outputs === 0 && velocity === 0);
}

test("it moves when it is told to, while it is armed; without commands its dead-man stops it; the gateway's end stops it in order", options, async (t) => {
  const { rig, board } = await bench(t);
  assert.equal((await rig.report("a report", () => true)).startedBy, 0);
  rig.move(0.3, 1);
  await eventually("refused", () => rig.refused > 0);
  assert.equal(rig.states.at(-1)!.position, 0);
  await rig.arm();
  await rig.report("at its target", ({ position }) => Math.abs(position - 0.3) < 0.01);
  rig.hold();
  const stopped = await rig.report("the dead-man", ({ outputs }) => outputs === 0);
  assert.ok(stopped.poses >= 2);
  rig.move(0.8, 0.1);
  await rig.report("it moves again", ({ velocity }) => velocity > 0.05);
  const { verdict } = await rig.daemon.stop();
  assert.equal(verdict?.verdict, "posed");
  assert.deepEqual(board.events.filter((event) => event === "WATCHDOG"), []);
});

test("its power is cut while it moves, and returns", options, async (t) => {
  const bed = await bench(t);
  const { rig, board } = bed;
  await inMotion(bed);
  const old = board.sent.slice();
  await board.powerOff();
  await rig.until("the silence is seen", ({ links, nodes, state }) => links[0]!.state !== "up" && nodes[0]!.state === "lost" && state !== "armed");
  await rig.until("the pose could not be measured", ({ state }) => state === "fault");
  await board.powerOn();
  // At once, before it has heard anything else.
  for (const bytes of old) board.inject(bytes);
  await comesBackSafely(bed, 0, old);
  assert.ok(rig.states.at(-1)!.refused > 0, "it has refused what was sent to the one before");
});

test("bits are flipped on the way in both directions, then nothing whole arrives any more, then all is well again", options, async (t) => {
  const bed = await bench(t);
  const { rig, board } = bed;
  const random = seededRandom(20261123);
  const flipping = (share: number): Way => (bytes) => {
    const copy = Uint8Array.from(bytes);
    if (random() < share) copy[Math.floor(random() * copy.length)]! ^= 1 << Math.floor(random() * 8);
    return copy;
  };
  await inMotion(bed);
  board.toBoard = board.toGateway = flipping(0.05);
  const refused = rig.states.at(-1)!.refused;
  await eventually("both ends refuse", async () => rig.states.at(-1)!.refused > refused + 5 && (await rig.status()).rejects.some(({ link, reason, count }) => link === "gripper" && reason === "crcMismatch" && count > 5), { timeoutMs: 60_000 });
  for (const { position, velocity, outputs } of rig.states) assert.ok(position >= 0 && position <= 1 && Math.abs(velocity) <= 0.06 && (outputs === 0 || outputs === 1), "nothing false was let through");
  // One flipped bit in every byte: no frame is left, in either direction.
  const old = board.sent.slice();
  board.toBoard = board.toGateway = (bytes) => bytes.map((byte) => byte ^ 0x10);
  await rig.until("the silence is seen", ({ links, state }) => links[0]!.state !== "up" && state !== "armed");
  await rig.until("the pose could not be measured", ({ state }) => state === "fault" || state === "posed");
  board.toBoard = board.toGateway = asItIs;
  await comesBackSafely(bed, 0, old);
});

test("it hangs while it moves: its own watchdog stops and restarts it", options, async (t) => {
  const bed = await bench(t);
  const { rig, board } = bed;
  await inMotion(bed);
  const old = board.sent.slice();
  await rig.client.publish("cmd/gripper/Fault", { what: "Hang" }, { ttlMs: 500 });
  await eventually("the watchdog bites", () => board.events.includes("WATCHDOG") || board.events.includes("RESET"), { timeoutMs: 60_000 });
  await rig.until("what is armed is stopped", ({ state }) => state !== "armed");
  await comesBackSafely(bed, 1, old);
});

test("its reset pin is pressed while it moves", options, async (t) => {
  const bed = await bench(t);
  const { rig, board } = bed;
  await inMotion(bed);
  const old = board.sent.slice();
  board.pressReset();
  await rig.until("what is armed is stopped", ({ state }) => state !== "armed");
  await comesBackSafely(bed, 4, old);
});

const hasStatus = (...status: number[]) => (error: unknown): boolean => error instanceof IpcnetError && status.includes(error.status);
/** The line broke, or the device is not there. */
const isBroken = hasStatus(Status.badGateway, Status.serviceUnavailable, Status.gatewayTimeout);

/** Again, as long as the line breaks. */
async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  return eventually("it answers", () => ask().then((value) => ({ value }), (error: unknown) => (assert.ok(isBroken(error), String(error)), undefined)), { timeoutMs: 60_000 }).then(({ value }) => value);
}

test("local programs ask it while it moves: answered or refused with a status; its motion is not disturbed, and its dead-man not fed by it", options, async (t) => {
  const bed = await bench(t);
  const { rig, board } = bed;
  assert.deepEqual(await rig.identity(), { vendor: 0x4950_4300, product: 2, version: 0x0100_0000, startedBy: 0 });
  assert.deepEqual(await rig.parameter(parameters.velocityLimit), { value: 2_000, minimum: 10, maximum: 2_000 });
  assert.deepEqual(await rig.parameter(parameters.forceLimit, 40_000), { value: 40_000, minimum: 500, maximum: 40_000 });
  await inMotion(bed);
  const from = rig.states.length;
  const asked = await rig.counters();
  for (let i = 0; i < 100; i++) {
    const forceLimit = 39_999 - i;
    assert.deepEqual(await rig.parameter(parameters.forceLimit, forceLimit), { value: forceLimit, minimum: 500, maximum: 40_000 });
    await assert.rejects(rig.parameter(parameters.forceLimit, i % 2 === 0 ? 40_001 : 499), hasStatus(Status.unprocessableContent));
    await assert.rejects(rig.parameter(parameters.forceLimit, forceLimit + 1), hasStatus(Status.preconditionFailed), "what moves gets no stronger");
    assert.equal((await rig.parameter(parameters.forceLimit)).value, forceLimit, "what was refused was not set");
  }
  await assert.rejects(rig.parameter(2), hasStatus(Status.notFound));
  await assert.rejects(rig.client.request("serial/gripper/parameter", Uint8Array.of(1, 0)), hasStatus(Status.badRequest));
  await assert.rejects(rig.client.request("serial/gripper/parameter", new Uint8Array(100)), hasStatus(Status.payloadTooLarge));
  await assert.rejects(rig.client.request("serial/gripper/identity", Uint8Array.of(0)), hasStatus(Status.badRequest));
  const answered = await rig.counters();
  assert.ok(answered.requests >= asked.requests + 400);
  assert.equal(answered.poses, asked.poses, "it never became safe");
  assert.equal(answered.deadManStops, asked.deadManStops);
  for (const { outputs, velocity } of rig.states.slice(from)) assert.deepEqual([outputs, velocity], [1, 0.05], "it moved on as it was told");
  // A limit that is lowered counts at once, for what moves as well.
  await rig.parameter(parameters.velocityLimit, 20);
  await rig.report("slower than its commands say", ({ velocity }) => velocity === 0.02);
  // Asked as much as it can answer, and commanded no more.
  rig.hold();
  const commanded = (await rig.counters()).obeyed;
  let answers = 0;
  while (rig.states.at(-1)!.outputs === 1) {
    await rig.counters();
    answers += 1;
  }
  const { deadManStops, obeyed } = await rig.counters();
  assert.equal(deadManStops, answered.deadManStops + 1);
  assert.ok(answers > 3, `${answers} answers until it stopped`);
  t.diagnostic(`obeyed ${obeyed - commanded} commands that were on their way, answered ${answers} requests, and stopped`);
  assert.deepEqual(await rig.parameter(parameters.velocityLimit, 2_000), { value: 2_000, minimum: 10, maximum: 2_000 }, "raised again while it stands");
  assert.deepEqual(board.events.filter((event) => event === "WATCHDOG"), []);
});

test("its reset pin is pressed in the middle of requests while it moves: what is set is the one before or the new one, and old requests set nothing", options, async (t) => {
  const bed = await bench(t);
  const { rig, board } = bed;
  const random = seededRandom(20_261_124);
  await rig.parameter(parameters.velocityLimit, 1_500);
  let value = (await rig.parameter(parameters.forceLimit, 30_000)).value;
  await inMotion(bed);
  let [cut, done] = [0, 0];
  for (let i = 0; i < 6; i++) {
    const next = value - 1 - i;
    // Every other time no answer gets through, whatever became of the request.
    const isMute = i % 2 === 1;
    if (isMute) board.toGateway = () => new Uint8Array(0);
    const asked = rig.parameter(parameters.forceLimit, next).then(() => true, (error: unknown) => (assert.ok(isBroken(error), String(error)), false));
    // Somewhere between the request's first byte and its answer's last.
    const passed = board.sent.length + Math.floor(random() * 4);
    await eventually("some of it has passed", () => board.sent.length >= passed);
    board.pressReset();
    const wasDone = await asked;
    board.toGateway = asItIs;
    const now = (await untilAnswered(() => rig.parameter(parameters.forceLimit))).value;
    if (wasDone) assert.equal(now, next, "what was answered outlasts the reset");
    else assert.ok(now === value || now === next, `${now} is neither ${value} nor ${next}`);
    [cut, done] = wasDone ? [cut, done + 1] : [cut + 1, done];
    value = now;
  }
  t.diagnostic(`${cut} cut, ${done} answered before the reset`);
  assert.ok(cut >= 3);
  assert.equal((await untilAnswered(() => rig.identity())).startedBy, 4);
  assert.equal((await untilAnswered(() => rig.parameter(parameters.velocityLimit))).value, 1_500);
  const { value: final } = await untilAnswered(() => rig.parameter(parameters.forceLimit, 700));
  const old = board.sent.slice();
  await comesBackSafely(bed, 4, old);
  assert.equal((await untilAnswered(() => rig.parameter(parameters.forceLimit))).value, final, "old requests set nothing");
  rig.hold();
  await board.powerOff();
  await board.powerOn();
  assert.equal((await untilAnswered(() => rig.parameter(parameters.forceLimit))).value, 10_000, "without power it begins anew");
});

test("requests and answers are damaged on the way: answered rightly or refused as broken, and nothing is set that nobody asked for", options, async (t) => {
  const bed = await bench(t);
  const { rig, board } = bed;
  const random = seededRandom(20_261_125);
  await inMotion(bed);
  board.toBoard = board.toGateway = (bytes) => {
    const copy = Uint8Array.from(bytes);
    if (random() < 0.1) copy[Math.floor(random() * copy.length)]! ^= 1 << Math.floor(random() * 8);
    return copy;
  };
  let may = [10_000];
  let [broken, answered] = [0, 0];
  for (let i = 1; i <= 100; i++) {
    const next = 10_000 - i;
    const answer: ParameterAnswer | undefined = await rig.parameter(parameters.forceLimit, i % 2 === 0 ? next : undefined).catch((error: unknown) => (assert.ok(isBroken(error), String(error)), undefined));
    if (i % 2 === 0) may = answer ? [next] : [...may, next];
    if (answer) assert.ok(may.includes(answer.value), `${answer.value} was never set`);
    [broken, answered] = answer ? [broken, answered + 1] : [broken + 1, answered];
  }
  board.toBoard = board.toGateway = asItIs;
  const { value } = await untilAnswered(() => rig.parameter(parameters.forceLimit));
  assert.ok(may.includes(value));
  const { crcErrors, parametersLost } = await untilAnswered(() => rig.counters());
  assert.ok(crcErrors > 0);
  assert.equal(parametersLost, 0);
  assert.ok(answered > 10, `${answered} answered, ${broken} broken`);
  t.diagnostic(`${answered} answered, ${broken} broken`);
});
