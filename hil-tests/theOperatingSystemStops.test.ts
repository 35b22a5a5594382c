/** The system shuts down: the robot comes to rest before anything is stopped, and the trigger is known for what it is. logind and systemd are played on a private bus. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { noBus, PrivateBus } from "../gateway/triggers/privateBus.ts";
import { ArmRig, LIFE_MS, moveTo, patient } from "./armRig.ts";
import { Program } from "./program.ts";
import { eventually } from "./waiting.ts";

/** An armed arm in motion, its gateway a service of a system that is ours. */
async function moving(t: TestContext, prepareMs = 0): Promise<{ bus: PrivateBus; rig: ArmRig; lock: string }> {
  const bus = await PrivateBus.start(t);
  const lock = join(bus.folder, "lock");
  writeFileSync(join(bus.folder, "systemd-inhibit"), `#!/bin/sh\nfor word in "$@"; do echo "$word"; done > ${lock}\ncat\necho released >> ${lock}\n`);
  chmodSync(join(bus.folder, "systemd-inhibit"), 0o755);
  const before = { ...process.env };
  t.after(() => Object.assign(process.env, { PATH: before["PATH"] }));
  Object.assign(process.env, { DBUS_SYSTEM_BUS_ADDRESS: bus.address, INVOCATION_ID: "test", PATH: `${bus.folder}:${before["PATH"]}` });
  const rig = await ArmRig.start({ joints: ["base"], configure: (configuration) => {
    patient(configuration);
    configuration.safePose["prepareMs"] = prepareMs;
  } });
  for (const name of ["DBUS_SYSTEM_BUS_ADDRESS", "INVOCATION_ID"]) Reflect.deleteProperty(process.env, name);
  t.after(() => rig.stop());
  // Whole: it is written line by line.
  await eventually("the delay lock", () => existsSync(lock) && readFileSync(lock, "utf8").split("\n").length > 2, { timeoutMs: 60_000 });
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.5), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.3);
  return { bus, rig, lock };
}

test("logind says so first: the pose begins, the lock is given back when it is reached, the service goes on until it is stopped", { skip: noBus }, async (t) => {
  const { bus, rig, lock } = await moving(t);
  assert.deepEqual(readFileSync(lock, "utf8").split("\n").slice(0, 2), ["--what=shutdown", "--mode=delay"]);
  bus.prepareForShutdown(true);
  const { pose } = await rig.until("posed", ({ state }) => state === "posed", 60_000);
  assert.equal(pose?.trigger, "shutdown");
  assert.match(pose.why, /about to stop \(logind\)/);
  assert.match(pose.reset, /ipcnet reset/);
  await eventually("the lock is free", () => readFileSync(lock, "utf8").endsWith("released\n"));
  rig.daemon.process.kill("SIGTERM");
  const { code, verdict } = await rig.daemon.ended;
  assert.deepEqual([code, verdict?.verdict, verdict?.trigger], [0, "posed", "shutdown"], rig.daemon.log());
});

test("only SIGTERM comes: systemd is asked, and the pose has begun before it answers", { skip: noBus }, async (t) => {
  const { bus, rig } = await moving(t);
  // It never answers.
  bus.state = undefined;
  rig.daemon.process.kill("SIGTERM");
  const { code, verdict } = await rig.daemon.ended;
  assert.deepEqual([code, verdict?.verdict], [0, "posed"], rig.daemon.log());
  assert.doesNotMatch(rig.daemon.log(), /\[systemStops\]/);
});

test("SIGTERM while programs have time: they keep it, and the reason becomes the shutdown", { skip: noBus }, async (t) => {
  const { bus, rig } = await moving(t, 60_000);
  bus.state = "stopping";
  const slow = new Program(t, rig.daemon.socketPath, "client.onLeaving(() => say({ told: true })); say({ ready: true });", { options: { name: "slow" } });
  await slow.hears("the program", ({ ready }: { ready?: boolean }) => ready === true);
  rig.daemon.process.kill("SIGTERM");
  await eventually("the answer", () => rig.daemon.log().includes("[systemStops]"));
  assert.equal((await rig.status()).state, "armed");
  rig.daemon.process.kill("SIGTERM");
  const { code, verdict } = await rig.daemon.ended;
  assert.deepEqual([code, verdict?.verdict, verdict?.trigger], [0, "posed", "shutdown"], rig.daemon.log());
});
