import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { type CloseReason, SeqpacketConnection, SeqpacketServer, SocketError } from "./index.ts";
import { noMoreDescriptorsThan, openDescriptors } from "../../schemas/testing.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-sockets-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const closed = (connection: SeqpacketConnection): Promise<CloseReason> => new Promise((resolve) => connection.onClose(resolve));
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const accepted = (server: SeqpacketServer): Promise<SeqpacketConnection> => new Promise((resolve) => server.onConnection(resolve));

test("packets go both ways with their bounds; the peer is known; close is seen", async () => {
  const path = join(folder, "echo.sock");
  const server = SeqpacketServer.listen(path, { mode: 0o620 });
  assert.equal(statSync(path).mode & 0o777, 0o620);
  const waiting = accepted(server);
  const client = SeqpacketConnection.connect(path);
  const remote = await waiting;
  assert.deepEqual([remote.peer.pid, remote.peer.uid, remote.peer.gid], [process.pid, process.getuid!(), process.getgid!()]);
  remote.onPacket((bytes, at, lengthBytes) => remote.send(bytes, at, lengthBytes));
  const received: string[] = [];
  await new Promise<void>((resolve) => {
    client.onPacket((bytes, at, lengthBytes) => {
      received.push(Buffer.from(bytes.subarray(at, at + lengthBytes)).toString());
      if (received.length === 3) resolve();
    });
    for (const text of ["one", "two", "x".repeat(65_536)]) assert.notEqual(client.send(Buffer.from(text)), "full");
  });
  assert.deepEqual(received, ["one", "two", "x".repeat(65_536)]);
  const ended = closed(remote);
  client.close();
  assert.equal((await ended).code, "peerClosed");
  assert.equal(client.send(Uint8Array.of(1)), "closed");
  server.close();
  assert.equal(existsSync(path), false);
});

test("a peer that does not read: queued, full, then everything in order once it reads", async () => {
  const [writer, reader] = SeqpacketConnection.pair({ queue: { capacityBytes: 100_000, whenFull: "refuse" } });
  const packet = new Uint8Array(1000);
  const view = new DataView(packet.buffer);
  let count = 0;
  const verdicts = new Set<string>();
  for (;;) {
    view.setUint32(0, count);
    const verdict = writer.send(packet);
    verdicts.add(verdict);
    if (verdict === "full") break;
    count += 1;
  }
  assert.deepEqual([...verdicts], ["sent", "queued", "full"]);
  assert.equal(writer.pendingBytes, 100_000);
  const drained = new Promise<void>((resolve) => writer.onDrain(resolve));
  let next = 0;
  const all = new Promise<void>((resolve) => {
    reader.onPacket((bytes, at) => {
      assert.equal(new DataView(bytes.buffer, bytes.byteOffset).getUint32(at), next++);
      if (next === count) resolve();
    });
  });
  await Promise.all([drained, all]);
  assert.equal(writer.pendingBytes, 0);
  writer.close();
  reader.close();
});

test("end() sends what is queued first", async () => {
  const [writer, reader] = SeqpacketConnection.pair();
  let count = 0;
  while (writer.send(Uint8Array.of(count)) === "sent") count += 1;
  writer.end();
  assert.equal(writer.send(Uint8Array.of(1)), "closed");
  let received = 0;
  reader.onPacket(() => (received += 1));
  assert.equal((await closed(reader)).code, "peerClosed");
  assert.equal(received, count + 1);
});

test("what a dead peer had sent is read before the end is reported, also when we were sending", async () => {
  const [local, remote] = SeqpacketConnection.pair();
  remote.send(Uint8Array.of(1));
  remote.send(Uint8Array.of(2));
  local.send(Uint8Array.of(9));
  remote.close();
  assert.equal(local.send(Uint8Array.of(9)), "closed");
  const received: number[] = [];
  local.onPacket((bytes, at) => received.push(bytes[at]!));
  assert.equal((await closed(local)).code, "peerClosed");
  assert.deepEqual(received, [1, 2]);
});

test("a paused connection reads nothing, and goes on where it was", async () => {
  const [writer, reader] = SeqpacketConnection.pair();
  const received: number[] = [];
  const second = new Promise<void>((resolve) => {
    reader.onPacket((bytes, at) => {
      received.push(bytes[at]!);
      reader.pauseReading();
      if (received.length === 2) resolve();
    });
  });
  reader.pauseReading();
  writer.send(Uint8Array.of(1));
  for (let i = 0; i < 20; i++) await turn();
  assert.deepEqual(received, []);
  reader.resumeReading();
  while (received.length === 0) await turn();
  writer.send(Uint8Array.of(2));
  for (let i = 0; i < 20; i++) await turn();
  assert.deepEqual(received, [1]);
  reader.resumeReading();
  await second;
  writer.close();
  reader.resumeReading();
  assert.equal((await closed(reader)).code, "peerClosed");
});

test("a peer that dies while we are paused and behind is noticed", async () => {
  const [local, remote] = SeqpacketConnection.pair();
  const received: number[] = [];
  local.onPacket((bytes, at) => received.push(bytes[at]!));
  local.pauseReading();
  remote.send(Uint8Array.of(1));
  while (local.send(new Uint8Array(1000)) === "sent");
  remote.close();
  assert.equal((await closed(local)).code, "peerClosed");
  assert.deepEqual(received, [1]);
});

test("a packet beyond the agreed size ends the connection, and only that one", async () => {
  const [writer, reader] = SeqpacketConnection.pair({ packetBytesMax: 128 });
  let received = 0;
  reader.onPacket(() => (received += 1));
  writer.send(new Uint8Array(128));
  writer.send(new Uint8Array(129));
  assert.equal((await closed(reader)).code, "packetTooLarge");
  assert.equal(received, 1);
  writer.close();
});

test("closing inside a listener delivers nothing more", async () => {
  const [writer, reader] = SeqpacketConnection.pair();
  for (let i = 0; i < 5; i++) writer.send(Uint8Array.of(i));
  let received = 0;
  await new Promise<void>((resolve) => {
    reader.onPacket(() => {
      received += 1;
      reader.close();
      resolve();
    });
  });
  for (let i = 0; i < 5; i++) await turn();
  assert.equal(received, 1);
  writer.close();
});

test("listening: a live socket and other files are left alone, a dead socket is replaced", async () => {
  const path = join(folder, "taken.sock");
  const code = (error: unknown): string => (error instanceof SocketError ? error.code : String(error));
  const server = SeqpacketServer.listen(path);
  assert.throws(() => SeqpacketServer.listen(path), (error) => code(error) === "EADDRINUSE");
  server.close();
  writeFileSync(join(folder, "file"), "");
  assert.throws(() => SeqpacketServer.listen(join(folder, "file")), (error) => code(error) === "ENOTSOCK");
  assert.throws(() => SeqpacketConnection.connect(join(folder, "nobody")), (error) => code(error) === "ENOENT");
  assert.throws(() => SeqpacketServer.listen(`/tmp/${"x".repeat(100)}`), (error) => code(error) === "ENAMETOOLONG");
  const script = `import { SeqpacketServer } from ${JSON.stringify(join(import.meta.dirname, "index.js"))}; SeqpacketServer.listen(${JSON.stringify(path)}).onConnection(() => {}); console.log("up");`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  assert.throws(() => SeqpacketServer.listen(path), (error) => code(error) === "EADDRINUSE");
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(existsSync(path), true);
  SeqpacketServer.listen(path).close();
});

test("no descriptor is left behind, neither here nor by ended workers", async () => {
  const path = join(folder, "leak.sock");
  const server = SeqpacketServer.listen(path);
  server.onConnection((connection) => connection.onPacket((bytes, at, lengthBytes) => connection.send(bytes, at, lengthBytes)));
  const script = `
    import { SeqpacketConnection } from ${JSON.stringify(new URL("index.js", import.meta.url).href)};
    import { parentPort } from "node:worker_threads";
    const connection = SeqpacketConnection.connect(${JSON.stringify(path)});
    connection.onPacket((bytes, at) => parentPort.postMessage(bytes[at]));
    connection.send(Uint8Array.of(42));`;
  const useWorker = async (): Promise<void> => {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`));
    const [answer] = await once(worker, "message");
    assert.equal(answer, 42);
    await worker.terminate();
  };
  await useWorker();
  for (let i = 0; i < 10; i++) await turn();
  const before = openDescriptors();
  for (let i = 0; i < 5; i++) await useWorker();
  for (let i = 0; i < 200; i++) {
    const client = SeqpacketConnection.connect(path);
    client.onPacket(() => {});
    client.send(Uint8Array.of(1));
    client.close();
    // One turn each, so that the server accepts before its backlog is full.
    await turn();
    for (const connection of SeqpacketConnection.pair()) connection.close();
  }
  // The server sees the ends in its own turns.
  await noMoreDescriptorsThan(before);
  server.close();
});

test("a listener that throws harms no other socket, nor the next packet", async () => {
  const script = `
    import { SeqpacketConnection } from ${JSON.stringify(new URL("index.js", import.meta.url).href)};
    const [a, b] = SeqpacketConnection.pair(), [c, d] = SeqpacketConnection.pair();
    process.on("uncaughtException", (error) => { console.log(error.message); a.send(Uint8Array.of(2)); });
    b.onPacket((bytes, at) => { if (bytes[at] === 1) throw new Error("thrown"); console.log("second"); b.close(); });
    d.onPacket(() => { console.log("other"); d.close(); });
    a.send(Uint8Array.of(1)); c.send(Uint8Array.of(1));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  let heard = "";
  child.stdout.on("data", (chunk) => (heard += String(chunk)));
  const [code] = await once(child, "close");
  assert.deepEqual(heard.trim().split("\n").sort(), ["other", "second", "thrown"]);
  assert.equal(code, 0);
});
