/** ipcnet-purge as a process. What it does to CAN interfaces is tried where there are some (hil-tests/behaviours/somebodyPurgesForAReflexWithoutTheRight); here, that it does nothing to any other, whoever asks for it how. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SeqpacketConnection } from "../../../shm/sockets/index.ts";

// From dist/ts/failsafe/reflex/purge.
const program = join(import.meta.dirname, "../../../../native/test/ipcnet-purge");
const LOOPBACK = 1;
const EPERM = -1;
const CONNECTIONS_MAX = 64;
const kinds = { may: 1, purge: 2, restart: 3 } as const;

interface Helper {
  readonly path: string;
  readonly child: ChildProcess;
  /** Ends, and says how it ended. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

async function start(t: TestContext, { peer = String(process.getuid!()), handedOver = false, interfaces = ["lo"] }: { peer?: string; handedOver?: boolean; interfaces?: readonly string[] } = {}): Promise<Helper> {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-purge-"));
  const path = join(folder, "purge.sock");
  const words = ["--peer", peer, ...interfaces];
  // As the service manager does: it listens itself, on descriptor 3. The name appears when somebody listens there, as the program's own does: between bind and listen it refuses whoever comes.
  const listen = `import os, socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.bind(sys.argv[1] + ".new")\ns.listen(64)\nos.rename(sys.argv[1] + ".new", sys.argv[1])\nos.dup2(s.fileno(), 3)\nos.set_inheritable(3, True)\nos.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")\nos.execv(sys.argv[2], sys.argv[2:])`;
  const child = handedOver ? spawn("python3", ["-c", listen, path, program, ...words], { stdio: ["ignore", "ignore", "pipe"] }) : spawn(program, ["--socket", path, ...words], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (log += text));
  const closed = once(child, "close") as Promise<[number | null]>;
  const end = async (signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> => {
    child.kill(signal);
    return (await closed)[0];
  };
  t.after(async () => {
    await end();
    rmSync(folder, { recursive: true });
  });
  while (!existsSync(path)) {
    assert.equal(child.exitCode, null, log);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { path, child, end };
}

function question(kind: number, index: number, number = 7): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(0x31525550, 0);
  bytes.writeUInt16LE(kind, 4);
  bytes.writeUInt32LE(number, 8);
  bytes.writeInt32LE(index, 12);
  return bytes;
}

/** Its answer; undefined: it has ended the connection instead. */
async function ask(path: string, bytes: Uint8Array): Promise<Buffer | undefined> {
  const connection = SeqpacketConnection.connect(path);
  try {
    return await new Promise((resolve) => {
      connection.onPacket((from, at, length) => resolve(Buffer.from(from.subarray(at, at + length))));
      connection.onClose(() => resolve(undefined));
      connection.send(bytes);
    });
  } finally {
    connection.close();
  }
}
const answerOf = async (path: string, bytes: Uint8Array): Promise<number | undefined> => (await ask(path, bytes))?.readInt32LE(12);
const loopback = (): string => readFileSync("/sys/class/net/lo/flags", "utf8");

test("an interface that is no CAN interface is touched for nobody, whatever it was told", async (t) => {
  const { path } = await start(t);
  const before = loopback();
  for (const kind of Object.values(kinds)) for (const index of [LOOPBACK, 2, 3, 999, 0, -1, 2 ** 31 - 1]) assert.equal(await answerOf(path, question(kind, index)), EPERM, `${kind} of ${index}`);
  const whole = await ask(path, question(kinds.may, LOOPBACK, 0xfedcba98));
  assert.deepEqual([whole!.length, whole!.readUInt32LE(0), whole!.readUInt16LE(4), whole!.readUInt32LE(8)], [16, 0x31525550, 4, 0xfedcba98]);
  assert.equal(loopback(), before);
});

test("told of no interface it refuses all, and does not end", async (t) => {
  const { path } = await start(t, { interfaces: [] });
  for (let times = 0; times < 3; times++) assert.equal(await answerOf(path, question(kinds.may, LOOPBACK)), EPERM);
});

test("who is not the user that it serves gets no answer", async (t) => {
  const { path } = await start(t, { peer: String(process.getuid!() + 1) });
  assert.equal(await ask(path, question(kinds.may, LOOPBACK)), undefined);
});

test("garbage ends its connection and nothing else", async (t) => {
  const { path, child } = await start(t);
  const seed = Number(process.env["IPCNET_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  let state = seed >>> 0;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let round = 0; round < 400; round++) {
    const bytes = Buffer.from(random(3) === 0 ? Array.from({ length: 1 + random(60) }, () => random(256)) : question(random(6), random(5)));
    if (random(2) === 0) bytes[random(bytes.length)]! ^= 1 << random(8);
    const valid = bytes.length === 16 && bytes.readUInt32LE(0) === 0x31525550 && bytes.readUInt16LE(4) >= 1 && bytes.readUInt16LE(4) <= 3 && bytes.readUInt16LE(6) === 0;
    assert.equal(await answerOf(path, bytes), valid ? EPERM : undefined, `round ${round}: ${bytes.toString("hex")}`);
  }
  assert.equal(child.exitCode, null);
});

test("one connection too many is turned away, and welcome when there is room again", async (t) => {
  const { path } = await start(t);
  const held: SeqpacketConnection[] = [];
  // Answered, each of them: then it has accepted it, and the next one finds room to wait.
  while (held.length < CONNECTIONS_MAX) {
    const connection = SeqpacketConnection.connect(path);
    held.push(connection);
    await new Promise<void>((resolve) => {
      connection.onPacket(() => resolve());
      connection.send(question(kinds.may, LOOPBACK));
    });
  }
  assert.equal(await ask(path, question(kinds.may, LOOPBACK)), undefined);
  for (const connection of held) connection.close();
  let answer: number | undefined;
  for (let tries = 0; tries < 200 && answer === undefined; tries++) answer = await answerOf(path, question(kinds.may, LOOPBACK));
  assert.equal(answer, EPERM);
});

test("it serves the socket that the service manager hands over, and ends when it is told to", async (t) => {
  const { path, end } = await start(t, { handedOver: true });
  assert.equal(await answerOf(path, question(kinds.purge, LOOPBACK)), EPERM);
  assert.equal(await end("SIGTERM"), 0);
  assert.ok(existsSync(path), "it is not its own");
});

test("its own socket goes with it", async (t) => {
  const { path, end } = await start(t);
  assert.equal(await answerOf(path, question(kinds.may, LOOPBACK)), EPERM);
  assert.equal(await end("SIGTERM"), 0);
  assert.ok(!existsSync(path));
});

test("where the service manager listens, wrong arguments end nothing, or it would be started again for everybody who waits there: it serves nobody", async (t) => {
  for (const interfaces of [["--what"], ["a-name-of-sixteen"]]) {
    const { path, end } = await start(t, { handedOver: true, interfaces });
    // Accepted and ended, again and again; who only waits in the queue would be told nothing.
    for (let times = 0; times < 3; times++) assert.equal(await ask(path, question(kinds.may, LOOPBACK)), undefined);
    assert.equal(await end("SIGTERM"), 0);
  }
});

test("wrong arguments are refused with 2, so that the service manager does not try for ever", () => {
  for (const words of [[], ["can0"], ["--peer", "no such user", "can0"], ["--peer", "4294967295", "can0"], ["--peer", "-1", "can0"], ["--peer", "0", "--peer", "0", "can0"], ["--peer", "0", "a-name-of-sixteen"], ["--peer", "0", "--what", "can0"], ["--peer", "0", "can0", "--socket"]]) {
    assert.equal(spawnSync(program, words, { timeout: 60_000 }).status, 2, words.join(" "));
  }
  // No socket at all.
  assert.equal(spawnSync(program, ["--peer", "0", "can0"], { timeout: 60_000 }).status, 1);
});
