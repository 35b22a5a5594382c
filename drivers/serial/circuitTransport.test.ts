/** Circuits over a line in memory, whole and with faults, and over a real pseudo-terminal through `serialport`. */
import { systemClock } from "../../schemas/clock.ts";
import { testTransportContract } from "../../shm/circuits/contract.ts";
import { SMALL_CIRCUIT_LIMITS } from "../../shm/circuits/index.ts";
import type { TransportHarness } from "../../shm/circuits/contract.ts";
import { openPty } from "../pty/index.ts";
import { serialCircuitTransport } from "./circuitTransport.ts";
import { memoryLine } from "./memoryPort.ts";
import type { LineFaults } from "./memoryPort.ts";
import type { BytePort } from "./port.ts";
import { ttyPort } from "./port.ts";
import { streamPort } from "./streamPort.ts";

const link = { dataId: 0x4352_4354, baudBps: 1_000_000 };
/** A line may be silent for a while when everything is repeated on a loaded machine. */
const limits = { ...SMALL_CIRCUIT_LIMITS, messageBytesMax: 2048, windowUnits: 4096, poolUnits: 65_536, queueUnits: 4096, silenceMs: 60_000, helloTimeoutMs: 60_000 };

async function pair(a: BytePort, b: BytePort, cut: () => void): Promise<TransportHarness> {
  const ends = [await serialCircuitTransport({ ...link, port: a, role: "gateway" }), await serialCircuitTransport({ ...link, port: b, role: "device" })] as const;
  return { a: ends[0], b: ends[1], limits, cut, stop: () => ends.forEach((end) => end.end()) };
}

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const faults = (name: string, given: LineFaults): void =>
  testTransportContract(`serial line, ${name}`, () => {
    const line = memoryLine({ clock: systemClock, random: random(20_251), faults: given });
    return pair(line.a, line.b, () => line.unplug());
  });
faults("whole", { flip: 0, drop: 0, chunkBytesMax: 64 });
// A frame of 250 bytes in five is hit.
faults("with inverted and lost bytes", { flip: 0.0005, drop: 0.0003, chunkBytesMax: 17 });

testTransportContract("serial line, pseudo-terminal", async () => {
  const pty = await openPty();
  const harness = await pair(ttyPort({ path: pty.path, baudBps: link.baudBps }), streamPort("pty", pty.stream), () => pty.close());
  return {
    ...harness,
    async stop() {
      await harness.stop();
      pty.close();
    },
  };
});
