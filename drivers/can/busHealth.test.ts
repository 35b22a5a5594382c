import assert from "node:assert/strict";
import { test } from "node:test";
import { BusHealth, busReasonText, type BusHealthEffect, type BusHealthEvent, type BusHealthOptions } from "./busHealth.ts";

/** Feeds events at given milliseconds and returns the last step's effects by name. */
function machine(options: BusHealthOptions = {}) {
  const health = new BusHealth({ bitrateBps: 500_000, ...options });
  const at = (ms: number, event: BusHealthEvent): BusHealthEffect[] => health.step(event, ms * 1e3);
  const names = (effects: BusHealthEffect[]) => effects.map((effect) => effect.type);
  return { health, at, names };
}

test("the first link is trusted, and commands are accepted", () => {
  const { health, at } = machine();
  assert.equal(health.state, "starting");
  assert.equal(health.acceptsCommands, false);
  assert.deepEqual(at(1, { type: "linkUp" }), [{ type: "stateChanged", state: "up", phase: "up", reason: "none", cause: "none" }, { type: "acceptCommands" }]);
  assert.equal(health.state, "up");
  assert.equal(health.nextDeadlineUs(), undefined);
});

test("a missing echo kills; purge, probe echo and re-arm revive, in that order only", () => {
  const { health, at, names } = machine();
  at(0, { type: "linkUp" });
  at(10, { type: "txQueued" });
  assert.equal(health.nextDeadlineUs(), 30_000);
  assert.equal(at(29, { type: "tick" }).length, 0);
  assert.deepEqual(at(30, { type: "tick" }), [
    { type: "refuseCommands" },
    { type: "stateChanged", state: "dead", phase: "purging", reason: "noEcho", cause: "noEcho" },
    { type: "purge" },
  ]);
  at(31, { type: "rearm" });
  assert.equal(health.acceptsCommands, false);
  assert.deepEqual(names(at(32, { type: "purged" })), ["stateChanged", "probe"]);
  at(33, { type: "rearm" });
  assert.equal(health.acceptsCommands, false);
  assert.deepEqual(names(at(34, { type: "probeEcho" })), ["stateChanged"]);
  assert.equal(health.state, "dead");
  assert.equal(health.reason, "awaitingRearm");
  assert.equal(health.cause, "noEcho");
  assert.deepEqual(names(at(35, { type: "rearm" })), ["stateChanged", "acceptCommands"]);
  assert.equal(health.acceptsCommands, true);
  assert.deepEqual(health.counters(), { droppedNoBufferFrames: 0, lostFrames: 0, deadTimes: 1, busOffTimes: 0, purges: 1, probes: 1, busRestarts: 0, linkLostTimes: 0 });
});

test("each event and effect crosses the border with its numbers", () => {
  const { health, at, names } = machine({ busOff: { restartMinMs: 50, restartMaxMs: 80, restartBudget: 2 }, txQueueFrames: 4 });
  assert.deepEqual(names(at(0, { type: "linkUp", staleFrames: 2 })), ["stateChanged", "purge"]);
  assert.equal(health.reason, "staleQueue");
  at(1, { type: "purged" });
  at(2, { type: "probeFailed" });
  assert.deepEqual(names(at(1001, { type: "tick" })), ["probe"]);
  at(1002, { type: "probeEcho" });
  at(1003, { type: "rearm" });
  assert.deepEqual(at(1004, { type: "busState", state: "passive" })[0], { type: "emergency", code: 0x8120 });
  assert.equal(health.state, "degraded");
  at(1005, { type: "busState", state: "active" });
  assert.equal(health.state, "up");
  at(1006, { type: "txQueued", frames: 3 });
  at(1007, { type: "txEcho", frames: 1 });
  at(1007, { type: "txDropped", frames: 1 });
  assert.equal(health.unconfirmedFrames, 1);
  assert.deepEqual(at(1008, { type: "txNoBuffer" }), [{ type: "reportDrops", frames: 1 }]);
  at(1009, { type: "overflow", lostFrames: 5 });
  assert.equal(health.counters().lostFrames, 5);
  at(1009, { type: "rxFrame" });
  assert.deepEqual(names(at(1010, { type: "errorFrame", classes: 0x40, controller: 0 })), ["refuseCommands", "stateChanged", "purge"]);
  assert.equal(health.state, "busOff");
  at(1011, { type: "purged" });
  assert.deepEqual(names(at(1061, { type: "tick" })), ["stateChanged", "restartBus"]);
  at(1062, { type: "restartFailed" });
  assert.deepEqual(names(at(1142, { type: "tick" })), ["stateChanged", "restartBus"]); // 50 ms doubled is 100, the maximum is 80
  at(1143, { type: "restartFailed" });
  at(1223, { type: "tick" });
  assert.equal(health.phase, "offGivenUp");
  assert.deepEqual(names(at(1300, { type: "linkDown" })), ["stateChanged", "reopen"]);
  assert.equal(health.state, "down");
  at(1400, { type: "linkUp" });
  assert.equal(health.phase, "probing");
  at(1401, { type: "busState", state: "busOff" });
  at(1402, { type: "purgeFailed", forbidden: true });
  assert.equal(health.phase, "unpurgeable");
  assert.match(busReasonText(health.reason, health.cause), /CAP_NET_ADMIN.*bus-off/);
});

test("T grows with the queue on a slow bus, also when it becomes known later", () => {
  const { health } = machine({ bitrateBps: 20_000 });
  assert.equal(health.echoPatienceUs, 3 * 8000 * 16);
  health.setLink({ bitrateBps: 1_000_000, txQueueFrames: 16 });
  assert.equal(health.echoPatienceUs, 20_000);
});

test("a step costs little and, without effects, allocates no list", () => {
  const { health, at } = machine();
  at(0, { type: "linkUp" });
  assert.equal(health.step({ type: "rxFrame" }, 1), health.step({ type: "rxFrame" }, 2));
});

test("nonsense from a caller is refused, not crashed on", async () => {
  const { native } = await import("./native.ts");
  const addon = native();
  const bare = new addon.NativeBusHealth({} as never);
  assert.throws(() => bare.step("x" as never, 0, 0, 0), TypeError);
  assert.throws(() => (bare.step as unknown as (this: object) => void).call({}), TypeError);
  assert.equal(bare.step(4_000_000_000, 1, 1, Number.NaN), 0);
});
