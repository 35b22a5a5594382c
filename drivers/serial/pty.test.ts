/** The real `serialport` on a real pseudo-terminal; the device on its other end is our own driver in the role of a device. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "../../schemas/clock.ts";
import { DriverError } from "../driver.ts";
import type { Pty } from "../pty/index.ts";
import { openPty } from "../pty/index.ts";
import type { SerialDriver } from "./driver.ts";
import { createSerialDriver } from "./driver.ts";
import type { SerialMessage } from "./link.ts";
import { streamPort } from "./streamPort.ts";
import { until } from "../../schemas/testing.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-serial-"));
const open: (() => unknown)[] = [];
after(async () => {
  for (const close of open.reverse()) await close();
  rmSync(folder, { recursive: true });
});

const dataId = 0x48414e44;
const later = (ms: number): number => systemClock.nowUs() + ms * 1e3;

/** A stable name for a pseudo-terminal, as udev makes them for devices. */
function plugIn(pty: Pty, name: string): string {
  const path = join(folder, name);
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  symlinkSync(pty.path, path);
  return path;
}

async function device(pty: Pty): Promise<SerialDriver> {
  const it = createSerialDriver({ name: "device", port: streamPort("pty", pty.stream), dataId, role: "device", baudBps: 3_000_000, silenceTimeoutMs: 10_000 });
  await it.start();
  open.push(() => pty.close(), () => it.stop());
  return it;
}

async function gateway(port: string): Promise<{ it: SerialDriver; received: SerialMessage[] }> {
  const it = createSerialDriver({ name: "gateway", port, dataId, baudBps: 3_000_000, silenceTimeoutMs: 10_000, startTimeoutMs: 60_000 });
  const received: SerialMessage[] = [];
  it.onFrames((message) => received.push(message));
  await it.start();
  open.push(() => it.stop());
  return { it, received };
}

test("a thousand messages through a pseudo-terminal arrive whole and in order, both ways", async () => {
  const pty = await openPty();
  const far = await device(pty);
  const { it, received } = await gateway(pty.path);
  const atDevice: number[] = [];
  far.onFrames(({ body }) => atDevice.push(body[0]! | (body[1]! << 8)));
  await until(() => it.health().state === "up" && far.health().state === "up", "both ends up");
  for (let i = 0; i < 1000; i++) {
    const body = Uint8Array.of(i, i >>> 8, 0, 255);
    assert.equal(far.send({ id: i % 32, body, deadlineUs: later(30_000) }), "queued");
    assert.equal(it.send({ id: i % 32, body, deadlineUs: later(30_000) }), "queued");
    if (i % 8 === 7) await until(() => received.length === i + 1 && atDevice.length === i + 1, `message ${i}`);
  }
  assert.deepEqual(received.map(({ body }) => body[0]! | (body[1]! << 8)), Array.from({ length: 1000 }, (_, i) => i));
  assert.deepEqual(atDevice, Array.from({ length: 1000 }, (_, i) => i));
  const { counters } = it.health();
  assert.deepEqual([counters.lost, counters.rejectCrcMismatch, counters.rejectTruncated], [0, 0, 0]);
});

test("unplugged and plugged in elsewhere under the same stable name: it comes back by itself", async () => {
  const first = await openPty();
  const path = plugIn(first, "usb-hand");
  await device(first);
  const { it } = await gateway(path);
  await until(() => it.health().state === "up", "up");
  first.close();
  await until(() => it.health().state === "down" || it.health().state === "dead", "the loss to be seen");
  assert.equal(it.send({ id: 1, body: Uint8Array.of(1), deadlineUs: later(100) }), "linkDown");
  const second = await openPty();
  plugIn(second, "usb-hand");
  await device(second);
  await until(() => it.health().state === "up", "up again");
});

test("a port is locked: a second program is told so", async () => {
  const pty = await openPty();
  await device(pty);
  await gateway(pty.path);
  const second = createSerialDriver({ name: "second", port: pty.path, dataId });
  await assert.rejects(second.start(), (error) => error instanceof DriverError && error.code === "portBusy");
});
