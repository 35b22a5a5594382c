/** The broker and programs that die, stop, flood and lie: each costs itself alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Message } from "../../shm/client/index.ts";
import { defaultLimits } from "./limits.ts";
import { BrokerRig, openPolicy, type Program } from "./testRig.ts";
import { noMoreDescriptorsThan, openDescriptors } from "../../schemas/testing.ts";


/** Subscribes with the given options and, when told "report", says what it received since. */
const listener = (options: string): string => `
  let count = 0, lost = 0, last = 0, wrong = 0, notices = [];
  await client.subscribe("data/+", ${options}, (m) => { count += 1; lost += m.lostBefore; if (m.sequence - last - 1 !== m.lostBefore && last > 0) wrong += 1; last = m.sequence; });
  client.onNotice((n) => notices.push(n));
  client.onClose((why) => { say({ count, lost, last, wrong, why }); process.exit(0); });
  process.stdin.on("data", () => say({ count, lost, last, wrong, notices }));
  say("ready");`;

interface Report { count: number; lost: number; last: number; wrong: number; why?: string }

/** Asks until the program has got everything up to sequence `last`. */
async function caughtUp(program: Program, last: number): Promise<Report> {
  for (;;) {
    program.tell("report");
    const report = await program.next<Report>();
    if (report.last >= last) return report;
  }
}

async function withRig(options: ConstructorParameters<typeof BrokerRig>[0], use: (rig: BrokerRig) => Promise<void>): Promise<void> {
  const rig = new BrokerRig(options);
  try {
    await use(rig);
  } finally {
    await rig.close();
  }
}

/** Publishes `count` samples of 40 bytes, some per turn of the event loop. */
async function publish(rig: BrokerRig, count: number, perTurn = 20): Promise<void> {
  const payload = new Uint8Array(40);
  for (let i = 0; i < count; i++) {
    rig.publish("data/x", payload);
    if (i % perTurn === 0) await new Promise((resolve) => void setImmediate(resolve));
  }
}

test("kill -9 of a client: its session, its descriptors and its subscriptions go with it", async () => {
  await withRig({}, async (rig) => {
    rig.topic("data/x");
    const before = openDescriptors();
    const victim = rig.program(listener("{ policy: { queue: 100 } }"));
    assert.equal(await victim.next(), "ready");
    await publish(rig, 1000);
    victim.kill("SIGKILL");
    await rig.until(() => rig.broker.counters.left === 1);
    await victim.exited;
    assert.equal(rig.broker.clients().length, 0);
    assert.equal(rig.table.get("data/x")!.sinks.length, 0);
    // Its pipes close in their own time.
    await noMoreDescriptorsThan(before);
    await publish(rig, 10);
  });
});

test("a stopped client costs only itself: the others lose nothing, it is told exactly what it lost", async () => {
  await withRig({ limits: { pendingBytesPerClient: 1 << 20 } }, async (rig) => {
    rig.topic("data/x");
    const [stopped, latest, healthy] = [rig.program(listener("{ policy: { queue: 500 } }")), rig.program(listener("{}")), rig.program(listener("{ policy: { queue: 65536 } }"))];
    for (const program of [stopped, latest, healthy]) assert.equal(await program.next(), "ready");
    stopped.kill("SIGSTOP");
    latest.kill("SIGSTOP");
    await publish(rig, 30_000);
    const report = await caughtUp(healthy, 30_000);
    assert.deepEqual([report.count, report.lost, report.wrong], [30_000, 0, 0]);
    const pending = rig.broker.clients().map(({ pendingBytes }) => pendingBytes);
    assert.ok(Math.max(...pending) <= (1 << 20) + 3 * 65_536, pending.join(" "));
    for (const program of [stopped, latest]) {
      program.kill("SIGCONT");
      const woken = await caughtUp(program, 30_000);
      assert.equal(woken.count + woken.lost, 30_000);
      assert.equal(woken.wrong, 0);
      assert.ok(woken.lost > 0);
    }
    await publish(rig, 100);
    for (const program of [stopped, latest, healthy]) {
      const after = await caughtUp(program, 30_100);
      assert.equal(after.count + after.lost, 30_100);
    }
  });
});

test("a client that stays stopped is sent off after the deadline, and reads why when it wakes", async () => {
  await withRig({ limits: { stallDeadlineMs: 50, lingerMs: 60_000 } }, async (rig) => {
    rig.topic("data/x");
    const stopped = rig.program(listener("{ policy: { queue: 100 } }"));
    assert.equal(await stopped.next(), "ready");
    stopped.kill("SIGSTOP");
    await publish(rig, 2000, 1);
    await rig.until(() => rig.table.get("data/x")!.sinks.length === 0);
    const [client] = rig.broker.clients();
    assert.ok(client!.pendingBytes <= 2 * 65_536);
    stopped.kill("SIGCONT");
    const report = await stopped.next<Report>();
    assert.match(report.why!, /goodbye: nothing was read for 50 ms; \d+ messages are lost/);
    await rig.until(() => rig.broker.clients().length === 0);
  });
});

test("and one that never wakes is cut off", async () => {
  await withRig({ limits: { stallDeadlineMs: 20, lingerMs: 30 } }, async (rig) => {
    rig.topic("data/x");
    const stopped = rig.program(listener("{ policy: { queue: 100 } }"));
    assert.equal(await stopped.next(), "ready");
    stopped.kill("SIGSTOP");
    await publish(rig, 2000, 1);
    await rig.until(() => rig.broker.counters.left === 1);
  });
});

test("a flood of requests and of garbage is read at its quota; another client is served meanwhile", async () => {
  await withRig({ limits: { packetsPerSecond: 2000, packetBurst: 100 } }, async (rig) => {
    rig.topic("data/x");
    const flood = rig.program(`
      const connection = SeqpacketConnection.connect(path);
      const packet = new Uint8Array(60000);
      let sent = 0;
      const seal = nativeSeal();
      const send = () => { while (connection.send(packet) === "sent") sent += 1; setImmediate(send); };
      connection.onClose((why) => { say({ sent, why }); process.exit(0); });
      connection.onPacket(() => {});
      say("ready"); send();`, { raw: true });
    assert.equal(await flood.next(), "ready");
    const end = await flood.next<{ why: object }>();
    assert.ok(end.why);
    const pinger = rig.program(`
      let count = 0, failed = 0;
      const ping = () => client.request("echo", "x".repeat(1000)).then(() => { count += 1; }, () => { failed += 1; }).then(() => setImmediate(ping));
      for (let i = 0; i < 50; i++) ping();
      process.stdin.on("data", () => say({ count, failed }));
      say("ready");`);
    assert.equal(await pinger.next(), "ready");
    const client = await connect({ socketPath: rig.path });
    const messages: Message[] = [];
    await client.subscribe("data/x", { policy: { queue: 10_000 } }, (message) => messages.push(message));
    const started = process.hrtime.bigint();
    await publish(rig, 5000);
    for (let i = 0; i < 100; i++) await client.request("echo", i);
    await rig.until(() => messages.length === 5000);
    pinger.tell("report");
    const { count } = await pinger.next<{ count: number }>();
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    // Its burst, and then its rate: an upper bound by the quota's arithmetic, whatever the machine's speed (its own start is inside the burst's slack).
    assert.ok(count <= 100 + 2000 * (seconds + 5), `${count} in ${seconds} s`);
    assert.equal(messages.at(-1)!.sequence, 5000);
    await client.close();
  });
});

test("who a client is comes from the kernel: another user is seen as such and has quotas of its own", { skip: process.getuid!() === 0 ? false : "needs root to become another user" }, async () => {
  const policy = { ...openPolicy, mayWrite: (who: { uid: number }) => who.uid === 4321 };
  await withRig({ policy, limits: { shared: { ...defaultLimits.shared, connections: 6 } } }, async (rig) => {
    rig.allowOthers();
    rig.topic("cmd", true);
    const publisher = `await client.publish("cmd", { a: 1 }).then(() => say("accepted"), (e) => say(e.status)); setInterval(() => {}, 1000);`;
    const other = rig.program(publisher, { uid: 4321 });
    assert.equal(await other.next(), "accepted");
    const own = rig.program(publisher);
    assert.equal(await own.next(), 202);
    assert.equal(rig.published.length, 1);
    assert.equal(rig.published[0]!.meta.who.uid, 4321);
    assert.deepEqual(rig.broker.clients().map(({ uid }) => uid).sort((a, b) => a - b), [0, 4321]);
    assert.deepEqual(new Set(rig.broker.clients().map(({ pid }) => pid)), new Set([own.child.pid, other.child.pid]));
  });
});

test("a greedy user takes its share of the connections and no more; others still get theirs, and what is closed is everybody's again", { skip: process.getuid!() === 0 ? false : "needs root to become another user" }, async () => {
  await withRig({ limits: { shared: { ...defaultLimits.shared, connections: 24 } } }, async (rig) => {
    rig.allowOthers();
    // Each connects until it is refused, however many processes it were, and says how often it was let in.
    const greedy = `const held = [client];
      const { connect: more } = await import(${JSON.stringify(new URL("../../shm/client/index.js", import.meta.url).href)});
      for (;;) try { held.push(await more({ socketPath: path })); } catch (error) { say([held.length, error.status]); break; }
      process.stdin.on("data", async () => { for (const each of held) await each.close(); say("closed"); });`;
    const programs: Program[] = [];
    const got: number[] = [];
    for (const uid of [4321, 4322, 4323]) {
      const program = rig.program(greedy, { uid });
      const [count, status] = await program.next<[number, number]>();
      assert.equal(status, 210);
      programs.push(program);
      got.push(count);
    }
    assert.deepEqual(got, [12, 4, 2]);
    assert.deepEqual(rig.broker.quotaUse().users.map(({ uid, used }) => [uid, used.connections]), [[4321, 12], [4322, 4], [4323, 2]]);
    for (const program of programs) {
      program.tell("close");
      await program.next();
    }
    await rig.until(() => rig.broker.clients().length === 0);
    assert.deepEqual(rig.broker.quotaUse().users, []);
  });
});

test("a client that comes back after the gateway restarted renews its subscriptions", async () => {
  const first = new BrokerRig();
  const client = await connect({ socketPath: first.path, reconnect: { delayMinMs: 5, delayMaxMs: 20 } });
  try {
    const messages: Message[] = [];
    await client.subscribe("data/+", { policy: { queue: 10 } }, (message) => messages.push(message));
    first.topic("data/x");
    await publish(first, 3);
    await first.until(() => messages.length === 3);
    await first.restartBroker();
    await publish(first, 2);
    await first.until(() => first.broker.clients()[0]?.subscriptions === 1);
    await publish(first, 1);
    await first.until(() => messages.length === 4);
    assert.deepEqual(messages.map(({ sequence, lostBefore }) => [sequence, lostBefore]), [[1, 0], [2, 0], [3, 0], [6, 2]]);
  } finally {
    await client.close();
    await first.close();
  }
});
