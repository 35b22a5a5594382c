import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ManualClock, systemClock, type Clock } from "../../schemas/clock.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { BusHost } from "../../drivers/can/emulator/host.ts";
import { attachInProcess } from "../../drivers/can/emulator/inProcess.ts";
import { CanFlag, FRAME_STRIDE_BYTES, readFrame, writeFrame, type CanFrame } from "../../drivers/can/frame.ts";
import { formatCandumpFrame } from "../../drivers/can/candump.ts";
import { runCli } from "./main.ts";
import { MemoryClient, memoryContext, memoryMessage, type MemoryContext } from "./memory.ts";
import { projectRoot } from "./root.ts";
import type { Message } from "./client.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ipcnet-can-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function raw(bus: string, frame: Partial<CanFrame> & { canId: number }, changes: Partial<Message> = {}): Message {
  const bytes = new Uint8Array(FRAME_STRIDE_BYTES);
  writeFrame(bytes, new DataView(bytes.buffer), 0, { timeUs: 0, flags: 0, data: new Uint8Array(), ...frame });
  return memoryMessage(`can/${bus}/raw`, bytes, changes);
}

const frames = [
  raw("arm", { canId: 0x123, data: Uint8Array.of(0xde, 0xad) }),
  raw("base", { canId: 0x18ff0000, flags: CanFlag.extended, data: Uint8Array.of(1) }, { wallTimeNs: 1_700_000_001_000_000_000n, lostBefore: 2 }),
  raw("arm", { canId: 0x124, flags: CanFlag.fd | CanFlag.bitRateSwitch, data: new Uint8Array(12) }),
  raw("arm", { canId: 0x125, flags: CanFlag.remote, lengthBytes: 4 }),
];

async function dump(words: readonly string[]): Promise<MemoryContext & { code: number; client: MemoryClient }> {
  const client = new MemoryClient();
  const context = memoryContext({ services: { connect: client.connect } });
  const ended = runCli(["can", "dump", ...words, "--count", String(frames.length)], context);
  await client.untilSubscribed();
  for (const frame of frames) client.emit(frame);
  return Object.assign(context, { code: await ended, client });
}

test("can dump: candump's log format, which can-utils read; losses are said and make exit code 1", async () => {
  const { stdout, stderr, code } = await dump([]);
  assert.deepEqual(stdout.lines, [
    "(1700000000.123456) arm 123#DEAD", "(1700000001.000000) base 18FF0000#01", "(1700000000.123456) arm 124##1000000000000000000000000", "(1700000000.123456) arm 125#R4",
  ]);
  assert.equal(stderr.text, "ipcnet: 2 frames lost\n");
  assert.equal(code, 1);
});

test("can dump --json and --output", async () => {
  const json = await dump(["--json"]);
  assert.deepEqual(JSON.parse(json.stdout.lines[1]!), { t: 1_700_000_001, bus: "base", id: 0x18ff0000, ext: true, fd: false, remote: false, error: false, echo: false, length: 1, data: "01", lostBefore: 2 });
  const path = join(folder, "dump.log");
  const file = await dump(["-o", path]);
  assert.equal(file.stdout.text, "");
  assert.equal(readFileSync(path, "utf8").split("\n").length, frames.length + 1);
  const again = memoryContext({ services: { connect: new MemoryClient().connect } });
  assert.equal(await runCli(["can", "dump", "-o", path], again), 2);
  assert.match(again.stderr.text, /exists already/);
});

test("can dump: a bus that the gateway does not have is told, not waited for", async () => {
  const client = new MemoryClient();
  client.descriptions.push({ name: "can/arm/raw", encoding: "canframe" });
  const context = memoryContext({ services: { connect: client.connect } });
  assert.equal(await runCli(["can", "dump", "amr"], context), 2);
  assert.match(context.stderr.text, /there is no bus amr\n.*the buses are arm/);
});

test("can dump: a log that Ctrl-C ended is whole", async () => {
  const client = new MemoryClient();
  client.descriptions.push({ name: "can/arm/raw", encoding: "canframe" });
  const context = memoryContext({ services: { connect: client.connect } });
  const path = join(folder, "interrupted.log");
  const ended = runCli(["can", "dump", "arm", "-o", path], context);
  await client.untilSubscribed();
  client.emit(frames[0]!);
  context.abort("SIGINT");
  assert.equal(await ended, 130);
  assert.equal(readFileSync(path, "utf8"), "(1700000000.123456) arm 123#DEAD\n");
  assert.match(context.stderr.text, /1 frames in/);
});

test("can send: each frame as the record of the raw command topic; a refusal names the frame and the reason", async () => {
  const client = new MemoryClient();
  assert.equal(await runCli(["can", "send", "arm", "123#DEADBEEF", "12345678#R4", "--ttl-ms", "50"], memoryContext({ services: { connect: client.connect, clock: new ManualClock({ nowUs: 1000 }) } })), 0);
  assert.deepEqual(client.published.map(({ topic, options }) => [topic, options]), [["cmd/arm/raw", { acknowledge: true, ttlMs: 50 }], ["cmd/arm/raw", { acknowledge: true, ttlMs: 50 }]]);
  const sent = client.published.map(({ value }) => readFrame(value as Uint8Array, new DataView((value as Uint8Array).buffer), 0));
  assert.deepEqual(sent.map(formatCandumpFrame), ["123#DEADBEEF", "12345678#R4"]);
  assert.equal(sent[0]!.timeUs, 51_000);
  for (const [status, code, remedy] of [[Status.preconditionFailed, 1, /remedy: ipcnet arm/], [Status.forbidden, 4, /listed under commands:/], [Status.unprocessableContent, 1, /out of range/]] as const) {
    const refusing = new MemoryClient();
    refusing.onPublish = () => {
      throw new IpcnetError(status, "velocity is out of range");
    };
    const context = memoryContext({ services: { connect: refusing.connect } });
    assert.equal(await runCli(["can", "send", "arm", "123#00"], context), code);
    assert.match(context.stderr.text, /arm 123#00 was refused: .*velocity/);
    assert.match(context.stderr.text, remedy);
  }
});

test("can send: what is no frame is wrong usage, and nothing is sent", async () => {
  for (const word of ["123", "123#ABC", "800#00", "123##1000102030405060708", "20000004#00", "12#00"]) {
    const client = new MemoryClient();
    assert.equal(await runCli(["can", "send", "arm", "123#00", word], memoryContext({ services: { connect: client.connect } })), 2, word);
    assert.equal(client.published.length, 0);
  }
});

interface Replayed extends MemoryContext {
  ended: Promise<number>;
  received: CanFrame[];
  host: BusHost;
}

function replay(words: readonly string[], { clock = systemClock, bitrateBps = 0, listener = true }: { clock?: Clock; bitrateBps?: number; listener?: boolean } = {}): Replayed {
  const host = new BusHost({ name: "arm", bitrateBps, clock });
  const received: CanFrame[] = [];
  if (listener) attachInProcess(host, { name: "listener" }).port.onFrame((frame) => received.push(frame));
  const context = memoryContext({ services: { clock, attachNode: (_path, options) => Promise.resolve(attachInProcess(host, { ...options, echoes: true }).port) } });
  return Object.assign(context, { received, host, ended: runCli(["can", "replay", ...words, "--bus", "arm", "--emulator", "bus.sock"], context) });
}

const recording = "(1.000000) can0 123#01\n(1.100000) can1 124#02\n\n(1.250000) can0 125#03\n(1.250000) can0 20000004#0000000000000000\n";

async function step(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1) {
    clock.advanceMs(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("can replay keeps the recording's time, divided by the speed", async () => {
  const clock = new ManualClock({ nowUs: 1e6 });
  const run = replay(["-", "--speed", "2"], { clock, bitrateBps: 500_000 });
  run.stdin.end(recording);
  await step(clock, 200);
  assert.equal(await run.ended, 0);
  assert.deepEqual(run.received.map(formatCandumpFrame), ["123#01", "124#02", "125#03"]);
  const [first, second, third] = run.received.map(({ timeUs }) => timeUs);
  assert.ok(Math.abs(second! - first! - 50_000) <= 2000, `${second! - first!} µs`);
  assert.ok(Math.abs(third! - first! - 125_000) <= 2000, `${third! - first!} µs`);
  assert.equal(run.stdout.text, "3 frames sent, 1 left out (error reports, other interfaces, FD on a classic bus)\n");
  run.host.close();
});

test("can replay --from takes one interface; unreadable lines are counted and make exit code 1", async () => {
  const run = replay(["-", "--speed", "max", "--from", "can0", "--json"]);
  run.stdin.end(`${recording}nonsense\n`);
  assert.equal(await run.ended, 1);
  assert.deepEqual(JSON.parse(run.stdout.text), { sent: 2, dropped: 0, skipped: 2, unreadable: 1, bus: "arm" });
  assert.match(run.stderr.text, /line 6: expected \(time\) bus ID#DATA/);
  run.host.close();
});

test("can replay --loop goes on until Ctrl-C", async () => {
  const path = join(folder, "short.log");
  writeFileSync(path, recording);
  const run = replay([path, "--speed", "max", "--loop"]);
  while (run.received.length < 10) await new Promise((resolve) => setImmediate(resolve));
  run.abort("SIGINT");
  assert.equal(await run.ended, 130);
  run.host.close();
});

test("can replay on a bus where nobody acknowledges says so instead of waiting for ever", async () => {
  const clock = new ManualClock({ nowUs: 1e6 });
  const run = replay(["-", "--speed", "max"], { clock, bitrateBps: 500_000, listener: false });
  run.stdin.end(recording);
  await step(clock, 20);
  clock.advanceMs(6000);
  await step(clock, 5);
  assert.equal(await run.ended, 1);
  assert.match(run.stderr.text, /nobody acknowledges on the bus arm/);
  run.host.close();
});

test("can replay: a file that is not there, wrong speeds, standard input twice", async () => {
  for (const words of [["/nowhere.log"], ["-", "--speed", "0"], ["-", "--speed", "fast"], ["-", "--loop"]]) {
    const run = replay(words);
    assert.equal(await run.ended, 2, words.join(" "));
    run.host.close();
  }
});

const car = join(projectRoot(), "../shared/data/can/car-with-checksums.candump.log");

test("the car recording, as fast as it goes: every frame arrives, in order", { skip: existsSync(car) ? false : "the recordings (../shared/data) are not here" }, async () => {
  const run = replay([car, "--speed", "max", "--json"]);
  assert.equal(await run.ended, 0);
  const recorded = readFileSync(car, "utf8").trim().split("\n").map((line) => line.split(" ")[2]!.toUpperCase());
  assert.equal(recorded.length > 6000, true);
  assert.deepEqual(run.received.map(formatCandumpFrame), recorded);
  run.host.close();
});
