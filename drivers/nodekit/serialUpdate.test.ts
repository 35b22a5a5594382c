/** New firmware over a serial line: the gateway's course against the kit in C as a process with a flash memory in a file, through the real `serialport`. Power cut in the flash, the gateway gone, bytes damaged, wrong and broken images. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../schemas/clock.ts";
import { seededRandom } from "../../schemas/random.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { fromHex, projectRoot, toHex } from "../../schemas/testData.ts";
import { until } from "../../schemas/testing.ts";
import { Circuits } from "../../shm/circuits/index.ts";
import { createSerialDriver, type SerialDriver } from "../serial/driver.ts";
import { encodeImage } from "./image.ts";
import { asItIs, DATA_ID, type Wire, wire } from "./serialRig.ts";
import { decodeDeviceReport, type DeviceReport, orders, updateOverSerial } from "./serialUpdate.ts";
import type { UpdateResult } from "./update.ts";

const PATIENT_MS = 20_000;
const program = (seed: number, bytes: number): Uint8Array => {
  const random = seededRandom(seed);
  return Uint8Array.from({ length: bytes }, () => Math.floor(random() * 256));
};
const info = { vendor: 0x1234, product: 0x5678, securityCounter: 1 };
const imageOf = (major: number, bytes: number, more: Partial<typeof info> = {}): Uint8Array => encodeImage({ ...info, ...more, version: major * 2 ** 24 }, program(major, bytes));
const oldImage = imageOf(1, 3_000);
const newImage = imageOf(2, 20_000);

test("the rows that the C test passes are what this end writes and reads", () => {
  const image = (major: number): Uint8Array => encodeImage({ ...info, version: major * 2 ** 24 }, Uint8Array.from({ length: 20 }, (_, i) => i * major));
  const [before, after] = [image(1), image(2)];
  const rows = new Map(readFileSync(join(projectRoot(), "drivers/nodekit/serialUpdateVectors.txt"), "utf8").split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) => {
    const [name, request, status, answer] = line.split("|") as [string, string, string, string];
    return [name, { request, status: Number(status), answer: fromHex(answer) }];
  }));
  const written: Record<string, Uint8Array> = {
    "slot 0": before, "report at first": orders.report, "held": orders.held(8), "begin": orders.begin({ from: 0, crc: 0, total: after.length }), "begin behind what is not there": orders.begin({ from: 256, crc: 1, total: after.length }),
    "data": orders.data(0, after), "data for another place": orders.data(4, after), "finish": orders.finish, "report of a whole one": orders.report, "start": orders.start, "confirm what is not on probation": orders.confirm, "revert it": orders.revert,
  };
  for (const [name, bytes] of Object.entries(written)) assert.equal(rows.get(name)?.request, toHex(bytes), name);
  assert.equal(rows.size, Object.keys(written).length);
  const report = decodeDeviceReport(rows.get("report at first")!.answer)!;
  assert.deepEqual({ ...report, firmware: report.firmware.version }, { vendor: 0x1234, product: 0x5678, slotBytes: 1_024, pageBytes: 256, at: 0, firmware: 2 ** 24 });
  assert.equal(decodeDeviceReport(rows.get("report of a whole one")!.answer)!.firmware.staged, true);
  assert.equal(decodeDeviceReport(rows.get("report at first")!.answer.slice(1)), undefined);
});

class Bench {
  readonly line: Wire;
  driver: SerialDriver | undefined;
  circuits: Circuits | undefined;
  sent = 0;
  resumed: number[] = [];
  progress = 0;
  givenUp = false;
  /** Looks at each byte count. */
  watch: (bytes: number) => void = () => undefined;

  constructor(line: Wire) {
    this.line = line;
  }

  async connect(): Promise<void> {
    const driver = (this.driver = createSerialDriver({ name: "gateway", port: this.line.pty.path, dataId: DATA_ID, baudBps: 3_000_000, silenceTimeoutMs: 2 * PATIENT_MS, startTimeoutMs: 60_000, optional: true, circuits: {} }));
    driver.onCircuits((transport) => {
      const circuits = (this.circuits = new Circuits({ transport, role: "initiator", name: "gateway", limits: { maxCircuits: 8, messageBytesMax: 8192, windowUnits: 16_384, queueUnits: 16_384, silenceMs: 120_000, helloTimeoutMs: 120_000 } }));
      void this.#forget(circuits);
    });
    await driver.start();
    await until(() => driver.health().state === "up", "up");
  }

  async #forget(circuits: Circuits): Promise<void> {
    await circuits.closed();
    if (this.circuits === circuits) this.circuits = undefined;
  }

  async disconnect(): Promise<void> {
    await this.driver?.stop();
    this.driver = undefined;
  }

  async ask(body: Uint8Array, timeoutMs = 20_000): Promise<{ status: number; body?: Uint8Array }> {
    const circuits = this.circuits;
    if (!circuits) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { status: Status.serviceUnavailable };
    }
    this.sent += body.length;
    try {
      await circuits.ready();
      const { status, bytes } = await circuits.request("update", body, { timeoutMs });
      return { status, body: bytes };
    } catch (error) {
      if (!(error instanceof IpcnetError)) return { status: Status.badGateway };
      return { status: error.status };
    }
  }

  /** Until it answers. */
  async report(): Promise<DeviceReport> {
    for (;;) {
      const { body } = await this.ask(orders.report);
      const report = body && decodeDeviceReport(body);
      if (report) return report;
    }
  }

  update(image: Uint8Array, steadyMs = 300): Promise<UpdateResult | undefined> {
    this.sent = 0;
    this.resumed = [];
    return updateOverSerial({ image, steadyMs, restartMs: 60_000, steadyWithinMs: 60_000 }, {
      ask: (body) => this.ask(body),
      wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      nowUs: () => systemClock.nowUs(),
      isOperational: () => this.driver?.health().state === "up",
      isGivenUp: () => this.givenUp,
      progress: (bytes) => this.watch((this.progress = bytes)),
      resumed: (bytes) => void this.resumed.push(bytes),
    });
  }
}

async function bench(t: TestContext, seed: number, cutSteps?: number): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-update-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const line = await wire(t, 0, PATIENT_MS);
  line.flash = join(folder, "flash");
  writeFileSync(join(folder, "old.img"), oldImage);
  const made = spawnSync(join(projectRoot(), "dist/native/test/serial_device"), ["make", line.flash, join(folder, "old.img")]);
  assert.equal(made.status, 0);
  line.switchOn(seed, cutSteps);
  const it = new Bench(line);
  t.after(() => it.disconnect());
  await it.connect();
  return it;
}

const worked = (result: UpdateResult | undefined, version: number): void => assert.ok(result?.ok === true && result.report.version === version * 2 ** 24 && result.report.outcome === "confirmed", JSON.stringify(result));

test("a whole round: the image is brought, started, proven and confirmed; wrong ones are refused; one that does not come up reverts", { timeout: 240_000 }, async (t) => {
  const it = await bench(t, 100);
  assert.equal((await it.report()).firmware.version, 1 * 2 ** 24);
  worked(await it.update(newImage), 2);
  assert.deepEqual(it.resumed, []);
  assert.equal((await it.update(newImage))?.ok, false);
  assert.deepEqual(await it.update(imageOf(3, 100, { product: 9 })), { ok: false, code: "wrongNode", vendor: 0x1234, product: 0x5678 });
  const tooOld = await it.update(imageOf(3, 500, { securityCounter: 0 }));
  assert.ok(tooOld?.ok === false && tooOld.code === "refused" && tooOld.refusal === "tooOld", JSON.stringify(tooOld));
  const tooLong = await it.update(imageOf(3, 29_000));
  assert.ok(tooLong?.ok === false && tooLong.code === "refused" && tooLong.refusal === "tooLong", JSON.stringify(tooLong));
  const broken = await it.update(imageOf(66, 5_000));
  assert.ok(broken?.ok === false && broken.code === "reverted", JSON.stringify(broken));
  const after = await it.report();
  assert.deepEqual([after.firmware.version, after.firmware.outcome, after.firmware.onProbation], [2 * 2 ** 24, "reverted", false]);
});

test("the device's power is cut in the middle of a write or an erasure, again and again: the transfer goes on where it stands", { timeout: 240_000 }, async (t) => {
  const it = await bench(t, 200, 6_000);
  let seed = 201;
  let cuts = 0;
  const revive = setInterval(() => {
    const { device } = it.line;
    if (!device || (device.exitCode === null && device.signalCode === null)) return;
    cuts += 1;
    it.line.switchOn(seed++, cuts < 3 ? 5_000 + 137 * cuts : undefined);
  }, 50);
  t.after(() => clearInterval(revive));
  worked(await it.update(newImage), 2);
  assert.equal(cuts, 3);
  assert.ok(it.resumed.length >= 2 && it.resumed.every((at, i) => at > (it.resumed[i - 1] ?? 0)), `resumed at ${it.resumed.join()}`);
  // Each cut costs two pages at most, and a few questions.
  assert.ok(it.sent < newImage.length + 3 * (2 * 1_024 + 1_000) + 3_000, `${it.sent} bytes sent`);
  t.diagnostic(`resumed at ${it.resumed.join(", ")}; ${it.sent} bytes for an image of ${newImage.length}`);
});

test("the gateway goes in the middle: the next one goes on where the device stands", { timeout: 240_000 }, async (t) => {
  const it = await bench(t, 300);
  it.watch = (bytes) => (it.givenUp = bytes > 12_000);
  assert.equal(await it.update(newImage), undefined);
  await it.disconnect();
  await it.connect();
  it.givenUp = false;
  it.watch = () => undefined;
  // Another image has nothing of it.
  it.watch = () => (it.givenUp = true);
  assert.equal(await it.update(imageOf(4, 20_000)), undefined);
  assert.deepEqual(it.resumed, []);
  it.watch = () => undefined;
  it.givenUp = false;
  worked(await it.update(newImage), 2);
  assert.deepEqual(it.resumed, [10 * 1_024], "its eleventh page was the last whole one, and is written anew");
  assert.ok(it.sent < newImage.length - 10 * 1_024 + 4_000);
});

test("bits flipped on the way: what is started is the image", { timeout: 240_000 }, async (t) => {
  const it = await bench(t, 400);
  const random = seededRandom(20_261_123);
  let flipped = 0;
  it.line.toDevice = it.line.toGateway = (bytes) => {
    if (random() >= 0.03) return [bytes];
    const copy = Uint8Array.from(bytes);
    copy[Math.floor(random() * copy.length)]! ^= 1 << Math.floor(random() * 8);
    flipped += 1;
    return [copy];
  };
  const result = await it.update(newImage);
  it.line.toDevice = it.line.toGateway = asItIs;
  worked(result, 2);
  assert.ok(flipped > 5);
});

test("nothing while it moves, and nothing moves meanwhile", { timeout: 240_000 }, async (t) => {
  const it = await bench(t, 500);
  let outputs = 0;
  it.driver!.onFrames(({ id, body }) => {
    if (id === 10) outputs = body[4]!;
  });
  const command = (): void => void it.driver!.send({ id: 1, body: Uint8Array.of(1, 2, 3, 4), deadlineUs: systemClock.nowUs() + 1e6 });
  const moving = setInterval(command, 20);
  t.after(() => clearInterval(moving));
  await until(() => outputs === 1, "it moves");
  const refused = await it.update(newImage);
  assert.ok(refused?.ok === false && refused.code === "refused" && refused.refusal === "wrongState", JSON.stringify(refused));
  assert.equal(outputs, 1, "and moves on");
  clearInterval(moving);
  await until(() => outputs === 0, "its dead-man");
  let moved = false;
  it.watch = (bytes) => {
    command();
    moved ||= outputs !== 0 && bytes > 2_000;
  };
  worked(await it.update(newImage), 2);
  assert.ok(!moved);
});
