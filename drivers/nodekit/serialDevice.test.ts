/** The serial kit in C, as a process of its own, against the gateway's link in TypeScript: the real `serialport` on a pseudo-terminal, a line in between that damages, stops and repeats. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../schemas/clock.ts";
import { projectRoot, toHex } from "../../schemas/testData.ts";
import { seededRandom } from "../../schemas/random.ts";
import { until } from "../../schemas/testing.ts";
import { createSerialDriver, type SerialDriver } from "../serial/driver.ts";
import type { SerialMessage } from "../serial/link.ts";
import { asItIs, DATA_ID, DEAD_MAN_MS, GATEWAY_SILENCE_MS, type Way, wire } from "./serialRig.ts";
import { randomSerialRows, serialVectors, serialVectorsPath } from "./serialVectors.ts";

const root = projectRoot();
/** Longer than a machine stands still. */
const PATIENT_MS = 20_000;
const MOTION = 1;
const CONFIGURE = 2;
const ASK = 3;
const TELEMETRY = 10;
const REPORT = 13;
const REPORT_WORDS = ["session", "accepted", "early", "outOfOrder", "crcMismatch", "silences", "peerRestarts", "deadManStops", "lost", "outputs"] as const;

type Report = Record<(typeof REPORT_WORDS)[number], number>;

test("the rows for the C test are up to date", () => {
  assert.equal(readFileSync(join(root, serialVectorsPath), "utf8"), serialVectors(), "write them again: node dist/ts/drivers/nodekit/serialVectors.js --write");
});

test("C and TypeScript write and read the same bytes, five thousand times", () => {
  const build = spawnSync(process.execPath, [join(root, "scripts/native.mjs"), "--test", "ipcnet_serial"], { cwd: root, encoding: "utf8" });
  assert.equal(build.status, 0, build.stdout + build.stderr);
  const seed = 20261123;
  const rows = randomSerialRows({ seed, count: 5_000 });
  const run = spawnSync(join(root, "dist/native/test/ipcnet_serial.asan"), ["-"], { input: `${rows.join("\n")}\n`, encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, `seed ${seed}: ${run.stderr}`);
  assert.match(run.stdout, new RegExp(`^${rows.length} rows passed`));
});

test("the serial kit compiles alone, freestanding, in C99, without a warning", () => {
  const flags = ["-std=c99", "-pedantic", "-ffreestanding", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-fsyntax-only", "-Ischemas/crc/c", "-Ischemas/e2e/c", "-DIPCNET_E2E_ONLY", "-DIPCNET_E2E_P08"];
  const run = spawnSync(process.env["CC"] ?? "cc", [...flags, "drivers/nodekit/ipcnet_serial.c", "drivers/nodekit/ipcnet_circuits.c", "drivers/nodekit/ipcnet_serial_update.c"], { cwd: root, encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
});

/** The gateway's end, and what it has heard. */
class Gateway {
  readonly driver: SerialDriver;
  readonly answers: string[] = [];
  outputs: number | undefined;
  telemetry = 0;
  #report: Report | undefined;
  readonly events: string[] = [];

  constructor(port: string, silenceTimeoutMs: number) {
    this.driver = createSerialDriver({ name: "gateway", port, dataId: DATA_ID, baudBps: 3_000_000, silenceTimeoutMs, startTimeoutMs: 60_000, optional: true });
    this.driver.onFrames((message) => this.#heard(message));
    this.driver.onEvent(({ code, text }) => void this.events.push(`${code} ${text}`));
  }

  get isUp(): boolean {
    return this.driver.health().state === "up";
  }

  #heard({ id, body }: SerialMessage): void {
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    if (id === TELEMETRY) {
      this.telemetry += 1;
      this.outputs = body[4];
    } else if (id === REPORT) this.#report = Object.fromEntries(REPORT_WORDS.map((name, index) => [name, view.getUint32(4 * index, true)])) as Report;
    else this.answers.push(`${id}:${toHex(body)}`);
  }

  send(id: number, body: Uint8Array, lifeMs = 1_000): boolean {
    return this.driver.send({ id, body, deadlineUs: systemClock.nowUs() + lifeMs * 1e3 }) === "queued";
  }

  /** Sends it until it is answered. */
  async tell(id: number, body: Uint8Array): Promise<void> {
    const answer = `${id + 10}:${toHex(body)}`;
    await until(() => {
      if (!this.answers.includes(answer)) this.send(id, body);
      return this.answers.includes(answer);
    }, `an answer to ${answer}`);
  }

  async report(): Promise<Report> {
    this.#report = undefined;
    await until(() => {
      if (!this.#report) this.send(ASK, new Uint8Array(0));
      return this.#report !== undefined;
    }, "a report");
    return this.#report!;
  }
}

async function gateway(t: TestContext, port: string, silenceTimeoutMs = GATEWAY_SILENCE_MS): Promise<Gateway> {
  const it = new Gateway(port, silenceTimeoutMs);
  t.after(() => it.driver.stop());
  await it.driver.start();
  await until(() => it.isUp, "up");
  return it;
}

const motion = (number: number): Uint8Array => Uint8Array.of(number, number >>> 8, 0, 0xff);

test("a C process on a pseudo-terminal of its own: commands there, answers and telemetry back, nothing lost; the dead-man stops it when nobody commands", async (t) => {
  const device = spawn(join(root, "dist/native/test/serial_device"), ["pty", String(DATA_ID), "77", String(PATIENT_MS), String(DEAD_MAN_MS)], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => device.kill("SIGKILL"));
  const path = await new Promise<string>((resolve) => createInterface({ input: device.stdout }).once("line", resolve));
  // "Nothing lost" is the line's: neither end gives the other up, nor a command its hope, because the machine is busy.
  const it = await gateway(t, path, 2 * PATIENT_MS);
  assert.equal(it.driver.peer?.name, "C device");
  assert.equal(it.driver.peer?.bodyBytesMax, 77);
  for (let i = 0; i < 300; i++) {
    assert.ok(it.send(MOTION, motion(i), PATIENT_MS));
    await until(() => it.answers.length === i + 1, `answer ${i}`);
  }
  assert.deepEqual(it.answers, Array.from({ length: 300 }, (_, i) => `11:${toHex(motion(i))}`));
  await until(() => it.outputs === 1, "it follows");
  await until(() => it.outputs === 0, "the dead-man");
  const report = await it.report();
  assert.ok(report.deadManStops >= 1);
  assert.equal(it.driver.health().counters["rejectCrcMismatch"], 0);
});

test("one byte at a time, and in chunks that end anywhere", async (t) => {
  const line = await wire(t);
  const random = seededRandom(5);
  const chopped = (longest: number): Way => (bytes) => {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = 1 + Math.floor(random() * longest);
      parts.push(bytes.subarray(at, at + length));
      at += length;
    }
    return parts;
  };
  const it = await gateway(t, line.pty.path);
  for (const longest of [1, 7, 40]) {
    line.toDevice = line.toGateway = chopped(longest);
    for (let i = 0; i < 30; i++) await it.tell(CONFIGURE, Uint8Array.of(longest, i, 0, 0, 1, 2, 3, 0));
  }
  assert.equal(it.driver.health().counters["rejectCrcMismatch"], 0);
});

test("bits flipped on the way: nothing is accepted that was not sent, and it goes on when they stop", async (t) => {
  const line = await wire(t);
  const it = await gateway(t, line.pty.path);
  const random = seededRandom(20261123);
  const flips = { count: 0 };
  const flipping: Way = (bytes) => {
    const copy = Uint8Array.from(bytes);
    if (random() < 0.3) {
      copy[Math.floor(random() * copy.length)]! ^= 1 << Math.floor(random() * 8);
      flips.count += 1;
    }
    return [copy];
  };
  line.toDevice = line.toGateway = flipping;
  const sent = new Set<string>();
  for (let i = 0; i < 400 || flips.count < 100; i++) {
    const body = motion(i);
    const before = it.driver.health().counters["framesOut"]!;
    if (it.send(MOTION, body)) {
      sent.add(`11:${toHex(body)}`);
      await until(() => it.driver.health().counters["framesOut"]! > before || !it.isUp, "sent");
    }
    const heard = it.telemetry;
    if (i % 20 === 0) await until(() => it.telemetry > heard, "signs of life");
  }
  line.toDevice = line.toGateway = asItIs;
  await it.tell(CONFIGURE, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  const report = await it.report();
  assert.ok(report.crcMismatch > 0, "the device has refused some");
  assert.ok(it.driver.health().counters["rejectCrcMismatch"]! > 0, "and so has the gateway");
  const answers = it.answers.filter((answer) => answer.startsWith("11:"));
  assert.ok(answers.length > 10);
  assert.deepEqual(answers.filter((answer) => !sent.has(answer)), []);
  assert.deepEqual(answers.filter((answer, index) => answers.indexOf(answer) !== index), [], "none twice");
});

test("the first bytes after opening are lost, in both directions: the handshake is tried again", async (t) => {
  const line = await wire(t, 0);
  let toDevice = 50;
  let toGateway = 90;
  line.toDevice = (bytes) => {
    const lost = Math.min(toDevice, bytes.length);
    toDevice -= lost;
    return [bytes.subarray(lost)];
  };
  line.toGateway = (bytes) => {
    const lost = Math.min(toGateway, bytes.length);
    toGateway -= lost;
    return [bytes.subarray(lost)];
  };
  line.switchOn(3);
  const it = await gateway(t, line.pty.path);
  await it.tell(MOTION, motion(1));
  assert.deepEqual([toDevice, toGateway], [0, 0]);
});

test("the power of the device fails and returns: the link comes back by itself, and what was sent to the device before moves nothing after, not even all of it again", async (t) => {
  const line = await wire(t, 11);
  const it = await gateway(t, line.pty.path);
  for (let i = 0; i < 20; i++) await it.tell(MOTION, motion(i));
  const before = await it.report();
  const old = line.sent.slice();
  await line.switchOff();
  await until(() => !it.isUp, "the silence is seen");
  assert.equal(it.driver.health().state, "dead");
  assert.equal(it.send(MOTION, motion(99)), false, "nothing waits for it");
  it.answers.length = 0;
  it.outputs = undefined;
  line.switchOn(12);
  for (const bytes of old) line.inject(bytes);
  await until(() => it.isUp && it.outputs !== undefined, "up again");
  const after = await it.report();
  assert.notEqual(after.session, before.session);
  assert.ok(after.early + after.outOfOrder >= 20, `refused: ${JSON.stringify(after)}`);
  assert.deepEqual([it.answers, after.deadManStops, it.outputs], [[], 0, 0], "not one of them was obeyed");
  await it.tell(MOTION, motion(100));
  // Once more, to a device that is up and knows the gateway: all of them are behind the counter.
  it.answers.length = 0;
  for (const bytes of old) line.inject(bytes);
  await it.tell(MOTION, motion(101));
  // (What was said twice before it was answered may be answered twice.)
  const said = new Set([100, 101].map((number) => `11:${toHex(motion(number))}`));
  assert.deepEqual(it.answers.filter((answer) => !said.has(answer)), []);
});

test("the device hangs and goes on: what piled up meanwhile is not obeyed, what is sent after is", async (t) => {
  const line = await wire(t, 21);
  const it = await gateway(t, line.pty.path);
  await it.tell(MOTION, motion(1));
  await line.freeze();
  let piledUp = 0;
  while (it.isUp) {
    if (it.send(MOTION, motion(0x200 + piledUp))) piledUp += 1;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(piledUp > 10);
  it.answers.length = 0;
  line.device!.kill("SIGCONT");
  await it.tell(MOTION, motion(2));
  const report = await it.report();
  assert.ok(report.silences >= 1 && report.early >= 10, JSON.stringify(report));
  assert.deepEqual([...new Set(it.answers)], [`11:${toHex(motion(2))}`]);
});

test("another gateway opens the port: the device takes its word only after a handshake with it, and not the word of the one before", async (t) => {
  const line = await wire(t, 31);
  const first = await gateway(t, line.pty.path);
  await first.tell(MOTION, motion(1));
  const old = line.sent.slice();
  await first.driver.stop();
  const second = await gateway(t, line.pty.path);
  await second.tell(MOTION, motion(2));
  const report = await second.report();
  assert.ok(report.peerRestarts >= 1);
  second.answers.length = 0;
  // The whole of the first one's session, its hellos too: they name a session that is over.
  for (const bytes of old) line.inject(bytes);
  await second.tell(MOTION, motion(3));
  assert.deepEqual([...new Set(second.answers)], [`11:${toHex(motion(3))}`]);
});
