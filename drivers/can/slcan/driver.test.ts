import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { soonUs } from "../../contract.ts";
import type { CanHarness } from "../contract.ts";
import { numberedFrame, testCanDriverContract } from "../contract.ts";
import type { BusWithPeer } from "../emulator/testPeer.ts";
import { busWithPeer } from "../emulator/testPeer.ts";
import { SlcanAdapter } from "./adapter.ts";
import type { SlcanOptions } from "./driver.ts";
import { createSlcan } from "./driver.ts";
import type { MemoryLine } from "./memoryPort.ts";
import { memoryLine } from "./memoryPort.ts";
import { serialLine } from "./port.ts";
import type { SlcanPort } from "./ports.ts";
import type { SlcanPty } from "./pty.ts";
import { exposeSlcanPty } from "./pty.ts";
import { DriverError } from "../../driver.ts";
import { until } from "../../../schemas/testing.ts";

const quick: Partial<SlcanOptions> = { statusIntervalMs: 100, answerTimeoutMs: 20_000, reopen: { minMs: 2, maxMs: 10 }, health: { deadAfterMs: 500, probeIntervalMs: 20, busOff: { restartMinMs: 5, restartMaxMs: 20, restartBudget: 10 } } };

/** slcan tells no single error, so nothing is disturbed. */
function peerParts({ parts: { peerSend, peerReceived, settle, isolate, rejoin } }: BusWithPeer) {
  return { peerSend, peerReceived, settle, isolate, rejoin };
}

/** `open` gives a new line to the adapter each time, unless the cable is out. */
function inMemory(options: { fd?: boolean; replyWhen?: "queued" | "transmitted" }): () => Promise<CanHarness & { adapter: () => SlcanAdapter | undefined }> {
  return async () => {
    const bus = busWithPeer({ fd: options.fd ?? false });
    let plugged = true;
    let line: MemoryLine | undefined;
    let adapter: SlcanAdapter | undefined;
    const open = async (): Promise<SlcanPort> => {
      if (!plugged) throw new DriverError("cannotOpen", "no adapter", "plug it in");
      await adapter?.close();
      const fresh = memoryLine();
      line = fresh;
      adapter = new SlcanAdapter({ host: bus.host, name: "arm", ...options, write: (bytes) => fresh.adapter.write(bytes) });
      fresh.adapter.onData((bytes) => adapter?.push(bytes));
      return fresh.port;
    };
    const driver = createSlcan({ name: "arm", bitrateBps: 1_000_000, open, ...quick, ...(options.fd ? { fd: true } : {}), repliesMean: options.replyWhen ?? "queued" });
    return {
      driver,
      adapter: () => adapter,
      ...peerParts(bus),
      async breakLink() {
        plugged = false;
        await adapter?.close();
        line?.cut();
      },
      restoreLink() {
        plugged = true;
      },
      async stop() {
        await driver.stop();
        await adapter?.close();
        await bus.close();
      },
    };
  };
}

testCanDriverContract("slcan, replies when queued", inMemory({}));
testCanDriverContract("slcan, replies when transmitted", inMemory({ replyWhen: "transmitted" }));
testCanDriverContract("slcan with FD", inMemory({ replyWhen: "transmitted", fd: true }));

testCanDriverContract("slcan on a pseudo-terminal", async () => {
  const bus = busWithPeer();
  let device: SlcanPty | undefined = await exposeSlcanPty({ host: bus.host, name: "arm", replyWhen: "transmitted" });
  const driver = createSlcan({ name: "arm", bitrateBps: 1_000_000, open: async () => {
    if (!device) throw new DriverError("cannotOpen", "no adapter", "plug it in");
    return serialLine({ path: device.path })();
  }, ...quick, repliesMean: "transmitted" });
  return {
    driver,
    ...peerParts(bus),
    async breakLink() {
      await device?.close();
      device = undefined;
    },
    async restoreLink() {
      device = await exposeSlcanPty({ host: bus.host, name: "arm", replyWhen: "transmitted" });
    },
    async stop() {
      await driver.stop();
      await device?.close();
      await bus.close();
    },
  };
});

test("without confirmation a dead bus shows in the status flags: error-passive with a queue that stays full", async () => {
  const harness = await inMemory({})();
  let purged = false;
  harness.driver.onEvent(({ code }) => {
    purged ||= code === "purged";
  });
  await harness.driver.start();
  await harness.isolate!();
  await until(() => {
    harness.driver.send(numberedFrame(1, soonUs()));
    return harness.driver.health().state === "dead";
  }, "state dead");
  assert.equal(harness.driver.send(numberedFrame(2, soonUs())), "busDead");
  await until(() => purged, "event purged");
  await harness.rejoin!();
  await harness.settle();
  assert.equal(harness.peerReceived().filter(({ canId }) => canId === 0x155).length, 0, "what had piled up in the adapter was dropped");
  await harness.peerSend(numberedFrame(9, 0, { canId: 0x100 }));
  await until(() => harness.driver.rearm(), "re-arm, after somebody else was heard");
  assert.equal(harness.driver.send(numberedFrame(3, soonUs())), "queued");
  await harness.stop();
});

test("an adapter that refuses to open, or says nothing, is a DriverError with a remedy; a wrong rate is one before", async () => {
  const bus = busWithPeer();
  assert.throws(() => createSlcan({ name: "x", bitrateBps: 123, open: async () => memoryLine().port }), { code: "badBitrate" });
  const silent = createSlcan({ name: "x", bitrateBps: 500_000, open: async () => memoryLine().port, ...quick, answerTimeoutMs: 5 });
  await assert.rejects(silent.start(), (error) => error instanceof DriverError && error.code === "noAnswer" && error.remedy.length > 0);
  assert.equal(silent.health().state, "stopped");
  const refusing = createSlcan({ name: "x", bitrateBps: 500_000, ...quick, open: async () => {
    const line = memoryLine();
    const adapter = new SlcanAdapter({ host: bus.host, write: (bytes) => line.adapter.write(bytes) });
    line.adapter.onData((bytes) => adapter.push(bytes));
    return line.port;
  } });
  await assert.rejects(refusing.start(), { code: "refused" });
  await bus.close();
});

test("an adapter that goes silent is a lost link", async () => {
  const line = memoryLine();
  let mute = false;
  const bus = busWithPeer();
  const adapter = new SlcanAdapter({ host: bus.host, write: (bytes) => mute || line.adapter.write(bytes) });
  line.adapter.onData((bytes) => adapter.push(bytes));
  const driver = createSlcan({ name: "x", bitrateBps: 1_000_000, open: async () => line.port, ...quick, answerTimeoutMs: 2_000 });
  await driver.start();
  mute = true;
  await until(() => driver.health().state === "down", "state down");
  await driver.stop();
  await adapter.close();
  await bus.close();
});

test("an adapter that does not answer frames is learned to be one; time stamps are used; junk on the line is counted", async () => {
  const bus = busWithPeer();
  const line = memoryLine();
  const adapter = new SlcanAdapter({ host: bus.host, write: (bytes) => {
    const kept = Buffer.from(bytes.toString("latin1").replaceAll(/z\r/g, ""), "latin1");
    if (kept.length > 0) line.adapter.write(kept);
  } });
  line.adapter.onData((bytes) => adapter.push(bytes));
  const driver = createSlcan({ name: "x", bitrateBps: 1_000_000, open: async () => line.port, ...quick, txQueueFrames: 4, timestamps: true });
  const times: number[] = [];
  driver.onFrames((batch) => {
    for (let index = 0; index < batch.count; index++) if (batch.canId(index) === 0x100) times.push(batch.timeUs(index));
  });
  await driver.start();
  for (let number = 0; number < 20; number++) await until(() => driver.send(numberedFrame(number, soonUs())) === "queued", "room");
  await until(() => bus.received.length === 20, "20 frames");
  line.adapter.write(Buffer.from("rubbish\r"));
  bus.peer.send(numberedFrame(1, 0, { canId: 0x100 }));
  await until(() => times.length === 1, "a stamped frame");
  assert.ok(times[0]! > 0 && times[0]! <= soonUs(0));
  assert.equal(driver.health().counters["skippedBytes"], 8);
  await driver.stop();
  await adapter.close();
  await bus.close();
});

test("the adapter's own commands: identity, polling, refusals", async () => {
  const bus = busWithPeer({ fd: true });
  let said = "";
  const adapter = new SlcanAdapter({ host: bus.host, write: (bytes) => (said += bytes.toString("latin1")) });
  const ask = (text: string) => {
    said = "";
    adapter.push(Buffer.from(text, "latin1"));
    return said;
  };
  assert.equal(ask("V\rv\rN\r"), "V1013\rv0001\rNEMU1\r");
  assert.equal(ask("F\rC\rt1000\rS9\rZ2\rQ\r"), "\x07".repeat(6), "closed, or unknown");
  assert.equal(ask("S8\rM00000000\rmFFFFFFFF\rZ0\rX0\rO\r"), "\r".repeat(6));
  assert.equal(ask("O\rS6\rZ1\rM00000000\rt1239001122334455667788\rd1000\r"), "\x07".repeat(6), "open already");
  assert.equal(ask("P\r"), "\r");
  for (const canId of [0x10, 0x11, 0x12]) bus.peer.send({ timeUs: 0, canId, flags: 0, data: Uint8Array.of(canId) });
  await until(() => adapter.node!.statistics.receivedFrames === 3, "three frames");
  assert.equal(ask("P\rA\r"), "t010110\rt011111\rt012112\rA\r");
  assert.equal(ask("t1000\rF\rC\r"), "\rF00\r\r");
  assert.equal(ask("L\rt1000\r"), "\r\x07", "listens only");
  await adapter.close();
  await bus.close();
});

const hasPythonCan = spawnSync("python3", ["-c", "import can, serial"], { stdio: "ignore" }).status === 0;

test("python-can joins the bus by the pseudo-terminal", { skip: hasPythonCan ? false : "python3-can is not installed (sudo apt-get install -y python3-can)" }, async () => {
  const bus = busWithPeer();
  const device = await exposeSlcanPty({ host: bus.host, name: "python" });
  const script = `
import can
bus = can.Bus(interface="slcan", channel="${device.path}", bitrate=1000000, sleep_after_open=0)
bus.send(can.Message(arbitration_id=0x123, data=[1, 2, 0xFF], is_extended_id=False))
bus.send(can.Message(arbitration_id=0x1ABCDEF0, data=[], is_extended_id=True))
for _ in range(3):
    message = bus.recv(20)
    print("%X %s %s" % (message.arbitration_id, message.is_extended_id, message.data.hex()), flush=True)
bus.shutdown()
`;
  const child = spawn("python3", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
  await until(() => bus.received.length === 2, "two frames from python-can", 30_000);
  assert.deepEqual(bus.received.map(({ canId, flags, data }) => [canId, flags, ...data]), [[0x123, 0, 1, 2, 0xff], [0x1abc_def0, 1]]);
  for (const [canId, flags, data] of [[0x200, 0, [7, 8]], [0x201, 0, []], [0x1000_0000, 1, [0xaa]]] as const) bus.peer.send({ timeUs: 0, canId, flags, data: Uint8Array.from(data) });
  await once(child, "close");
  assert.equal(said, "200 False 0708\n201 False \n10000000 True aa\n");
  await device.close();
  await bus.close();
});
