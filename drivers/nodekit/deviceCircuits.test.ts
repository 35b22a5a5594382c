/** Circuits of the serial kit: C against the core of shm/circuits frame by frame; then as a process on a pseudo-terminal, through the real `serialport`, damaged, killed and started again in the middle. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../schemas/clock.ts";
import { seededRandom } from "../../schemas/random.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { fromHex, projectRoot, toHex, vectors } from "../../schemas/testData.ts";
import { until } from "../../schemas/testing.ts";
import { CircuitCore } from "../../shm/circuits/core.ts";
import { CIRCUIT_LIMITS, Circuits, type Conversation } from "../../shm/circuits/index.ts";
import { bareSeal } from "../../shm/circuits/seal.ts";
import { decodeFrame, encodeFrame, type Frame } from "../../shm/circuits/wire.ts";
import { createSerialDriver, type SerialDriver } from "../serial/driver.ts";
import { asItIs, DATA_ID, GATEWAY_SILENCE_MS, type Way, wire } from "./serialRig.ts";

const root = projectRoot();
const FRAME_BYTES = 72;

// ── the model ──

/** What ipcnet_circuits_test serves and takes in its rows. */
class Device {
  readonly #core = new CircuitCore({
    role: "acceptor", name: "hand", frameBytesMax: FRAME_BYTES, carriesDescriptors: false, seal: bareSeal,
    limits: { ...CIRCUIT_LIMITS, maxCircuits: 6, windowUnits: 0x7fff, messageBytesMax: 200, queueUnits: 1 << 20 },
  }, 0);
  readonly #calls = new Map<number, { protocol: number | string; answered: boolean }>();

  constructor(hello: Uint8Array) {
    this.hear(hello);
  }

  /** One row of answers. */
  hear(frame: Uint8Array): string {
    const core = this.#core;
    const { breaches, late } = core.counters;
    core.receive(frame, [], 0);
    this.#serve();
    if (core.isDown) return "ended";
    const said: string[] = [];
    for (let out = core.take(0); out; out = core.take(0)) {
      const it = decodeFrame(out.bytes) as Frame;
      if (it.kind === "credit") continue;
      // The device says no words.
      said.push(`${toHex(it.kind === "end" || it.kind === "abort" ? encodeFrame({ ...it, text: "" }) : out.bytes)} `);
    }
    return `${said.join("")}${core.counters.breaches - breaches} ${core.counters.late - late}`;
  }

  #serve(): void {
    const core = this.#core;
    for (let events = core.takeEvents(); events.length > 0; events = core.takeEvents()) {
      for (const event of events) {
        if (event.event === "begun") {
          this.#calls.set(event.circuit, { protocol: event.protocol, answered: false });
          if (event.protocol !== "echo" && event.protocol !== 1) core.end(event.circuit, Status.notFound, "", 0);
        } else if (event.event === "message") {
          core.consumed(event.circuit, event);
          const call = this.#calls.get(event.circuit)!;
          if (call.answered) continue;
          call.answered = true;
          if (call.protocol === "echo") core.send(event.circuit, event.bytes, { last: true }, 0);
          else if (call.protocol === 1) core.send(event.circuit, new TextEncoder().encode("echo"), { last: true }, 0);
        }
      }
    }
  }
}

/** As ipcnet_circuits_test says it. */
const hello = encodeFrame({ kind: "hello", role: "initiator", carriesDescriptors: false, frameBytesMax: 512, maxCircuits: 8, windowUnits: 1024, messageBytesMax: 512, silenceMs: 15_000, name: "g" });

/** Frames of a gateway that is mostly right: it keeps to generations and turns often enough to get everywhere, and breaks every rule now and then. `ended`: the line began anew. */
function* frames(seed: number, count: number, ended: () => boolean): Generator<Uint8Array> {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const generations = new Map<number, number>();
  const open = new Set<number>();
  const bytes = (max: number): Uint8Array => Uint8Array.from({ length: below(max) }, () => below(256));
  const flags = (): { more: boolean; last: boolean; descriptors: number } => {
    const more = below(3) === 0;
    return { more, last: !more && below(2) === 0, descriptors: below(60) === 0 && !more ? 1 + below(5) : 0 };
  };
  const make = (): Frame => {
    const circuit = below(12) === 0 ? below(24) + (below(4) === 0 ? 200 : 0) : [4, 16, 16, 16, 18, 20][below(6)]!;
    const known = generations.get(circuit) ?? 1;
    const choice = below(40);
    const next = choice < 14 && (!open.has(circuit) || below(12) === 0);
    const generation = below(30) === 0 ? below(2) : next ? known ^ 1 : known;
    if (next) {
      generations.set(circuit, generation);
      const how = flags();
      if (!how.last) open.add(circuit);
      const protocol = [1, 7, "echo", "echo", "echo", "other"][below(6)]!;
      return { kind: "begin", circuit, generation, ...how, protocol, deadlineMs: below(3) === 0 ? 1 + below(1e6) : 0, priority: below(4), body: bytes(50) };
    }
    if (!open.has(circuit) && below(8) > 0) return { kind: "ping", token: below(2 ** 32) };
    if (choice < 26) {
      const how = flags();
      if (how.last) open.delete(circuit);
      return { kind: "data", circuit, generation, ...how, body: bytes(66) };
    }
    if (choice < 33) {
      open.delete(circuit);
      return { kind: below(3) === 0 ? "end" : "abort", circuit, generation, status: below(400), text: "because".slice(0, below(8)) };
    }
    if (choice === 33) return { kind: "accept", circuit, generation };
    if (choice === 34) return { kind: below(2) === 0 ? "ping" : "pong", token: below(2 ** 32) };
    if (choice < 38) return { kind: "credit", grants: Array.from({ length: 1 + below(3) }, () => ({ circuit: [4, 16, 18, 20, 22, 17][below(6)]!, generation: below(2), units: 1 + below(below(4) === 0 ? 4000 : 60) })) };
    if (choice === 38 && below(40) === 0) return { kind: "goodbye", status: 100, text: "" };
    if (choice === 39 && below(40) === 0) return decodeFrame(hello) as Frame;
    return { kind: "abort", circuit, generation, status: 211, text: "" };
  };
  for (let i = 0; i < count; i++) {
    let frame = encodeFrame(make()).slice(0, FRAME_BYTES);
    // A C string has no opinion on UTF-8, so only ASCII is spoilt where words may be.
    const spoil = below(60);
    if (spoil === 0) frame[below(frame.length)] = below(128);
    else if (spoil === 1) frame = frame.slice(0, below(frame.length + 1));
    else if (spoil === 2 && below(4) === 0) frame = Uint8Array.from({ length: below(20) }, () => below(128));
    yield frame;
    if (!ended()) continue;
    generations.clear();
    open.clear();
  }
}

/** Whose turn it is when several have something to say is everybody's own choice. */
function byCircuit(answers: string): string {
  const words = answers.split(" ");
  const said = words.slice(0, -2).map((frame, index) => ({ frame, index }));
  return [...said.sort((a, b) => a.frame.slice(0, 2).localeCompare(b.frame.slice(0, 2)) || a.index - b.index).map(({ frame }) => frame), ...words.slice(-2)].join(" ");
}

/** What the C test answers to rows of frames. */
function inC(rows: readonly string[]): string[] {
  const run = spawnSync(join(root, "dist/native/test/nodekit_circuits.asan"), ["-"], { input: rows.map((row) => `${row}\n`).join(""), encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, run.stderr);
  const answers = run.stdout.trimEnd().split("\n");
  assert.equal(answers.length, rows.length);
  return answers;
}

interface CircuitVectors {
  rows: { name: string; hears: string; ended?: boolean; says?: string[]; breaches?: number; late?: number }[];
}

test("C builds, passes its own tests, and both languages give the answers of the vectors", () => {
  const build = spawnSync(process.execPath, [join(root, "scripts/native.mjs"), "--test", "nodekit_circuits"], { cwd: root, encoding: "utf8" });
  assert.equal(build.status, 0, build.stdout + build.stderr);
  const { rows } = vectors("circuits.json") as CircuitVectors;
  const answers = inC(rows.map(({ hears }) => hears));
  let device = new Device(hello);
  for (const [index, { name, hears, ended, says = [], breaches, late }] of rows.entries()) {
    const expected = ended === true ? "ended" : [...says, breaches, late].join(" ");
    assert.equal(answers[index], expected, `C: ${name}`);
    assert.equal(device.hear(fromHex(hears)), expected, `TypeScript: ${name}`);
    if (ended === true) device = new Device(hello);
  }
});

test("C and the core of shm/circuits say the same to twenty thousand frames, right and wrong", () => {
  const seed = 20_261_123;
  const rows: { row: string; expected: string }[] = [];
  let device = new Device(hello);
  const seen = { answered: 0, aborted: 0, ended: 0, breaches: 0 };
  for (const frame of frames(seed, 20_000, () => rows.at(-1)!.expected === "ended")) {
    const expected = device.hear(frame);
    rows.push({ row: toHex(frame), expected });
    if (expected === "ended") {
      seen.ended += 1;
      device = new Device(hello);
      continue;
    }
    const words = expected.split(" ");
    seen.breaches += Number(words.at(-2));
    for (const word of words.slice(0, -2)) {
      const kind = Number.parseInt(word.slice(2, 4), 16) & 0x0f;
      if (kind === 9) seen.answered += 1;
      if (kind === 12) seen.aborted += 1;
    }
  }
  const answers = inC(rows.map(({ row }) => row));
  for (const [index, { row, expected }] of rows.entries()) assert.equal(byCircuit(answers[index]!), byCircuit(expected), `seed ${seed}, row ${index}: ${row}`);
  // Else it would not have compared what it is about.
  assert.ok(seen.answered > 1_000 && seen.aborted > 500 && seen.ended > 50 && seen.breaches > 500, JSON.stringify(seen));
});

// ── as a process ──

const MOTION = 1;
const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const hasStatus = (...status: number[]) => (error: unknown): boolean => error instanceof IpcnetError && status.includes(error.status);
const set = (number: number, value: number): Uint8Array => Uint8Array.of(number, ...u32(value));
const theLog = Uint8Array.from({ length: 4000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

/** The gateway's end: the link, and the circuits of its line. */
class Gateway {
  readonly driver: SerialDriver;
  circuits: Circuits | undefined;
  readonly answers: string[] = [];
  telemetry = 0;

  constructor(port: string, silenceTimeoutMs: number) {
    this.driver = createSerialDriver({ name: "gateway", port, dataId: DATA_ID, baudBps: 3_000_000, silenceTimeoutMs, startTimeoutMs: 60_000, optional: true, circuits: {} });
    this.driver.onFrames(({ id, body }) => {
      if (id === 10) this.telemetry += 1;
      else this.answers.push(`${id}:${toHex(body)}`);
    });
    this.driver.onCircuits((transport) => {
      // A machine that stands still for a while is no fault of the device.
      const circuits = (this.circuits = new Circuits({ transport, role: "initiator", name: "gateway", limits: { maxCircuits: 8, messageBytesMax: 8192, windowUnits: 16_384, queueUnits: 16_384, silenceMs: 120_000, helloTimeoutMs: 120_000 } }));
      void this.#forget(circuits);
    });
  }

  async #forget(circuits: Circuits): Promise<void> {
    await circuits.closed();
    if (this.circuits === circuits) this.circuits = undefined;
  }

  get isUp(): boolean {
    return this.driver.health().state === "up";
  }

  async request(service: string, body: Uint8Array): Promise<Uint8Array> {
    await until(() => this.circuits !== undefined, "a line");
    return (await this.circuits!.request(service, body)).bytes;
  }

  insist(service: string, body: Uint8Array): Promise<Uint8Array> {
    return whileALineStays(() => this.request(service, body));
  }

  send(id: number, body: Uint8Array): boolean {
    return this.driver.send({ id, body, deadlineUs: systemClock.nowUs() + 1e6 }) === "queued";
  }
}

const isBroken = hasStatus(Status.badGateway, Status.gatewayTimeout, Status.gone);

/** Again, if the line broke: on a machine that stands still for seconds it may, without anybody's fault. */
async function whileALineStays<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!isBroken(error)) throw error;
    }
  }
}

/** Nobody is silent for so long but who is dead. */
const PATIENT_MS = 20_000;

async function gateway(t: TestContext, port: string, silenceMs = 2 * PATIENT_MS): Promise<Gateway> {
  const it = new Gateway(port, silenceMs);
  t.after(() => it.driver.stop());
  await it.driver.start();
  await until(() => it.isUp, "up");
  return it;
}

/** A stream that has no end, of which something has come. */
function begun(it: Gateway): Promise<Conversation> {
  return whileALineStays(async () => {
    await until(() => it.circuits !== undefined, "a line");
    const stream = await it.circuits!.open("count", u32(1_000_000_000), { last: true });
    await stream.next();
    return stream;
  });
}

test("a device answers requests, streams, and says what it serves, while commands and telemetry go on", { timeout: 300_000 }, async (t) => {
  const line = await wire(t, 1, PATIENT_MS);
  const it = await gateway(t, line.pty.path);
  const circuits = async (): Promise<Circuits> => {
    await until(() => it.circuits !== undefined, "a line");
    return it.circuits!;
  };
  assert.deepEqual(await whileALineStays(async () => (await circuits()).ready()), { name: "C device", maxCircuits: 6, carriesDescriptors: false });
  assert.deepEqual(await whileALineStays(async () => (await circuits()).list()), ["parameter", "log", "count"]);
  const telemetry = it.telemetry;
  const requests = Array.from({ length: 40 }, async (_, i) => {
    // Three at a time is what the device has memory for; more are refused by our own core, and asked again.
    const ask = async (): Promise<Uint8Array> => {
      for (;;) {
        try {
          return await it.insist("parameter", set(i % 8, i));
        } catch (error) {
          if (!hasStatus(Status.tooManyRequests)(error)) throw error;
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    };
    assert.deepEqual(await ask(), u32(i));
  });
  for (let i = 0; i < 50; i++) {
    const answer = `11:${toHex(Uint8Array.of(i, 1, 2, 3))}`;
    await until(() => {
      if (!it.answers.includes(answer)) it.send(MOTION, Uint8Array.of(i, 1, 2, 3));
      return it.answers.includes(answer);
    }, `answer ${i}`);
  }
  await Promise.all(requests);
  assert.deepEqual(await it.insist("log", new Uint8Array(0)), theLog);
  await whileALineStays(async () => {
    let next = 0;
    for await (const { bytes } of (await circuits()).stream("count", u32(2_000))) assert.deepEqual(bytes, u32(next++));
    assert.equal(next, 2_000);
  });
  await until(() => it.telemetry > telemetry, "telemetry");
  for (const [service, body, status] of [["parameter", Uint8Array.of(8), Status.notFound], ["parameter", Uint8Array.of(1, 2), Status.badRequest], ["count", u32(0), Status.badRequest], ["nothing", u32(0), Status.notFound], ["log", new Uint8Array(65), Status.payloadTooLarge]] as const) {
    await assert.rejects(it.insist(service, body), hasStatus(status), service);
  }
  assert.equal((await circuits()).counters.breaches, 0);
});

test("whoever does not read his stream holds up nobody else, and is held up himself", { timeout: 300_000 }, async (t) => {
  const line = await wire(t, 1, PATIENT_MS);
  const it = await gateway(t, line.pty.path);
  await whileALineStays(async () => {
    await until(() => it.circuits !== undefined, "a line");
    const circuits = it.circuits!;
    const isOver = (): boolean => it.circuits !== circuits;
    const unread = await circuits.open("count", u32(100_000), { last: true });
    // 16,384 units are 819 messages of 20.
    await until(() => circuits.heldUnits > 15_000 || isOver(), "the window is used");
    for (let i = 0; i < 10; i++) assert.deepEqual((await circuits.request("parameter", set(1, i))).bytes, u32(i));
    assert.ok(circuits.heldUnits <= 16_384);
    let next = 0;
    for await (const { bytes } of unread) {
      assert.deepEqual(bytes, u32(next++));
      if (next === 2_000) break; // cancelled: the device hears of it
    }
    await until(() => circuits.busyCircuits === 0 || isOver(), "the circuit is free again");
    assert.deepEqual((await circuits.request("parameter", Uint8Array.of(1))).bytes, u32(9));
  });
});

test("bits flipped and bytes lost on the way: every answer is right, and none is missing", { timeout: 300_000 }, async (t) => {
  const line = await wire(t, 1, PATIENT_MS);
  const it = await gateway(t, line.pty.path);
  const random = seededRandom(20_261_123);
  const faults = { count: 0 };
  const spoiling: Way = (bytes) => {
    if (random() >= 0.15) return [bytes];
    faults.count += 1;
    const copy = Uint8Array.from(bytes);
    const at = Math.floor(random() * copy.length);
    if (random() < 0.5) return [copy.subarray(0, at), copy.subarray(at + 1)];
    copy[at]! ^= 1 << Math.floor(random() * 8);
    return [copy];
  };
  line.toDevice = line.toGateway = spoiling;
  for (let i = 0; i < 60 || faults.count < 40; i++) {
    assert.deepEqual(await it.insist("parameter", set(i % 8, i)), u32(i));
    if (i % 20 === 0) assert.deepEqual(await it.insist("log", new Uint8Array(0)), theLog);
  }
  line.toDevice = line.toGateway = asItIs;
  assert.ok(it.driver.health().counters["circuitRepeats"]! > 0);
});

test("the device dies in the middle of an answer: whoever waits is told, and the next one asks the device that started anew", { timeout: 300_000 }, async (t) => {
  const line = await wire(t, 11, PATIENT_MS);
  const it = await gateway(t, line.pty.path);
  assert.deepEqual(await it.insist("parameter", set(3, 77)), u32(77));
  for (let seed = 12; seed < 15; seed++) {
    const stream = await begun(it);
    const old = line.sent.slice();
    await line.switchOff();
    line.switchOn(seed);
    // All that its predecessor was sent: none of it is meant for it.
    for (const bytes of old) line.inject(bytes);
    await assert.rejects(async () => { for await (const each of stream) assert.ok(each); }, hasStatus(Status.badGateway));
    assert.deepEqual(await it.insist("parameter", Uint8Array.of(3)), u32(0), "it knows nothing of before");
    assert.deepEqual(await it.insist("parameter", set(3, seed)), u32(seed));
  }
});

test("the device hangs for a while: whoever waits is told, and it goes on with a new line", { timeout: 300_000 }, async (t) => {
  const line = await wire(t, 21);
  const it = await gateway(t, line.pty.path, GATEWAY_SILENCE_MS);
  assert.deepEqual(await it.insist("parameter", set(3, 5)), u32(5));
  await line.freeze();
  const waiting = it.request("parameter", set(3, 6));
  await assert.rejects(waiting, isBroken);
  line.device!.kill("SIGCONT");
  assert.deepEqual(await it.insist("parameter", Uint8Array.of(3)), u32(5), "what piled up was not heard");
  assert.deepEqual(await it.insist("log", new Uint8Array(0)), theLog);
});

test("another gateway opens the port in the middle of an answer: it begins with nothing", { timeout: 300_000 }, async (t) => {
  const line = await wire(t, 31, PATIENT_MS);
  const first = await gateway(t, line.pty.path);
  const stream = await begun(first);
  await first.driver.stop();
  await assert.rejects(async () => { for await (const each of stream) assert.ok(each); }, hasStatus(Status.badGateway));
  const second = await gateway(t, line.pty.path);
  assert.deepEqual(await second.insist("log", new Uint8Array(0)), theLog);
  assert.equal(second.driver.health().counters["rejectCrcMismatch"], 0);
});
