import assert from "node:assert/strict";
import { test } from "node:test";
import { CanFlag } from "../frame.ts";
import { CanBus } from "./bus.ts";
import { CAN_ERR } from "./node.ts";
import { DropReason } from "./protocol.ts";
import { drain, droppedOf, echoesOf, errorsOf, frame, framesOf, runUntil, statesOf } from "./testBus.ts";

const BIT_US = 2;
const MS = 1000;
const paced = () => new CanBus({ bitrateBps: 500_000, dataBitrateBps: 2_000_000, fd: true });
/** 100 ms after the nodes were attached: well integrated. */
const START_US = 100 * MS;

function twoNodes(bus = paced(), options = {}) {
  return { bus, a: bus.attach({ name: "a", fd: true, ...options }, 0), b: bus.attach({ name: "b", fd: true, ...options }, 0) };
}

test("a frame takes the time of its bits, arrives at the other and is echoed with its token", () => {
  const { bus, a, b } = twoNodes();
  assert.equal(bus.sendFrame(a, frame(0, [], 7), START_US), "queued");
  const durationUs = (34 + 6 + 13) * BIT_US;
  assert.equal(bus.poll(START_US), START_US + durationUs);
  assert.equal(drain(b).length, 0);
  assert.equal(bus.poll(START_US + durationUs), undefined);
  const endOfFrameUs = START_US + durationUs - 3 * BIT_US;
  assert.deepEqual(framesOf(drain(b)).map(({ canId, timeUs, token }) => ({ canId, timeUs, token })), [{ canId: 0, timeUs: endOfFrameUs, token: 0 }]);
  assert.deepEqual(drain(a).map((output) => output.what === "echo" && [output.frame.token, output.frame.timeUs, output.frame.flags]), [[7, endOfFrameUs, CanFlag.echo]]);
});

test("of frames that wait for the bus the most important goes first, whoever queued it and when", () => {
  const { bus, a, b } = twoNodes();
  const c = bus.attach({}, 0);
  bus.sendFrame(c, frame(0x400), START_US);
  bus.sendFrame(a, frame(0x300), START_US + 1);
  bus.sendFrame(b, frame(0x200), START_US + 2);
  bus.sendFrame(a, frame(0x100), START_US + 3);
  runUntil(bus, START_US + 10 * MS);
  // 0x400 was alone when it started; 0x100 waits behind 0x300 in its node's queue.
  assert.deepEqual(framesOf(drain(c)).map(({ canId }) => canId), [0x200, 0x300, 0x100]);
  assert.equal(a.statistics.arbitrationLost, 1);
});

test("a lone node retries for ever, becomes error-passive, never bus-off, and is reported without acknowledgement", () => {
  const bus = paced();
  const a = bus.attach({}, 0);
  bus.sendFrame(a, frame(0x100, [1, 2], 1), START_US);
  runUntil(bus, START_US + 60_000 * MS);
  const outputs = drain(a);
  assert.deepEqual(statesOf(outputs), ["warning", "passive"]);
  assert.equal(a.tec, 128);
  assert.equal(echoesOf(outputs).length + droppedOf(outputs).length, 0);
  const reports = errorsOf(outputs).filter((report) => (report.canId & CAN_ERR.ack) !== 0);
  assert.ok(reports.length > 1000 && reports.length < 7000, `about one each 10 ms, not one each attempt: ${reports.length}`);
  assert.deepEqual([...reports.at(-1)!.data], [0, 0, 0, 0x19, 0, 0, 128, 0]);
  assert.ok(bus.statistics.unacknowledged > 60 * 3000, `${bus.statistics.unacknowledged} attempts in a minute`);
  // Somebody joins: the frame goes through with the next attempt, a minute late. This is the danger that purging is for.
  const b = bus.attach({}, START_US + 60_000 * MS);
  runUntil(bus, START_US + 60_001 * MS);
  assert.equal(framesOf(drain(b)).length, 1);
  assert.equal(echoesOf(drain(a))[0]?.token, 1);
  assert.equal(a.tec, 127);
  assert.equal(a.state, "warning");
});

test("cutting the power of all others piles frames up until the queue is full; restoring it lets them loose; purging prevents that", () => {
  for (const purge of [false, true]) {
    const { bus, a, b } = twoNodes(paced(), { queueFrames: 4 });
    bus.setPower(b, false, START_US);
    const results = [1, 2, 3, 4, 5, 6].map((token) => bus.sendFrame(a, frame(0x100, [token], token), START_US + token));
    assert.deepEqual(results, ["queued", "queued", "queued", "queued", "queueFull", "queueFull"]);
    runUntil(bus, START_US + 1000 * MS);
    if (purge) assert.equal(bus.purge(a, START_US + 1000 * MS), 4);
    bus.setPower(b, true, START_US + 1001 * MS);
    runUntil(bus, START_US + 1100 * MS);
    assert.deepEqual(framesOf(drain(b)).map(({ data }) => data[0]), purge ? [] : [1, 2, 3, 4]);
    const dropped = droppedOf(drain(a)).map(({ token, reason }) => `${token}:${reason}`);
    assert.deepEqual(dropped, purge ? ["5:4", "6:4", "1:1", "2:1", "3:1", "4:1"] : ["5:4", "6:4"]);
  }
});

test("a bit error is seen by all, reported, and the frame is sent again", () => {
  const { bus, a, b } = twoNodes();
  bus.faults.add({ kind: "bitError", times: 3 });
  bus.sendFrame(a, frame(0x123, [1], 9), START_US);
  runUntil(bus, START_US + 10 * MS);
  assert.equal(a.tec, 3 * 8 - 1);
  assert.equal(b.rec, 2);
  assert.equal(bus.statistics.errorFrames, 3);
  const [forA, forB] = [drain(a), drain(b)];
  assert.deepEqual(echoesOf(forA).map(({ token }) => token), [9]);
  assert.equal(framesOf(forB).length, 1);
  const [first] = errorsOf(forA);
  assert.equal(first!.canId, CAN_ERR.protocol | CAN_ERR.busError | CAN_ERR.counters);
  assert.deepEqual([first!.data[2], first!.data[6]], [0x81, 8]);
  assert.equal(errorsOf(forB)[0]!.data[2], 0x04);
});

test("errors up to 256 make a node bus-off: queue dropped, nothing taken, until a restart and 128 × 11 recessive bits", () => {
  const { bus, a, b } = twoNodes();
  bus.faults.add({ kind: "bitError", from: a });
  bus.sendFrame(a, frame(0x10, [], 1), START_US);
  bus.sendFrame(a, frame(0x11, [], 2), START_US);
  runUntil(bus, START_US + 100 * MS);
  let outputs = drain(a);
  assert.deepEqual(statesOf(outputs), ["warning", "passive", "busOff"]);
  assert.deepEqual(droppedOf(outputs).map(({ token, reason }) => [token, reason]), [[1, DropReason.busOff], [2, DropReason.busOff]]);
  assert.equal(bus.statistics.errorFrames, 32);
  assert.ok(errorsOf(outputs).some(({ canId }) => (canId & CAN_ERR.busOff) !== 0));
  assert.equal(bus.sendFrame(a, frame(0x12), START_US + 101 * MS), "busOff");
  bus.faults.clear();
  drain(a);
  const restartUs = START_US + 200 * MS;
  bus.restart(a, restartUs);
  const recoveredUs = restartUs + 128 * 11 * BIT_US;
  assert.equal(bus.poll(restartUs), recoveredUs);
  bus.poll(recoveredUs);
  outputs = drain(a);
  assert.deepEqual(statesOf(outputs), ["errorActive"]);
  assert.ok(errorsOf(outputs).some(({ canId }) => (canId & CAN_ERR.restarted) !== 0));
  assert.equal(bus.sendFrame(a, frame(0x13), recoveredUs), "queued");
  drain(b);
  runUntil(bus, recoveredUs + MS);
  assert.equal(framesOf(drain(b)).length, 1);
});

test("recovery from bus-off comes to its end on a bus that is never idle", () => {
  const { bus, a, b } = twoNodes();
  bus.attach({}, 0);
  bus.babble(b, () => frame(0x7ff, [0, 1, 2, 3, 4, 5, 6, 7]), START_US);
  bus.setCounters(a, 256, 0, START_US);
  bus.restart(a, START_US + MS);
  runUntil(bus, START_US + 20 * MS);
  assert.equal(a.state, "busOff");
  runUntil(bus, START_US + 40 * MS);
  assert.equal(a.state, "errorActive");
});

test("two nodes that send different frames with one identifier destroy each other's until both are bus-off; equal frames merge", () => {
  const { bus, a, b } = twoNodes();
  const c = bus.attach({}, 0);
  // While 0x001 is on the wire both queue theirs: they start together.
  for (const data of [[5], [6]] as const) {
    const atUs = START_US + (data[0] === 5 ? 10 : 40) * MS;
    drain(a);
    drain(b);
    drain(c);
    bus.sendFrame(c, frame(0x001, [0, 0, 0, 0]), atUs);
    bus.sendFrame(a, frame(0x100, [5], 3), atUs + 1);
    bus.sendFrame(b, frame(0x100, [...data], 4), atUs + 1);
    runUntil(bus, atUs + 20 * MS);
    if (data[0] === 5) {
      assert.deepEqual([echoesOf(drain(a)).length, echoesOf(drain(b)).length], [1, 1]);
      assert.equal(framesOf(drain(c)).length, 1);
    } else {
      assert.deepEqual([a.state, b.state], ["busOff", "busOff"]);
      assert.equal(framesOf(drain(c)).length, 0);
    }
  }
});

test("listen-only nodes receive, but neither acknowledge nor send", () => {
  const bus = paced();
  const a = bus.attach({}, 0);
  const spy = bus.attach({ listenOnly: true }, 0);
  assert.equal(bus.sendFrame(spy, frame(1), START_US), "refused");
  bus.sendFrame(a, frame(2), START_US);
  runUntil(bus, START_US + 100 * MS);
  assert.equal(a.state, "passive");
  assert.equal(framesOf(drain(spy)).length, 0);
  bus.attach({}, START_US + 100 * MS);
  runUntil(bus, START_US + 200 * MS);
  assert.equal(framesOf(drain(spy)).length, 1);
});

test("link down drops the queue and says so; frames to it are dropped; link up joins again with clean counters", () => {
  const { bus, a, b } = twoNodes();
  bus.setCounters(a, 100, 0, START_US);
  bus.sendFrame(a, frame(1, [], 1), START_US);
  bus.setLink(a, false, START_US + 1);
  assert.equal(bus.sendFrame(a, frame(2, [], 2), START_US + 2), "linkDown");
  runUntil(bus, START_US + 10 * MS);
  const outputs = drain(a);
  assert.deepEqual(droppedOf(outputs).map(({ token, reason }) => [token, reason]), [[1, DropReason.linkDown], [2, DropReason.linkDown]]);
  assert.ok(outputs.some((output) => output.what === "link" && !output.up));
  assert.equal(framesOf(drain(b)).length, 0, "it broke off in mid-frame");
  assert.equal(b.rec, 1);
  bus.setLink(a, true, START_US + 20 * MS);
  assert.deepEqual([a.tec, a.state], [0, "errorActive"]);
  bus.sendFrame(a, frame(3), START_US + 20 * MS);
  runUntil(bus, START_US + 30 * MS);
  assert.equal(framesOf(drain(b)).length, 1);
});

test("faults after the link's CRC: corrupted, lost, doubled, late; the sender notices none of them", () => {
  const { bus, a, b } = twoNodes();
  const send = (canId: number, atMs: number) => bus.sendFrame(a, frame(canId, [0xaa, 0x55], canId), START_US + atMs * MS);
  bus.faults.add({ kind: "corrupt", canId: 1, bit: 9 });
  bus.faults.add({ kind: "lose", canId: 2, to: b });
  bus.faults.add({ kind: "duplicate", canId: 3 });
  bus.faults.add({ kind: "delay", canId: 4, delayUs: 5 * MS });
  [1, 2, 3, 4, 5].forEach((canId, index) => send(canId, index));
  runUntil(bus, START_US + 50 * MS);
  assert.deepEqual(framesOf(drain(b)).map(({ canId, data }) => [canId, ...data]), [[1, 0xaa, 0x57], [3, 0xaa, 0x55], [3, 0xaa, 0x55], [5, 0xaa, 0x55], [4, 0xaa, 0x55]]);
  assert.deepEqual(echoesOf(drain(a)).map(({ token }) => token), [1, 2, 3, 4, 5]);
  assert.equal(bus.statistics.errorFrames, 0);
});

test("a babbling node with the best identifier starves the rest; the wire is full", () => {
  const { bus, a, b } = twoNodes();
  bus.attach({}, 0);
  bus.babble(b, () => frame(0, [1, 2, 3, 4, 5, 6, 7, 8]), START_US);
  bus.sendFrame(a, frame(0x100, [], 1), START_US + MS);
  runUntil(bus, START_US + 2000 * MS);
  assert.equal(echoesOf(drain(a)).length, 0);
  assert.ok(bus.load(START_US + 2000 * MS) > 0.999);
  bus.babble(b, undefined, START_US + 2000 * MS);
  runUntil(bus, START_US + 2010 * MS);
  assert.equal(echoesOf(drain(a)).length, 1);
});

test("a full bus of 8-byte standard frames at 500 kbit/s carries 4,100 to 4,500 frames a second", () => {
  const bus = paced();
  const a = bus.attach({}, 0);
  const b = bus.attach({}, 0);
  let seed = 1;
  bus.babble(a, () => frame((seed = (seed * 1103515245 + 12345) & 0x7ff), Array.from({ length: 8 }, () => (seed = (seed * 1103515245 + 12345) & 0x7fff_ffff) >>> 16 & 0xff)), START_US);
  runUntil(bus, START_US + 1000 * MS);
  assert.ok(b.statistics.receivedFrames > 4100 && b.statistics.receivedFrames < 4500, `${b.statistics.receivedFrames}`);
});

test("what a bus or node cannot carry is refused", () => {
  const classic = new CanBus({ bitrateBps: 500_000 });
  const a = classic.attach({ fd: true }, 0);
  const fdBus = twoNodes();
  const { fd, extended, remote, error } = CanFlag;
  for (const [bus, node, canId, lengthBytes, flags] of [
    [classic, a, 1, 8, fd], [classic, a, 1, 9, 0], [classic, a, 0x800, 0, 0], [classic, a, 0x2000_0000, 0, extended], [classic, a, 1, 0, error],
    [fdBus.bus, fdBus.a, 1, 9, fd], [fdBus.bus, fdBus.a, 1, 0, fd | remote], [fdBus.bus, fdBus.a, 1, 65, fd],
  ] as const) {
    assert.equal(bus.sendFrame(node, { ...frame(canId, [], 5, flags), lengthBytes }, START_US), "refused", `${canId} ${lengthBytes} ${flags}`);
    assert.deepEqual(droppedOf(drain(node)).map(({ token, reason }) => [token, reason]), [[5, DropReason.refused]]);
  }
  assert.equal(fdBus.bus.sendFrame(fdBus.a, frame(1, Array.from({ length: 64 }, () => 1), 0, fd | CanFlag.bitRateSwitch), START_US), "queued");
});

test("nodes that send one frame in step, with nobody else there, acknowledge nothing; the bus still comes to rest", () => {
  for (const bitrateBps of [0, 500_000]) {
    const bus = new CanBus({ bitrateBps });
    const nodes = [0, 1, 2].map(() => bus.attach({}, 0));
    for (const node of nodes) bus.sendFrame(node, frame(1), START_US);
    runUntil(bus, START_US + 1000 * MS);
    assert.deepEqual(nodes.map(({ state, queuedFrames }) => [state, queuedFrames]), nodes.map(() => ["passive", 1]));
    assert.equal(bus.purge(nodes[0]!, START_US + 1001 * MS), 1);
    runUntil(bus, START_US + 1010 * MS);
    assert.deepEqual(nodes.map(({ statistics }) => statistics.receivedFrames), [1, 0, 0]);
    assert.deepEqual(nodes.map(({ queuedFrames }) => queuedFrames), [0, 0, 0]);
  }
});

test("an unpaced bus takes no time, keeps arbitration, and stands still, not in a loop, when nobody acknowledges", () => {
  const bus = new CanBus({ bitrateBps: 0 });
  const a = bus.attach({}, 0);
  bus.sendFrame(a, frame(2, [], 1), 5);
  assert.equal(bus.poll(5), undefined);
  assert.deepEqual([a.state, a.tec], ["passive", 128]);
  const b = bus.attach({}, 6);
  bus.sendFrame(b, frame(1, [], 1), 7);
  assert.equal(bus.poll(7), undefined);
  assert.deepEqual([framesOf(drain(a)).length, framesOf(drain(b)).length], [1, 1]);
  bus.held = true;
  bus.sendFrame(a, frame(3), 8);
  assert.equal(bus.poll(8), undefined);
  bus.held = false;
  bus.poll(9);
  assert.equal(framesOf(drain(b)).length, 1);
});
