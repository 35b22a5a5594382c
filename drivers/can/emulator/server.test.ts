import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { CanFrame } from "../frame.ts";
import { attachNode } from "./client.ts";
import { BusHost } from "./host.ts";
import { attachInProcess } from "./inProcess.ts";
import type { NodePort } from "./port.ts";
import { getTexts, HEAD_BYTES, Kind, PROTOCOL_VERSION, RECORD_BYTES, RecordBuffer } from "./protocol.ts";
import { serveBuses } from "./server.ts";
import { frame } from "./testBus.ts";

/** A served bus in a folder of its own; everything is taken down after `body`. */
async function withBus(options: { bitrateBps?: number; queueFrames?: number; unreadBytesMax?: number; stallMsMax?: number }, body: (bus: { host: BusHost; path: string; server: Awaited<ReturnType<typeof serveBuses>> }) => Promise<void>) {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-bus-"));
  const host = new BusHost({ name: "arm", bitrateBps: options.bitrateBps ?? 500_000, fd: true, queueFrames: options.queueFrames ?? 16 });
  const path = join(folder, "bus.sock");
  const server = await serveBuses({ ...options, socketPath: path, buses: [host] });
  try {
    await body({ host, path, server });
  } finally {
    await server.close();
    host.close();
    rmSync(folder, { recursive: true });
  }
}

/** The next `count` frames that come in. */
function frames(port: NodePort, count: number): Promise<CanFrame[]> {
  return new Promise((resolve) => {
    const seen: CanFrame[] = [];
    const remove = port.onFrame((received) => {
      seen.push(received);
      if (seen.length < count) return;
      remove();
      resolve(seen);
    });
  });
}

test("two clients and a node in process talk; echoes, tokens and time stamps are right", async () => {
  await withBus({}, async ({ host, path }) => {
    const a = await attachNode(path, { bus: "arm", name: "a", fd: true });
    const b = await attachNode(path, { bus: "arm", name: "b" });
    const { port: c } = attachInProcess(host, { name: "c" });
    assert.deepEqual(a.facts, { bitrateBps: 500_000, fd: true, queueFrames: 16, listenOnly: false, echoes: true });
    assert.deepEqual(host.bus.nodes.map(({ name }) => name), ["a", "b", "c"]);
    const echoed = new Promise<CanFrame>((resolve) => a.onEcho(resolve));
    const arrivals = Promise.all([frames(b, 1), frames(c, 1)]);
    const beforeUs = host.clock.nowUs();
    assert.equal(a.send(frame(0x123, [1, 2, 3], 77)), "queued");
    assert.equal(a.inFlight, 1);
    const [[atB], [atC]] = await arrivals;
    assert.deepEqual([...atB!.data], [1, 2, 3]);
    assert.equal(atB!.timeUs, atC!.timeUs);
    assert.ok(atB!.timeUs > beforeUs + 100, "not before its bits could have been sent");
    const echo = await echoed;
    assert.deepEqual([echo.token, echo.timeUs, a.inFlight], [77, atB!.timeUs, 0]);
    await Promise.all([a.close(), b.close(), c.close()]);
    while (host.bus.nodes.length > 0) await new Promise(setImmediate);
  });
});

test("a full queue, a purge and power loss are told to the client", async () => {
  await withBus({ queueFrames: 4 }, async ({ host, path }) => {
    const a = await attachNode(path, { bus: "arm", name: "a" });
    assert.deepEqual([1, 2, 3, 4, 5].map((token) => a.send(frame(1, [], token))), ["queued", "queued", "queued", "queued", "queueFull"]);
    const dropped: number[] = [];
    const emptied = new Promise<void>((resolve) => a.onDropped(({ token, reason }) => {
      assert.equal(reason, 1);
      if (dropped.push(token) === 4) resolve();
    }));
    a.control("purge");
    await emptied;
    assert.deepEqual([dropped, a.inFlight], [[1, 2, 3, 4], 0]);
    const changed = new Promise<void>((resolve) => a.onChange(() => !a.linkUp && resolve()));
    host.setPower(host.node("a")!, false);
    await changed;
    assert.equal(a.send(frame(1)), "linkDown");
    await a.close();
  });
});

test("wrong hellos are refused with a reason", async () => {
  await withBus({}, async ({ path }) => {
    await assert.rejects(attachNode(path, { bus: "leg" }), /no bus leg/);
    await assert.rejects(attachNode(`${path}.none`, { bus: "arm" }), { code: "cannotConnect" });
    for (const kind of [Kind.frame, 77]) {
      const socket = connect(path);
      const record = new RecordBuffer(1);
      record.appendBlank(kind, 0, 0);
      socket.write(record.take());
      const [answer] = (await once(socket, "data")) as [Buffer];
      assert.equal(answer[0], Kind.refused);
      assert.match(getTexts(answer, HEAD_BYTES)[0], /HELLO/);
      await once(socket, "close");
    }
  });
});

test("a client that stops reading is cut; the others notice nothing", async () => {
  await withBus({ bitrateBps: 0, queueFrames: 256, unreadBytesMax: 1 << 22, stallMsMax: 30 }, async ({ host, path, server }) => {
    const deaf = await attachNode(path, { bus: "arm", name: "deaf" });
    const reader = await attachNode(path, { bus: "arm", name: "reader" });
    const { port: writer } = attachInProcess(host, { name: "writer" });
    // The kernel's buffers fill first: stop reading at the socket, below the port.
    const silent = connect(path);
    silent.pause();
    const hello = new RecordBuffer(1);
    hello.appendBlank(Kind.hello, 0, PROTOCOL_VERSION);
    hello.bytes.write("arm", HEAD_BYTES + 24);
    silent.write(hello.take());
    while (host.bus.nodes.length < 4) await new Promise(setImmediate);
    const count = 60_000;
    let received = 0;
    const all = new Promise<void>((resolve) => reader.onBatch((batch) => {
      received += batch.count;
      if (received >= count) resolve();
    }));
    let sent = 0;
    const pump = () => {
      while (sent < count && writer.send(frame(sent & 0x7ff)) === "queued") sent += 1;
    };
    writer.onEcho(pump);
    pump();
    await all;
    assert.equal(received, count);
    assert.equal(server.cutClients, 1);
    assert.equal(deaf.closed, false);
    silent.destroy();
    await Promise.all([deaf.close(), reader.close(), writer.close()]);
  });
});

test("the socket file is private; a stale one is replaced, a live one is left alone", async () => {
  await withBus({}, async ({ path, host }) => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await assert.rejects(serveBuses({ socketPath: path, buses: [host] }), { code: "addressInUse" });
    const still = await attachNode(path, { bus: "arm" });
    await still.close();
  });
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-bus-"));
  const path = join(folder, "bus.sock");
  // A server whose socket file outlives it, as after SIGKILL: made by renaming the file before the close that would remove it.
  const dead = createServer().listen(`${path}.first`);
  await once(dead, "listening");
  const { renameSync } = await import("node:fs");
  renameSync(`${path}.first`, path);
  await new Promise<void>((resolve) => dead.close(() => resolve()));
  assert.ok(statSync(path).isSocket());
  const host = new BusHost({ name: "arm", bitrateBps: 0 });
  const server = await serveBuses({ socketPath: path, buses: [host] });
  await (await attachNode(path, { bus: "arm" })).close();
  await server.close();
  host.close();
  await assert.rejects(serveBuses({ socketPath: join(folder, "absent", "bus.sock"), buses: [] }), { code: "cannotListen" });
  rmSync(folder, { recursive: true });
});

test("records arrive whole however the stream is cut", async () => {
  await withBus({}, async ({ host, path }) => {
    const { port } = attachInProcess(host);
    const socket = connect(path);
    const records = new RecordBuffer(2);
    records.appendBlank(Kind.hello, 0, PROTOCOL_VERSION);
    records.bytes.write("arm", HEAD_BYTES + 24);
    const at = records.appendBlank(Kind.frame, 0, 0);
    records.view.setUint32(at + 8, 0x55, true);
    const bytes = records.take();
    assert.equal(bytes.length, 2 * RECORD_BYTES);
    const arrived = frames(port, 1);
    socket.setNoDelay(true);
    for (const byte of bytes) {
      socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    assert.equal((await arrived)[0]!.canId, 0x55);
    socket.destroy();
    await port.close();
  });
});
