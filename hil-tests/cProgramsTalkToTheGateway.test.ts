/** C programs (with the address sanitizer in them) against a gateway and against TypeScript programs: topics, services and descriptors both ways, and what happens when somebody is killed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { constants, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type Client, Descriptor } from "../shm/client/index.ts";
import { CProgram, root } from "./cProgram/cProgram.ts";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { eventually } from "./waiting.ts";

const configuration = "version: 1\nrobot: c\ntopics:\n  - { name: app/declared, encoding: json, writers: [{ user: root }] }\n";

interface Heard { received: number; lost: number; faults: number; last: unknown }

async function start(t: TestContext): Promise<{ daemon: Daemon; client: Client; folder: string; program: (...args: string[]) => CProgram }> {
  const folder = testFolder();
  const daemon = await startDaemon(folder.path, configuration);
  const client = await daemon.connect("typescript");
  t.after(async () => {
    await client.close();
    await daemon.stop();
    folder.remove();
  });
  return { daemon, client, folder: folder.path, program: (...args) => new CProgram(t, daemon.socketPath, args) };
}

test("topics by lanes: from C to TypeScript and to C, and back, without loss", async (t) => {
  const { client, program } = await start(t);
  const values: unknown[] = [];
  let lost = 0;
  await client.subscribe("app/#", { policy: { queue: 16_384 } }, ({ value, lostBefore }) => {
    values.push(value);
    lost += lostBefore;
  });
  const listener = program("listen", "app/#");
  const talker = program("talk", "app/count");
  assert.equal(await listener.line(0), "ready");
  assert.equal(await talker.line(0), "ready");
  await eventually("two readers", async () => (await talker.ask<number>("readers")) === 2);
  assert.deepEqual(await talker.ask("go 5000"), { sent: 5000, readers: 2 });
  await eventually("all in TypeScript", () => values.length + lost === 5000, { last: () => [values.length, lost] });
  assert.equal(lost, 0);
  assert.deepEqual(values.slice(-2), [4999, 5000]);
  await eventually("all in C", async () => (await listener.ask<Heard>("ask")).received === 5000);
  assert.deepEqual(await listener.ask("ask"), { received: 5000, lost: 0, faults: 0, last: 5000 });
  // A record, its fields by name.
  const printer = program("print", "arm/#");
  await printer.line(0);
  const writer = await client.advertise("arm/pose", { layout: [{ name: "angle", type: "f64", unit: "rad" }, { name: "count", type: "i32" }, { name: "flag", type: "u8" }], policy: "queue" });
  await eventually("a reader", () => writer.readers === 1);
  writer.publish({ angle: 1.25, count: -7, flag: 1 });
  const { value, sequence, topic } = await printer.line<{ value: unknown; sequence: number; topic: string }>(1);
  assert.deepEqual({ value, sequence, topic }, { value: { angle: 1.25, count: -7, flag: 1 }, sequence: 1, topic: "arm/pose" });
});

test("through the gateway: a publish with its verdict, a refusal, a last value", async (t) => {
  const { client, program } = await start(t);
  const values: unknown[] = [];
  await client.subscribe("app/declared", {}, ({ value }) => values.push(value));
  const isRoot = process.getuid?.() === 0;
  const published = await program("publish", "app/declared", "{\"a\":[1,\"ü\"]}").ended();
  assert.equal(published.code, isRoot ? 0 : 1);
  const refused = await program("publish", "no/such", "1").ended();
  assert.equal(refused.code, 1);
  assert.match(refused.errors, /^-20[23] /);
  if (!isRoot) return;
  await eventually("the value", () => values.length === 1);
  assert.deepEqual(values, [{ a: [1, "ü"] }]);
  assert.deepEqual((await program("query", "app/declared").line<{ value: unknown }>(0)).value, { a: [1, "ü"] });
});

test("services: offered by C and called by TypeScript, with descriptors and as a stream; and the other way round", async (t) => {
  const { client, folder, program } = await start(t);
  await program("serve").line(0);
  assert.deepEqual(await client.request("c/add", { a: 2, b: 0.5 }), { sum: 2.5, pid: process.pid });
  await assert.rejects(client.request("c/add", {}), { status: 209 });
  const items: unknown[] = [];
  for await (const item of client.stream("c/count", undefined, { credit: 8 })) items.push(item);
  assert.deepEqual(items, [0, 1, 2, 3, 4, "done"]);
  const file = join(folder, "written");
  const writable = Descriptor.open(file, constants.O_WRONLY | constants.O_CREAT);
  const reply = await client.requestFull("c/pipe", undefined, { descriptors: [writable] });
  writable.close();
  assert.equal(readFileSync(file, "utf8"), "from C");
  const bytes = Buffer.alloc(64);
  assert.equal(bytes.toString("latin1", 0, readSync(reply.descriptors[0]!.fd, bytes)), "also from C");
  for (const descriptor of reply.descriptors) descriptor.close();
  await client.offer("ts/double", {}, (body) => ({ doubled: 2 * (body as { value: number }).value }));
  assert.deepEqual(await program("call", "ts/double", "{\"value\":21}").line(0), { doubled: 42 });
  assert.deepEqual(await program("call", "c/add", "{\"a\":1,\"b\":2}").line<{ sum: number }>(0).then(({ sum }) => sum), 3);
});

test("the gateway is killed and another one comes: C programs go on and lose nothing", async (t) => {
  const { daemon, client, folder, program } = await start(t);
  const listener = program("listen", "app/#");
  const talker = program("talk", "app/count");
  await Promise.all([listener.line(0), talker.line(0)]);
  await eventually("a reader", async () => (await talker.ask<number>("readers")) === 1);
  await talker.ask("go 100");
  await eventually("the first hundred", async () => (await listener.ask<Heard>("ask")).received === 100);
  daemon.process.kill("SIGKILL");
  await daemon.ended;
  await client.close();
  await talker.ask("go 100");
  await eventually("a hundred without a gateway", async () => (await listener.ask<Heard>("ask")).received === 200);
  const next = await startDaemon(folder, configuration);
  t.after(() => next.stop());
  const status = await next.connect("status");
  await eventually("both are back", async () => {
    await talker.ask("go 1");
    const { lanes } = (await status.request("gateway/status")) as { lanes: { topic: string; readers: number }[] };
    return lanes.some(({ topic, readers }) => topic === "app/count" && readers > 0);
  });
  await status.close();
  const { sent } = await talker.ask<{ sent: number }>("go 100");
  await eventually("all of them", async () => (await listener.ask<Heard>("ask")).received === sent, { last: () => [sent, listener.lines.at(-1)] });
  assert.deepEqual(await listener.ask("ask"), { received: sent, lost: 0, faults: 0, last: sent });
});

test("a C program that is killed takes nobody with it", async (t) => {
  const { client, program } = await start(t);
  const listener = program("listen", "app/#");
  const talker = program("talk", "app/count");
  const provider = program("serve");
  await Promise.all([listener.line(0), talker.line(0), provider.line(0)]);
  await eventually("a reader", async () => (await talker.ask<number>("readers")) === 1);
  await talker.ask("go 50");
  await Promise.all([talker.kill(), provider.kill()]);
  await eventually("what it had said is heard", async () => (await listener.ask<Heard>("ask")).received === 50);
  await eventually("its lane is gone", async () => ((await client.request("gateway/status")) as { lanes: unknown[] }).lanes.length === 0);
  await assert.rejects(client.request("c/add", { a: 1, b: 1 }), { status: 203 });
  const second = program("talk", "app/count");
  await second.line(0);
  await eventually("its reader", async () => (await second.ask<number>("readers")) === 1);
  await second.ask("go 10");
  await eventually("the next one is heard", async () => (await listener.ask<Heard>("ask")).received === 60);
  // And a reader that dies does not disturb its writer.
  await listener.kill();
  await eventually("no reader", async () => (await second.ask<number>("readers")) === 0);
  assert.equal((await second.ask<{ sent: number }>("go 10")).sent, 20);
});

for (const { language, compiler, ending } of [{ language: "C", compiler: "gcc", ending: "c" }, { language: "C++", compiler: "g++", ending: "cpp" }]) {
  const missing = spawnSync(compiler, ["--version"]).error === undefined ? false : `there is no ${compiler}`;
  test(`the examples in ${language} talk to each other`, { skip: missing }, async (t) => {
    const { daemon, folder } = await start(t);
    const native = join(root, "dist/native");
    for (const name of ["talker", "listener", "service", "caller"]) {
      const args = [join(root, `examples/talk/${name}.${ending}`), "-Wall", "-Wextra", "-Werror", `-I${native}/include`, `-L${native}`, `-Wl,-rpath,${native}`, "-lipcnet", "-o", join(folder, name)];
      const built = spawnSync(compiler, args, { encoding: "utf8" });
      assert.equal(built.status, 0, built.stderr);
    }
    const run = (name: string, ...args: string[]): CProgram => new CProgram(t, daemon.socketPath, args, join(folder, name));
    const listener = run("listener");
    run("talker");
    run("service");
    assert.match(await listener.line<string>(0), /^\d+ \{"text":"hello from C/);
    await eventually("the sum", async () => {
      const caller = run("caller", "20", "22.5");
      return (await caller.ended()).code === 0 && /42\.5/.test(String(caller.lines[0]));
    });
  });
}
