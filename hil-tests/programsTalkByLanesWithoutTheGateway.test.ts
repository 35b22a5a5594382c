/** Two programs talk by a lane: whatever happens to the gateway, to one of them or to a third, they lose nothing that they need not lose. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { Client } from "../shm/client/index.ts";
import type { StatusReport } from "../schemas/messages/statusReport.ts";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { Program } from "./program.ts";
import { eventually, standsStill } from "./waiting.ts";

const configuration = "version: 1\nrobot: lanes\ntopics:\n  - { name: app/declared, encoding: json, writers: [{ user: root }] }\n";
const notRoot = process.getuid?.() === 0 ? false : "only root can run programs as other users";

/** Counts up, a thousand messages a second: the lane holds as many as its readers may stand still for, a quarter of a minute. "stop" ends that and tells how many there were. */
const talker = `
  const writer = await client.advertise("app/count", { encoding: "json", queue: 16_384 });
  let sent = 0;
  const timer = setInterval(() => { for (let i = 0; i < 5; i++) { writer.publish(sent); sent += 1; } }, 5);
  onAsk((word) => { if (word === "stop") clearInterval(timer); say({ sent, readers: writer.readers }); });
  say("talking");`;

/** Counts up as far as it is told to. */
const obedient = `
  const writer = await client.advertise("app/count", { encoding: "json", queue: 1024 });
  let sent = 0;
  onAsk((word) => { for (let i = 0; i < Number(word); i++) { writer.publish(sent); sent += 1; } say({ sent, readers: writer.readers }); });
  say("talking");`;

/** Takes everything under a pattern and checks on the way that each writer's messages come in order, once each, with exact gaps. */
const listener = (policy: string): string => `
  const lasts = new Map();
  const faults = [];
  let received = 0, lost = 0, last;
  await client.subscribe("app/#", { policy: ${policy} }, ({ value, sequence, lostBefore, origin }) => {
    received += 1;
    lost += lostBefore;
    last = value;
    const before = lasts.get(origin);
    if (before !== undefined && sequence !== before + 1 + lostBefore) faults.push([origin, before, sequence, lostBefore]);
    lasts.set(origin, sequence);
  });
  onAsk(() => say({ received, lost, last, faults, writers: lasts.size }));
  say("listening");`;

interface Heard { received: number; lost: number; last: unknown; faults: unknown[]; writers: number }

async function start(t: TestContext, text = configuration): Promise<{ daemon: Daemon; folder: string }> {
  const folder = testFolder();
  const daemon = await startDaemon(folder.path, text);
  t.after(async () => {
    await daemon.stop();
    folder.remove();
  });
  return { daemon, folder: folder.path };
}

const lanesOf = async (client: Client): Promise<StatusReport["lanes"]> => ((await client.request("gateway/status")) as StatusReport).lanes;

test("the gateway is killed and another one comes: not one message is lost or doubled", async (t) => {
  const { daemon, folder } = await start(t);
  const options = { reconnect: { delayMinMs: 10, delayMaxMs: 100 } };
  const hears = new Program(t, daemon.socketPath, listener("{ queue: 16384 }"), { options });
  await hears.line(0);
  const talks = new Program(t, daemon.socketPath, talker, { options });
  await talks.line(0);
  const more = async (than: number): Promise<number> => {
    const { received } = await hears.ask<Heard>("how many?");
    return received > than ? received : 0;
  };
  const before = await eventually("messages flow", async () => (await more(200)) || undefined, { timeoutMs: 60_000 });
  daemon.process.kill("SIGKILL");
  await daemon.ended;
  const without = await eventually("messages flow without a gateway", async () => (await more(before + 500)) || undefined, { timeoutMs: 60_000 });
  const second = await startDaemon(folder, configuration);
  t.after(() => second.stop());
  const client = await second.connect();
  t.after(() => client.close());
  await eventually("the lane is known again, with its reader", async () => (await lanesOf(client)).some(({ topic, readers }) => topic === "app/count" && readers === 1), { timeoutMs: 60_000 });
  await eventually("messages flow on", async () => (await more(without + 500)) || undefined, { timeoutMs: 60_000 });
  const { sent } = await talks.ask<{ sent: number }>("stop");
  const heard = await eventually("all has come", async () => {
    const now = await hears.ask<Heard>("how many?");
    return now.received + now.lost >= sent ? now : undefined;
  }, { timeoutMs: 60_000 });
  assert.deepEqual(heard, { received: sent, lost: 0, last: sent - 1, faults: [], writers: 1 });
  assert.equal((await client.query("app/count"))?.value, sent - 1);
});

test("a reader that stands still costs only itself, and is told exactly what it missed", async (t) => {
  const { daemon } = await start(t);
  const [stopped, other] = [new Program(t, daemon.socketPath, listener("{ queue: 64 }")), new Program(t, daemon.socketPath, listener("{ queue: 16384 }"))];
  await Promise.all([stopped.line(0), other.line(0)]);
  const talks = new Program(t, daemon.socketPath, obedient);
  await talks.line(0);
  await eventually("two readers", async () => (await talks.ask<{ readers: number }>("0")).readers === 2, { timeoutMs: 60_000 });
  let sent = 0;
  /** Says so many more, and waits until the other one has them: no more than the ring holds are ever under way. */
  const say = async (count: number): Promise<void> => {
    ({ sent } = await talks.ask<{ sent: number }>(String(count)));
    const all = await eventually("the other has all", async () => {
      const now = await other.ask<Heard>("?");
      return now.received >= sent ? now : undefined;
    }, { timeoutMs: 60_000 });
    assert.deepEqual(all, { received: sent, lost: 0, last: sent - 1, faults: [], writers: 1 });
  };
  await say(50);
  await eventually("both hear", async () => (await stopped.ask<Heard>("?")).received === 50, { timeoutMs: 60_000 });
  stopped.child.kill("SIGSTOP");
  await standsStill(stopped.child.pid!);
  // Thrice round the ring.
  for (let i = 0; i < 6; i++) await say(512);
  stopped.child.kill("SIGCONT");
  const late = await eventually("the stopped one has caught up", async () => {
    const now = await stopped.ask<Heard>("?");
    return now.last === sent - 1 ? now : undefined;
  }, { timeoutMs: 60_000 });
  assert.deepEqual([late.received + late.lost, late.faults], [sent, []]);
  assert.ok(late.lost > 1_000, `${late.lost} lost`);
});

test("a writer that is killed and started again is a new lane: its readers have all that it wrote, and go on", async (t) => {
  const { daemon } = await start(t);
  const hears = new Program(t, daemon.socketPath, listener("{ queue: 16384 }"));
  await hears.line(0);
  const first = new Program(t, daemon.socketPath, `${talker} client.onClose(() => process.exit());`);
  await eventually("the first is heard", async () => (await hears.ask<Heard>("?")).received > 100, { timeoutMs: 60_000 });
  await first.kill();
  const second = new Program(t, daemon.socketPath, talker);
  await second.line(0);
  // Stopped before its first message it would be a writer nobody can have heard of.
  await eventually("the second has begun", async () => (await second.ask<{ sent: number }>("?")).sent > 0);
  const { sent } = await second.ask<{ sent: number }>("stop");
  const heard = await eventually("the second is heard from its first message on", async () => {
    const now = await hears.ask<Heard>("?");
    return now.writers === 2 && now.last === sent - 1 ? now : undefined;
  }, { timeoutMs: 60_000 });
  assert.deepEqual([heard.lost, heard.faults], [0, []]);
});

test("what is published through the gateway joins what comes by lanes", async (t) => {
  const { daemon } = await start(t);
  const [writer, reader] = [await daemon.connect("writer"), await daemon.connect("reader")];
  t.after(() => Promise.all([writer.close(), reader.close()]));
  const values: unknown[] = [];
  await reader.subscribe("app/#", { policy: { queue: 100 } }, ({ topic, value }) => values.push([topic, value]));
  await writer.publish("app/declared", 1);
  const lane = await writer.advertise("app/declared", { encoding: "json" });
  lane.publish(2);
  await reader.publish("app/declared", 3);
  await writer.advertise("app/own", { layout: [{ name: "x", type: "f32" }] });
  await reader.publish("app/own", { x: 4 });
  await eventually("all four", () => values.length === 4);
  assert.deepEqual(values.sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1), [["app/declared", 1], ["app/declared", 2], ["app/declared", 3], ["app/own", { x: 4 }]]);
  assert.deepEqual((await reader.topics("app/#")).map(({ name }) => name), ["app/declared", "app/own"]);
});

test("whoever loses the right to read sees nothing more, though it had the lane in its hands", { skip: notRoot }, async (t) => {
  const REVOKED = { uid: 65_111, gid: 65_111 };
  const { daemon, folder } = await start(t, `${configuration}readers: [{ user: "${REVOKED.uid}" }]\n`);
  chmodSync(folder, 0o755);
  chmodSync(daemon.socketPath, 0o666);
  const [writer, good] = [await daemon.connect("writer"), await daemon.connect("good")];
  t.after(() => Promise.all([writer.close(), good.close()]));
  const lane = await writer.advertise("app/secret", { encoding: "json" });
  // It stays when its connection ends, and keeps what it has mapped.
  const revoked = new Program(t, daemon.socketPath, listener("{ queue: 100 }"), { who: REVOKED, options: { reconnect: true } });
  await revoked.line(0);
  const heard: unknown[] = [];
  await good.subscribe("app/#", { policy: { queue: 100 } }, ({ value }) => heard.push(value));
  await eventually("both are attached", () => lane.readers === 2);
  lane.publish("before");
  await eventually("both hear", async () => heard.length === 1 && (await revoked.ask<Heard>("?")).received === 1);
  writeFileSync(join(folder, "ipcnet.yaml"), `socket: { path: "${daemon.socketPath}", mode: "0600" }\n${configuration}`);
  await good.request("gateway/reload", { path: join(folder, "ipcnet.yaml") });
  await eventually("one reader is left", () => lane.readers === 1);
  lane.publish("after");
  await eventually("the other goes on", () => heard.length === 2);
  assert.deepEqual(heard, ["before", "after"]);
  assert.deepEqual(await revoked.ask<Heard>("?"), { received: 1, lost: 0, last: "before", faults: [], writers: 1 });
});

test("the command line sees topics that programs write by lanes as it sees any others", async (t) => {
  const { daemon } = await start(t);
  const ipcnet = async (...words: string[]): Promise<{ code: number | null; out: string }> => {
    const child = spawn(process.execPath, [join(import.meta.dirname, "../../../bin/ipcnet.mjs"), ...words, "--socket", daemon.socketPath], { stdio: ["ignore", "pipe", "inherit"] });
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    const [code] = (await once(child, "close")) as [number | null];
    return { code, out };
  };
  const talks = new Program(t, daemon.socketPath, talker);
  await talks.line(0);
  const { out: topics } = await ipcnet("topics", "app/#");
  assert.match(topics, /app\/count +json .*writable +1 writing/);
  const { out: echoed } = await ipcnet("echo", "app/count", "--count", "3", "--json");
  const [first, , third] = echoed.trim().split("\n").map((line) => JSON.parse(line) as { value: number; lostBefore: number; origin: string });
  assert.deepEqual([third!.value - first!.value, third!.lostBefore], [2, 0]);
  assert.match(first!.origin, new RegExp(`/${talks.child.pid}/`));
  const { out: limited } = await ipcnet("echo", "app/count", "--rate-max", "100", "--count", "2", "--json");
  assert.equal(limited.trim().split("\n").length, 2);
  const { out: rate } = await ipcnet("hz", "app/count", "--count", "1", "--json");
  // However few come from a busy machine.
  assert.ok((JSON.parse(rate) as { rateHz: number }).rateHz > 0, rate);
  await talks.ask("stop");
  const { out: last } = await ipcnet("get", "app/count", "--last", "3", "--json");
  const values = last.trim().split("\n").map((line) => (JSON.parse(line) as { value: number }).value);
  assert.deepEqual(values, [values[0], values[0]! + 1, values[0]! + 2]);
  const hears = new Program(t, daemon.socketPath, listener("{ queue: 100 }"));
  await hears.line(0);
  assert.equal((await ipcnet("pub", "app/count", "--json-value", "-1")).code, 0);
  await eventually("what was published by hand is heard", async () => (await hears.ask<Heard>("?")).last === -1);
});
