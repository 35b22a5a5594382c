import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { MqttClient } from "mqtt";
import type { Clock } from "../../schemas/clock.ts";
import { DriverError } from "../driver.ts";
import type { MqttUser } from "./accounts.ts";
import { Accounts, parsePasswordHash, passwordHashOf, readPasswordFile } from "./accounts.ts";
import { treeGuard } from "./bridge.ts";
import type { MqttBroker, MqttBrokerOptions } from "./broker.ts";
import { createMqttBroker } from "./broker.ts";
import { createMqttClientDriver } from "./clientDriver.ts";
import type { MqttMessage } from "./message.ts";
import { encodeStatus } from "./status.ts";
import { closed, frozenSubscriber, join as joinBroker, nextMessage, user } from "./testing.ts";
import { until } from "../../schemas/testing.ts";

let users: MqttUser[];
before(async () => {
  users = [await user("imu", "secret", ["imu/#", "ipcnet/r/#"], ["ipcnet/#", "imu/#"]), await user("viewer", "look", [], ["ipcnet/#"])];
});
const imu = { username: "imu", password: "secret" };
const viewer = { username: "viewer", password: "look" };

const open: (() => unknown)[] = [];
after(async () => {
  for (const close of open.reverse()) await close();
});

async function broker(options: MqttBrokerOptions = {}): Promise<{ it: MqttBroker; port: number; received: MqttMessage[] }> {
  const it = createMqttBroker({ users, ...options, listen: { port: 0, ...options.listen } });
  const received: MqttMessage[] = [];
  it.onMessage((message) => received.push({ ...message, payload: Uint8Array.from(message.payload) }));
  const { port } = await it.start();
  open.push(() => it.stop());
  return { it, port, received };
}

async function member(port: number, options: Parameters<typeof joinBroker>[1]): Promise<MqttClient> {
  const client = await joinBroker(port, options);
  client.on("error", () => undefined); // refusals are looked at through promises and counters
  open.push(() => client.endAsync(true));
  return client;
}

for (const protocolVersion of [5, 4] as const) {
  test(`MQTT ${protocolVersion}: a message reaches the listener and the subscriber, with who sent it`, async () => {
    const { it, port, received } = await broker();
    const subscriber = await member(port, { ...imu, protocolVersion });
    await subscriber.subscribeAsync("imu/+/state", { qos: 1 });
    const sender = await member(port, { ...imu, protocolVersion, clientId: "torso" });
    const arrived = nextMessage(subscriber);
    await sender.publishAsync("imu/torso/state", Buffer.from("abc"), { qos: 1 });
    const { topic, text } = await arrived;
    assert.deepEqual([topic, text], ["imu/torso/state", "abc"]);
    assert.equal(received.length, 1);
    const { sender: from, ...message } = received[0]!;
    assert.deepEqual([message.topic, Buffer.from(message.payload).toString(), message.qos, message.retain], ["imu/torso/state", "abc", 1, false]);
    assert.deepEqual([from?.clientId, from?.user, from?.protocolVersion], ["torso", "imu", protocolVersion]);
    assert.equal(it.clients().length, 2);
  });
}

test("MQTT 5 properties pass: response topic, correlation data, content type, expiry", async () => {
  const { it, port, received } = await broker();
  const client = await member(port, imu);
  await client.subscribeAsync("ipcnet/#");
  await client.publishAsync("imu/x", "1", { qos: 1, properties: { responseTopic: "imu/answer", correlationData: Buffer.from("7"), contentType: "text/plain" } });
  const [first] = received;
  assert.deepEqual([first?.responseTopic, Buffer.from(first?.correlationData ?? []).toString(), first?.contentType], ["imu/answer", "7", "text/plain"]);
  const arrived = nextMessage(client);
  assert.equal(it.publish({ topic: "ipcnet/r/x", payload: Buffer.from("{}"), expiryS: 7, contentType: "application/json" }), "queued");
  const { properties } = (await arrived).packet;
  assert.deepEqual([properties?.messageExpiryInterval, properties?.contentType], [7, "application/json"]);
});

test("strangers, wrong passwords and unknown names stay outside; both protocol versions are told so", async () => {
  const { it, port } = await broker();
  for (const protocolVersion of [5, 4] as const) {
    for (const login of [{}, { username: "imu" }, { username: "imu", password: "wrong" }, { username: "nobody", password: "secret" }]) await assert.rejects(joinBroker(port, { ...login, protocolVersion }));
  }
  assert.equal(it.counters.loginsRefused, 8);
  await member(port, imu);
});

test("anonymous clients may do exactly what the option lists", async () => {
  const { port, it } = await broker({ users: [], anonymous: { publish: [], subscribe: ["ipcnet/#"] } });
  const client = await member(port, {});
  assert.deepEqual((await client.subscribeAsync("ipcnet/r/#")).map(({ qos }) => qos), [0]);
  await assert.rejects(client.publishAsync("ipcnet/r/x", "1", { qos: 1 }));
  assert.equal(it.counters.publishRefused, 1);
});

test("the allow-lists hold: publishing, subscribing, wills, and subscriptions wider than what is allowed", async () => {
  const { it, port, received } = await broker();
  const client = await member(port, viewer);
  for (const filter of ["#", "+/r/x", "imu/#", "$SYS/#"]) {
    const [grant] = await client.subscribeAsync(filter).catch(() => [{ qos: 128 }]);
    assert.ok(grant!.qos >= 128, filter);
  }
  assert.deepEqual((await client.subscribeAsync("ipcnet/+/can/#")).map(({ qos }) => qos), [0]);
  await assert.rejects(client.publishAsync("ipcnet/r/x", "1", { qos: 1 }), /Not authorized/i);
  const dying = await member(port, { ...viewer, will: { topic: "ipcnet/r/last", payload: Buffer.from("x"), qos: 0, retain: false } });
  dying.stream.destroy();
  await until(() => (it.counters.publishRefused ?? 0) >= 2, "the will to be refused");
  assert.deepEqual(received, []);
});

test("a client id can be taken over by its own user alone", async () => {
  const { port } = await broker();
  const first = await member(port, { ...imu, clientId: "one" });
  await assert.rejects(joinBroker(port, { ...viewer, clientId: "one" }));
  assert.ok(first.connected);
  const takenOver = closed(first);
  await member(port, { ...imu, clientId: "one" });
  await takenOver;
});

test("no session outlives its connection: nothing is kept for who is away", async () => {
  const { it, port } = await broker();
  const options = { ...imu, clientId: "sleeper", clean: false, properties: { sessionExpiryInterval: 3600 } };
  const first = await member(port, options);
  await first.subscribeAsync("imu/cmd", { qos: 1 });
  await first.endAsync();
  await until(() => it.clients().length === 0, "the client to be gone");
  it.publish({ topic: "imu/cmd", payload: Buffer.from("move"), qos: 1 });
  const second = await joinBroker(port, options);
  open.push(() => second.endAsync(true));
  const seen: string[] = [];
  second.on("message", (topic) => seen.push(topic));
  await second.subscribeAsync("imu/other");
  await second.publishAsync("imu/other", "1", { qos: 1 });
  await until(() => seen.length > 0, "the fresh message");
  assert.deepEqual(seen, ["imu/other"]);
});

test("one frozen subscriber: the others get everything, without a pause, and it is disconnected", async () => {
  const { it, port } = await broker({ limits: { drainTimeoutMs: 500, clientQueueBytes: 256 * 1024 } });
  await frozenSubscriber(port, { filter: "imu/#", ...imu });
  const healthy = await member(port, imu);
  await healthy.subscribeAsync("imu/#");
  let got = 0;
  healthy.on("message", () => (got += 1));
  const payload = new Uint8Array(2000);
  const total = 6000;
  let sent = 0;
  while (sent < total) {
    // At most 100 kB ahead of the healthy one: what it cannot take is its own trouble, and another test.
    if (sent - got < 50 && it.publish({ topic: "imu/load", payload }) === "queued") sent += 1;
    else await new Promise(setImmediate);
  }
  await until(() => got === total, "all messages at the healthy subscriber");
  await until(() => it.counters.frozenDisconnected === 1, "the frozen one to be cut off");
  assert.ok((it.counters.slowDropped ?? 0) > 0);
});

test("a broker that stood still itself does not hold that against a subscriber; what comes after does count", async () => {
  let nowUs = 0;
  let next: { deadlineUs: number; callback: () => void } | undefined;
  const clock: Clock = {
    nowUs: () => nowUs, wallTimeNs: () => 0n,
    at: (deadlineUs, callback) => {
      next = { deadlineUs, callback };
      return () => (next = undefined);
    },
  };
  const { it, port } = await broker({ clock, limits: { drainTimeoutMs: 600_000, clientQueueBytes: 64 << 20 } });
  await frozenSubscriber(port, { filter: "imu/#", ...imu });
  // More than the kernel keeps for the two ends.
  for (let i = 0; i < 400; i++) {
    it.publish({ topic: "imu/load", payload: new Uint8Array(100_000) });
    await new Promise(setImmediate);
  }
  const look = (lateUs: number): void => {
    const { deadlineUs, callback } = next!;
    nowUs = deadlineUs + lateUs;
    callback();
  };
  for (const lateUs of [0, 3_600e6, 3_600e6]) look(lateUs);
  assert.equal(it.counters.frozenDisconnected, 0);
  for (let i = 0; i < 10 && it.counters.frozenDisconnected === 0; i++) look(0);
  assert.equal(it.counters.frozenDisconnected, 1);
});

test("a slow subscriber of QoS 1 is disconnected rather than cheated", async () => {
  const { it, port } = await broker({ limits: { clientQueueBytes: 64 * 1024 } });
  const slow = await member(port, imu);
  await slow.subscribeAsync("imu/#", { qos: 1 });
  slow.stream.pause();
  (slow.stream as unknown as { read: () => null }).read = () => null;
  for (let i = 0; i < 400_000 && it.counters.slowDisconnected === 0; i++) {
    it.publish({ topic: "imu/load", payload: new Uint8Array(50_000), qos: 1 });
    if (i % 20 === 0) await new Promise(setImmediate);
  }
  assert.equal(it.counters.slowDisconnected, 1);
});

test("bounds: packet size, topic depth, retained messages, subscriptions, connections", async () => {
  const { it, port } = await broker({ limits: { packetBytes: 1000, retainedMessages: 2, subscriptionsPerClient: 2, connections: 3, topicLevels: 5 } });
  const client = await member(port, imu);
  await client.publishAsync("imu/1", "x", { qos: 1, retain: true });
  await client.publishAsync("imu/2", "x", { qos: 1, retain: true });
  await assert.rejects(client.publishAsync("imu/3", "x", { qos: 1, retain: true }));
  await client.publishAsync("imu/2", "y", { qos: 1, retain: true });
  await client.publishAsync("imu/1", "", { qos: 1, retain: true });
  assert.equal(it.gauges.retainedMessages, 1);
  assert.equal(it.publish({ topic: "imu/4", payload: new Uint8Array(10), retain: true }), "queued");
  assert.equal(it.publish({ topic: "imu/5", payload: new Uint8Array(10), retain: true }), "queueFull");
  assert.equal(it.publish({ topic: "imu/5", payload: new Uint8Array(2000) }), "badLength");
  assert.equal(it.publish({ topic: "imu/+", payload: new Uint8Array(1) }), "badTopic");
  await client.subscribeAsync(["imu/a", "imu/b"]);
  const [third] = await client.subscribeAsync("imu/c").catch(() => [{ qos: 128 }]);
  assert.ok(third!.qos >= 128);
  const hungUp = closed(client);
  client.publish("imu/big", Buffer.alloc(2000));
  await hungUp;
  await until(() => it.gauges.connections === 0, "the connection to be gone");
  const members = [await member(port, imu), await member(port, imu), await member(port, imu)];
  await assert.rejects(joinBroker(port, imu));
  assert.equal(it.counters.connectionsRefused, 1);
  const deepClosed = closed(members[0]!);
  members[0]!.publish("imu/a/b/c/d/e/f", "x");
  await deepClosed;
});

test("commands with the retain flag are refused, and nothing of them stays", async () => {
  const { it, port, received } = await broker({ guard: treeGuard });
  const client = await member(port, imu);
  await assert.rejects(client.publishAsync("ipcnet/r/cmd/arm/Move/set", "{}", { qos: 1, retain: true }), /Not authorized/i);
  await client.publishAsync("ipcnet/r/cmd/arm/Move/set", "{}", { qos: 1 });
  assert.deepEqual([received.length, it.gauges.retainedMessages, it.counters.guardRefused], [1, 0, 1]);
});

test("the broker keeps a late will of a dead instance away from its successor's state", async () => {
  const { it, port } = await broker({ guard: treeGuard });
  const topic = "ipcnet/r/bridge/state";
  const state = (word: "online" | "offline", epoch: number): Buffer => Buffer.from(encodeStatus({ state: word, instance: `i${epoch}`, epoch, session: 1, reason: "", version: "1" }));
  const old = await member(port, { ...imu, clientId: "old", will: { topic, payload: state("offline", 1), qos: 1, retain: true } });
  await old.publishAsync(topic, state("online", 1), { qos: 1, retain: true });
  const next = await member(port, { ...imu, clientId: "next" });
  await next.publishAsync(topic, state("online", 2), { qos: 1, retain: true });
  old.stream.destroy();
  await until(() => it.counters.guardRefused === 1, "the late will");
  const arrived = nextMessage(next);
  await next.subscribeAsync(topic);
  assert.deepEqual(JSON.parse((await arrived).text), JSON.parse(state("online", 2).toString()));
});

test("a will is published for a client that had subscriptions, and reaches the listener with its sender", async () => {
  const { port, received } = await broker();
  const dying = await member(port, { ...imu, clientId: "dying", will: { topic: "imu/last", payload: Buffer.from("gone"), qos: 1, retain: false } });
  await dying.subscribeAsync(["imu/a", "imu/b/#", "ipcnet/#"]);
  dying.stream.destroy();
  await until(() => received.length === 1, "the will");
  assert.deepEqual([received[0]?.topic, received[0]?.sender?.clientId, received[0]?.sender?.user], ["imu/last", "dying", "imu"]);
});

test("password files: the first line, as password or as hash; not if everybody may read it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-mqtt-"));
  open.push(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string, mode: number): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode });
    return path;
  };
  assert.equal(await readPasswordFile(file("plain", "secret\nrest", 0o640)), "secret");
  assert.equal(await passwordHashOf(users[0]!.passwordScrypt), users[0]!.passwordScrypt);
  assert.match(await passwordHashOf("secret"), /^scrypt\$14\$/);
  for (const [path, code] of [[file("open", "secret", 0o644), "passwordFileOpen"], [file("empty", "\n", 0o600), "passwordFileEmpty"], [join(folder, "none"), "passwordFileMissing"]] as const) {
    await assert.rejects(readPasswordFile(path), (error) => error instanceof DriverError && error.code === code);
  }
});

const openssl = spawnSync("openssl", ["version"]).error === undefined;
test("TLS: a client that knows the authority connects, one that does not refuses", { skip: openssl ? false : "openssl is not installed (sudo apt-get install -y openssl)" }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-tls-"));
  open.push(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const made = spawnSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert]);
  assert.equal(made.status, 0, made.stderr.toString());
  const { port, received } = await broker({ listen: { tls: { key: readFileSync(key), cert: readFileSync(cert) } } });
  const fleet = (ca?: Buffer) => createMqttClientDriver({ name: "fleet", url: `mqtts://127.0.0.1:${port}`, clientId: "robot", ...imu, backoff: { minMs: 5, maxMs: 20 }, startTimeoutMs: 500, ...(ca ? { tls: { ca } } : {}) });
  const trusting = fleet(readFileSync(cert));
  open.push(() => trusting.stop());
  await trusting.start();
  assert.equal(trusting.send({ topic: "imu/x", payload: Buffer.from("1"), qos: 1, deadlineUs: Infinity }), "queued");
  await until(() => received.length === 1, "the message over TLS");
  const wary = fleet();
  open.push(() => wary.stop());
  await wary.start();
  await until(() => /self.signed/i.test(wary.health().reason), "it says why it does not connect");
  assert.equal(wary.health().state, "down");
});

test("it does not listen on the network while anybody could come in", async () => {
  for (const options of [{ users: [] }, { users, anonymous: { publish: [], subscribe: ["#"] } }]) {
    const it = createMqttBroker({ ...options, listen: { host: "0.0.0.0", port: 0 } });
    await assert.rejects(it.start(), (error) => error instanceof DriverError && error.code === "brokerOpenToNetwork");
  }
});

test("a port that is taken is said so, with what to do, and stop works in any state", async () => {
  const { port } = await broker();
  const second = createMqttBroker({ listen: { port } });
  await second.stop();
  await assert.rejects(second.start(), (error) => error instanceof DriverError && error.code === "brokerCannotListen" && error.remedy.includes("ss -ltnp"));
  await second.stop();
});

test("rubbish on the port ends that connection alone", async () => {
  const { it, port } = await broker();
  const client = await member(port, imu);
  const { connect } = await import("node:net");
  for (const rubbish of ["GET / HTTP/1.1\r\n\r\n", "\x10\xff\xff\xff\x7f", "\x30\x02\x00\x00", "\x00\x00\x00\x00"]) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(Buffer.from(rubbish, "latin1"));
    await once(socket, "close");
  }
  await client.publishAsync("imu/x", "1", { qos: 1 });
  assert.ok((it.counters.protocolErrors ?? 0) >= 3);
});

test("password hashes: only scrypt within bounds is taken, and a bad one is named", () => {
  for (const bad of ["", "secret", "scrypt$30$8$1$AAAAAAAAAAA=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "scrypt$14$8$1$$", users[0]!.passwordScrypt.replace("$14$", "$9$")]) assert.equal(parsePasswordHash(bad), undefined, bad);
  assert.throws(() => new Accounts([{ name: "x", passwordScrypt: "plain", publish: [], subscribe: [] }]), (error) => error instanceof DriverError && error.code === "passwordHashBad");
  assert.throws(() => new Accounts([users[0]!, users[0]!]), (error) => error instanceof DriverError && error.code === "userTwice");
  assert.throws(() => new Accounts([{ ...users[0]!, publish: ["a+"] }]), (error) => error instanceof DriverError && error.code === "filterBad");
});

const mosquitto = spawnSync("mosquitto_sub", ["--help"]).error === undefined;
for (const version of ["5", "311"]) {
  test(`mosquitto's clients, protocol ${version}: both ways`, { skip: mosquitto ? false : "mosquitto_sub is not installed (sudo apt-get install -y mosquitto-clients)" }, async () => {
    const { it, port, received } = await broker();
    const common = ["-h", "127.0.0.1", "-p", String(port), "-u", "imu", "-P", "secret", "-V", version === "5" ? "mqttv5" : "mqttv311"];
    const subscriber = spawn("mosquitto_sub", [...common, "-t", "ipcnet/#", "-q", "1", "-C", "2", "-F", "%t %p"], { stdio: ["ignore", "pipe", "inherit"] });
    open.push(() => subscriber.kill());
    const over = once(subscriber, "close");
    let text = "";
    subscriber.stdout.on("data", (bytes: Buffer) => (text += bytes.toString()));
    it.publish({ topic: "ipcnet/r/state", payload: Buffer.from("retained"), qos: 1, retain: true });
    await until(() => text.includes("retained"), "the retained message at mosquitto_sub");
    for (const qos of ["0", "1", "2"]) {
      const { status } = await new Promise<{ status: number | null }>((resolve) => {
        spawn("mosquitto_pub", [...common, "-t", "imu/m", "-q", qos, "-m", `qos ${qos}`], { stdio: "inherit" }).once("exit", (code) => resolve({ status: code }));
      });
      assert.equal(status, 0);
    }
    await until(() => received.length === 3, "the three messages from mosquitto_pub");
    assert.deepEqual(received.map(({ payload }) => Buffer.from(payload).toString()).sort(), ["qos 0", "qos 1", "qos 2"]);
    it.publish({ topic: "ipcnet/r/live", payload: Buffer.from("live"), qos: 1 });
    await over;
    assert.equal(text, "ipcnet/r/state retained\nipcnet/r/live live\n");
  });
}
