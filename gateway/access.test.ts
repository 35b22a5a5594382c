import assert from "node:assert/strict";
import { test } from "node:test";
import { AccessList, AccessPolicy } from "./access.ts";

const lookup = {
  uid: (user: string) => ({ robot: 1000, "1234": 1234 })[user],
  gid: (group: string) => ({ operators: 200, ipcnet: 300 })[group],
};
const who = (uid: number, ...groups: number[]) => ({ pid: 1, uid, gid: 9999, groups });
const unknown: string[] = [];
const list = (...principals: ({ user: string } | { group: string })[]) => new AccessList(principals, lookup, 500, (name) => unknown.push(name));

const policy = new AccessPolicy({
  owner: list(),
  readers: list({ group: "ipcnet" }),
  operators: list({ group: "operators" }),
  writers: new Map([["cmd/arm/Move", list({ user: "robot" })], ["app/x", list()]]),
});

test("default deny: a stranger may not even connect", () => {
  assert.equal(policy.mayConnect(who(4242)), false);
  assert.equal(policy.mayCall(who(4242), "gateway/safe-pose"), false);
});

test("readers read, and may stop the robot, but not arm it or command it", () => {
  const reader = who(2000, 300);
  assert.ok(policy.mayRead(reader, "can/arm/State"));
  assert.ok(policy.mayCall(reader, "gateway/status"));
  assert.ok(policy.mayCall(reader, "gateway/safe-pose"));
  for (const service of ["gateway/arm", "gateway/disarm", "gateway/reset", "gateway/reload", "other/service"]) assert.equal(policy.mayCall(reader, service), false, service);
  assert.equal(policy.mayWrite(reader, "cmd/arm/Move"), false);
});

test("a writer may write its topic and no other", () => {
  assert.ok(policy.mayWrite(who(1000), "cmd/arm/Move"));
  assert.equal(policy.mayWrite(who(1000), "app/x"), false);
  assert.equal(policy.mayWrite(who(1000), "cmd/arm/Other"), false);
  assert.ok(policy.mayConnect(who(1000)));
  assert.equal(policy.mayCall(who(1000), "gateway/arm"), false);
});

test("operators, root and the gateway's own user may arm", () => {
  for (const operator of [who(2000, 200), who(0), who(500)]) assert.ok(policy.mayCall(operator, "gateway/arm"));
});

test("who runs the gateway may use topics and services of its own making; nobody else may, and nobody those of the gateway", () => {
  for (const owner of [who(0), who(500)]) {
    assert.ok(policy.mayWrite(owner, "chat/hello") && policy.mayOffer(owner, "chat/echo") && policy.mayCall(owner, "chat/echo") && policy.mayGrant(owner, "device/x", "read"));
    assert.ok(!policy.mayWrite(owner, "can/arm/State") && !policy.mayWrite(owner, "cmd/arm/Unknown") && !policy.mayOffer(owner, "gateway/arm"));
  }
  const writer = who(1000);
  assert.ok(!policy.mayWrite(writer, "chat/hello") && !policy.mayOffer(writer, "chat/echo") && !policy.mayCall(writer, "chat/echo") && !policy.mayGrant(writer, "device/x", "read"));
});

test("a name that this machine does not know grants nothing and is reported", () => {
  const stranger = list({ user: "nobody-here" });
  assert.equal(stranger.allows(who(65534)), false);
  assert.deepEqual(unknown, ["nobody-here"]);
});
