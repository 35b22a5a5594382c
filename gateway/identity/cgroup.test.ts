import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { unitsOf } from "./cgroup.ts";

/** [what it is, path, unit, user's unit] */
const rows: [string, string, string | undefined, string | undefined][] = [
  ["a system service", "/system.slice/planner.service", "planner.service", undefined],
  ["an instance of a template, in a slice of its own", "/system.slice/system-camera.slice/camera@front.service", "camera@front.service", undefined],
  ["an escaped instance", "/robot.slice/system-cam.slice/cam@dev-video0\\x2dleft.service", "cam@dev-video0\\x2dleft.service", undefined],
  ["a name that systemd escapes for the kernel's sake", "/system.slice/_cgroup.service", "cgroup.service", undefined],
  ["a unit whose name begins with an underscore", "/system.slice/__x.service", "_x.service", undefined],
  ["a service with sub-cgroups of its own", "/system.slice/planner.service/workers/w1", "planner.service", undefined],
  ["a delegated cgroup that calls itself another service", "/system.slice/evil.service/system.slice/planner.service", "evil.service", undefined],
  ["a container with a system manager of its own", "/machine.slice/systemd-nspawn@box.service/payload/system.slice/planner.service", "systemd-nspawn@box.service", undefined],
  ["a container by scope", "/system.slice/docker-0123456789abcdef.scope", "docker-0123456789abcdef.scope", undefined],
  ["a container without systemd", "/docker/0123456789abcdef", undefined, undefined],
  ["a container's inside that looks like a service, without systemd outside", "/docker/0123/system.slice/planner.service", undefined, undefined],
  ["a login session", "/user.slice/user-1000.slice/session-3.scope", "session-3.scope", undefined],
  ["a user's own service", "/user.slice/user-1000.slice/user@1000.service/app.slice/planner.service", "user@1000.service", "1000 planner.service"],
  ["a user's own service, directly", "/user.slice/user-1000.slice/user@1000.service/planner.service/sub", "user@1000.service", "1000 planner.service"],
  ["the user's manager itself", "/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service", "1000 init.scope"],
  ["a user's delegated part that plays manager again", "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service/user@0.service/planner.service", "user@1000.service", "1000 x.service"],
  ["process 1", "/init.scope", "init.scope", undefined],
  ["the root", "/", undefined, undefined],
  ["a slice alone", "/user.slice", undefined, undefined],
  ["an empty name in a path", "//planner.service", undefined, undefined],
];

test("the first unit from the root counts, whatever is below it", () => {
  for (const [what, path, unit, userUnit] of rows) {
    const units = unitsOf(`0::${path}\n`);
    assert.equal(units?.path, path, what);
    assert.equal(units.unit, unit, what);
    assert.equal(units.userUnit && `${units.userUnit.uid} ${units.userUnit.name}`, userUnit, what);
  }
});

test("on the older hierarchy systemd's own line counts, not a controller's", () => {
  const text = "12:pids:/system.slice/evil.service\n2:cpu,cpuacct:/\n1:name=systemd:/system.slice/planner.service\n0::/system.slice/other.service\n";
  assert.equal(unitsOf(text)?.unit, "planner.service");
  assert.equal(unitsOf("12:pids:/system.slice/evil.service\n"), undefined);
  assert.equal(unitsOf("5:cpu:/\n0::/system.slice/planner.service\n")?.unit, "planner.service");
});

test("colons belong to the path; what lies outside the namespace or is gone is believed nothing", () => {
  assert.equal(unitsOf("0::/system.slice/a:b.service\n")?.unit, "a:b.service");
  for (const text of ["", "\n", "nonsense", "0::", "0::relative", "0::/../system.slice/planner.service\n", "0::/system.slice/planner.service (deleted)\n", `0::/${"x/".repeat(100)}planner.service\n`, `0::/${"x".repeat(5000)}.service\n`]) {
    assert.equal(unitsOf(text)?.unit, undefined, text.slice(0, 50));
  }
});

test("nothing below a unit changes what it is, and no text breaks the reader", () => {
  const level = fc.stringMatching(/^[A-Za-z0-9_.@:\\-]{1,20}$/);
  fc.assert(fc.property(fc.array(level, { maxLength: 6 }), (below) => {
    fc.pre(!below.includes("..") );
    const units = unitsOf(`0::/system.slice/planner.service${below.map((each) => `/${each}`).join("")}\n`);
    assert.equal(units?.unit, "planner.service");
    assert.equal(units.userUnit, undefined);
  }));
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" })), (text) => void unitsOf(text)));
});
