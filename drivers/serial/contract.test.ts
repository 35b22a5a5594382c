/** The contract of all drivers, over a line in memory and over a pseudo-terminal through the real `serialport`. */
import { systemClock } from "../../schemas/clock.ts";
import type { DriverHarness } from "../contract.ts";
import { testDriverContract } from "../contract.ts";
import { openPty } from "../pty/index.ts";
import type { SerialDriver } from "./driver.ts";
import { createSerialDriver } from "./driver.ts";
import type { SerialMessage } from "./link.ts";
import { SERIAL_LIMITS } from "./limits.ts";
import { memoryLine } from "./memoryPort.ts";
import type { BytePort } from "./port.ts";
import type { SerialOutgoing } from "./sendQueue.ts";
import { streamPort } from "./streamPort.ts";
import { until } from "../../schemas/testing.ts";

type Harness = DriverHarness<SerialMessage, SerialOutgoing>;
const BAUD_BPS = 3_000_000;

async function harness({ own, far, ...rest }: { own: BytePort | string; far: BytePort } & Pick<Harness, "breakLink" | "restoreLink"> & { free?: () => void }): Promise<Harness> {
  const common = { dataId: 0x1234, baudBps: BAUD_BPS, silenceTimeoutMs: 10_000, startTimeoutMs: 60_000 };
  const driver: SerialDriver = createSerialDriver({ name: "own", port: own, role: "gateway", ...common });
  const peer = createSerialDriver({ name: "far", port: far, role: "device", optional: true, ...common });
  const received: number[] = [];
  peer.onFrames(({ body }) => received.push(body[0]!));
  await peer.start();
  const { free, ...link } = rest;
  return {
    driver,
    outgoing: (number, deadlineUs) => ({ id: number, body: Uint8Array.of(number), deadlineUs }),
    tooLong: (deadlineUs) => ({ id: 1, body: new Uint8Array(SERIAL_LIMITS.bodyBytes + 1), deadlineUs }),
    numbers: ({ body }) => [body[0]!],
    peerSend: (number) => until(() => {
      const verdict = peer.send({ id: number, body: Uint8Array.of(number), deadlineUs: systemClock.nowUs() + 30e6 });
      // Nobody is there to hear it: gone, as on any wire.
      return verdict === "queued" || driver.health().state === "stopped";
    }, "the peer to be ready"),
    peerReceived: () => received,
    settle: () => new Promise((resolve) => {
      systemClock.at(systemClock.nowUs() + 20_000, resolve);
    }),
    async stop() {
      await driver.stop();
      await peer.stop();
      free?.();
    },
    ...link,
  };
}

testDriverContract("serial over a line in memory", () => {
  const line = memoryLine({ clock: systemClock, random: () => 0.9 });
  return harness({ own: line.a, far: line.b, breakLink: () => line.unplug(), restoreLink: () => line.plug() });
});

testDriverContract("serial over a pseudo-terminal", async () => {
  const pty = await openPty();
  return harness({ own: pty.path, far: streamPort("pty", pty.stream), free: () => pty.close() });
});
