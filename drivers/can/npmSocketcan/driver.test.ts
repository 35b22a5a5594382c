import assert from "node:assert/strict";
import { test } from "node:test";
import { soonUs } from "../../contract.ts";
import type { CanHarness } from "../contract.ts";
import { numberedFrame, testCanDriverContract } from "../contract.ts";
import type { BusHost } from "../emulator/host.ts";
import { attachInProcess } from "../emulator/inProcess.ts";
import { busWithPeer } from "../emulator/testPeer.ts";
import { CanFlag } from "../frame.ts";
import { createNpmSocketcan } from "./driver.ts";
import type { OutgoingMessage, RawChannel, ReceivedMessage, SocketcanPackage } from "./package.ts";
import { loadPackage } from "./package.ts";
import { until } from "../../../schemas/testing.ts";

/** The package as its sources say it behaves, over an emulated bus: errors thrown, −1 without a reason, `onStopped` for every end, `stop` only once. */
function standIn(host: BusHost) {
  let present = true;
  const running = new Set<() => void>();
  const create = (name: string, options: { timestamps: boolean; non_block_send: boolean }): RawChannel => {
    if (!present || name !== "can0") throw new Error("Error while creating channel");
    assert.equal(options.non_block_send, true, "a blocking send would stop the process");
    const onMessage: ((message: ReceivedMessage) => void)[] = [];
    const onStopped: (() => void)[] = [];
    let port: ReturnType<typeof attachInProcess>["port"] | undefined;
    const end = () => {
      running.delete(end);
      void port?.close();
      port = undefined;
      for (const listener of onStopped) listener();
    };
    const send = (message: OutgoingMessage, fd: boolean): number => {
      assert.ok(Buffer.isBuffer(message.data), "Data field must be a Buffer");
      const flags = (message.ext ? CanFlag.extended : 0) | (message.rtr ? CanFlag.remote : 0) | (fd ? CanFlag.fd : 0) | (message.fd_brs ? CanFlag.bitRateSwitch : 0);
      const verdict = port?.send({ timeUs: 0, canId: message.id, flags, lengthBytes: message.data.length, data: message.rtr ? new Uint8Array(0) : message.data });
      return verdict === "queued" ? (fd ? 72 : 16) : -1;
    };
    return {
      addListener: (event, callback) => (event === "onMessage" ? onMessage.push(callback) : onStopped.push(callback as () => void)),
      start() {
        port = attachInProcess(host, { name: "npm", fd: true }).port;
        running.add(end);
        port.onBatch((batch) => {
          for (let index = 0; index < batch.count; index++) {
            const { canId, flags, data, lengthBytes } = batch.get(index);
            if ((flags & CanFlag.echo) !== 0) continue;
            const message: ReceivedMessage = { id: canId, data: (flags & CanFlag.remote) === 0 ? Buffer.from(data) : Buffer.alloc(lengthBytes!) };
            if ((flags & CanFlag.extended) !== 0) message.ext = true;
            if ((flags & CanFlag.remote) !== 0) message.rtr = true;
            if ((flags & CanFlag.error) !== 0) message.err = true;
            for (const listener of onMessage) listener(message);
          }
        });
      },
      stop() {
        if (!port) throw new Error("Channel not started");
        end();
      },
      send: (message) => send(message, false),
      sendFD: (message) => send(message, true),
    };
  };
  return {
    load: () => Promise.resolve({ createRawChannelWithOptions: create } satisfies SocketcanPackage),
    remove() {
      present = false;
      for (const end of running) end();
    },
    bring() {
      present = true;
    },
  };
}

function harness(): Promise<CanHarness> {
  const { host, parts: { peerSend, peerReceived, settle, disturb }, close } = busWithPeer();
  const npm = standIn(host);
  const driver = createNpmSocketcan({ name: "arm", interface: "can0", load: npm.load, reopen: { minMs: 2, maxMs: 10 } });
  return Promise.resolve({
    driver,
    peerSend,
    peerReceived,
    settle,
    disturb,
    breakLink: () => npm.remove(),
    restoreLink: () => npm.bring(),
    async stop() {
      await driver.stop();
      await close();
    },
  });
}

testCanDriverContract("npm socketcan", harness);

test("−1 is a lost frame, counted; with nobody on the bus the error reports end the trust, and what cannot be purged stays refused", async () => {
  const { host, parts, close } = busWithPeer();
  const driver = createNpmSocketcan({ name: "arm", interface: "can0", load: standIn(host).load });
  await driver.start();
  await parts.isolate();
  const verdicts = Array.from({ length: 20 }, (_, number) => driver.send(numberedFrame(number, soonUs())));
  assert.deepEqual([verdicts[0], verdicts.at(-1)], ["queued", "queueFull"]);
  assert.equal(driver.health().counters["droppedNoBufferFrames"], 4);
  await until(() => driver.health().state === "dead", "state dead");
  assert.equal(driver.send(numberedFrame(1, soonUs())), "busDead");
  assert.match(driver.health().reason, /cannot be emptied/);
  assert.equal(driver.rearm(), false);
  await driver.stop();
  await close();
});

test("a missing package or interface is a DriverError with the command that mends it", async () => {
  await assert.rejects(loadPackage("ipcnet-no-such-package"), { code: "packageMissing", remedy: "npm install ipcnet-no-such-package" });
  await assert.rejects(loadPackage("node:path"), { code: "packageUnusable" });
  const { host, close } = busWithPeer();
  const driver = createNpmSocketcan({ name: "arm", interface: "can9", load: standIn(host).load });
  await assert.rejects(driver.start(), { code: "cannotOpen" });
  await close();
});

test("FD goes out by the package's FD call", async () => {
  const { host, received, close } = busWithPeer({ fd: true });
  const driver = createNpmSocketcan({ name: "arm", interface: "can0", fd: true, load: standIn(host).load });
  await driver.start();
  assert.equal(driver.send({ timeUs: soonUs(), canId: 5, flags: CanFlag.fd | CanFlag.bitRateSwitch, data: new Uint8Array(64).fill(7) }), "queued");
  await until(() => received.length === 1, "the frame");
  assert.equal(received[0]!.flags, CanFlag.fd | CanFlag.bitRateSwitch);
  await driver.stop();
  await close();
});
