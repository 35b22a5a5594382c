import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, constants, openSync, readSync, readdirSync, writeSync } from "node:fs";
import { test } from "node:test";
import { SerialPort } from "serialport";
import { openPty } from "./index.ts";

/** A serial port opened on `path`, with what it received so far. */
async function openPort(path: string) {
  const port = new SerialPort({ path, baudRate: 115_200, autoOpen: false });
  const received: Buffer[] = [];
  port.on("data", (bytes: Buffer) => received.push(bytes));
  await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())));
  return { port, bytes: () => Buffer.concat(received) };
}

function closePort(port: SerialPort): Promise<void> {
  return new Promise((resolve, reject) => port.close((error) => (error ? reject(error) : resolve())));
}

async function until(condition: () => boolean, emitter: NodeJS.EventEmitter): Promise<void> {
  while (!condition()) await once(emitter, "data");
}

test("bytes pass both ways unchanged, control characters too", async () => {
  const pty = await openPty();
  const other = await openPort(pty.path);
  const all = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
  const here: Buffer[] = [];
  pty.stream.on("data", (bytes: Buffer) => here.push(bytes));
  pty.stream.write(all);
  other.port.write(all);
  await until(() => other.bytes().length >= 256, other.port);
  await until(() => Buffer.concat(here).length >= 256, pty.stream);
  assert.deepEqual(other.bytes(), all);
  assert.deepEqual(Buffer.concat(here), all);
  await closePort(other.port);
  pty.close();
});

test("much more than the kernel's buffer passes while both ends live in one process", async () => {
  const pty = await openPty();
  const other = await openPort(pty.path);
  const much = Buffer.alloc(200_000, "0123456789");
  let back = 0;
  pty.stream.on("data", (bytes: Buffer) => (back += bytes.length));
  pty.stream.write(much);
  other.port.write(much);
  await until(() => other.bytes().length >= much.length, other.port);
  await until(() => back >= much.length, pty.stream);
  assert.ok(other.bytes().equals(much));
  await closePort(other.port);
  pty.close();
});

test("what was written before anybody opened the other end waits there", async () => {
  const pty = await openPty();
  await new Promise<void>((resolve, reject) => pty.stream.write("early", (error) => (error ? reject(error) : resolve())));
  const fd = openSync(pty.path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK); // serialport would discard it: it flushes when it opens
  const bytes = Buffer.alloc(16);
  assert.equal(bytes.toString("latin1", 0, readSync(fd, bytes)), "early");
  closeSync(fd);
  pty.close();
});

test("a program that closes and opens again is no error", async () => {
  const pty = await openPty();
  const here: string[] = [];
  pty.stream.on("data", (bytes: Buffer) => here.push(bytes.toString()));
  const first = await openPort(pty.path);
  await closePort(first.port);
  const second = await openPort(pty.path);
  second.port.write("again");
  await until(() => here.join("") === "again", pty.stream);
  await closePort(second.port);
  pty.close();
});

test("close hangs up: end of file and EIO at the other end", async () => {
  const pty = await openPty();
  const fd = openSync(pty.path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  pty.close();
  pty.close();
  await once(pty.stream, "close");
  assert.equal(readSync(fd, Buffer.alloc(1)), 0);
  assert.throws(() => writeSync(fd, "x"), { code: "EIO" });
  closeSync(fd);
});

test("nothing is left open", async () => {
  const count = () => readdirSync("/proc/self/fd").length;
  const warm = await openPty();
  warm.close();
  await once(warm.stream, "close");
  const before = count();
  for (let i = 0; i < 20; i++) {
    const pty = await openPty();
    pty.stream.write(Buffer.alloc(100_000)); // nobody reads: the writer is waiting when it is closed
    pty.close();
    await once(pty.stream, "close");
  }
  assert.equal(count(), before);
});
