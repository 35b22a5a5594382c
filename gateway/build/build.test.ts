import assert from "node:assert/strict";
import { test } from "node:test";
import { sendableOf } from "./sendable.ts";
import { socketcandAddress } from "./canDrivers.ts";
import { serialDataId } from "./serialPorts.ts";
import { validator } from "./writableTopics.ts";
import { loadConfig } from "../../schemas/messages/loadConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";

function config(text: string): Config {
  const loaded = loadConfig(`version: 1\nrobot: test\n${text}`, { file: "test.yaml" });
  assert.ok(loaded.config, JSON.stringify(loaded.faults));
  return loaded.config;
}

const arm = config(`
buses: [ { name: arm, driver: emulator, interface: /x } ]
commands: [ { bus: arm, message: Move, ttlMsMax: 50, rateHzMax: 100, writers: [ { user: "1234" } ] } ]
operators: [ { group: "77" } ]
safePose:
  steps:
    - { name: stop, deadlineMs: 100, send: [ { bus: arm, message: Move, values: { v: 0 } }, { bus: arm, message: Brake, values: { on: 1 } } ] }
    - { name: again, deadlineMs: 100, send: [ { bus: arm, message: Brake, values: { on: 1 } } ] }
`);

test("what a link may send: commands, and once what only the safe pose sends", () => {
  assert.deepEqual(sendableOf(arm, "bus", "arm").map(({ message, poseOnly }) => [message, poseOnly]), [["Move", false], ["Brake", true]]);
  assert.deepEqual(sendableOf(arm, "bus", "other"), []);
});

test("socketcand's address, IPv6 too", () => {
  assert.deepEqual(socketcandAddress("robot.local:29536/can0"), { host: "robot.local", port: 29536, bus: "can0" });
  assert.deepEqual(socketcandAddress("[::1]:1/vcan0"), { host: "::1", port: 1, bus: "vcan0" });
  assert.throws(() => socketcandAddress("can0"), /host:port\/bus/);
});

test("the serial data id follows the definitions, not their order in the file", () => {
  const port = (text: string) => config(`serial: [ { name: hand, port: /dev/x, messages: [ ${text} ] } ]`).serial[0]!;
  const a = "{ id: 1, name: A, direction: in, fields: [ { name: x, type: i16 } ] }";
  const b = "{ id: 2, name: B, direction: out, fields: [ { name: y, type: u8 } ] }";
  assert.equal(serialDataId(port(`${a}, ${b}`)), serialDataId(port(`${b}, ${a}`)));
  assert.notEqual(serialDataId(port(`${a}, ${b}`)), serialDataId(port(`${a.replace("i16", "i32")}, ${b}`)));
  assert.notEqual(serialDataId(port(`${a}, ${b}`)), serialDataId(port(`${a.replace("direction: in", "direction: out")}, ${b}`)));
});

test("a JSON Schema's verdict names the place in the value", () => {
  const validate = validator({ type: "object", required: ["x"], properties: { x: { type: "number", maximum: 1 } } });
  assert.equal(validate({ x: 0.5 }), undefined);
  assert.match(validate({ x: 2 })!, /\/x must be <= 1/);
  assert.match(validate({})!, /must have required property 'x'/);
});
