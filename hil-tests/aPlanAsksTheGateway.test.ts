/** Steps of the safe pose that only the gateway can do: a service of a program, a message on MQTT. With the gateway they are done; where nobody does them, the fallback is. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createMqttClientDriver } from "../drivers/mqtt/clientDriver.ts";
import { ArmRig, LIFE_MS, moveTo } from "./armRig.ts";
import { eventually, freePort } from "./waiting.ts";

const hold = "send: [ { bus: arm, message: base_Command, values: { mode: Hold, targetPosition: 0, velocityLimit: 0 } }, { bus: arm, message: shoulder_Command, values: { mode: Hold, targetPosition: 0, velocityLimit: 0 } }";
const still = "until: [ { topic: can/arm/base_State, signal: velocity, absMax: 0.02, holdMs: 30, ageMsMax: 500 }, { topic: can/arm/shoulder_State, signal: velocity, absMax: 0.02, holdMs: 30, ageMsMax: 500 } ]";
/** The program that holds something lets go of it, and the lift is told; without them the arm stands still at least. */
const plan = `version: 1
plans:
  - name: park
    category: parkedThenOff
    budgetMs: 30000
    steps:
      - { name: release, deadlineMs: 6000, fallback: still, ${hold}, { mqtt: broker, topic: lift/stop, values: { now: 1 } } ], call: { service: lift/release, arguments: { gently: 1 } }, ${still} }
      - { name: still, deadlineMs: 5000, ${hold} ], ${still} }
      - name: park
        needs: [release]
        mandatory: true
        deadlineMs: 10000
        send: [ { bus: arm, message: base_Command, values: { mode: Park, targetPosition: 0, velocityLimit: 1.5 } }, { bus: arm, message: shoulder_Command, values: { mode: Park, targetPosition: 0, velocityLimit: 1.5 } } ]
        until: [ { topic: can/arm/base_State, signal: position, absMax: 0.02, holdMs: 30, ageMsMax: 500 }, { topic: can/arm/shoulder_State, signal: position, absMax: 0.02, holdMs: 30, ageMsMax: 500 } ]
    lastRung: [ { bus: arm, message: base_Command, values: { mode: "Off", targetPosition: 0, velocityLimit: 0 } }, { bus: arm, message: shoulder_Command, values: { mode: "Off", targetPosition: 0, velocityLimit: 0 } } ]
`;

interface Verdict {
  verdict: string;
  steps: { name: string; result: string }[];
}

async function moving(t: TestContext) {
  const port = await freePort();
  const rig = await ArmRig.start({ reflex: "single", configure: (configuration, { folder }) => {
    writeFileSync(join(folder.path, "call.plan.yaml"), plan);
    writeFileSync(join(folder.path, "lift.password"), "correct horse\n", { mode: 0o600 });
    (configuration as Record<string, unknown>)["safePose"] = { plan: "call.plan.yaml" };
    configuration["mqtt"] = { broker: { listen: { host: "127.0.0.1", port }, users: [{ name: "lift", passwordFile: "lift.password", publish: [], subscribe: ["lift/#"] }] } };
  } });
  t.after(() => rig.stop());
  const told: [string, unknown][] = [];
  const lift = createMqttClientDriver({ name: "lift", url: `mqtt://127.0.0.1:${port}`, clientId: "lift", username: "lift", password: "correct horse", subscriptions: [{ filter: "lift/#", qos: 1 }] });
  lift.onFrames(({ topic, payload }) => void told.push([topic, JSON.parse(Buffer.from(payload).toString())]));
  await lift.start();
  t.after(() => lift.stop());
  await eventually("the lift is subscribed", () => lift.health().state === "up");
  await rig.arm();
  const commands = rig.commandAll(() => moveTo(1.0, 0.4), { rateHz: 50, ttlMs: LIFE_MS });
  t.after(() => commands.stop());
  await eventually("motion", () => rig.joint("base").joint.velocityRadS > 0.2, { last: () => [rig.daemon.log(), rig.reflexes!.log] });
  const parked = (): boolean => rig.joints.every((joint) => rig.joint(joint).joint.mode === "Park" && Math.abs(rig.joint(joint).joint.positionRad) < 0.03);
  return { rig, told, commands, parked };
}

const safePose = async (rig: ArmRig): Promise<Verdict> => (await rig.client.request("gateway/safe-pose", { why: "test" }, { timeoutMs: 60_000 })) as Verdict;
const resultsOf = ({ steps }: Verdict): string[][] => steps.map(({ name, result }) => [name, result]);

test("the program's service is called with its arguments, the message goes out on MQTT, and both count", async (t) => {
  const { rig, told } = await moving(t);
  const provider = await rig.daemon.connect("lift");
  t.after(() => provider.close());
  const asked: unknown[] = [];
  await provider.offer("lift/release", {}, (given) => {
    asked.push(given);
    return {};
  });
  const verdict = await safePose(rig);
  assert.equal(verdict.verdict, "posed", `${JSON.stringify(verdict)}\n${rig.daemon.log()}\n${rig.reflexes!.log}`);
  assert.deepEqual(resultsOf(verdict), [["release", "reached"], ["park", "reached"]]);
  assert.deepEqual(asked, [{ gently: 1 }]);
  await eventually("the message", () => told.length > 0);
  assert.deepEqual(told[0], ["lift/stop", { now: 1 }]);
});

test("a program that refuses, or is not there: the fallback runs in its place, and the verdict says so", async (t) => {
  const { rig } = await moving(t);
  const verdict = await safePose(rig);
  assert.deepEqual(resultsOf(verdict), [["release", "fellBack"], ["still", "reached"], ["park", "reached"]], `${JSON.stringify(verdict)}\n${rig.daemon.log()}`);
});

test("the gateway is killed: nobody calls the program, the fallback runs, and the arm is parked by the reflex alone", async (t) => {
  const { rig, told, commands, parked } = await moving(t);
  const provider = await rig.daemon.connect("lift");
  let asked = 0;
  await provider.offer("lift/release", {}, () => {
    asked += 1;
    return {};
  });
  rig.daemon.process.kill("SIGKILL");
  await rig.daemon.ended;
  commands.stop();
  await eventually("parked", parked, { timeoutMs: 60_000, last: () => rig.reflexes!.log });
  assert.deepEqual([asked, told], [0, []]);
  await rig.startDaemon();
  await rig.until("its verdict is known", ({ state }) => state === "posed" || state === "fault");
  await provider.close();
});
