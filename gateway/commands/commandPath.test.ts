import assert from "node:assert/strict";
import { test } from "node:test";
import { BusLoadBudget } from "./budget.ts";
import { CommandPath, type OutgoingMessage } from "./commandPath.ts";
import type { SendVerdict } from "../../drivers/driver.ts";

function rig({ budget, confirms = false, rateHzMax = 1_000 }: { budget?: BusLoadBudget; confirms?: boolean; rateHzMax?: number } = {}) {
  const sent: { data: number; deadlineUs: number; token: number }[] = [];
  const state = { armed: true, waits: false, verdict: "queued" as SendVerdict };
  const message = (name: string): OutgoingMessage => ({
    name, ttlMsMax: 100, rateHzMax, bits: 135, confirms, poseOnly: name === "Brake",
    encode: (values) => (Number(values["v"]) > 100 ? { ok: false, code: "outOfRange", text: "v is not in 0…100" } : { ok: true, data: Uint8Array.of(Number(values["v"])) }),
    transmit(data, deadlineUs, token) {
      if (state.verdict === "queued") sent.push({ data: data[0]!, deadlineUs, token });
      return state.verdict;
    },
  });
  return { sent, state, path: new CommandPath({ messages: [message("Move"), message("Grip"), message("Brake")], budget, gate: () => state.armed, waits: () => state.waits }) };
}

test("silent until armed, and the refusal says so", () => {
  const { path, sent, state } = rig();
  state.armed = false;
  const verdict = path.submit("Move", { v: 1 }, 50, 0);
  assert.ok(!verdict.ok && verdict.code === "notArmed");
  assert.equal(sent.length, 0);
  assert.deepEqual(path.refused, { notArmed: 1 });
});

test("while it is not known yet whether it is armed the newest is kept: sent when it is, dropped when it is not, and no longer than it lives", () => {
  for (const armed of [true, false]) {
    const { path, sent, state } = rig();
    Object.assign(state, { armed: false, waits: true });
    assert.deepEqual(path.submit("Move", { v: 1 }, 50, 0), { ok: true, held: true, data: Uint8Array.of(1) });
    path.submit("Move", { v: 2 }, 50, 1_000);
    path.submit("Grip", { v: 3 }, 10, 1_000);
    assert.ok(!path.submit("Move", { v: 101 }, 50, 1_000).ok, "what is wrong is refused all the same");
    const dueUs = path.nextDeadlineUs(1_000)!;
    assert.ok(dueUs > 1_000, "whoever turns for it does not spin");
    path.poll(dueUs);
    assert.equal(sent.length, 0);
    Object.assign(state, { armed, waits: false });
    path.poll(20_000);
    assert.deepEqual(sent.map(({ data, deadlineUs }) => [data, deadlineUs]), armed ? [[2, 51_000]] : []);
    assert.deepEqual(path.refused, { superseded: 1, outOfRange: 1, ...(armed ? { expired: 1 } : { disarmed: 2 }) });
    assert.equal(path.nextDeadlineUs(20_000), undefined);
  }
});

test("only what is listed, in range and alive goes out", () => {
  const { path, sent } = rig();
  for (const [name, v, ttlMs, code] of [["Other", 1, 50, "unknownCommand"], ["Move", 101, 50, "outOfRange"], ["Move", 1, 0, "expired"], ["Move", 1, -5, "expired"], ["Move", 1, Number.NaN, "expired"]] as const) {
    const verdict = path.submit(name, { v }, ttlMs, 0);
    assert.ok(!verdict.ok && verdict.code === code, `${name} ${v} ${ttlMs}`);
  }
  assert.equal(sent.length, 0);
  assert.ok(path.submit("Move", { v: 7 }, 50, 0).ok);
  assert.deepEqual(sent.map(({ data }) => data), [7]);
});

test("the time to live is the sender's, cut to the message's maximum", () => {
  const { path, sent } = rig();
  path.submit("Move", { v: 1 }, 30, 0);
  path.submit("Grip", { v: 1 }, 60_000, 0);
  assert.deepEqual(sent.map(({ deadlineUs }) => deadlineUs), [30_000, 100_000]);
});

test("it lives from when its sender handed it over: what has waited has aged, what comes from the future has not", () => {
  const { path, sent } = rig();
  assert.ok(path.submit("Move", { v: 1 }, 50, 1_000_000, 970_000).ok);
  assert.ok(path.submit("Grip", { v: 1 }, 50, 1_000_000, 2_000_000).ok);
  assert.deepEqual(sent.map(({ deadlineUs }) => deadlineUs), [1_020_000, 1_050_000]);
  for (const [ttlMs, sentUs] of [[50, 950_000], [undefined, 900_000]] as const) {
    const verdict = path.submit("Move", { v: 2 }, ttlMs, 1_000_000, sentUs);
    assert.ok(!verdict.ok && verdict.code === "expired" && verdict.status === 211, String(ttlMs));
  }
  assert.equal(sent.length, 2);
});

test("faster than its rate: the newest is held, the older one is gone for good", () => {
  const { path, sent } = rig({ rateHzMax: 100 });
  path.submit("Move", { v: 1 }, 50, 0);
  assert.deepEqual(path.submit("Move", { v: 2 }, 50, 1_000), { ok: true, held: true, data: Uint8Array.of(2) });
  path.submit("Move", { v: 3 }, 50, 2_000);
  const dueUs = path.nextDeadlineUs(2_000)!;
  path.poll(dueUs - 1);
  assert.equal(sent.length, 1);
  path.poll(dueUs);
  assert.deepEqual(sent.map(({ data }) => data), [1, 3]);
  assert.deepEqual(path.refused, { superseded: 1 });
});

test("a held command dies at its deadline, and with a disarm", () => {
  const { path, sent, state } = rig({ rateHzMax: 1 });
  path.submit("Move", { v: 1 }, 50, 0);
  path.submit("Move", { v: 2 }, 50, 1_000);
  path.poll(60_000);
  assert.deepEqual(path.refused, { expired: 1 });
  path.submit("Move", { v: 3 }, 50, 70_000);
  state.armed = false;
  path.clear();
  state.armed = true;
  path.poll(2_000_000);
  assert.deepEqual(sent.map(({ data }) => data), [1]);
});

test("with confirmation: no second frame before the first was echoed or given up", () => {
  const { path, sent } = rig({ confirms: true });
  path.submit("Move", { v: 1 }, 100, 0);
  path.submit("Move", { v: 2 }, 100, 10_000);
  assert.equal(sent.length, 1);
  path.settled(sent[0]!.token, 12_000);
  assert.deepEqual(sent.map(({ data }) => data), [1, 2]);
  assert.equal(path.nextDeadlineUs(12_000), undefined);
});

test("the bus-load budget is shared by all messages of the link", () => {
  const { path, sent } = rig({ budget: new BusLoadBudget({ bitrateBps: 50_000, loadPercentMax: 50 }) });
  for (let nowUs = 0; nowUs < 1_000_000; nowUs += 1_000) {
    path.submit("Move", { v: 1 }, 50, nowUs);
    path.submit("Grip", { v: 1 }, 50, nowUs);
  }
  // 25,000 bit/s at 135 bits each, plus one burst.
  assert.ok(sent.length <= 25_000 / 135 + 8, String(sent.length));
  assert.ok(sent.length >= 25_000 / 135 - 2, String(sent.length));
});

test("what the link does not take is refused with the link's own word and not tried again", () => {
  const { path, sent, state } = rig();
  state.verdict = "busDead";
  const verdict = path.submit("Move", { v: 1 }, 50, 0);
  assert.ok(!verdict.ok && verdict.code === "busDead");
  state.verdict = "queued";
  path.poll(10_000);
  assert.equal(sent.length, 0);
});

test("the safe pose needs no arming, and takes the place of what was waiting", () => {
  const { path, sent, state } = rig({ rateHzMax: 1 });
  path.submit("Move", { v: 1 }, 50, 0);
  path.submit("Move", { v: 2 }, 50, 1_000);
  state.armed = false;
  assert.ok(path.sendForSafePose("Move", { v: 9 }, 100_000).ok);
  path.poll(40_000);
  assert.deepEqual(sent.map(({ data }) => data), [1, 9]);
});

test("what only the safe pose sends is no command for anybody else", () => {
  const { path, sent } = rig();
  const verdict = path.submit("Brake", { v: 1 }, 50, 0);
  assert.ok(!verdict.ok && verdict.code === "unknownCommand");
  assert.ok(path.sendForSafePose("Brake", { v: 2 }, 100_000).ok);
  assert.deepEqual(sent.map(({ data }) => data), [2]);
});
