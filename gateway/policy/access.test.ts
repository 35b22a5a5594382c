import assert from "node:assert/strict";
import { test } from "node:test";
import { Access } from "./access.ts";
import { explain } from "./explain.ts";
import { OWN_UID, testEngine, testPeer } from "./testPolicy.ts";

const configuration = `
buses: [ { name: arm, driver: emulator, interface: /x } ]
commands:
  - { bus: arm, message: Move, ttlMsMax: 50, rateHzMax: 100, writers: [ { user: robot } ] }
  - { bus: arm, message: Brake, ttlMsMax: 50, rateHzMax: 100, writers: [] }
topics: [ { name: app/x, writers: [ { user: robot } ] } ]
routes: [ { from: can/arm/State, to: app/state } ]
readers: [ { group: ipcnet } ]
operators: [ { group: operators }, { user: nobody-here } ]
`;
const reader = testPeer(2000, { groups: [300] });
const operator = testPeer(2000, { groups: [200] });
const writer = testPeer(1000);
const owners = [testPeer(0), testPeer(OWN_UID)];

test("lists alone: default deny, a stranger may not even connect", () => {
  const access = new Access(testEngine({ configuration }).engine);
  const stranger = testPeer(4242);
  assert.equal(access.mayConnect(stranger), false);
  assert.equal(access.mayCall(stranger, "gateway/safe-pose"), false);
  assert.equal(access.nameOf(stranger), "uid:4242");
});

test("lists alone: readers read, and may stop the robot, but not arm it or command it", () => {
  const access = new Access(testEngine({ configuration }).engine);
  assert.ok(access.mayRead(reader, "can/arm/State"));
  assert.ok(access.mayCall(reader, "gateway/status"));
  assert.ok(access.mayCall(reader, "gateway/safe-pose"));
  for (const service of ["gateway/arm", "gateway/disarm", "gateway/reset", "gateway/reload", "other/service"]) assert.equal(access.mayCall(reader, service), false, service);
  assert.equal(access.mayWrite(reader, "cmd/arm/Move"), false);
});

test("lists alone: a writer may write its topics and no other; raw frames are for whoever may send all of a bus's commands", () => {
  const access = new Access(testEngine({ configuration }).engine);
  assert.ok(access.mayWrite(writer, "cmd/arm/Move") && access.mayWrite(writer, "app/x"));
  for (const topic of ["cmd/arm/Other", "cmd/arm/Brake", "cmd/arm/raw", "app/y"]) assert.equal(access.mayWrite(writer, topic), false, topic);
  assert.ok(access.mayConnect(writer) && !access.mayCall(writer, "gateway/arm") && !access.mayRead(writer, "can/arm/State"));
  for (const owner of owners) assert.ok(access.mayWrite(owner, "cmd/arm/raw") && access.mayWrite(owner, "cmd/arm/Brake"));
});

test("lists alone: operators, root and the gateway's own user may arm", () => {
  const { engine, unknown } = testEngine({ configuration });
  const access = new Access(engine);
  for (const who of [operator, ...owners]) assert.ok(access.mayCall(who, "gateway/arm") && access.mayRead(who, "can/arm/State"));
  assert.deepEqual(unknown, ["ipcnet.yaml:11 user:nobody-here"]);
});

test("lists alone: who runs the gateway may use topics and services of its own making; nobody else may, and nobody those of the gateway", () => {
  const access = new Access(testEngine({ configuration }).engine);
  for (const owner of owners) {
    assert.ok(access.mayWrite(owner, "chat/hello") && access.mayOffer(owner, "chat/echo") && access.mayCall(owner, "chat/echo") && access.mayGrant(owner, "device/x", "readWrite"));
    for (const topic of ["can/arm/State", "ipcnet/events", "cmd/arm/Unknown", "app/state", "not//a/name", "chat/+"]) assert.equal(access.mayWrite(owner, topic), false, topic);
    assert.equal(access.mayOffer(owner, "gateway/arm"), false);
  }
  assert.ok(!access.mayWrite(reader, "chat/hello") && !access.mayOffer(reader, "chat/echo") && !access.mayCall(reader, "chat/echo") && !access.mayGrant(reader, "device/x", "read"));
});

const policy = `
components:
  planner: { unit: planner.service, user: planner }
  camera: { unit: "camera@*.service" }
  joystick: { userUnit: joystick.service, user: robot }
groups: { senses: [camera] }
rules:
  - { allow: [read], who: [planner, senses], topics: [can/#, camera/#] }
  - { allow: [write], who: [senses], topics: [camera/#] }
  - { allow: [write], who: [planner, joystick], topics: [cmd/arm/Move], why: "they drive it" }
  - { deny: [write], who: [joystick], topics: [cmd/#] }
  - { allow: [execute, offer], who: [planner], services: ["#"] }
  - { allow: [read], who: [senses], resources: [device/+] }
  - { allow: [write], who: ["user:operator"], topics: [cmd/arm/#] }
`;
const planner = testPeer(1001, { facts: { unit: "planner.service" } });
const camera = testPeer(1002, { facts: { unit: "camera@front.service" } });
const joystick = testPeer(1000, { facts: { unit: "user@1000.service", userUnit: { name: "joystick.service", uid: 1000 } } });

test("a policy: components are known by what the kernel says, all of it", () => {
  const access = new Access(testEngine({ policy, configuration }).engine);
  assert.deepEqual([planner, camera, joystick].map((who) => access.nameOf(who)), ["planner", "camera", "joystick"]);
  // The unit under another user, the user outside of the unit, another user's manager.
  const others = [testPeer(1002, { facts: { unit: "planner.service" } }), testPeer(1001), testPeer(1000, { facts: { userUnit: { name: "joystick.service", uid: 1003 } } })];
  assert.deepEqual(others.map((who) => access.nameOf(who)), ["uid:1002", "uid:1001", "uid:1000"]);
  assert.ok(access.isOneOf(camera, "senses") && access.isOneOf(camera, "camera") && access.isOneOf(camera, "uid:1002") && access.isOneOf(camera, "anyone"));
  for (const known of ["camera", "senses", "user:robot", "group:ipcnet", "uid:5", "anyone"]) assert.ok(access.isKnown(known), known);
  for (const unknown of ["radar", "user:no-such-user", "group:no-such-group", "uid:x", "", "constructor"]) assert.ok(!access.isKnown(unknown) && !access.isKnown(unknown), unknown);
  assert.ok(!access.isOneOf(camera, "planner") && !access.isOneOf(camera, "user:no-such-user") && !access.isOneOf(camera, ""));
});

test("a policy: what is allowed, what is denied whatever else is allowed, and that commands need the configuration's list, too", () => {
  const access = new Access(testEngine({ policy, configuration }).engine);
  assert.ok(access.mayRead(planner, "camera/front") && access.mayRead(camera, "can/arm/State") && !access.mayRead(planner, "lidar/points"));
  assert.ok(access.mayWrite(camera, "camera/front") && !access.mayWrite(planner, "camera/front"));
  assert.equal(access.mayWrite(planner, "cmd/arm/Move"), false, "the configuration lists the user robot only");
  assert.equal(access.mayWrite(joystick, "cmd/arm/Move"), false, "a denying rule wins");
  assert.equal(access.mayWrite(testPeer(1000), "cmd/arm/Move"), false, "the list alone is not enough beside a policy");
  assert.ok(access.mayGrant(camera, "device/video0", "read") && !access.mayGrant(camera, "device/video0", "readWrite") && !access.mayGrant(camera, "device/video0", "write"));
  assert.ok(access.mayCall(planner, "arm/grasp") && access.mayOffer(planner, "plan/route") && !access.mayCall(planner, "gateway/arm") && !access.mayOffer(planner, "gateway/arm"));
  // The configuration's other lists go on, and so does what looks after the gateway.
  assert.ok(access.mayRead(reader, "can/arm/State") && access.mayWrite(writer, "app/x"));
  for (const owner of owners) assert.ok(access.mayRead(owner, "camera/front") && access.mayCall(owner, "gateway/arm") && !access.mayWrite(owner, "chat/hello") && !access.mayWrite(owner, "cmd/arm/Move"));
  assert.ok(access.mayConnect(camera) && access.mayConnect(joystick) && access.mayCall(joystick, "gateway/safe-pose") && !access.mayConnect(testPeer(7)));
});

test("an explanation names the rule with its line, and those that nearly decided", () => {
  const { engine } = testEngine({ policy, configuration });
  const subject = (uid: number, ...components: string[]) => ({ uid, gid: 9, groups: [], components });
  const denied = explain(engine, subject(1000, "joystick"), "write", "cmd/arm/Move");
  assert.equal(denied.allowed, false);
  assert.equal(denied.reason, "denied by policy.yaml:12");
  assert.deepEqual(denied.nearly.map(({ rule, because }) => [rule.at, because]), [["policy.yaml:11", "overruled"], ["policy.yaml:15", "it names somebody else"], ["ipcnet.yaml:8", "its patterns do not fit"]]);
  const listed = explain(engine, subject(1001, "planner"), "write", "cmd/arm/Move");
  assert.equal(listed.reason, "the writers that the configuration lists for this command do not name it (ipcnet.yaml:6)");
  assert.equal(explain(engine, subject(1001, "planner"), "read", "can/arm/State").reason, "allowed by policy.yaml:9");
  assert.equal(explain(engine, subject(1001, "planner"), "write", "can/arm/State").reason, "can/… is written by the gateway alone");
  assert.equal(explain(engine, subject(9), "execute", "gateway/safe-pose").allowed, false);
  assert.match(explain(engine, subject(1000), "write", "app/x").reason, /^allowed by ipcnet\.yaml:8 \(writers of the configuration\)$/);
});
