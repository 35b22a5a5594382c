/**
 * The recording of a real car through everything: emulated bus → driver → pipeline → local subscriber and MQTT subscribers. All frames are right,
 * so any rejection is a fault of ours; with one bit flipped in each, any acceptance is.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { BusHost } from "../drivers/can/emulator/host.ts";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { type BusServer, serveBuses } from "../drivers/can/emulator/server.ts";
import { createMqttClientDriver } from "../drivers/mqtt/clientDriver.ts";
import type { MqttDriver } from "../drivers/mqtt/driverBase.ts";
import type { StatusReport } from "../schemas/messages/statusReport.ts";
import type { Client } from "../shm/client/index.ts";
import { messageName, readRecording, recordingChecks, recordingDbc, type RecordedFrame, recordingMissing } from "./carRecording.ts";
import { type Daemon, startDaemon, testFolder, until } from "./daemon.ts";
import { freePort } from "./waiting.ts";

const FRAMES = 6_158;
/** How far a player may be ahead of the slowest who listens: what cannot take more loses by design, which other tests are about. */
const AHEAD_FRAMES = 500;

const configuration = (busSocket: string, mqttPort: number) => `
version: 1
robot: car
buses:
  - { name: car, driver: emulator, interface: "${busSocket}", databases: [ { dbc: car.dbc, checks: car.checks.yaml, lint: required } ] }
mqtt:
  broker: { listen: { host: 127.0.0.1, port: ${mqttPort} }, allowAnonymous: true }
  publish: [ { topics: ["can/car/+"], via: broker } ]
`;

interface Arrival {
  name: string;
  hex: string;
}

/** Everything that one replay needs, and what arrived. */
class Rig {
  readonly folder = testFolder();
  readonly local: Arrival[] = [];
  readonly mqtt: Arrival[] = [];
  readonly mosquitto: Arrival[] = [];
  raw = 0;
  lost = 0;
  daemon!: Daemon;
  client!: Client;
  #host!: BusHost;
  #server!: BusServer;
  #mqttDriver: MqttDriver | undefined;
  #mosquitto: ReturnType<typeof spawn> | undefined;
  readonly #listeners = new Set<() => void>();

  /** `bitrateBps` 0: as fast as it goes. */
  async start({ bitrateBps, mqttPort, withMosquitto }: { bitrateBps: number; mqttPort: number; withMosquitto: boolean }): Promise<void> {
    const frames = readRecording();
    writeFileSync(join(this.folder.path, "car.dbc"), recordingDbc(frames));
    writeFileSync(join(this.folder.path, "car.checks.yaml"), recordingChecks);
    this.#host = new BusHost({ name: "car", bitrateBps, queueFrames: 64 });
    const busSocket = join(this.folder.path, "bus.sock");
    this.#server = await serveBuses({ socketPath: busSocket, buses: [this.#host] });
    this.daemon = await startDaemon(this.folder.path, configuration(busSocket, mqttPort));
    this.client = await this.daemon.connect();
    await this.client.subscribe("can/car/+", { policy: { queue: 20_000 } }, (message) => {
      this.lost += message.lostBefore;
      if (message.topic === "can/car/raw") this.raw += 1;
      else this.local.push({ name: message.topic.slice("can/car/".length), hex: hexOf(message.value as Record<string, number>) });
      this.#changed();
    });
    await this.#subscribeMqtt(mqttPort);
    if (withMosquitto) await this.#startMosquitto(mqttPort);
  }

  async stop(): Promise<void> {
    this.#mosquitto?.kill("SIGTERM");
    await this.#mqttDriver?.stop();
    await this.client?.close();
    await this.daemon?.stop();
    await this.#server?.close();
    this.folder.remove();
  }

  /** Plays `frames` on the bus as another node; with `paced` at the times of the recording, else never far ahead of what has `arrived`. */
  async replay(frames: readonly RecordedFrame[], { paced = false, arrived = () => Infinity }: { paced?: boolean; arrived?: () => number }): Promise<void> {
    const { port } = attachInProcess(this.#host, { name: "player" });
    const startS = frames[0]!.timeS;
    const startMs = performance.now();
    let sent = 0;
    let confirmed = 0;
    port.onEcho(() => (confirmed += 1));
    await new Promise<void>((resolve) => {
      const turn = (): void => {
        while (sent < frames.length) {
          const frame = frames[sent]!;
          if (paced && (frame.timeS - startS) * 1e3 > performance.now() - startMs) break;
          if (sent >= arrived() + AHEAD_FRAMES) break;
          if (port.send({ timeUs: 0, canId: frame.canId, flags: 0, data: frame.data }) !== "queued") break;
          sent += 1;
        }
        if (confirmed === frames.length) resolve();
        else setImmediate(turn);
      };
      turn();
    });
    await port.close();
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return until(condition, (look) => {
      this.#listeners.add(look);
      return () => this.#listeners.delete(look);
    }, { what });
  }

  status(): Promise<StatusReport> {
    return this.client.request("gateway/status") as Promise<StatusReport>;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  async #subscribeMqtt(port: number): Promise<void> {
    const driver = createMqttClientDriver({ name: "test", url: `mqtt://127.0.0.1:${port}`, clientId: "test", subscriptions: [{ filter: "ipcnet/car/can/car/+", qos: 0 }] });
    this.#mqttDriver = driver;
    driver.onFrames(({ topic, payload }) => {
      this.#take(this.mqtt, topic, Buffer.from(payload).toString("utf8"));
    });
    const up = until(() => driver.health().state === "up", (look) => driver.onEvent(look), { what: "the MQTT subscription" });
    await driver.start();
    await up;
  }

  /** Debian's own client beside ours. */
  async #startMosquitto(port: number): Promise<void> {
    // Line by line: a pipe would hold its output back otherwise.
    const child = spawn("stdbuf", ["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", String(port), "-V", "mqttv311", "-d", "-t", "ipcnet/car/can/car/+", "-v"], { stdio: ["ignore", "pipe", "pipe"] });
    this.#mosquitto = child;
    let rest = "";
    let subscribed = false;
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.includes("Subscribed (")) subscribed = true;
        const match = /^(ipcnet\/\S+) (\{.*\})$/.exec(line);
        if (match) this.#take(this.mosquitto, match[1]!, match[2]!);
      }
      this.#changed();
    });
    await this.until(() => subscribed, "mosquitto_sub's subscription");
  }

  #take(into: Arrival[], topic: string, text: string): void {
    const name = topic.split("/").at(-1)!;
    if (name !== "raw") into.push({ name, hex: hexOf((JSON.parse(text) as { value: Record<string, number> }).value) });
    this.#changed();
  }
}

function hexOf(value: Readonly<Record<string, number>>): string {
  return Buffer.from(Object.keys(value).map((_, index) => value[`b${index}`]!)).toString("hex");
}

function expected(frames: readonly RecordedFrame[]): Arrival[] {
  return frames.map(({ canId, data }) => ({ name: messageName(canId), hex: Buffer.from(data).toString("hex") }));
}

const mosquittoIsHere = await new Promise<boolean>((resolve) => {
  spawn("mosquitto_sub", ["--help"], { stdio: "ignore" }).on("error", () => resolve(false)).on("close", () => resolve(true));
});

describe("a car's recording, frame by frame", { skip: recordingMissing }, () => {
  let rig: Rig;
  before(async () => {
    rig = new Rig();
    await rig.start({ bitrateBps: 0, mqttPort: await freePort(), withMosquitto: mosquittoIsHere });
  });
  after(() => rig.stop());

  test("as fast as it goes: all accepted, in order, at a local and an MQTT subscriber", async () => {
    const frames = readRecording();
    assert.equal(frames.length, FRAMES);
    await rig.replay(frames, { arrived: () => Math.min(rig.local.length + rig.lost, rig.mqtt.length, mosquittoIsHere ? rig.mosquitto.length : Infinity) });
    await rig.until(() => rig.local.length + rig.lost >= FRAMES && rig.mqtt.length >= FRAMES, "the arrival of all frames");
    assert.equal(rig.lost, 0);
    assert.deepEqual(rig.local, expected(frames));
    assert.deepEqual(rig.mqtt, expected(frames));
    const status = await rig.status();
    assert.deepEqual(status.rejects, []);
  });

  test("and at Debian's mosquitto_sub", { skip: mosquittoIsHere ? false : "mosquitto_sub is not installed (apt-get install mosquitto-clients)" }, async () => {
    await rig.until(() => rig.mosquitto.length >= FRAMES, "the arrival of all frames at mosquitto_sub");
    assert.deepEqual(rig.mosquitto, expected(readRecording()));
  });

  test("with one bit flipped in each frame none is accepted", async () => {
    const before = { local: rig.local.length, mqtt: rig.mqtt.length, raw: rig.raw };
    const frames = readRecording().map((frame, index) => {
      const data = Uint8Array.from(frame.data);
      // Another bit each time, over all bits of the frame.
      const bit = (index * 7) % (data.length * 8);
      data[bit >> 3]! ^= 1 << (bit & 7);
      return { ...frame, data };
    });
    await rig.replay(frames, { arrived: () => rig.raw - before.raw });
    await rig.until(() => rig.raw >= before.raw + FRAMES, "the raw arrival of all frames");
    assert.equal(rig.local.length, before.local);
    assert.equal(rig.mqtt.length, before.mqtt);
    const status = await rig.status();
    assert.deepEqual(status.rejects.map(({ reason, count }) => ({ reason, count })), [{ reason: "crcMismatch", count: FRAMES }]);
  });
});

describe("the same recording at its own speed", { skip: recordingMissing }, () => {
  test("on a bus of 500 kbit/s all are accepted, in order", async (t) => {
    const rig = new Rig();
    t.after(() => rig.stop());
    await rig.start({ bitrateBps: 500_000, mqttPort: await freePort(), withMosquitto: false });
    const frames = readRecording();
    await rig.replay(frames, { paced: true });
    await rig.until(() => rig.local.length + rig.lost >= FRAMES && rig.mqtt.length >= FRAMES, "the arrival of all frames");
    assert.equal(rig.lost, 0);
    // Arbitration may swap frames that were waiting together, never two of one identifier.
    const byName = (arrivals: readonly Arrival[]): Map<string, string[]> => {
      const map = new Map<string, string[]>();
      for (const { name, hex } of arrivals) map.set(name, [...(map.get(name) ?? []), hex]);
      return map;
    };
    const order = (map: Map<string, string[]>): [string, string[]][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(order(byName(rig.local)), order(byName(expected(frames))));
    assert.deepEqual(order(byName(rig.mqtt)), order(byName(expected(frames))));
    assert.deepEqual((await rig.status()).rejects, []);
  });
});
