/** What leaves one link and arrives on another: routes between topics and between buses, MQTT in both directions, a serial device on a pseudo-terminal. */
import assert from "node:assert/strict";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { BusHost } from "../drivers/can/emulator/host.ts";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import type { NodePort } from "../drivers/can/emulator/port.ts";
import { encodeJsonCommand, type MqttCommand } from "../drivers/mqtt/command.ts";
import { createMqttClientDriver } from "../drivers/mqtt/clientDriver.ts";
import type { MqttDriver } from "../drivers/mqtt/driverBase.ts";
import { EnvelopeWriter } from "../drivers/mqtt/envelope.ts";
import { openPty, type Pty } from "../drivers/pty/index.ts";
import { createSerialDriver, type SerialDriver } from "../drivers/serial/driver.ts";
import { streamPort } from "../drivers/serial/streamPort.ts";
import { systemClock } from "../schemas/clock.ts";
import { Status } from "../shm/client/index.ts";
import { ArmRig, commandId, LIFE_MS, moveTo } from "./armRig.ts";
import { eventually, freePort } from "./waiting.ts";

const IMU_DATA_ID = 0x494d_5530;
const HAND_DATA_ID = 0x4841_4e44;
/** For what is sent at once: late enough for a machine that stands still meanwhile. */
const soonUs = (): number => systemClock.nowUs() + 30e6;

describe("routes and mirrors", () => {
  let rig: ArmRig;
  let leg: BusHost;
  let pty: Pty | undefined;
  let hand: SerialDriver | undefined;
  let talker: NodePort;
  const drivers = new Map<string, MqttDriver>();
  const haptic: number[] = [];
  const legFrames: number[] = [];
  const mqtt = new Map<string, string[]>();
  const answers: { transaction: string; status: number; code?: string }[] = [];

  before(async () => {
    const port = await freePort();
    const terminal = (pty = await openPty());
    rig = await ArmRig.start({ configure: (configuration, starting) => {
      const folder = starting.folder.path;
      symlinkSync(terminal.path, join(folder, "hand"));
      for (const user of ["imu", "pendant"]) writeFileSync(join(folder, `${user}.password`), "correct horse\n", { mode: 0o600 });
      leg = starting.addBus("leg");
      configuration.buses.push({ name: "leg", driver: "emulator", interface: starting.socketOf("leg"), bitrateBps: 500_000, deadAfterMs: 5_000 });
      configuration["serial"] = [{ name: "hand", port: join(folder, "hand"), dataId: HAND_DATA_ID, silenceTimeoutMs: 5_000, messages: [
        { id: 1, name: "Joystick", direction: "in", fields: [{ name: "x", type: "i16", factor: 0.001, minimum: -1, maximum: 1 }, { name: "enable", type: "u8", minimum: 0, maximum: 1 }] },
        { id: 2, name: "Haptic", direction: "out", fields: [{ name: "strength", type: "i16", factor: 0.001, minimum: -1, maximum: 1 }] },
      ] }];
      configuration.commands.push({ serial: "hand", message: "Haptic", ttlMsMax: LIFE_MS, rateHzMax: 100, writers: [] });
      configuration["mqtt"] = {
        broker: { listen: { host: "127.0.0.1", port }, users: [
          { name: "imu", passwordFile: "imu.password", publish: ["imu/#"], subscribe: [] },
          { name: "pendant", passwordFile: "pendant.password", publish: ["ipcnet/test-arm/cmd/#"], subscribe: ["ipcnet/#"] },
        ] },
        inputs: [{ name: "imu", via: "broker", topic: "imu/state", encoding: "json", integrity: "P08", dataId: IMU_DATA_ID, timeoutMs: 60_000 }],
        publish: [{ topics: ["app/base", "can/arm/base_State"], via: "broker", rateHzMax: 20 }],
        commands: { via: ["broker"], allow: [{ user: "pendant", topics: ["cmd/arm/base_Command"] }] },
      };
      configuration["routes"] = [
        { from: "can/arm/base_State", to: "app/base", when: "mode == 'Move' && position > 0.05", rateHzMax: 20, rename: { position: "angle" } },
        { from: "can/arm/raw", to: "can/leg/raw", ids: ["0x300-0x30F"] },
        { from: "serial/hand/Joystick", to: "cmd/hand/Haptic", when: "enable == 1", rename: { x: "strength" } },
      ];
    } });
    attachInProcess(leg, { name: "knee" }).port.onFrame(({ canId }) => void legFrames.push(canId));
    talker = attachInProcess(rig.host, { name: "talker" }).port;
    const device = (hand = createSerialDriver({ name: "device", port: streamPort("hand", terminal.stream), role: "device", dataId: HAND_DATA_ID, optional: true }));
    device.onFrames(({ id, body }) => {
      if (id === 2) haptic.push(new DataView(body.buffer, body.byteOffset).getInt16(0, true));
    });
    void device.start();
    for (const user of ["imu", "pendant"]) {
      const driver = createMqttClientDriver({ name: user, url: `mqtt://127.0.0.1:${port}`, clientId: user, username: user, password: "correct horse", subscriptions: user === "pendant" ? [{ filter: "ipcnet/#", qos: 1 }] : [] });
      driver.onFrames(({ topic, payload }) => {
        const text = Buffer.from(payload).toString();
        if (topic === "ipcnet/test-arm/bridge/response/command") answers.push(JSON.parse(text) as (typeof answers)[number]);
        mqtt.set(topic, [...(mqtt.get(topic) ?? []), text]);
      });
      drivers.set(user, driver);
      await driver.start();
      await eventually(`${user} connected`, () => driver.health().state === "up");
    }
  });
  after(async () => {
    for (const driver of drivers.values()) await driver.stop();
    await hand?.stop();
    pty?.close();
    await rig?.stop();
  });

  const rejected = async (reason: string, link = "broker"): Promise<number> => (await rig.status()).rejects.find((reject) => reject.link === link && reject.reason === reason)?.count ?? 0;
  const legSent = (): number => leg.node("leg")!.statistics.sentFrames;
  const talk = async (ids: readonly number[]): Promise<void> => {
    const before = rig.seen.length;
    for (const canId of ids) talker.send({ timeUs: 0, canId, flags: 0, data: Uint8Array.of(1, 2, 3) });
    await eventually("all frames on the bus", () => rig.seen.slice(before).filter(({ canId }) => ids.includes(canId)).length === ids.length);
    await rig.status();
  };

  test("raw frames pass from bus to bus only while armed, and only those that are listed", async () => {
    const ids = [0x2ff, 0x300, 0x308, 0x30f, 0x310, 0x7f0];
    await rig.until("nothing missing for arming", ({ missingForArming }) => missingForArming.length === 0);
    await talk(ids);
    // The gateway has judged them when it has counted them.
    await eventually("counted", async () => (await rejected("unknownId", "arm")) >= ids.length);
    assert.equal(legSent(), 0, "not armed: nothing");
    await rig.arm();
    await talk(ids);
    await eventually("three frames on the other bus", () => legFrames.length >= 3);
    await eventually("counted", async () => (await rejected("unknownId", "arm")) >= 2 * ids.length);
    assert.deepEqual(legFrames, [0x300, 0x308, 0x30f]);
    assert.equal(legSent(), 3);
  });

  test("a topic route carries what its condition lets pass, renamed, at its rate; the mirror shows it as JSON", async () => {
    const values: { angle?: number; position?: number; mode?: number }[] = [];
    const times: number[] = [];
    await rig.client.subscribe("app/base", { policy: { queue: 1_000 } }, ({ value, timeUs }) => {
      values.push(value as object);
      times.push(timeUs);
    });
    const commands = rig.commandAll((joint) => moveTo(joint === "base" ? 0.6 : 0), { rateHz: 50, ttlMs: LIFE_MS });
    await eventually("30 values", () => values.length >= 30);
    commands.stop();
    assert.ok(values.every(({ angle, position, mode }) => angle! > 0.05 && position === undefined && mode === 2), JSON.stringify(values[0]));
    assert.ok(values.length <= ((times.at(-1)! - times[0]!) / 1e6) * 20 + 2);
    const mirrored = await eventually("the mirror", () => mqtt.get("ipcnet/test-arm/app/base")?.at(-1));
    const { value, quality } = JSON.parse(mirrored) as { value: { angle: number }; quality: string };
    assert.ok(value.angle > 0.05);
    assert.equal(quality, "good");
    const state = JSON.parse(await eventually("the mirror of the bus's topic", () => mqtt.get("ipcnet/test-arm/can/arm/base_State")?.at(-1))) as { value: Record<string, number> };
    assert.deepEqual(Object.keys(state.value), ["crc", "counter", "position", "velocity", "mode", "fault"]);
  });

  test("an MQTT input is taken with a right envelope; wrong, repeated and retained ones are counted by their reason", async () => {
    const arrived: unknown[] = [];
    await rig.client.subscribe("mqtt/broker/imu", { policy: { queue: 100 } }, ({ value }) => void arrived.push(value));
    const writer = new EnvelopeWriter({ dataId: IMU_DATA_ID });
    const send = (payload: Uint8Array, retain = false): unknown => drivers.get("imu")!.send({ topic: "imu/state", payload, qos: 1, retain, deadlineUs: soonUs() });
    const first = writer.write(Buffer.from('{"roll":0.25}'));
    assert.equal(send(Uint8Array.from(first)), "queued");
    await eventually("the value", () => arrived.length === 1);
    assert.deepEqual(arrived, [{ roll: 0.25 }]);
    send(Uint8Array.from(first));
    await eventually("the repetition counted", async () => (await rejected("repeated")) === 1);
    const broken = writer.write(Buffer.from('{"roll":0.5}'));
    broken[20]! ^= 1;
    send(broken);
    await eventually("the wrong CRC counted", async () => (await rejected("crcMismatch")) === 1);
    send(writer.write(Buffer.from('{"roll":')));
    await eventually("the broken JSON counted", async () => (await rejected("malformed")) === 1);
    send(writer.write(Buffer.from('{"roll":0.75}')), true);
    await eventually("the retained one counted", async () => (await rejected("stale")) >= 1);
    send(writer.write(Buffer.from('{"roll":1}')));
    await eventually("the next right one", () => arrived.length === 2);
    assert.deepEqual(arrived[1], { roll: 1 });
  });

  test("an MQTT command is judged by grant, range, sequence and age, and each is answered by its id", async () => {
    const send = (joint: "base" | "shoulder", command: MqttCommand, retain = false): void => {
      drivers.get("pendant")!.send({ topic: `ipcnet/test-arm/cmd/arm/${joint}_Command/set`, payload: encodeJsonCommand(`test-arm/cmd/arm/${joint}_Command`, command), qos: 1, retain, deadlineUs: soonUs() });
    };
    const answerTo = (id: string) => eventually(`the answer to ${id}`, () => answers.find(({ transaction }) => transaction === id), { last: () => answers });
    const before = rig.seen.length;
    assert.equal((await rig.status()).state, "armed");
    send("base", { id: "good", ttlMs: LIFE_MS, seq: 10, values: moveTo(0.4) });
    assert.equal((await answerTo("good")).status, Status.ok);
    await eventually("the command on the bus", () => rig.commandsSeen(before).some(({ canId }) => canId === commandId("base")));
    const sent = rig.commandsSeen(before).filter(({ canId }) => canId === commandId("base")).length;
    send("shoulder", { id: "notGranted", ttlMs: LIFE_MS, seq: 11, values: moveTo(0.4) });
    assert.equal((await answerTo("notGranted")).status, Status.forbidden);
    send("base", { id: "replayed", ttlMs: LIFE_MS, seq: 10, values: moveTo(0.5) });
    assert.deepEqual(await answerTo("replayed").then(({ status, code }) => [status, code]), [Status.conflict, "repeated"]);
    send("base", { id: "tooLate", ttlMs: 100, seq: 12, sentAt: Date.now() - 5_000, values: moveTo(0.5) });
    assert.equal((await answerTo("tooLate")).status, Status.gone);
    send("base", { id: "outOfRange", ttlMs: LIFE_MS, seq: 13, values: moveTo(3.2) });
    assert.equal((await answerTo("outOfRange")).status, Status.unprocessableContent);
    const stale = await rejected("stale");
    send("base", { id: "retained", ttlMs: LIFE_MS, seq: 14, values: moveTo(0.5) }, true);
    // Refused by the broker itself or by the gateway: in any case not carried out, and not kept.
    send("base", { id: "last", ttlMs: LIFE_MS, seq: 15, values: moveTo(0.45) });
    assert.equal((await answerTo("last")).status, Status.ok);
    assert.ok((await rejected("stale")) >= stale);
    assert.equal(answers.some(({ transaction }) => transaction === "retained"), false);
    await eventually("the last command on the bus", () => rig.commandsSeen(before).filter(({ canId }) => canId === commandId("base")).length === sent + 1);
    assert.equal(rig.commandsSeen(before).some(({ canId }) => canId === commandId("shoulder")), false);
  });

  test("a serial device's stick arrives, and its haptic motor answers while armed", async () => {
    const sticks: { x: number; enable: number }[] = [];
    await rig.client.subscribe("serial/hand/Joystick", { policy: { queue: 1_000 } }, ({ value }) => void sticks.push(value as (typeof sticks)[number]));
    const body = new DataView(new ArrayBuffer(3));
    const send = (x: number, enable: number): void => {
      body.setInt16(0, x, true);
      body.setUint8(2, enable);
      hand!.send({ id: 1, body: new Uint8Array(body.buffer.slice(0)), deadlineUs: soonUs() });
    };
    await eventually("the stick", () => {
      send(250, 0);
      return sticks.some(({ x }) => x === 0.25);
    });
    assert.equal(haptic.length, 0, "not enabled: no answer");
    await eventually("the haptic motor", () => {
      send(500, 1);
      return haptic.includes(500);
    });
    await rig.client.request("gateway/disarm");
    send(-750, 1);
    await eventually("the stick while disarmed", () => sticks.some(({ x }) => x === -0.75));
    await rig.status();
    assert.equal(haptic.includes(-750), false, "disarmed: no answer");
    // Out of range: counted, not passed.
    send(1_500, 1);
    await eventually("out of range", async () => (await rejected("outOfRange", "hand")) >= 1);
    assert.equal(sticks.some(({ x }) => x > 1), false);
  });
});
