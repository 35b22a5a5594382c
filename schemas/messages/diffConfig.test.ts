import assert from "node:assert/strict";
import { test } from "node:test";
import type { Config } from "./config.ts";
import { applyBy, diffConfig } from "./diffConfig.ts";
import { everyKey } from "./testConfigs.ts";

const changed = (change: (config: { -readonly [K in keyof Config]: Config[K] }) => void): Config => {
  const copy = structuredClone(everyKey);
  change(copy);
  return copy;
};
const brief = (after: Config) => diffConfig(everyKey, after).map(({ kind, path, applyBy, link }) => [kind, path, applyBy, link]);

test("the same configuration has no differences", () => {
  assert.deepEqual(diffConfig(everyKey, structuredClone(everyKey)), []);
  assert.equal(applyBy([]), undefined);
});

test("each change says where it is and what it takes", () => {
  const bus = everyKey.buses[0]!;
  assert.deepEqual(brief(changed((c) => { c.robot = "other"; })), [["changed", "robot", "restart", undefined]]);
  assert.deepEqual(brief(changed((c) => { c.buses = [{ ...bus, bitrateBps: 250000, busLoadMaxPercent: 50 }]; })), [["changed", "buses.arm.bitrateBps", "reopen", "arm"], ["changed", "buses.arm.busLoadMaxPercent", "live", undefined]]);
  assert.deepEqual(brief(changed((c) => { c.buses = [bus, { ...bus, name: "base" }]; })), [["added", "buses.base", "reopen", "base"]]);
  assert.deepEqual(brief(changed((c) => { c.serial = []; })), [["removed", "serial.hand", "reopen", "hand"]]);
  assert.deepEqual(brief(changed((c) => { c.routes = c.routes.slice(1); })), [["removed", 'routes["can/arm/shoulder_State → app/shoulder"]', "live", undefined]]);
  assert.deepEqual(brief(changed((c) => { c.mqtt = { ...c.mqtt, broker: { ...c.mqtt.broker!, listen: { host: "127.0.0.1", port: 1884 } } }; })), [["changed", "mqtt.broker.listen.port", "reopen", "broker"]]);
  assert.deepEqual(brief(changed((c) => { c.mqtt = { ...c.mqtt, clients: [] }; })), [["removed", "mqtt.clients.fleet", "reopen", "fleet"]]);
  assert.deepEqual(brief(changed((c) => { delete c.readers; })), [["removed", "readers", "live", undefined]]);
  const commands = changed((c) => { c.commands = c.commands.map((command) => ({ ...command, ttlMsMax: 50 })); });
  assert.deepEqual(brief(commands), [["changed", 'commands["arm/shoulder_Command"].ttlMsMax', "live", undefined], ["changed", 'commands["hand/Haptic"].ttlMsMax', "live", undefined]]);
  assert.equal(applyBy(diffConfig(everyKey, commands)), "live");
});

test("the order of steps counts", () => {
  const step = everyKey.safePose.steps[0]!;
  const two = changed((c) => { c.safePose = { ...c.safePose, steps: [step, { ...step, name: "off" }] }; });
  const swapped = changed((c) => { c.safePose = { ...c.safePose, steps: [{ ...step, name: "off" }, step] }; });
  assert.deepEqual(diffConfig(two, swapped).map(({ path, before, after }) => [path, before, after]), [["safePose.steps", ["hold", "off"], ["off", "hold"]]]);
});
