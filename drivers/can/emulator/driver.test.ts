import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CanHarness } from "../contract.ts";
import { testCanDriverContract } from "../contract.ts";
import type { CanFrame } from "../frame.ts";
import { createEmulatorDriver } from "./driver.ts";
import { BusHost } from "./host.ts";
import { attachInProcess } from "./inProcess.ts";
import { serveBuses } from "./server.ts";

/** A bus on a socket with one other node; the driver under test is the node "arm". Other drivers' tests build on it. */
async function harness(): Promise<CanHarness> {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-emulator-"));
  const host = new BusHost({ name: "arm", bitrateBps: 1_000_000, dataBitrateBps: 4_000_000, fd: true });
  const serve = () => serveBuses({ socketPath: join(folder, "bus.sock"), buses: [host] });
  let server: Awaited<ReturnType<typeof serve>> | undefined = await serve();
  const { port: peer, node } = attachInProcess(host, { name: "peer", fd: true, queueFrames: 512 });
  const received: CanFrame[] = [];
  peer.onFrame((frame) => void received.push(frame));
  const driver = createEmulatorDriver({ name: "arm", socketPath: join(folder, "bus.sock"), fd: true, reopen: { minMs: 2, maxMs: 20 },
    health: { probeIntervalMs: 20, busOff: { restartMinMs: 5, restartMaxMs: 20, restartBudget: 10 } } });
  return {
    driver,
    peerSend: (frame) => void peer.send(frame),
    peerReceived: () => received.filter(({ canId }) => canId !== 0x7ff),
    settle: () => new Promise((resolve) => {
      // A frame of its own through the bus: all that was queued before it has left by then.
      const remove = peer.onEcho(({ token }) => {
        if (token !== 4711) return;
        remove();
        spy.close().then(() => setImmediate(() => setImmediate(resolve)), resolve);
      });
      const { port: spy } = attachInProcess(host);
      peer.send({ timeUs: 0, canId: 0x7fe, flags: 0, data: new Uint8Array(0), token: 4711 });
    }),
    async breakLink() {
      await server?.close();
      server = undefined;
    },
    async restoreLink() {
      server = await serve();
    },
    isolate: () => host.setPower(node, false),
    rejoin: () => host.setPower(node, true),
    forceBusOff: () => host.setCounters(host.node("arm")!, 256, 0),
    disturb: () => void host.inject({ kind: "bitError", times: 1 }),
    async stop() {
      await driver.stop();
      await peer.close();
      await server?.close();
      host.close();
      rmSync(folder, { recursive: true });
    },
  };
}

testCanDriverContract("emulator", harness);
