/** Without a reflex the buses and lines die with the gateway that had them: the successor opens them anew, says so, and nothing moves before somebody arms again. MQTT never believes the dead one. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createMqttClientDriver } from "../drivers/mqtt/clientDriver.ts";
import type { MqttDriver } from "../drivers/mqtt/driverBase.ts";
import { type BridgeState, parseBridgeState } from "../drivers/mqtt/status.ts";
import { openPty } from "../drivers/pty/index.ts";
import { createSerialDriver } from "../drivers/serial/driver.ts";
import { streamPort } from "../drivers/serial/streamPort.ts";
import { systemClock } from "../schemas/clock.ts";
import { ArmRig, type Configuration, moveTo, refusal } from "./armRig.ts";
import { Standby } from "./standbyDaemon.ts";
import { eventually, freePort } from "./waiting.ts";

const HAND_DATA_ID = 0x4841_4e44;
const STATE_TOPIC = "ipcnet/test-arm/bridge/state";

async function pair(t: TestContext, configure: (configuration: Configuration, rig: ArmRig) => void): Promise<{ rig: ArmRig; standby: Standby }> {
  const rig = await ArmRig.start({ configure: (configuration, each) => {
    // Deadlines of a loaded machine; the epoch is kept in the test's own folder.
    configuration["redundancy"] = { brains: "pair", progressMs: 1_000, stateFolder: each.folder.path };
    configure(configuration, each);
  } });
  t.after(() => rig.stop());
  const standby = new Standby(rig.folder.path, "b");
  t.after(() => standby.kill());
  await standby.ready();
  return { rig, standby };
}

async function killActive(rig: ArmRig): Promise<void> {
  await eventually("a standby that is ready", async () => ((await rig.client.request("gateway/failover")) as { standby?: { ready: boolean } }).standby?.ready === true);
  rig.daemon.process.kill("SIGKILL");
  await rig.daemon.ended;
}

/** A client that has read the retained state: all that was said of the robot, in order. */
async function reader(t: TestContext, port: number, user?: string): Promise<{ driver: MqttDriver; states: BridgeState[]; values: Map<string, { text: string; retained: boolean }> }> {
  const driver = createMqttClientDriver({ name: "reader", url: `mqtt://127.0.0.1:${port}`, clientId: `reader-${port}`, protocolVersion: 5, queue: { capacityMessages: 16, whenFull: "dropOldest" }, subscriptions: [{ filter: "ipcnet/#", qos: 1 }], ...(user === undefined ? {} : { username: user, password: "correct horse" }) });
  const heard = { driver, states: [] as BridgeState[], values: new Map<string, { text: string; retained: boolean }>() };
  driver.onFrames(({ topic, payload, retain }) => {
    const state = topic === STATE_TOPIC ? parseBridgeState(payload) : undefined;
    if (state) heard.states.push(state);
    else heard.values.set(topic, { text: Buffer.from(payload).toString(), retained: retain === true });
  });
  t.after(() => driver.stop());
  await driver.start();
  return heard;
}

test("the robot is disarmed and says so plainly; links come back, each with an event; arming works as ever; the embedded broker is there again with its values", async (t) => {
  const port = await freePort();
  const terminal = await openPty();
  const { rig, standby } = await pair(t, (configuration, { folder }) => {
    symlinkSync(terminal.path, join(folder.path, "hand"));
    writeFileSync(join(folder.path, "reader.password"), "correct horse\n", { mode: 0o600 });
    configuration["serial"] = [{ name: "hand", port: join(folder.path, "hand"), dataId: HAND_DATA_ID, silenceTimeoutMs: 5_000, messages: [{ id: 1, name: "Joystick", direction: "in", fields: [{ name: "x", type: "i16", factor: 0.001, minimum: -1, maximum: 1 }] }] }];
    configuration["mqtt"] = {
      broker: { listen: { host: "127.0.0.1", port }, users: [{ name: "reader", passwordFile: "reader.password", publish: [], subscribe: ["ipcnet/#"] }] },
      publish: [{ topics: ["can/arm/base_State"], via: "broker", rateHzMax: 20, retain: true }],
    };
  });
  const hand = createSerialDriver({ name: "device", port: streamPort("hand", terminal.stream), role: "device", dataId: HAND_DATA_ID, optional: true });
  await hand.start();
  t.after(async () => {
    await hand.stop();
    terminal.close();
  });
  const { states, values } = await reader(t, port, "reader");
  const joystick: unknown[] = [];
  await rig.client.subscribe("serial/hand/Joystick", { policy: { queue: 100 } }, ({ value }) => joystick.push(value));
  const saying = setInterval(() => void hand.send({ id: 1, body: Uint8Array.of(0xf4, 1), deadlineUs: systemClock.nowUs() + 10e6 }), 50);
  t.after(() => clearInterval(saying));
  await eventually("the hand is heard, and the mirror", () => joystick.length > 0 && states.length > 0 && values.size > 0, { timeoutMs: 60_000 });
  await rig.arm();
  await rig.command("base", moveTo(0.2));
  const before = joystick.length;
  const events: { code: string; source: string; text: string }[] = [];
  await rig.client.subscribe("ipcnet/events", { policy: { queue: 1_000 } }, ({ value }) => void events.push(value as (typeof events)[number]));
  await killActive(rig);
  const status = await rig.until("every link is up again", ({ links }) => links.every(({ state }) => state === "up"), 60_000);
  assert.deepEqual([status.instance, status.state, status.stateReason], ["b", "disarmed", "disarmed by the death of the gateway that was armed: arm it again"], standby.log);
  const reopened = (): string[] => events.filter(({ code }) => code === "linkReopened").map(({ source }) => source).toSorted();
  await eventually("the events of it", () => events.some(({ code }) => code === "tookOver") && reopened().length >= 3, { timeoutMs: 60_000, last: () => events });
  assert.match(events.find(({ code }) => code === "tookOver")!.text, /arm, hand, broker: opened anew; the robot was armed and is DISARMED.*before somebody arms it again/);
  assert.deepEqual(reopened(), ["arm", "broker", "hand"]);
  assert.equal((await refusal(rig.command("base", moveTo(0.2)))).status, 207);
  await eventually("the hand is heard again", () => joystick.length > before, { timeoutMs: 60_000 });
  await rig.arm();
  await rig.command("base", moveTo(0.1));
  // The reader was connected to the dead one: it comes back by itself, and finds what is retained.
  await eventually("the successor speaks for the robot", () => states.at(-1)?.instance === "b" && states.at(-1)?.state === "online", { timeoutMs: 60_000, last: () => states });
  assert.ok(states.at(-1)!.epoch > states[0]!.epoch);
  assert.equal(states.at(-1)!.epoch, status.epoch);
  values.clear();
  const late = await reader(t, port, "reader");
  await eventually("retained values", () => late.states.at(-1)?.instance === "b" && [...late.values.keys()].some((topic) => topic.endsWith("base_State")), { timeoutMs: 60_000 });
});

const mosquitto = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "mosquitto"].find((path) => spawnSync(path, ["-h"]).error === undefined);

test("an external broker: the dead gateway's will comes after its successor has spoken, and is not what stays", { skip: mosquitto === undefined ? "needs mosquitto" : false }, async (t) => {
  const port = await freePort();
  const { rig, standby } = await pair(t, (configuration, { folder }) => {
    writeFileSync(join(folder.path, "mosquitto.conf"), `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\n`);
    startBroker(t, join(folder.path, "mosquitto.conf"));
    configuration["mqtt"] = { clients: [{ name: "cloud", url: `mqtt://127.0.0.1:${port}`, queueMessages: 16 }], publish: [{ topics: ["can/arm/base_State"], via: "cloud", rateHzMax: 20, retain: true }] };
  });
  const { states } = await reader(t, port);
  await eventually("the active speaks", () => states.at(-1)?.state === "online", { last: () => states });
  const first = states.at(-1)!;
  // Stopped: its connection stays open, and the will comes when it is killed at the end of its deadline.
  rig.daemon.process.kill("SIGSTOP");
  await rig.daemon.ended;
  await eventually("the successor speaks", () => states.at(-1)?.instance === "b" && states.at(-1)?.state === "online", { timeoutMs: 60_000, last: () => [states, standby.log] });
  const own = states.at(-1)!;
  assert.equal(own.epoch, first.epoch + 1);
  // The same will once more, as late as can be: whoever looks later finds the successor all the same.
  const rude = createMqttClientDriver({ name: "late", url: `mqtt://127.0.0.1:${port}`, clientId: "late-will", protocolVersion: 5, queue: { capacityMessages: 16, whenFull: "dropOldest" }, subscriptions: [] });
  await rude.start();
  t.after(() => rude.stop());
  const count = states.length;
  await eventually("it is sent", () => rude.send({ topic: STATE_TOPIC, payload: Buffer.from(JSON.stringify({ ...first, state: "offline" })), qos: 1, retain: true, deadlineUs: Infinity }) === "queued");
  await eventually("it was heard, and answered", () => states.slice(count).some(({ state }) => state === "offline") && states.at(-1)!.state === "online", { timeoutMs: 60_000, last: () => states.slice(count) });
  const later = await reader(t, port);
  await eventually("what is retained", () => later.states.length > 0, { timeoutMs: 60_000 });
  assert.deepEqual([later.states[0]!.state, later.states[0]!.instance, later.states[0]!.epoch], ["online", "b", own.epoch]);
});

function startBroker(t: TestContext, configuration: string): ChildProcess {
  const broker = spawn(mosquitto!, ["-c", configuration], { stdio: "ignore" });
  t.after(async () => {
    if (broker.exitCode !== null || broker.signalCode !== null) return;
    const closed = once(broker, "close");
    broker.kill("SIGKILL");
    await closed;
  });
  return broker;
}
