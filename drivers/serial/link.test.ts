/** Both ends of a link over a line in memory, in simulated time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ManualClock } from "../../schemas/clock.ts";
import type { DriverEvent } from "../driver.ts";
import { DriverError } from "../driver.ts";
import { seededRandom } from "../../schemas/random.ts";
import type { SerialDriver, SerialDriverOptions } from "./driver.ts";
import { createSerialDriver } from "./driver.ts";
import type { LinkEffect, SerialMessage, SerialReject } from "./link.ts";
import { HELLO_ID, SerialFrameWriter, encodeHello, serialCodec } from "./frame.ts";
import { SerialLink } from "./link.ts";
import type { LinkEvent, LinkState } from "./linkTable.ts";
import { LINK_TABLE } from "./linkTable.ts";
import type { LineFaults, MemoryLine } from "./memoryPort.ts";
import { memoryLine } from "./memoryPort.ts";
import type { BytePort } from "./port.ts";

/** Ports open through promises: lets those run, then moves time. */
async function pass(clock: ManualClock, ms: number, stepMs = 1): Promise<void> {
  for (let done = 0; done < ms; done += stepMs) {
    await new Promise(setImmediate);
    clock.advanceMs(stepMs);
  }
  await new Promise(setImmediate);
}

interface End {
  it: SerialDriver;
  received: SerialMessage[];
  rejects: SerialReject["reason"][];
  events: DriverEvent[];
}

function end(port: BytePort, clock: ManualClock, random: () => number, options: Partial<SerialDriverOptions>): End {
  const it = createSerialDriver({ name: "hand", port, dataId: 0x1234_5678, baudBps: 1_000_000, optional: true, clock, random, newSession: () => 1 + Math.floor(random() * 0xffff_fffe), ...options });
  const received: SerialMessage[] = [];
  const rejects: SerialReject["reason"][] = [];
  const events: DriverEvent[] = [];
  it.onFrames((message) => received.push(message));
  it.onReject(({ reason }) => rejects.push(reason));
  it.onEvent((event) => events.push(event));
  return { it, received, rejects, events };
}

interface Bench {
  clock: ManualClock;
  line: MemoryLine;
  gateway: End;
  device: End;
  random: () => number;
}

async function bench({ seed = 1, faults, gateway = {}, device = {} }: { seed?: number; faults?: LineFaults; gateway?: Partial<SerialDriverOptions>; device?: Partial<SerialDriverOptions> } = {}): Promise<Bench> {
  const clock = new ManualClock();
  const random = seededRandom(seed);
  const line = memoryLine({ clock, random, ...(faults ? { faults } : {}) });
  const made = { clock, line, random, gateway: end(line.a, clock, random, { role: "gateway", ...gateway }), device: end(line.b, clock, random, { role: "device", name: "device", ...device }) };
  await Promise.all([made.gateway.it.start(), made.device.it.start()]);
  return made;
}

const state = ({ it }: End): string => it.health().state;
const later = (clock: ManualClock, ms = 100): number => clock.nowUs() + ms * 1e3;

test("both ends come up, know each other's name, and carry messages both ways", async () => {
  const { clock, gateway, device } = await bench();
  await pass(clock, 30);
  assert.deepEqual([state(gateway), state(device), gateway.it.peer?.name, device.it.peer?.role], ["up", "up", "device", "gateway"]);
  assert.equal(device.it.send({ id: 1, body: Uint8Array.of(1, 0, 2), deadlineUs: later(clock) }), "queued");
  assert.equal(gateway.it.send({ id: 2, body: Uint8Array.of(9), deadlineUs: later(clock) }), "queued");
  await pass(clock, 5);
  assert.deepEqual(gateway.received.map(({ id, body, lostBefore }) => [id, [...body], lostBefore]), [[1, [1, 0, 2], 0]]);
  assert.deepEqual(device.received.map(({ id, body }) => [id, [...body]]), [[2, [9]]]);
  await gateway.it.stop();
  await device.it.stop();
  assert.equal(clock.nowUs() > 0 && state(gateway), "stopped");
});

test("what the line loses at the beginning does not keep the link down", async () => {
  const { clock, line, gateway, device } = await bench();
  line.cut = true;
  await pass(clock, 450);
  assert.deepEqual([state(gateway), state(device)], ["starting", "starting"]);
  line.cut = false;
  await pass(clock, 250);
  assert.deepEqual([state(gateway), state(device)], ["up", "up"]);
});

test("an answer to a hello is not put off by a stream of other messages, however dense", () => {
  const link = new SerialLink({ role: "gateway", name: "gateway", dataId: 1, baudBps: 1_000_000, silenceTimeoutMs: 500, newSession: () => 5, random: () => 0.5 });
  const device = new SerialFrameWriter(serialCodec(1, "device"));
  const hello = (heardSession: number): Uint8Array => device.write(HELLO_ID, encodeHello({ role: "device", bodyBytesMax: 64, session: 9, heardSession, name: "hand" }));
  link.start(0);
  link.opened(0);
  link.received(hello(5), 1_000);
  link.poll(20_000);
  assert.equal(link.counters.hellosOut, 2, "the first, and that it has heard the device");
  // What told the device that was lost: it asks once more.
  link.received(hello(0), 20_000);
  let answeredAtUs = 0;
  for (let nowUs = 21_000; nowUs < 120_000 && answeredAtUs === 0; nowUs += 2_000) {
    assert.equal(link.send({ id: 1, body: Uint8Array.of(1), deadlineUs: nowUs + 1_000 }, nowUs), "queued");
    for (const effect of link.poll(nowUs)) if (effect.do === "write") link.wrote(effect.bytes.length, nowUs);
    if (link.counters.hellosOut > 2) answeredAtUs = nowUs;
  }
  assert.ok(answeredAtUs > 0 && answeredAtUs <= 32_000, `answered after ${answeredAtUs} µs`);
});

test("a gateway that stood still reads what came meanwhile before it calls the device silent; a device calls the gateway silent all the same", () => {
  for (const role of ["gateway", "device"] as const) {
    const link = new SerialLink({ role, name: role, dataId: 1, baudBps: 1_000_000, silenceTimeoutMs: 500, newSession: () => 5, random: () => 0.5 });
    const peer = new SerialFrameWriter(serialCodec(1, role === "gateway" ? "device" : "gateway"));
    const take = (effects: readonly LinkEffect[], nowUs: number): void => {
      for (const effect of effects) if (effect.do === "write") link.wrote(effect.bytes.length, nowUs);
    };
    const hear = (nowUs: number): void => take(link.received(hello(), nowUs), nowUs);
    const poll = (nowUs: number): void => take(link.poll(nowUs), nowUs);
    const hello = (): Uint8Array => peer.write(HELLO_ID, encodeHello({ role: role === "gateway" ? "device" : "gateway", bodyBytesMax: 64, session: 9, heardSession: 5, name: "hand" }));
    link.start(0);
    take(link.opened(0), 0);
    hear(1_000);
    assert.equal(link.state, "up");
    poll(900_000);
    assert.equal(link.state, role === "gateway" ? "up" : "silent");
    if (role === "device") continue;
    assert.ok(link.nextDeadlineUs()! <= 950_000);
    hear(901_000);
    poll(1_401_000);
    assert.equal(link.state, "silent", "in time, and nothing had come");
    hear(1_402_000);
    assert.equal(link.state, "up");
    for (const nowUs of [2_000_000, 2_049_000]) {
      poll(nowUs);
      assert.equal(link.state, "up");
    }
    poll(2_100_000);
    assert.equal(link.state, "silent", "late again, and still nothing: once is enough");
  }
});

test("who stood still hears first what the port took meanwhile, before it calls it stuck; a port that takes nothing is stuck", () => {
  for (const role of ["gateway", "device"] as const) {
    const link = new SerialLink({ role, name: role, dataId: 1, baudBps: 1_000_000, silenceTimeoutMs: 60_000, newSession: () => 5, random: () => 0.5 });
    const peer = new SerialFrameWriter(serialCodec(1, role === "gateway" ? "device" : "gateway"));
    let unwritten = 0;
    const take = (effects: readonly LinkEffect[]): void => {
      for (const effect of effects) if (effect.do === "write") unwritten += effect.bytes.length;
    };
    const told = (nowUs: number): void => {
      const bytes = unwritten;
      unwritten = 0;
      take(link.wrote(bytes, nowUs));
    };
    const say = (nowUs: number): void => {
      assert.equal(link.send({ id: 1, body: Uint8Array.of(1), deadlineUs: nowUs + 1_000 }, nowUs), "queued");
      take(link.poll(nowUs));
    };
    link.start(0);
    take(link.opened(0));
    take(link.received(peer.write(HELLO_ID, encodeHello({ role: role === "gateway" ? "device" : "gateway", bodyBytesMax: 64, session: 9, heardSession: 5, name: "hand" })), 1_000));
    told(1_000);
    say(10_000);
    assert.ok(unwritten > 0);
    // It stands still for three seconds; the port took all of it, which is told after the timer.
    take(link.poll(3_000_000));
    assert.equal(link.state, "up");
    assert.ok(link.nextDeadlineUs()! <= 3_050_000);
    told(3_001_000);
    take(link.poll(3_100_000));
    assert.equal(link.state, "up");
    assert.equal(link.counters.losses, 0);
    // Late again, and nothing was taken: once is enough.
    say(3_200_000);
    take(link.poll(6_000_000));
    take(link.poll(6_050_000));
    assert.equal(link.state, "searching");
    assert.equal(link.counters.losses, 1);
  }
});

test("what waits for a peer is dropped when it begins a new session: it was meant for the one before", () => {
  const link = new SerialLink({ role: "gateway", name: "gateway", dataId: 1, baudBps: 1_000, silenceTimeoutMs: 500, newSession: () => 5, random: () => 0.5 });
  const hello = (session: number): Uint8Array => new SerialFrameWriter(serialCodec(1, "device")).write(HELLO_ID, encodeHello({ role: "device", bodyBytesMax: 64, session, heardSession: 5, name: "hand" }));
  link.start(0);
  link.opened(0);
  link.received(hello(9), 1_000);
  // The hellos before it take this slow line half a second each.
  assert.equal(link.send({ id: 1, body: Uint8Array.of(1), deadlineUs: 10e6 }, 2_000), "queued");
  link.poll(2_000);
  assert.equal(link.counters.framesOut, 0);
  const effects = link.received(hello(10), 3_000);
  assert.ok(effects.some((effect) => effect.do === "report" && effect.code === "transmitDropped"));
  link.poll(5e6);
  assert.deepEqual([link.counters.framesOut, link.counters.dropped], [0, 1]);
});

test("a line that flips, drops and cuts bytes lets nothing false through, and the link survives it", async () => {
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 0x7fff_ffff }), async (seed) => {
    const { clock, line, gateway, device } = await bench({ seed });
    await pass(clock, 30);
    line.faults = { flip: 0.004, drop: 0.002, chunkBytesMax: 9 };
    const sent: string[] = [];
    for (let i = 0; i < 100; i++) {
      const body = Uint8Array.from({ length: 24 }, () => (i * 7) & 0xff);
      body[0] = i;
      if (device.it.send({ id: i % 3, body, deadlineUs: later(clock) }) === "queued") sent.push(`${i % 3}:${body.join()}`);
      await pass(clock, 2);
    }
    const got = gateway.received.map(({ id, body }) => `${id}:${body.join()}`);
    assert.deepEqual(got, sent.filter((each) => got.includes(each)), "a subsequence of what was sent, in order, nothing twice");
    assert.ok(got.length > 60, `only ${got.length} of ${sent.length} arrived`);
    assert.ok(gateway.rejects.length > 0);
    const { lost = 0 } = gateway.it.health().counters;
    assert.ok(lost <= sent.length - got.length + (gateway.it.health().counters.hellosIn ?? 0) + 20);
  }), { numRuns: 10 });
});

test("silence is noticed, commands are refused meanwhile, and the return is", async () => {
  const { clock, line, gateway, device } = await bench();
  await pass(clock, 600);
  assert.equal(state(gateway), "up", "signs of life keep an idle link up");
  line.cut = true;
  await pass(clock, 502);
  assert.equal(state(gateway), "dead");
  assert.equal(gateway.it.send({ id: 2, body: Uint8Array.of(1), deadlineUs: later(clock) }), "linkDown");
  assert.ok(gateway.events.some(({ code }) => code === "silence"));
  line.cut = false;
  await pass(clock, 400);
  assert.deepEqual([state(gateway), state(device)], ["up", "up"]);
  assert.deepEqual(device.received, [], "nothing of before arrives afterwards");
});

test("a device that stays silent has its port opened anew, and is found again", async () => {
  const { clock, line, gateway } = await bench();
  await pass(clock, 30);
  line.cut = true;
  await pass(clock, 6000, 5);
  assert.ok((gateway.it.health().counters.opens ?? 0) >= 2);
  line.cut = false;
  await pass(clock, 6000, 5);
  assert.equal(state(gateway), "up");
});

test("unplugged: down at once with the reason, what waited is dropped; plugged in again: up by itself", async () => {
  const { clock, line, gateway, device } = await bench({ gateway: { baudBps: 9600 } });
  await pass(clock, 50);
  for (let id = 0; id < 10; id++) gateway.it.send({ id, body: new Uint8Array(30), deadlineUs: later(clock, 5000) });
  line.unplug();
  assert.deepEqual([state(gateway), gateway.it.health().reason], ["down", "unplugged"]);
  assert.ok((gateway.it.health().counters.dropped ?? 0) >= 8);
  await pass(clock, 700, 5);
  assert.equal(gateway.it.send({ id: 2, body: Uint8Array.of(1), deadlineUs: later(clock) }), "linkDown");
  line.plug();
  await pass(clock, 2500, 5);
  assert.deepEqual([state(gateway), state(device)], ["up", "up"]);
  assert.ok(device.received.length <= 1, "what waited before is not sent later");
});

test("a device that started anew is followed from its first frame on", async () => {
  const { clock, line, gateway, device, random } = await bench();
  await pass(clock, 30);
  for (let i = 0; i < 5; i++) {
    device.it.send({ id: 1, body: Uint8Array.of(i), deadlineUs: later(clock) });
    await pass(clock, 2);
  }
  await device.it.stop();
  const second = end(line.b, clock, random, { role: "device", name: "device" });
  await second.it.start();
  await pass(clock, 30);
  assert.equal(state(second), "up");
  for (let i = 5; i < 8; i++) {
    second.it.send({ id: 1, body: Uint8Array.of(i), deadlineUs: later(clock) });
    await pass(clock, 2);
  }
  assert.deepEqual(gateway.received.map(({ body }) => body[0]), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(gateway.it.health().counters.peerRestarts, 1);
});

test("frames heard before are refused when they come again", async () => {
  const clock = new ManualClock();
  const random = seededRandom(3);
  const line = memoryLine({ clock, random });
  let heard: Uint8Array[] = [];
  let inject: ((bytes: Uint8Array) => void) | undefined;
  const tapped: BytePort = {
    path: "tapped",
    open: (handlers) => {
      inject = (bytes) => handlers.data(bytes);
      return line.a.open({ ...handlers, data: (bytes) => {
        heard.push(bytes.slice());
        handlers.data(bytes);
      } });
    },
  };
  const gateway = end(tapped, clock, random, { role: "gateway" });
  const device = end(line.b, clock, random, { role: "device" });
  await Promise.all([gateway.it.start(), device.it.start()]);
  await pass(clock, 30);
  heard = [];
  for (let i = 0; i < 4; i++) {
    device.it.send({ id: 1, body: Uint8Array.of(i), deadlineUs: later(clock) });
    await pass(clock, 2);
  }
  assert.equal(gateway.received.length, 4);
  for (let round = 0; round < 3; round++) inject!(Buffer.concat(heard));
  assert.equal(gateway.received.length, 4);
  assert.deepEqual(gateway.rejects, [0, 1, 2].flatMap(() => ["wrongSequence", "wrongSequence", "wrongSequence", "repeated"]));
});

test("a wire broken in one direction is not up at either end that matters: who is not heard may not command", async () => {
  const clock = new ManualClock();
  const random = seededRandom(5);
  const line = memoryLine({ clock, random });
  const mute: BytePort = { path: "mute", open: async (handlers) => ({ ...(await line.a.open(handlers)), write: (_bytes, done) => done(undefined) }) };
  const gateway = end(mute, clock, random, { role: "gateway" });
  const device = end(line.b, clock, random, { role: "device" });
  await Promise.all([gateway.it.start(), device.it.start()]);
  await pass(clock, 300);
  assert.deepEqual([state(gateway), gateway.it.peer?.name], ["starting", "hand"]);
  assert.equal(gateway.it.send({ id: 2, body: Uint8Array.of(1), deadlineUs: later(clock) }), "linkDown");
});

test("a slow line carries the latest value only, and nothing after its deadline", async () => {
  const { clock, gateway, device } = await bench({ gateway: { baudBps: 9600 }, device: { baudBps: 9600 } });
  await pass(clock, 100);
  for (let i = 0; i < 200; i++) {
    assert.equal(gateway.it.send({ id: 1, body: new Uint8Array(40).fill(i), deadlineUs: later(clock, 500) }), "queued");
    await pass(clock, 1);
  }
  await pass(clock, 100);
  const values = device.received.map(({ body }) => body[0]!);
  assert.ok(values.length < 8, `${values.length} frames of 65 ms each in 300 ms`);
  assert.equal(values.at(-1), 199);
  assert.deepEqual(values, [...values].sort((a, b) => a - b));
  const before = device.received.length;
  for (let id = 0; id < 20; id++) gateway.it.send({ id, body: new Uint8Array(40), deadlineUs: later(clock, 150) });
  await pass(clock, 1000);
  const sent = device.received.length - before;
  assert.ok(sent <= 4, `${sent} frames`);
  assert.equal(gateway.it.health().counters.expired, 20 - sent);
});

test("verdicts: not started, expired, too long, impossible id, full", async () => {
  const { clock, gateway } = await bench({ gateway: { baudBps: 1200, limits: { queueFrames: 3 } } });
  const deadlineUs = later(clock, 10_000);
  const stopped = createSerialDriver({ name: "x", port: "/dev/null", dataId: 1 });
  assert.equal(stopped.send({ id: 1, body: new Uint8Array(1), deadlineUs }), "notStarted");
  await pass(clock, 600, 2);
  const send = (id: number, bytes: number, at = deadlineUs) => gateway.it.send({ id, body: new Uint8Array(bytes), deadlineUs: at });
  assert.equal(send(1, 1, clock.nowUs()), "expired");
  assert.equal(send(1, 1, NaN), "expired");
  assert.equal(send(1, 513), "badLength");
  assert.equal(send(0xffff, 1), "unsupported");
  assert.equal(send(-1, 1), "unsupported");
  const verdicts = [1, 2, 3, 4, 5].map((id) => send(id, 100));
  assert.equal(verdicts.at(-1), "queueFull", "at most one is on the line, three wait");
  assert.ok(verdicts.filter((verdict) => verdict === "queued").length >= 3);
});

test("a port that takes nothing is given up and opened anew", async () => {
  const { clock, line, gateway } = await bench();
  await pass(clock, 30);
  line.stuck = true;
  gateway.it.send({ id: 1, body: new Uint8Array(1), deadlineUs: later(clock) });
  await pass(clock, 1100, 5);
  assert.ok(gateway.events.some(({ code, text }) => code === "linkLost" && text.includes("took nothing")), JSON.stringify(gateway.events));
  line.stuck = false;
  await pass(clock, 1500, 5);
  assert.equal(state(gateway), "up");
});

test("attempts to open have a budget: twenty soon, then one every ten seconds, and an hour later the device is still found", async () => {
  const { clock, line, gateway } = await bench();
  await pass(clock, 30);
  line.unplug();
  await pass(clock, 60_000, 50);
  const after1Minute = gateway.it.health().counters.opens!;
  assert.ok(after1Minute >= 20 && after1Minute < 30, `${after1Minute}`);
  await pass(clock, 600_000, 500);
  const after11Minutes = gateway.it.health().counters.opens!;
  assert.ok(after11Minutes - after1Minute <= 61, `${after11Minutes - after1Minute}`);
  assert.equal(gateway.events.filter(({ code }) => code === "refused").length, 1);
  line.plug();
  await pass(clock, 11_000, 20);
  assert.equal(state(gateway), "up");
});

test("ids and lengths that the configuration does not list are refused after the integrity check", async () => {
  const { clock, gateway, device } = await bench({ gateway: { receive: [{ id: 1, bodyBytes: 2 }] } });
  await pass(clock, 30);
  for (const [id, bytes] of [[1, 2], [1, 3], [9, 2]] as const) {
    device.it.send({ id, body: new Uint8Array(bytes), deadlineUs: later(clock) });
    await pass(clock, 3);
  }
  assert.deepEqual([gateway.received.length, gateway.rejects], [1, ["badLength", "unknownId"]]);
});

test("ends with different Data IDs never come up, and say why", async () => {
  const { clock, gateway } = await bench({ device: { dataId: 7 } });
  await pass(clock, 500);
  assert.equal(state(gateway), "starting");
  assert.ok(gateway.rejects.length > 0 && gateway.rejects.every((reason) => reason === "wrongDataId"));
});

test("a missing device: refused with a remedy, or awaited where the configuration says optional", async () => {
  const clock = new ManualClock();
  const line = memoryLine({ clock, random: seededRandom(1) });
  line.unplug();
  const strict = end(line.a, clock, seededRandom(1), { optional: false });
  await assert.rejects(strict.it.start(), (error) => error instanceof DriverError && error.code === "portMissing" && error.remedy !== "");
  assert.equal(state(strict), "stopped");
  await assert.rejects(createSerialDriver({ name: "x", port: "/dev/serial/by-id/usb-none", dataId: 1 }).start(), (error) => error instanceof DriverError && error.code === "portMissing");
  const patient = end(line.a, clock, seededRandom(1), { optional: true });
  await patient.it.start();
  assert.equal(state(patient), "down");
  await assert.rejects(patient.it.start(), (error) => error instanceof DriverError && error.code === "alreadyStarted");
  await patient.it.stop();
  await patient.it.stop();
});

test("after stop nothing is delivered, and a stop while opening lets go of the port", async () => {
  const { clock, line, gateway, device, random } = await bench();
  await pass(clock, 30);
  device.it.send({ id: 1, body: Uint8Array.of(1), deadlineUs: later(clock) });
  await gateway.it.stop();
  await pass(clock, 50);
  assert.deepEqual(gateway.received, []);
  const hasty = end(line.a, clock, random, { role: "gateway" });
  const starting = hasty.it.start();
  await hasty.it.stop();
  await assert.rejects(starting, (error) => error instanceof DriverError && error.code === "stopped");
  await pass(clock, 5);
  const third = end(line.a, clock, random, { role: "gateway" });
  await third.it.start();
  await pass(clock, 300);
  assert.equal(state(third), "up");
});

test("the table: each state can be reached, and stopped can be reached from each by stop alone", () => {
  const states = Object.keys(LINK_TABLE) as LinkState[];
  const seen = new Set<LinkState>(["stopped"]);
  for (const at of seen) for (const event of Object.keys(LINK_TABLE[at]) as LinkEvent[]) seen.add(LINK_TABLE[at][event].to);
  assert.equal(seen.size, states.length);
  for (const from of states) assert.equal(LINK_TABLE[from].stop.to, "stopped");
  const open = new Set<LinkState>(["opening", "handshake", "up", "silent"]);
  for (const from of states) {
    for (const cell of Object.values(LINK_TABLE[from])) {
      const leavesOpen = open.has(from) && !open.has(cell.to);
      if (leavesOpen && from !== "opening") assert.ok(cell.do.includes("closePort"), `${from} → ${cell.to} leaves the port open`);
      if (from === "up" && cell.to !== "up") assert.ok(cell.do.includes("dropQueue"), `${from} → ${cell.to} keeps commands`);
    }
  }
});

test("a port that throws when it is written to is lost, and opened again", async () => {
  const clock = new ManualClock();
  const line = memoryLine({ clock, random: seededRandom(1) });
  let faults = 2;
  const port: BytePort = {
    path: line.a.path,
    async open(handlers) {
      const opened = await line.a.open(handlers);
      return { ...opened, write: (bytes, done) => {
        if (faults-- > 0) throw new Error("the adapter has gone mad");
        opened.write(bytes, done);
      } };
    },
  };
  const gateway = end(port, clock, seededRandom(1), { role: "gateway" });
  const device = end(line.b, clock, seededRandom(2), { role: "device", name: "device" });
  await Promise.all([gateway.it.start(), device.it.start()]);
  await pass(clock, 5_000);
  assert.ok(faults < 0);
  assert.equal(state(gateway), "up");
  assert.match(gateway.events.map(({ text }) => text).join("\n"), /gone mad/);
  await Promise.all([gateway.it.stop(), device.it.stop()]);
});
