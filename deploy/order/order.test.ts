import assert from "node:assert/strict";
import { test } from "node:test";
import { isThere, order, type Running } from "./order.ts";

const well: Running = {
  gateway: { state: "disarmed", active: "a", standby: { instance: "b", ready: true } },
  reflexes: [{ instance: "a", there: true, healthy: true, tableIsOurs: true, role: "standby", twinSeenMsAgo: 1 }, { instance: "b", there: true, healthy: true, tableIsOurs: true, role: "owner", twinSeenMsAgo: 1 }],
  units: ["ipcnet-reflex@a.service", "ipcnet-reflex@b.service", "ipcnetd@a.service", "ipcnetd@b.service"],
};
const words = (running: Running): string[] | string => {
  const found = order(running);
  return found.ok ? found.steps.map((step) => (step.do === "restart" ? step.unit : `${step.do} ${step.do === "wait" ? step.for : step.which}`)) : found.why;
};

test("the standby first, then a hand-over, then the other; bus processes before gateways", () => {
  assert.deepEqual(words(well), [
    "ipcnet-reflex@a.service", "wait reflexStandby", "switch reflex", "ipcnet-reflex@b.service", "wait reflexStandby",
    "ipcnetd@b.service", "wait brainStandby", "switch brain", "wait brainStandby",
  ]);
  assert.deepEqual(order(well).ok && order(well), { ok: true, steps: (order(well) as { steps: unknown }).steps, gaps: [] });
});

test("who purges is restarted before the bus processes, and alone where nobody else runs", () => {
  const words1 = words({ ...well, units: ["ipcnet-purge.service", ...well.units] });
  assert.deepEqual(words1.slice(0, 2), ["ipcnet-purge.service", "ipcnet-reflex@a.service"]);
  assert.deepEqual(words1.slice(1), words(well));
  assert.deepEqual(words({ gateway: undefined, reflexes: [], units: ["ipcnet-purge.service", "ipcnet-reflex@a.service"] }), ["ipcnet-purge.service", "ipcnet-reflex@a.service"]);
  assert.match(words({ ...well, gateway: { ...well.gateway!, state: "armed" }, units: ["ipcnet-purge.service", ...well.units] }) as string, /armed/);
});

test("nothing is touched while something may move, or when nobody knows", () => {
  for (const state of ["armed", "safePose", "fault", "starting"]) assert.match(words({ ...well, gateway: { ...well.gateway!, state } }) as string, new RegExp(state));
  assert.match(words({ ...well, gateway: undefined }) as string, /does not answer/);
  assert.deepEqual(words({ gateway: undefined, reflexes: [], units: [] }), []);
});

test("whoever is alone is restarted, and the gap is told", () => {
  const alone = order({ gateway: { state: "disarmed", active: "a", standby: undefined }, reflexes: [], units: ["ipcnetd@a.service"] });
  assert.deepEqual(alone, { ok: true, steps: [{ do: "restart", unit: "ipcnetd@a.service" }, { do: "wait", for: "answers" }], gaps: ["programs have to connect again: there is no standby that could take over"] });
  const sick = order({ ...well, reflexes: [well.reflexes[1]!, { ...well.reflexes[0]!, healthy: false }] });
  assert.ok(sick.ok && sick.gaps.length === 1 && !sick.steps.some((step) => step.do === "switch" && step.which === "reflex"));
});

test("no instance is restarted while it is the only one", () => {
  // Walked through: at each restart the other one of its kind is there and can take over.
  const found = order(well);
  assert.ok(found.ok);
  let [owner, active] = ["b", "a"];
  for (const step of found.steps) {
    if (step.do === "switch") [owner, active] = step.which === "reflex" ? [owner === "a" ? "b" : "a", active] : [owner, active === "a" ? "b" : "a"];
    if (step.do === "restart") assert.ok(step.unit !== `ipcnet-reflex@${owner}.service` && step.unit !== `ipcnetd@${active}.service`, step.unit);
  }
});

test("what is waited for", () => {
  assert.ok(isThere("reflexStandby", well) && isThere("brainStandby", well) && isThere("answers", well));
  assert.ok(!isThere("reflexStandby", { ...well, reflexes: well.reflexes.slice(1) }));
  assert.ok(!isThere("reflexStandby", { ...well, reflexes: [{ ...well.reflexes[0]!, tableIsOurs: false }, well.reflexes[1]!] }));
  const { twinSeenMsAgo: _unseen, ...alone } = well.reflexes[0]!;
  assert.ok(!isThere("reflexStandby", { ...well, reflexes: [alone, well.reflexes[1]!] }), "a standby that does not know its owner takes nothing over");
  assert.ok(!isThere("brainStandby", { ...well, gateway: { ...well.gateway!, standby: { instance: "b", ready: false } } }));
  assert.ok(!isThere("answers", { ...well, gateway: undefined }));
});
