/** A subscriber that stands still, an MQTT client that reads no more, a node that babbles: each costs itself, and the counters tell. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { createMqttClientDriver } from "../drivers/mqtt/clientDriver.ts";
import type { Message } from "../shm/client/index.ts";
import { ArmRig } from "./armRig.ts";
import { until } from "./daemon.ts";
import { eventually, freePort, standsStill } from "./waiting.ts";

const clientModule = JSON.stringify(join(import.meta.dirname, "../shm/client/index.js"));

/** Counts what arrives and notes each gap in the gateway's own count of samples. (What a bus loses before the gateway, messages tell in `lostBefore`.) */
async function healthySubscriber(rig: ArmRig, pattern: string): Promise<{ arrived: Map<string, number>; gaps: string[] }> {
  const counts = { arrived: new Map<string, number>(), gaps: [] as string[] };
  const lasts = new Map<string, number>();
  await rig.client.subscribe(pattern, { policy: { queue: 20_000 } }, ({ topic, sequence }: Message) => {
    const last = lasts.get(topic);
    if (last !== undefined && sequence !== last + 1) counts.gaps.push(`${topic} ${last} to ${sequence}`);
    lasts.set(topic, sequence);
    counts.arrived.set(topic, (counts.arrived.get(topic) ?? 0) + 1);
  });
  return counts;
}

/** Frames as another node, as fast as the bus takes them. */
function flood(rig: ArmRig, name: string, frames: number, make: (index: number) => { canId: number; data: Uint8Array }): Promise<void> {
  const { port } = attachInProcess(rig.host, { name, queueFrames: 64 });
  return new Promise((resolve) => {
    let sent = 0;
    let confirmed = 0;
    const turn = (): void => {
      while (sent < frames && port.send({ timeUs: 0, flags: 0, ...make(sent) }) === "queued") sent += 1;
    };
    port.onEcho(() => {
      confirmed += 1;
      if (confirmed === frames) void port.close().then(resolve);
      else turn();
    });
    turn();
  });
}

function endsWith(t: TestContext, child: ChildProcess): void {
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  });
}

test("a stopped subscriber loses its own messages and nobody else's", async (t) => {
  const rig = await ArmRig.start();
  t.after(() => rig.stop());
  const program = `const { connect } = await import(${clientModule});
    const client = await connect({ socketPath: ${JSON.stringify(rig.daemon.socketPath)}, name: "frozen" });
    let lost = 0;
    await client.subscribe("can/arm/raw", { policy: { queue: 64 } }, (message) => { lost += message.lostBefore; if (message.lostBefore > 0) process.stdout.write("lost " + lost + "\\n"); });
    process.stdout.write("ready\\n");`;
  const frozen = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
  endsWith(t, frozen);
  let out = "";
  frozen.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  await eventually("the other subscriber", () => out.includes("ready"), { timeoutMs: 60_000 });
  const healthy = await healthySubscriber(rig, "can/arm/#");
  frozen.kill("SIGSTOP");
  await standsStill(frozen.pid!);
  await flood(rig, "talker", 4_000, (index) => ({ canId: 0x500, data: Uint8Array.of(index, index >> 8) }));
  const report = async (name: string) => (await rig.status()).clients.find((client) => client.name === name)!;
  await eventually("losses of the frozen one", async () => (await report("frozen")).droppedMessages > 1_000, { timeoutMs: 60_000 });
  await eventually("4000 frames at the healthy one", () => healthy.arrived.get("can/arm/raw")! >= 4_000, { timeoutMs: 60_000 });
  assert.deepEqual(healthy.gaps, []);
  assert.equal((await report("test")).droppedMessages, 0);
  const { pendingBytes } = await report("frozen");
  assert.ok(pendingBytes < 4 << 20, `${pendingBytes} bytes are kept for it`);
  // It learns exactly how many it missed.
  frozen.kill("SIGCONT");
  await eventually("its own count of losses", () => /lost \d{4,}/.test(out), { timeoutMs: 60_000 });
});

test("an MQTT client that reads no more is cut, and the healthy ones lose nothing", async (t) => {
  const port = await freePort();
  const rig = await ArmRig.start({ configure: (configuration) => {
    configuration["mqtt"] = { broker: { listen: { host: "127.0.0.1", port }, allowAnonymous: true }, publish: [{ topics: ["can/arm/raw", "app/bulk"], via: "broker" }] };
    configuration["topics"] = [{ name: "app/bulk", encoding: "bytes", writers: [] }];
  } });
  t.after(() => rig.stop());
  // By hand, so that really nothing is read: CONNECT (3.1.1, clean, 0 s keep-alive) and SUBSCRIBE.
  const frozen: Socket = connectTcp(port, "127.0.0.1");
  frozen.on("error", () => undefined);
  t.after(() => frozen.destroy());
  await once(frozen, "connect");
  const text = (value: string): number[] => [0, value.length, ...Buffer.from(value)];
  const packet = (type: number, body: number[]): Buffer => Buffer.from([type, body.length, ...body]);
  frozen.write(packet(0x10, [...text("MQTT"), 4, 2, 0, 0, ...text("frozen")]));
  await once(frozen, "data");
  frozen.write(packet(0x82, [0, 1, ...text("ipcnet/test-arm/#"), 0]));
  await once(frozen, "data");
  frozen.pause();

  const driver = createMqttClientDriver({ name: "healthy", url: `mqtt://127.0.0.1:${port}`, clientId: "healthy", subscriptions: [{ filter: "ipcnet/test-arm/can/arm/raw", qos: 0 }] });
  t.after(() => driver.stop());
  const seen = new Set<number>();
  driver.onFrames(({ payload }) => {
    const { value } = JSON.parse(Buffer.from(payload).toString()) as { value: { canId: number; data: string } };
    if (value.canId === 0x500) seen.add(Buffer.from(value.data, "hex").readUInt16LE(0));
  });
  await Promise.all([until(() => driver.health().state === "up", (look) => driver.onEvent(look), { what: "the healthy MQTT client" }), driver.start()]);
  const local = await healthySubscriber(rig, "can/arm/+");
  // Only the frozen one is subscribed to these; together more than every buffer on the way to it holds: 200 messages of 60 kB.
  const bulk = new Uint8Array(30_000);
  for (let index = 0; index < 200; index++) await rig.client.publish("app/bulk", bulk);
  const frames = 3_000;
  await flood(rig, "talker", frames, (index) => ({ canId: 0x500, data: Uint8Array.of(index, index >> 8) }));
  await eventually("all frames at the healthy MQTT client", () => seen.size === frames, { timeoutMs: 60_000, last: () => seen.size });
  await eventually("all frames at the local one", () => local.arrived.get("can/arm/raw")! >= frames);
  assert.deepEqual(local.gaps, []);
  await rig.until("the frozen one found out", ({ links }) => {
    const { slowDropped = 0, slowDisconnected = 0, frozenDisconnected = 0 } = links.find(({ name }) => name === "broker")!.counters;
    return slowDropped > 0 && slowDisconnected + frozenDisconnected > 0;
  });
});

test("a babbling node's garbage is counted and costs the healthy nodes nothing", async (t) => {
  const rig = await ArmRig.start();
  t.after(() => rig.stop());
  await rig.arm();
  const healthy = await healthySubscriber(rig, "can/arm/+");
  const { node } = attachInProcess(rig.host, { name: "babbler" });
  let garbage = 0;
  // Less important than everything else: it fills what is free, and the bus with it.
  rig.host.babble(node, () => ({ timeUs: 0, canId: 0x7f0 + (garbage++ % 8), flags: 0, data: Uint8Array.from({ length: 8 }, (_, index) => garbage >> index) }));
  const loaded = await rig.until("a full bus", ({ links, rejects }) => links[0]!.loadPercent! > 90 && (rejects.find(({ reason }) => reason === "unknownId")?.count ?? 0) > 2_000);
  assert.equal(loaded.state, "armed");
  assert.ok(loaded.nodes.every(({ state }) => state === "operational"));
  rig.host.babble(node, undefined);
  const states = (): number => healthy.arrived.get("can/arm/base_State") ?? 0;
  const before = states();
  await eventually("states of the base", () => states() > before + 50);

  // Then frames that look like a joint's but are wrong: it is silent itself meanwhile.
  rig.joint("shoulder").silence();
  const basis = states();
  await eventually("what was still on its way", () => states() > basis + 20);
  const arrived = healthy.arrived.get("can/arm/shoulder_State") ?? 0;
  assert.ok(arrived > 0);
  await flood(rig, "impostor", 2_000, (index) => ({ canId: (2 << 5) | 1, data: Uint8Array.from({ length: 8 }, (_, at) => index * 31 + at) }));
  const after = await rig.until("2000 wrong frames counted", ({ rejects }) => (rejects.find(({ reason }) => reason === "crcMismatch")?.count ?? 0) >= 1_999);
  assert.equal(healthy.arrived.get("can/arm/shoulder_State"), arrived, "none of them reached a topic");
  assert.ok(after.rejects.find(({ reason }) => reason === "crcMismatch")!.lastSample!.hex.length === 16);
  assert.deepEqual(healthy.gaps, []);
  assert.equal(after.links[0]!.counters["lost"], 0);
  assert.equal(after.clients.find(({ name }) => name === "test")!.droppedMessages, 0);
});
