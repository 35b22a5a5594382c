import assert from "node:assert/strict";
import { test } from "node:test";
import type { CanDriver } from "../../drivers/can/driver.ts";
import type { CanFrame } from "../../drivers/can/frame.ts";
import type { DriverEvent, DriverState, SendVerdict } from "../../drivers/driver.ts";
import { ManualClock } from "../../schemas/clock.ts";
import { compileMessage, parseDbc } from "../../schemas/dbc/index.ts";
import { Rejects } from "../observe/rejects.ts";
import { TopicTable } from "../topics/table.ts";
import { CanLink } from "./canLink.ts";

const dbc = `
BO_ 34 Move: 2 Gateway
 SG_ target : 0|16@1- (0.001,0) [-3|3] "rad" Joint
`;

/** A link whose bus is another process's; commands may pass when `armed`, and that is not known while `waits`. */
function rig() {
  const clock = new ManualClock();
  const sent: CanFrame[] = [];
  const state = { armed: false, waits: true, started: false };
  let tell: (event: DriverEvent) => void = () => {};
  const driver: CanDriver = {
    kind: "reflex", name: "arm", bitrateBps: 500_000, fd: false, confirmsTransmission: true,
    start: () => ((state.started = true), Promise.resolve()), stop: () => Promise.resolve(),
    send: (frame): SendVerdict => (state.started ? (sent.push(frame), "queued") : "notStarted"),
    onFrames: () => () => {}, onEvent: (listener) => ((tell = listener), () => {}), health: () => ({ state: "up", reason: "", sinceUs: 0, counters: {} }),
    canPurge: () => true, purge: () => Promise.resolve({ purged: true, droppedFrames: 0 }), rearm: () => true,
  };
  const link = new CanLink({
    driver, bitrateBps: 500_000, busLoadMaxPercent: 100, clock, gate: () => state.armed, waits: () => state.waits, following: { follow: () => {}, goOnAfter: () => {} },
    commands: [{ name: "Move", codec: compileMessage(parseDbc(dbc, { file: "test.dbc" }).messages[0]!), protector: undefined, ownedSignals: [], ttlMsMax: 100, rateHzMax: 100, poseOnly: false }],
    receive: { messages: [], rawHandlers: [], table: new TopicTable(), rejects: new Rejects(), rawTopic: undefined }, ports: { event: () => {}, secondMaster: () => {} },
  });
  return { clock, link, sent, state, becomes: (to: DriverState) => tell({ atUs: clock.nowUs(), code: "stateChanged", text: to, state: to, details: { phase: "up" } }) };
}

const move = (link: CanLink, nowUs: number) => link.path!.submit("Move", { target: 0 }, undefined, nowUs);

test("after a takeover a command waits until the bus is listened to and its owner is heard; that the bus is looked for takes nothing away", async () => {
  const { clock, link, sent, state, becomes } = rig();
  // The predecessor is not all gone: the bus is not opened yet.
  Object.assign(state, { armed: true, waits: false });
  assert.deepEqual(move(link, clock.nowUs()).ok, true);
  Object.assign(state, { armed: false, waits: true });
  await link.start();
  becomes("starting");
  assert.equal(sent.length, 0);
  Object.assign(state, { armed: true, waits: false });
  link.poll(clock.nowUs());
  assert.equal(sent.length, 1);
});

test("… and is dropped when the owner says that nothing is armed; from then on a bus that is lost takes away what was on its way", async () => {
  const { clock, link, sent, state, becomes } = rig();
  await link.start();
  assert.ok(move(link, clock.nowUs()).ok);
  state.waits = false;
  link.poll(clock.nowUs());
  const verdict = move(link, clock.nowUs());
  assert.ok(!verdict.ok && verdict.code === "notArmed");
  state.armed = true;
  assert.ok(move(link, clock.nowUs()).ok);
  clock.advanceMs(20);
  assert.deepEqual([sent.length, move(link, clock.nowUs())], [1, { ok: true, held: true, data: Uint8Array.of(0, 0) }], "no second one beside one without an echo");
  becomes("down");
  assert.equal(link.nextDeadlineUs(clock.nowUs()), undefined);
  assert.ok(move(link, clock.nowUs()).ok);
  assert.equal(sent.length, 2);
});
