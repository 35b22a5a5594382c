/** The C core's driver on the emulated bus: the contract of CAN drivers, and the rows of docs/specs/can-core.md that need a whole driver. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { soonUs } from "../contract.ts";
import { DriverError, type DriverEvent } from "../driver.ts";
import { numberedFrame, testCanDriverContract, type CanHarness } from "./contract.ts";
import { BusHost } from "./emulator/host.ts";
import { attachInProcess } from "./emulator/inProcess.ts";
import { serveBuses } from "./emulator/server.ts";
import { CanFlag, type CanFrame } from "./frame.ts";
import { createNativeCan, upCommand, type NativeCanOptions } from "./nativeDriver.ts";
import { until } from "../../schemas/testing.ts";

const PROBE_ID = 0x7ff;
const SETTLER_ID = 0x7fe;

/** An emulated bus on a socket with one other node, and the driver, which is the node "arm". */
async function rig(extra: Partial<NativeCanOptions> = {}, bus: { bitrateBps?: number; queueFrames?: number; fd?: boolean } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-native-"));
  const socketPath = join(folder, "bus.sock");
  const host = new BusHost({ name: "arm", bitrateBps: bus.bitrateBps ?? 1_000_000, dataBitrateBps: 4_000_000, fd: bus.fd ?? true, queueFrames: bus.queueFrames ?? 16 });
  const serve = () => serveBuses({ socketPath, buses: [host] });
  let server: Awaited<ReturnType<typeof serve>> | undefined = await serve();
  const { port: peer, node } = attachInProcess(host, { name: "peer", fd: true, queueFrames: 512 });
  const received: CanFrame[] = [];
  peer.onFrame((frame) => void received.push(frame));
  const driver = createNativeCan({ name: "arm", kind: "emulator", interface: socketPath, fd: true, deadAfterMs: 500, probeIntervalMs: 20, reopen: { minMs: 2, maxMs: 20 },
    busOff: { restartMinMs: 5, restartMaxMs: 20, restartBudget: 10 }, ...extra });
  const events: DriverEvent[] = [];
  driver.onEvent((event) => void events.push(event));
  return {
    driver, host, peer, node, events, received, socketPath,
    codes: () => events.map(({ code }) => code),
    native: (counter: string) => driver.health().counters[counter] ?? 0,
    /** This thread does nothing, as in a garbage collection, until the reading thread got so far. */
    stall(condition: () => boolean) {
      const endUs = soonUs();
      while (!condition()) assert.ok(soonUs(0) < endUs, "the reading thread does not get on");
    },
    numbers: () => received.filter(({ canId }) => canId !== PROBE_ID).map(({ data }) => data[0]!),
    breakLink: async () => {
      await server?.close();
      server = undefined;
    },
    restoreLink: async () => {
      server = await serve();
    },
    stop: async () => {
      await driver.stop();
      await peer.close();
      await server?.close();
      host.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function harness(): Promise<CanHarness> {
  const { driver, host, peer, node, received, breakLink, restoreLink, stop } = await rig();
  let settlers = 0;
  driver.onFrames((batch) => {
    for (let index = 0; index < batch.count; index++) if (batch.canId(index) === SETTLER_ID) settlers += 1;
  });
  return {
    driver,
    peerSend: (frame) => void peer.send(frame),
    peerReceived: () => received.filter(({ canId }) => canId !== PROBE_ID),
    settle: async () => {
      // A frame of its own through the bus: all that was queued before it has left by then, and has reached the driver when this frame has.
      const before = settlers;
      let echoed = false;
      const remove = peer.onEcho(({ token }) => void (echoed ||= token === 4711));
      const { port: other } = attachInProcess(host);
      peer.send({ timeUs: 0, canId: SETTLER_ID, flags: 0, data: new Uint8Array(0), token: 4711 });
      await until(() => echoed, "the settling frame's echo");
      remove();
      await other.close();
      await until(() => settlers > before || ["stopped", "starting", "down"].includes(driver.health().state), "the settling frame at the driver");
    },
    breakLink,
    restoreLink,
    isolate: () => host.setPower(node, false),
    rejoin: () => host.setPower(node, true),
    forceBusOff: () => host.setCounters(host.node("arm")!, 256, 0),
    disturb: () => void host.inject({ kind: "bitError", times: 1 }),
    stop,
  };
}

testCanDriverContract("native on the emulator", harness);

test("a full queue is a verdict, a counter and one event, and the bus stays up", async () => {
  const bus = await rig({}, { bitrateBps: 125_000 });
  await bus.driver.start();
  assert.equal(bus.driver.bitrateBps, 125_000);
  let full = 0;
  for (let number = 0; number < 60; number++) if (bus.driver.send(numberedFrame(number, soonUs())) === "queueFull") full += 1;
  assert.equal(full, 60 - 16);
  await until(() => bus.numbers().length === 16, "the sixteen that were queued");
  assert.equal(bus.driver.health().state, "up");
  assert.equal(bus.driver.health().counters["droppedNoBufferFrames"], 44);
  assert.equal(bus.codes().filter((code) => code === "transmitDropped").length, 1);
  await bus.stop();
});

test("no more frames wait than configured, however long the link's own queue is", async () => {
  const bus = await rig({ txQueueFrames: 3 }, { bitrateBps: 125_000, queueFrames: 500 });
  await bus.driver.start();
  const verdicts = Array.from({ length: 5 }, (_, number) => bus.driver.send(numberedFrame(number, soonUs())));
  assert.deepEqual(verdicts, ["queued", "queued", "queued", "queueFull", "queueFull"]);
  await bus.stop();
});

test("error-passive with acknowledge errors: dead, and what waited never leaves", async () => {
  const bus = await rig();
  await bus.driver.start();
  bus.host.setPower(bus.node, false);
  for (let number = 1; number <= 5; number++) assert.equal(bus.driver.send(numberedFrame(number, soonUs())), "queued");
  await until(() => bus.driver.health().state === "dead", "dead");
  await until(() => bus.codes().includes("purged"), "purged");
  assert.equal(bus.events.find(({ code }) => code === "purged")?.details?.["droppedFrames"], 5);
  assert.equal(bus.driver.health().counters["droppedFrames"], 5);
  assert.match(bus.driver.health().reason, /probe.*acknowledges/);
  bus.host.setPower(bus.node, true);
  await until(() => bus.driver.rearm(), "re-arm");
  assert.deepEqual(bus.numbers(), []);
  await bus.stop();
});

test("once FD frames were sent the probe is one: who cannot read those acknowledges classic ones all the same", async () => {
  const bus = await rig();
  await bus.driver.start();
  for (const [flags, probe] of [[0, 0], [CanFlag.fd | CanFlag.bitRateSwitch, CanFlag.fd | CanFlag.bitRateSwitch], [0, CanFlag.fd | CanFlag.bitRateSwitch]] as const) {
    bus.host.setPower(bus.node, false);
    assert.equal(bus.driver.send(numberedFrame(1, soonUs(), { flags })), "queued");
    await until(() => bus.driver.health().state === "dead", "dead");
    bus.host.setPower(bus.node, true);
    await until(() => bus.driver.rearm(), "re-arm");
    const kinds = new Set(bus.received.splice(0).filter(({ canId }) => canId === PROBE_ID).map((frame) => frame.flags & (CanFlag.fd | CanFlag.bitRateSwitch)));
    assert.deepEqual([...kinds], [probe]);
  }
  await bus.stop();
});

test("a stalled JavaScript thread does not accuse the bus: what has arrived is read first", async () => {
  const bus = await rig({ deadAfterMs: 20 });
  await bus.driver.start();
  assert.equal(bus.driver.send(numberedFrame(1, soonUs())), "queued");
  await until(() => bus.numbers().length === 1, "the frame at the peer: its echo is in the socket");
  const endUs = soonUs(60); // three times the patience
  bus.stall(() => soonUs(0) > endUs && bus.native("nativeEchoedFrames") === 1);
  await until(() => bus.driver.health().counters["echoedFrames"] === 1, "the echo");
  assert.equal(bus.driver.health().state, "up");
  assert.equal(bus.driver.health().counters["deadTimes"], 0);
  await bus.stop();
});

test("a garbage-collection pause loses nothing: the ring waits", async () => {
  const bus = await rig({}, { bitrateBps: 0 });
  const seen: number[] = [];
  bus.driver.onFrames((batch) => {
    for (let index = 0; index < batch.count; index++) if ((batch.flags(index) & CanFlag.echo) === 0) seen.push(batch.view.getUint32(batch.dataOffset(index), true));
    assert.ok(batch.lostBefore(0) === 0);
  });
  await bus.driver.start();
  const data = new Uint8Array(8);
  const view = new DataView(data.buffer);
  for (let number = 0; number < 6000; number++) {
    view.setUint32(0, number, true);
    while (bus.peer.send({ timeUs: 0, canId: 0x100, flags: 0, data: data.slice() }) !== "queued") await new Promise((resolve) => setImmediate(resolve));
  }
  bus.host.run();
  bus.stall(() => bus.native("nativeReceivedFrames") > 1000);
  await until(() => seen.length === 6000, "all frames");
  assert.deepEqual(seen, Array.from({ length: 6000 }, (_, number) => number));
  await bus.stop();
});

test("a ring that overflows says how many were lost, and the bus is not accused", async () => {
  const bus = await rig({ ringFrames: 64 }, { bitrateBps: 0 });
  let seen = 0;
  let lost = 0;
  bus.driver.onFrames((batch) => {
    seen += batch.count;
    for (let index = 0; index < batch.count; index++) lost += batch.lostBefore(index);
  });
  await bus.driver.start();
  for (let number = 0; number < 500; number++) bus.peer.send({ timeUs: 0, canId: 0x100, flags: 0, data: Uint8Array.of(number & 0xff) });
  await Promise.resolve(); // the peer hands its frames over
  bus.host.run(); // all go out at once, while this thread takes none
  bus.stall(() => bus.native("nativeReceivedFrames") === 500);
  await until(() => seen === 64, "the first of them");
  bus.peer.send({ timeUs: 0, canId: 0x101, flags: 0, data: new Uint8Array(0) });
  await until(() => seen + lost >= 501, "the account balances");
  assert.equal(lost, 500 - 64);
  assert.equal(seen, 65);
  assert.equal(bus.native("ringLostFrames"), lost);
  assert.equal(bus.driver.health().state, "up");
  assert.ok(bus.codes().includes("receiveOverflow"));
  await bus.stop();
});

test("an optional bus starts without its server and finds it later; commands are then accepted", async () => {
  const bus = await rig({ optional: true });
  await bus.breakLink();
  await bus.driver.start();
  assert.equal(bus.driver.health().state, "starting");
  assert.match(bus.driver.health().reason, /not there/);
  assert.equal(bus.driver.send(numberedFrame(1, soonUs())), "linkDown");
  await bus.restoreLink();
  await until(() => bus.driver.health().state === "up", "up");
  assert.ok(bus.codes().includes("linkRestored"));
  assert.equal(bus.driver.send(numberedFrame(2, soonUs())), "queued");
  await until(() => bus.numbers().length === 1, "frame 2");
  await bus.stop();
});

test("what is wrong at start is a typed error with a remedy", async () => {
  const bus = await rig();
  const fails = async (extra: Partial<NativeCanOptions>, code: string | RegExp) => {
    const driver = createNativeCan({ name: "arm", kind: "emulator", interface: bus.socketPath, ...extra });
    await assert.rejects(driver.start(), (error) => error instanceof DriverError && (typeof code === "string" ? error.code === code : code.test(error.code)) && error.remedy.length > 10 && error.message.length > 10);
    assert.equal(driver.health().state, "stopped");
  };
  await fails({ interface: "/tmp/there-is-no-such-socket" }, "noInterface");
  await fails({ busName: "leg" }, "refused");
  await fails({ bitrateBps: 500_000 }, "bitrateMismatch");
  await fails({ kind: "socketcan", interface: "no-such-if0" }, /^(noKernelSupport|noInterface)$/);
  await fails({ kind: "socketcan", interface: "lo" }, /^(noKernelSupport|notCan)$/);
  await bus.stop();
});

test("FD is insisted on where it is configured", async () => {
  const bus = await rig({}, { fd: false });
  await assert.rejects(bus.driver.start(), { code: "noFdSupport" });
  await bus.stop();
});

test("listening only: nothing is ever sent, not even a probe", async () => {
  const bus = await rig({ listenOnly: true });
  await bus.driver.start();
  assert.equal(bus.driver.send(numberedFrame(1, soonUs())), "listenOnly");
  await bus.breakLink();
  await until(() => bus.driver.health().state === "down", "down");
  await bus.restoreLink();
  await until(() => bus.driver.health().state === "up", "up");
  assert.equal(bus.driver.health().counters["probes"], 0);
  assert.equal(bus.received.length, 0);
  await bus.stop();
});

test("the restart budget after bus-off ends, and a re-arm grants a new one", async () => {
  const bus = await rig({ busOff: { restartMinMs: 1, restartMaxMs: 2, restartBudget: 2 } });
  await bus.driver.start();
  const knockOff = () => bus.host.setCounters(bus.host.node("arm")!, 256, 0);
  knockOff();
  for (let times = 0; times < 2; times++) {
    await until(() => bus.codes().filter((code) => code === "busRecovered").length > times, `recovery ${times + 1}`);
    knockOff();
  }
  await until(() => bus.events.some(({ details }) => details?.["phase"] === "offGivenUp"), "given up");
  assert.equal(bus.driver.health().state, "busOff");
  assert.match(bus.driver.health().reason, /budget/);
  assert.equal(bus.driver.rearm(), false);
  await until(() => bus.codes().filter((code) => code === "busRecovered").length > 2, "a third recovery");
  await until(() => bus.driver.rearm(), "re-arm");
  await bus.stop();
});

test("an explicit purge drops what waits and says how much", async () => {
  const bus = await rig({}, { bitrateBps: 20_000 });
  await bus.driver.start();
  // Somebody has the wire meanwhile: nothing leaves, however long the machine takes.
  const { node: jammer } = attachInProcess(bus.host, { name: "jammer" });
  bus.host.babble(jammer, () => ({ timeUs: 0, canId: 0, flags: 0, data: new Uint8Array(8) }));
  await until(() => bus.received.length > 0, "the wire is taken");
  for (let number = 0; number < 8; number++) assert.equal(bus.driver.send(numberedFrame(number, soonUs())), "queued");
  const verdict = await bus.driver.purge();
  assert.ok(verdict.purged && verdict.droppedFrames >= 7, JSON.stringify(verdict));
  assert.equal(bus.driver.health().state, "up");
  assert.equal(bus.driver.link()?.inFlightFrames, 0);
  bus.host.babble(jammer, undefined);
  await bus.stop();
});

test("starting and stopping leaves neither descriptors nor threads", async () => {
  const bus = await rig();
  const threads = () => Number(/Threads:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
  const descriptors = () => readdirSync("/proc/self/fd").length;
  await bus.driver.start();
  await bus.driver.stop();
  await until(() => bus.host.bus.nodes.length === 1, "the server to notice");
  const before = { threads: threads(), descriptors: descriptors() };
  for (let round = 0; round < 30; round++) {
    await bus.driver.start();
    bus.driver.send(numberedFrame(round, soonUs()));
    await bus.driver.stop();
  }
  await until(() => bus.host.bus.nodes.length === 1, "the server to notice");
  await until(() => threads() <= before.threads && descriptors() <= before.descriptors, "no more threads and descriptors than before");
  await bus.stop();
});

test("a worker that is terminated in mid-traffic takes its thread and descriptors with it", async () => {
  const bus = await rig({}, { bitrateBps: 0 });
  const threads = () => Number(/Threads:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
  const descriptors = () => readdirSync("/proc/self/fd").length;
  const code = `import { parentPort, workerData } from "node:worker_threads";
    const { createNativeCan } = await import(workerData.module);
    const driver = createNativeCan({ name: "arm", kind: "emulator", interface: workerData.socketPath });
    driver.onFrames(() => parentPort.postMessage("frame"));
    await driver.start();
    parentPort.postMessage("started");`;
  const round = async () => {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: { module: new URL("nativeDriver.js", import.meta.url).href, socketPath: bus.socketPath } });
    const frames = new Promise((resolve) => worker.on("message", (message) => message === "frame" && resolve(undefined)));
    await once(worker, "message");
    for (let number = 0; number < 400; number++) bus.peer.send({ timeUs: 0, canId: 0x100, flags: 0, data: Uint8Array.of(1) });
    await frames;
    await worker.terminate();
    await until(() => bus.host.bus.nodes.length === 1, "the server to notice");
  };
  await round();
  const before = { threads: threads(), descriptors: descriptors() };
  for (let times = 0; times < 5; times++) await round();
  await until(() => threads() <= before.threads && descriptors() <= before.descriptors, "no more threads and descriptors than before");
  await bus.stop();
});

test("records that no record can hold are refused before they are written", async () => {
  const bus = await rig();
  await bus.driver.start();
  const base = { timeUs: soonUs(), flags: 0, data: new Uint8Array(0) };
  assert.equal(bus.driver.send({ ...base, canId: -1 }), "unsupported");
  assert.equal(bus.driver.send({ ...base, canId: 2 ** 32 + 5 }), "unsupported");
  assert.equal(bus.driver.send({ ...base, canId: 1.5 }), "unsupported");
  assert.equal(bus.driver.send({ ...base, canId: 5, token: 0xffff_ffff }), "unsupported");
  assert.equal(bus.driver.send({ ...base, canId: 5, data: new Uint8Array(300), flags: CanFlag.fd }), "badLength");
  assert.equal(bus.driver.send({ ...base, canId: 5, data: new Uint8Array(8), lengthBytes: 4 }), "badLength");
  assert.equal(bus.driver.send({ ...base, canId: 5, timeUs: Number.NaN }), "expired");
  await bus.stop();
});

test("the command that puts an interface up sets a bit rate only where one is missing or wrong, never on a virtual one", () => {
  const settled = { there: true, controller: true, bitrateBps: 1_000_000, dataBitrateBps: 0, fd: false };
  assert.equal(upCommand("can0", settled, {}), "sudo ip link set can0 up");
  assert.equal(upCommand("can0", settled, { bitrateBps: 1_000_000 }), "sudo ip link set can0 up");
  assert.equal(upCommand("can0", settled, { bitrateBps: 250_000 }), "sudo ip link set can0 up type can bitrate 250000");
  assert.equal(upCommand("can0", { ...settled, bitrateBps: 0 }, {}), "sudo ip link set can0 up type can bitrate 500000");
  assert.equal(upCommand("can0", undefined, {}), "sudo ip link set can0 up type can bitrate 500000");
  assert.equal(upCommand("vcan0", { ...settled, controller: false, bitrateBps: 0 }, { bitrateBps: 500_000, fd: true }), "sudo ip link set vcan0 up");
  const fd = { bitrateBps: 1_000_000, dataBitrateBps: 4_000_000, fd: true };
  assert.equal(upCommand("can0", settled, fd), "sudo ip link set can0 up type can bitrate 1000000 dbitrate 4000000 fd on");
  assert.equal(upCommand("can0", { ...settled, fd: true, dataBitrateBps: 2_000_000 }, fd), "sudo ip link set can0 up type can bitrate 1000000 dbitrate 4000000 fd on");
  assert.equal(upCommand("can0", { ...settled, fd: true, dataBitrateBps: 4_000_000 }, fd), "sudo ip link set can0 up");
  assert.equal(upCommand("can0", settled, { bitrateBps: 1_000_000, fd: true }), "sudo ip link set can0 up type can bitrate 1000000 dbitrate 1000000 fd on");
});
