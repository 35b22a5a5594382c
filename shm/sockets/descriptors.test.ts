import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { type CloseReason, closeAll, Descriptor, isAlive, SeqpacketConnection, SeqpacketServer, SocketError } from "./index.ts";
import { noMoreDescriptorsThan, openDescriptors, openDescriptorsOf } from "../../schemas/testing.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-descriptors-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const closed = (connection: SeqpacketConnection): Promise<CloseReason> => new Promise((resolve) => connection.onClose(resolve));
const code = (error: unknown): string => (error instanceof SocketError ? error.code : String(error));
const openNull = (): Descriptor => Descriptor.open("/dev/null", constants.O_RDWR);
const isNull = ({ fd }: Descriptor): boolean => fstatSync(fd).rdev === statSync("/dev/null").rdev;

test("a descriptor is closed once, and its number never closes another", async () => {
  // The hub's own descriptors come with the first use.
  openNull().close();
  const before = openDescriptorsOf("/dev/null");
  const first = openNull();
  const copy = first.dup();
  assert.ok(isNull(first) && isNull(copy) && first.fd !== copy.fd);
  const number = first.fd;
  first.close();
  const other = openNull();
  assert.equal(other.fd, number);
  first.close();
  assert.ok(isNull(other));
  assert.equal(first.isOpen, false);
  assert.throws(() => first.fd, (error) => code(error) === "EBADF");
  assert.throws(() => first.dup(), (error) => code(error) === "EBADF");
  assert.throws(() => Descriptor.open(join(folder, "nothing"), constants.O_RDONLY), (error) => code(error) === "ENOENT");
  assert.throws(() => Descriptor.adopt(other.fd), (error) => code(error) === "EBUSY");
  assert.throws(() => Descriptor.adopt(999_999), (error) => code(error) === "EBADF");
  const adopted = Descriptor.adopt(openSync("/dev/null", "r"));
  closeAll([copy, other, adopted]);
  assert.equal(openDescriptorsOf("/dev/null"), before);
});

test("descriptors arrive with their packet, in order, also with packets that had to wait", async () => {
  const before = openDescriptors();
  const [writer, reader] = SeqpacketConnection.pair();
  const null_ = openNull();
  const zero = Descriptor.open("/dev/zero", constants.O_RDONLY);
  const sent: number[] = [];
  const verdicts = new Set<string>();
  const packet = new Uint8Array(30_000);
  for (let i = 0; i < 30; i++) {
    packet[0] = i;
    const attached = i % 3 === 0 ? [] : i % 3 === 1 ? [null_] : [zero, null_, null_, zero];
    verdicts.add(writer.send(packet, 0, packet.length, attached));
    sent.push(attached.length);
  }
  // What was sent stays the sender's; what waits has duplicates of its own.
  closeAll([null_, zero]);
  assert.deepEqual([...verdicts], ["sent", "queued"]);
  const received: number[] = [];
  await new Promise<void>((resolve) => {
    reader.onPacket((bytes, at, _lengthBytes, descriptors) => {
      assert.equal(bytes[at], received.length);
      assert.deepEqual(descriptors.map(isNull), descriptors.length === 4 ? [false, true, true, false] : descriptors.map(() => true));
      received.push(descriptors.length);
      closeAll(descriptors);
      if (received.length === 30) resolve();
    });
  });
  assert.deepEqual(received, sent);
  writer.close();
  reader.close();
  await noMoreDescriptorsThan(before);
});

test("descriptors that wait are bounded, and closed with the connection", async () => {
  const before = openDescriptors();
  const [writer, reader] = SeqpacketConnection.pair();
  const four = [openNull(), openNull(), openNull(), openNull()];
  assert.throws(() => writer.send(Uint8Array.of(1), 0, 1, [...four, four[0]!]), RangeError);
  while (writer.send(new Uint8Array(30_000)) === "sent");
  let queued = 0;
  while (writer.send(Uint8Array.of(1), 0, 1, four) === "queued") queued += 1;
  assert.equal(queued, 16);
  assert.equal(writer.hasRoomFor(1, 1, 1), false);
  assert.equal(writer.send(Uint8Array.of(1)), "queued");
  closeAll(four);
  writer.close();
  reader.close();
  await noMoreDescriptorsThan(before);
});

test("what nobody asked for is closed: by a listener that closes, and in packets that were never read", async () => {
  const before = openDescriptors();
  const [writer, reader] = SeqpacketConnection.pair();
  const descriptor = openNull();
  for (let i = 0; i < 8; i++) writer.send(Uint8Array.of(i), 0, 1, [descriptor, descriptor]);
  const end = closed(reader);
  reader.onPacket((_bytes, _at, _lengthBytes, descriptors) => {
    closeAll(descriptors);
    reader.close();
  });
  await end;
  descriptor.close();
  writer.close();
  await noMoreDescriptorsThan(before);
});

test("an accepted connection knows its peer's process, and when it is dead", async () => {
  const path = join(folder, "peer.sock");
  const script = `import { SeqpacketConnection } from ${JSON.stringify(new URL("index.js", import.meta.url).href)}; SeqpacketConnection.connect(${JSON.stringify(path)}).onPacket(() => {});`;
  for (const pidfd of ["wanted", "byNumber"] as const) {
    const server = SeqpacketServer.listen(path, { connection: { pidfd } });
    const before = openDescriptors();
    const accepted = new Promise<SeqpacketConnection>((resolve) => server.onConnection(resolve));
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "inherit", "inherit"] });
    const connection = await accepted;
    const { peer } = connection;
    const stat = readFileSync(`/proc/${child.pid}/stat`, "latin1");
    assert.equal(peer.pid, child.pid);
    assert.equal(peer.startTime, Number(stat.slice(stat.lastIndexOf(")")).split(" ")[20]));
    assert.ok(peer.pidfd && isAlive(peer.pidfd));
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.equal(isAlive(peer.pidfd), false);
    connection.close();
    assert.equal(peer.pidfd.isOpen, false);
    server.close();
    await noMoreDescriptorsThan(before - 1);
  }
});

test("a flood of descriptors ends the connection and leaves none", async () => {
  const path = join(folder, "flood.sock");
  const server = SeqpacketServer.listen(path);
  const before = openDescriptors();
  const reasons: string[] = [];
  const kept: Descriptor[] = [];
  const ended = new Promise<void>((resolve) => {
    server.onConnection((connection) => {
      connection.onPacket((_bytes, _at, _lengthBytes, descriptors) => kept.push(...descriptors));
      connection.onClose(({ code: why }) => {
        reasons.push(why);
        if (reasons.length === 3) resolve();
      });
    });
  });
  const script = `
import socket, sys
for flood in (5, 100, 253):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    socket.send_fds(s, [b"two"], [0, 0])
    socket.send_fds(s, [b"many"], [0] * flood)
    try:
        s.send(b"more")
        s.recv(1)
    except OSError:
        pass`;
  const child = spawn("python3", ["-c", script, path], { stdio: ["ignore", "inherit", "inherit"] });
  const exited = once(child, "close");
  await ended;
  await exited;
  assert.deepEqual(reasons, ["tooManyDescriptors", "tooManyDescriptors", "tooManyDescriptors"]);
  assert.equal(kept.length, 6);
  closeAll(kept);
  await noMoreDescriptorsThan(before);
  server.close();
});

test("forgotten descriptors are collected and counted, those of an ended thread are closed with it", async () => {
  const script = `
    import { Descriptor } from ${JSON.stringify(new URL("index.js", import.meta.url).href)};
    import { readdirSync } from "node:fs";
    Descriptor.open("/dev/null", 0).close();
    const before = readdirSync("/proc/self/fd").length;
    for (let i = 0; i < 50; i++) Descriptor.open("/dev/null", 0);
    const held = Descriptor.open("/dev/null", 0);
    for (let i = 0; i < 200 && Descriptor.leaked < 50; i++) { gc(); await new Promise((resolve) => setImmediate(resolve)); }
    console.log(Descriptor.leaked, readdirSync("/proc/self/fd").length - before, held.isOpen);`;
  const child = spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  let heard = "";
  child.stdout.on("data", (chunk) => (heard += String(chunk)));
  await once(child, "close");
  assert.equal(heard.trim(), "50 1 true");
  const inWorker = `
    import { Descriptor } from ${JSON.stringify(new URL("index.js", import.meta.url).href)};
    import { parentPort } from "node:worker_threads";
    globalThis.kept = Array.from({ length: 20 }, () => Descriptor.open("/dev/null", 0));
    parentPort.postMessage("up"); parentPort.on("message", () => {});`;
  const useWorker = async (): Promise<void> => {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(inWorker)}`));
    await once(worker, "message");
    await worker.terminate();
  };
  await useWorker();
  const before = openDescriptors();
  for (let i = 0; i < 3; i++) await useWorker();
  await noMoreDescriptorsThan(before);
});

test("a copy of what somebody else holds, and a pair whose ends travel and become connections", async () => {
  const fd = openSync("/dev/null", "r");
  const copy = Descriptor.copyOf(fd);
  closeSync(fd);
  assert.ok(copy.isOpen && copy.fd !== fd);
  copy.close();
  assert.throws(() => Descriptor.copyOf(fd), /EBADF/);
  const [near, far] = Descriptor.pair();
  const a = SeqpacketConnection.of(near);
  const b = SeqpacketConnection.of(far);
  assert.ok(!near.isOpen && !far.isOpen);
  const heard = new Promise<string>((resolve) => b.onPacket((bytes, at, length) => resolve(Buffer.from(bytes.subarray(at, at + length)).toString())));
  a.send(Buffer.from("directly"));
  assert.equal(await heard, "directly");
  a.close();
  b.close();
});
