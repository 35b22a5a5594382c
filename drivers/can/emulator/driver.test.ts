import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CanHarness } from "../contract.ts";
import { testCanDriverContract } from "../contract.ts";
import { createEmulatorDriver } from "./driver.ts";
import { serveBuses } from "./server.ts";
import { busWithPeer } from "./testPeer.ts";

/** The driver under test is the node "arm". */
async function harness(): Promise<CanHarness> {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-emulator-"));
  const bus = busWithPeer({ dataBitrateBps: 4_000_000, fd: true });
  const socketPath = join(folder, "bus.sock");
  const serve = () => serveBuses({ socketPath, buses: [bus.host] });
  let server: Awaited<ReturnType<typeof serve>> | undefined = await serve();
  const driver = createEmulatorDriver({ name: "arm", socketPath, fd: true, reopen: { minMs: 2, maxMs: 20 },
    health: { deadAfterMs: 500, probeIntervalMs: 20, busOff: { restartMinMs: 5, restartMaxMs: 20, restartBudget: 10 } } });
  return {
    driver,
    ...bus.parts,
    async breakLink() {
      await server?.close();
      server = undefined;
    },
    async restoreLink() {
      server = await serve();
    },
    forceBusOff: () => bus.host.setCounters(bus.host.node("arm")!, 256, 0),
    async stop() {
      await driver.stop();
      await server?.close();
      await bus.close();
      rmSync(folder, { recursive: true });
    },
  };
}

testCanDriverContract("emulator", harness);
