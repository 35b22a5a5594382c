/** The client driver against the embedded broker, a broker that knows no MQTT 5, and brokers that come and go. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { after, before, test } from "node:test";
import { systemClock } from "../../schemas/clock.ts";
import type { DriverEvent } from "../driver.ts";
import type { MqttUser } from "./accounts.ts";
import { backoffMs } from "./backoff.ts";
import { createMqttBrokerDriver, type MqttBrokerDriver } from "./brokerDriver.ts";
import { createMqttClientDriver, type MqttClientDriverOptions } from "./clientDriver.ts";
import type { MqttDriver } from "./driverBase.ts";
import type { MqttMessage } from "./message.ts";
import { BridgeStateView, encodeStatus } from "./status.ts";
import { join, nextMessage, user } from "./testing.ts";
import { freePort, until } from "../../schemas/testing.ts";

let users: MqttUser[];
before(async () => {
  users = [await user("gateway", "secret", ["#"], ["#"])];
});
const login = { username: "gateway", password: "secret" };
const open: (() => unknown)[] = [];
after(async () => {
  for (const close of open.reverse()) await close();
});

const textOf = ({ payload }: { payload: Uint8Array }): string => Buffer.from(payload).toString();
const state = (topic: string, text: string, deadlineUs = Infinity) => ({ topic, payload: Buffer.from(text), qos: 1 as const, deadlineUs });

async function broker(port = 0): Promise<MqttBrokerDriver> {
  const it = createMqttBrokerDriver({ name: "broker", users, listen: { port } });
  await it.start();
  open.push(() => it.stop());
  return it;
}

async function client(port: number, options: Partial<MqttClientDriverOptions> = {}): Promise<{ it: MqttDriver; received: MqttMessage[]; events: DriverEvent[] }> {
  const it = createMqttClientDriver({ name: "fleet", url: `mqtt://127.0.0.1:${port}`, clientId: "robot", ...login, backoff: { minMs: 5, maxMs: 20 }, ...options });
  const received: MqttMessage[] = [];
  const events: DriverEvent[] = [];
  it.onFrames((message) => received.push({ ...message, payload: Uint8Array.from(message.payload) }));
  it.onEvent((event) => events.push(event));
  await it.start();
  open.push(() => it.stop());
  return { it, received, events };
}

test("it subscribes, receives and publishes with MQTT 5", async () => {
  const far = await broker();
  const atBroker: MqttMessage[] = [];
  far.onFrames((message) => atBroker.push(message));
  const { it, received } = await client(far.address!.port, { subscriptions: [{ filter: "in/#", qos: 1 }] });
  await until(() => it.health().state === "up", "the connection");
  assert.equal(it.send(state("out/a", "1")), "queued");
  assert.equal(far.send(state("in/b", "2")), "queued");
  await until(() => atBroker.length === 1 && received.length === 1, "both messages");
  assert.deepEqual([textOf(received[0]!), atBroker[0]?.sender?.protocolVersion], ["2", 5]);
});

test("a broker restarted on the same port: it reconnects, subscribes again, and what was queued meanwhile arrives in order, the oldest dropped beyond the capacity", async () => {
  const port = await freePort();
  const first = await broker(port);
  const { it, received, events } = await client(port, { subscriptions: [{ filter: "in/#", qos: 1 }], queue: { capacityMessages: 3, whenFull: "dropOldest" } });
  await until(() => it.health().state === "up", "the connection");
  await first.stop();
  await until(() => it.health().state === "down", "the loss to be seen");
  for (const text of ["1", "2", "3", "4", "5"]) assert.equal(it.send(state("out/a", text)), "queued");
  assert.equal(it.send(state("out/cmd", "x", systemClock.nowUs() + 1e6)), "linkDown", "what has a deadline is not queued for later");
  assert.equal(it.health().counters.queueDropped, 2);
  assert.ok(events.some(({ code }) => code === "transmitDropped"));
  const second = createMqttBrokerDriver({ name: "broker", users, listen: { port } });
  const got: string[] = [];
  second.onFrames((message) => got.push(textOf(message)));
  await second.start();
  open.push(() => second.stop());
  await until(() => got.length === 3, "the queue at the new broker");
  assert.deepEqual(got, ["3", "4", "5"]);
  second.send(state("in/x", "again"));
  await until(() => received.length === 1, "a message over the new subscription");
  assert.deepEqual(events.map(({ code }) => code).filter((code) => code.startsWith("link")), ["linkLost", "linkRestored"]);
});

test("a broker that hangs up on MQTT 5 is tried with 3.1.1", async () => {
  const far = await broker();
  // Stands between: passes connections on, except those whose CONNECT says protocol level 5.
  const { connect } = await import("node:net");
  const sockets = new Set<Socket>();
  const old = createServer((near) => {
    near.on("error", () => undefined);
    near.once("data", (bytes) => {
      const level = bytes[bytes.indexOf("MQTT") + 4];
      if (level === 5) {
        near.destroy();
        return;
      }
      const onward = connect(far.address!.port, "127.0.0.1");
      sockets.add(near).add(onward);
      onward.on("error", () => undefined);
      onward.write(bytes);
      near.pipe(onward).pipe(near);
    });
  });
  await new Promise<void>((resolve) => {
    old.listen(0, "127.0.0.1", resolve);
  });
  open.push(() => {
    for (const socket of sockets) socket.destroy();
    old.close();
  });
  const versions: (number | undefined)[] = [];
  far.onFrames(({ sender }) => versions.push(sender?.protocolVersion));
  const { it } = await client((old.address() as AddressInfo).port);
  await until(() => it.health().state === "up", "the connection");
  it.send(state("out/a", "1"));
  await until(() => versions.length === 1, "the message");
  assert.deepEqual([versions[0], it.health().counters.versionFallbacks], [4, 1]);
});

test("no broker: start resolves, the driver is down with a reason, stop resolves", async () => {
  const port = await freePort();
  const { it } = await client(port);
  await until(() => (it.health().counters.attempts ?? 0) >= 3, "three attempts");
  assert.equal(it.health().state, "down");
  assert.match(it.health().reason, /ECONNREFUSED/);
  await it.stop();
  assert.equal(it.send(state("a", "1")), "notStarted");
});

test("a wrong password is not retried with another protocol version", async () => {
  const far = await broker();
  const { it } = await client(far.address!.port, { password: "wrong" });
  await until(() => (it.health().counters.attempts ?? 0) >= 2, "two attempts");
  assert.equal(it.health().counters.versionFallbacks, 0);
  assert.notEqual(it.health().reason, "");
});

test("a dead gateway's will says offline with its epoch and session; the next connection has a higher session", async () => {
  const far = await broker();
  const { port } = far.address!;
  const viewer = await join(port, { ...login });
  open.push(() => viewer.endAsync(true));
  const view = new BridgeStateView();
  const seen: string[] = [];
  viewer.on("message", (_topic, payload) => {
    const verdict = view.accept(payload);
    if (verdict.accepted) seen.push(`${verdict.state.state} ${verdict.state.epoch}/${verdict.state.session}`);
  });
  await viewer.subscribeAsync("ipcnet/demo/bridge/state", { qos: 1 });
  const identity = { instance: "a", version: "1", epoch: 3, firstSession: 7 };
  const { it } = await client(port, { speakFor: { robot: "demo", identity } });
  await until(() => seen.length === 1, "the birth");
  it.bridge!.set("online", "");
  it.bridge!.setNode("elbow", "online");
  await until(() => seen.length === 2, "online");
  // The connection is cut from the broker's side without a DISCONNECT: the will is due.
  const retained = nextMessage(viewer);
  await viewer.subscribeAsync("ipcnet/demo/nodes/+/availability");
  assert.deepEqual(JSON.parse((await retained).text), { state: "online", epoch: 3, session: 7 });
  const taker = await join(port, { ...login, clientId: "robot" });
  await until(() => seen.length >= 3, "the will");
  await taker.endAsync();
  await until(() => seen.length >= 4, "the second birth");
  assert.deepEqual(seen.slice(0, 4), ["starting 3/7", "online 3/7", "offline 3/7", "online 3/8"]);
  await it.stop();
  await until(() => view.current?.state === "offline", "the farewell");
  assert.equal(view.current?.reason, "the gateway stopped");
});

test("what a dead predecessor leaves on the topic is overwritten; a successor silences us", async () => {
  // An external broker guards nothing: the test publishes through the broker's own side, which no guard looks at.
  const far = await broker();
  const identity = { instance: "b", version: "1", epoch: 2, firstSession: 1 };
  const { it } = await client(far.address!.port, { speakFor: { robot: "demo", identity } });
  const births: string[] = [];
  far.onFrames((message) => births.push(textOf(message)));
  await until(() => births.length === 1, "the birth");
  const say = (epoch: number, instance: string, word: "online" | "offline") => far.send({ topic: "ipcnet/demo/bridge/state", payload: encodeStatus({ state: word, instance, epoch, session: 9, reason: "", version: "1" }), qos: 1, retain: true, deadlineUs: Infinity });
  say(1, "a", "offline");
  await until(() => births.length === 2, "the repetition");
  assert.equal(births[1], births[0]);
  say(3, "c", "online");
  await until(() => it.bridge!.superseded, "the successor to be noticed");
  it.bridge!.set("stopping", "");
  await it.stop();
  assert.equal(births.length, 2);
});

test("waiting times grow, are bounded and never regular", () => {
  const options = { minMs: 100, maxMs: 1000 };
  assert.deepEqual([0, 1, 2, 3, 4, 50].map((attempt) => backoffMs(options, attempt, 0)), [50, 100, 200, 400, 500, 500]);
  assert.equal(backoffMs(options, 50, 0.999_999) < 1000, true);
});
