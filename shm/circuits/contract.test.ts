/** The contract over memory and over a SEQPACKET pair. */
import { SeqpacketConnection } from "../sockets/index.ts";
import { testTransportContract } from "./contract.ts";
import { SMALL_CIRCUIT_LIMITS } from "./limits.ts";
import { memoryTransports } from "./memoryTransport.ts";
import { seqpacketTransport } from "./seqpacketTransport.ts";

testTransportContract("memory", async () => {
  const [a, b] = memoryTransports();
  return { a, b, cut: () => b.end(), stop: () => undefined };
});

testTransportContract("memory, frames and limits of a microcontroller", async () => {
  const [a, b] = memoryTransports({ frameBytesMax: 80, capacityFrames: 1 });
  return { a, b, limits: SMALL_CIRCUIT_LIMITS, cut: () => b.end(), stop: () => undefined };
});

testTransportContract("SEQPACKET", async () => {
  const [a, b] = SeqpacketConnection.pair();
  return {
    a: seqpacketTransport(a),
    b: seqpacketTransport(b),
    cut: () => b.close(),
    stop() {
      a.close();
      b.close();
    },
  };
});
