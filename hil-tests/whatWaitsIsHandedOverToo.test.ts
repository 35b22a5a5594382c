/** A takeover with things under way: messages that a stopped program has not read, calls that wait with their descriptors, messages of many packets. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { pairConfiguration, PairRig } from "../bench/failover/pairRig.ts";
import { Descriptor, SeqpacketConnection } from "../shm/sockets/index.ts";
import { Program } from "./program.ts";
import { eventually } from "./waiting.ts";

async function pairOf(t: TestContext): Promise<PairRig> {
  const rig = new PairRig({ configuration: pairConfiguration });
  t.after(() => rig.close());
  await rig.startBoth();
  return rig;
}

async function killActive(rig: PairRig): Promise<void> {
  await rig.standby();
  const active = await rig.active();
  active.child.kill("SIGKILL");
  await active.exited;
  rig.start(active.name);
}

test("a program that is stopped: what waits for it in the dead gateway's queue comes once it reads again, over two takeovers", async (t) => {
  const rig = await pairOf(t);
  const provider = new Program(t, rig.socketPath, `
    let asked = 0;
    client.onClose((why) => say({ closed: why }));
    await client.offer("app/slow", { capacity: 1024 }, (body) => ({ n: body.n, length: body.fill.length, asked: asked += 1 }));
    say("ready");
  `);
  assert.equal(await provider.line(0), "ready");
  provider.child.kill("SIGSTOP");
  const caller = await rig.connect("caller");
  // 64 times 30 KB: ten times what its socket takes.
  const calls: Promise<unknown>[] = [];
  for (let n = 0; n < 64; n++) {
    calls.push(caller.request("app/slow", { n, fill: "x".repeat(30_000) }, { timeoutMs: 120_000 }));
    // It is in the gateway's hands when that answers something else behind it.
    await caller.find("services");
  }
  await killActive(rig);
  await rig.standby();
  await killActive(rig);
  provider.child.kill("SIGCONT");
  const answers = (await Promise.all(calls)) as { n: number; length: number; asked: number }[];
  assert.deepEqual(answers.map(({ n, length }) => [n, length]), Array.from({ length: 64 }, (_, n) => [n, 30_000]));
  assert.deepEqual(answers.map(({ asked }) => asked).toSorted((a, b) => a - b), Array.from({ length: 64 }, (_, i) => i + 1), "each was asked once");
  assert.equal(provider.lines.length, 1, JSON.stringify(provider.lines));
  await caller.close();
});

test("calls with descriptors: one that is being answered, and one that waits for its turn", async (t) => {
  const rig = await pairOf(t);
  const [provider, caller] = await Promise.all([rig.connect("provider"), rig.connect("caller")]);
  const held: { ends: Descriptor[]; answer(): void }[] = [];
  await provider.offer("app/one", { capacity: 1 }, (_, call) => new Promise((resolve) => held.push({ ends: call.descriptors.map((each) => each.dup()), answer: () => resolve(call.descriptors.length) })));
  const [mine, theirs] = [Descriptor.pair(), Descriptor.pair()];
  const first = caller.request("app/one", {}, { descriptors: [mine[1]], timeoutMs: 120_000 });
  const second = caller.request("app/one", {}, { descriptors: [theirs[1]], timeoutMs: 120_000 });
  await eventually("the first is being answered", () => held.length === 1);
  mine[1].close();
  theirs[1].close();
  await caller.find("services");
  await killActive(rig);
  held[0]!.answer();
  assert.equal(await first, 1);
  // The second was in the dead gateway's hands alone; its descriptor has come over with it.
  await eventually("the second has its turn", () => held.length === 2, { timeoutMs: 60_000 });
  const [here, there] = [SeqpacketConnection.of(theirs[0]), SeqpacketConnection.of(held[1]!.ends[0]!)];
  const heard = new Promise<string>((resolve) => there.onPacket((bytes, at, length) => resolve(Buffer.from(bytes.subarray(at, at + length)).toString())));
  here.send(Buffer.from("through it"));
  assert.equal(await heard, "through it");
  held[1]!.answer();
  assert.equal(await second, 1);
  here.close();
  there.close();
  mine[0].close();
  held[0]!.ends[0]!.close();
  await Promise.all([provider.close(), caller.close()]);
});

test("messages of many packets in both directions, while gateways die", async (t) => {
  const rig = await pairOf(t);
  const [provider, caller] = await Promise.all([rig.connect("provider"), rig.connect("caller")]);
  const gone: string[] = [];
  for (const client of [provider, caller]) client.onClose((why) => gone.push(why));
  await provider.offer("app/large", { capacity: 8 }, (body) => body);
  let running = true;
  t.after(() => (running = false));
  let answered = 0;
  const talk = async (): Promise<void> => {
    for (let n = 0; running; n++) {
      const body = { n, fill: String(n % 10).repeat(200_000) };
      assert.deepEqual(await caller.request("app/large", body, { timeoutMs: 120_000 }), body);
      answered += 1;
    }
  };
  const talks = Promise.all([talk(), talk(), talk()]);
  for (let i = 0; i < 4; i++) {
    const before = answered;
    await killActive(rig);
    await eventually("answers go on", () => answered > before + 5, { timeoutMs: 60_000, last: () => gone });
  }
  running = false;
  await talks;
  assert.deepEqual(gone, []);
  await Promise.all([provider.close(), caller.close()]);
});

test("who leaves is gone from both: its peer sees the end although the standby had copies, and no descriptor stays", async (t) => {
  const rig = await pairOf(t);
  const standby = await rig.standby();
  const descriptors = (): number => readdirSync(`/proc/${standby.child.pid}/fd`).length;
  const warm = await rig.connect("warm");
  await warm.close();
  await eventually("it is as before", () => descriptors() > 0);
  const before = descriptors();
  const clients = await Promise.all(Array.from({ length: 20 }, (_, i) => rig.connect(`client-${i}`)));
  await eventually("the standby has copies", () => descriptors() >= before + 20, { last: descriptors });
  await Promise.all(clients.map((client) => client.close()));
  await eventually("the copies are closed", () => descriptors() <= before, { last: () => [before, descriptors()] });
});

test("subscriptions of a program that is stopped: what waited in the dead gateway is told as lost, exactly, and the newest value comes", async (t) => {
  const rig = await pairOf(t);
  const source = (policy: string, rest = ""): string => `
    const seen = [];
    client.onClose((why) => say({ closed: why }));
    client.onNotice(({ status, count, text }) => { if (status === 104) seen.push({ gap: count }); });
    await client.subscribe("app/state", { policy: ${policy}${rest} }, ({ value, sequence, lostBefore }) => seen.push({ n: value.n, sequence, lostBefore }));
    onAsk(() => say(seen));
    say("ready");`;
  const programs = ['{ queue: 10000 }', '{ queue: 5 }', '"latest"'].map((policy) => new Program(t, rig.socketPath, source(policy)));
  for (const each of programs) assert.equal(await each.line(0), "ready");
  const publisher = await rig.connect("publisher");
  let published = 0;
  const publish = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await publisher.publish("app/state", { n: (published += 1), fill: "x".repeat(20_000) });
  };
  interface Seen { n?: number; sequence?: number; lostBefore?: number; gap?: number }
  const whole = async (program: Program): Promise<Seen[]> => eventually("everything is accounted for", async () => {
    const seen = await program.ask<Seen[]>("seen");
    return seen.reduce((sum, { n, lostBefore = 0, gap = 0 }) => sum + (n === undefined ? 0 : 1) + lostBefore + gap, 0) >= published ? seen : undefined;
  }, { timeoutMs: 60_000, last: async () => programs.map(({ lines }) => lines.at(-1)) });
  await publish(3);
  for (const each of programs) await whole(each);
  for (const each of programs) each.child.kill("SIGSTOP");
  // 20 KB each: far more than their sockets take, and than a queue of 5 keeps.
  await publish(60);
  await killActive(rig);
  await publish(20);
  // What it owes of its predecessor and of its own.
  await killActive(rig);
  await publish(1);
  for (const each of programs) each.child.kill("SIGCONT");
  for (const each of programs) {
    const seen = await whole(each);
    assert.equal(seen.reduce((sum, { n, lostBefore = 0, gap = 0 }) => sum + (n === undefined ? 0 : 1) + lostBefore + gap, 0), published, JSON.stringify(seen));
    const received = seen.filter(({ n }) => n !== undefined);
    assert.equal(received.at(-1)!.n, published, "the newest value");
    assert.ok(received.length < published, "something was lost");
    received.reduce((last, { n, sequence, lostBefore }) => {
      assert.equal(n, sequence);
      assert.equal(sequence! - last - 1, lostBefore, JSON.stringify(seen));
      return sequence!;
    }, 0);
    assert.deepEqual(each.lines.filter((line) => (line as { closed?: string }).closed !== undefined), []);
  }
  await publish(2);
  for (const each of programs) assert.deepEqual((await whole(each)).slice(-1).map(({ n, lostBefore }) => [n, lostBefore]), [[published, 0]]);
  await publisher.close();
});
