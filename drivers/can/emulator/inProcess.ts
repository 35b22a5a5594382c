/** A node on the emulated bus without a socket in between: simulated devices and tests in the bus's own process. */
import type { BusHost, ParticipantOptions } from "./host.ts";
import type { BusNode } from "./node.ts";
import { NodePort } from "./port.ts";
import { RECORD_BYTES } from "./protocol.ts";

/** Attaches a node; `node` is its controller on the bus (for faults, power, counters), `port` its own end. */
export function attachInProcess(host: BusHost, options: ParticipantOptions = {}): { port: NodePort; node: BusNode } {
  let port: NodePort | undefined;
  const participant = host.open(options, (outbox) => {
    port?.consume(outbox.take());
  });
  if (typeof participant === "string") throw new RangeError(participant);
  const { node } = participant;
  port = new NodePort(
    { bitrateBps: host.bus.bitrateBps, fd: host.bus.fd && (options.fd ?? false), queueFrames: node.queueFrames, listenOnly: node.listenOnly, echoes: options.echoes ?? true },
    {
      write(records) {
        for (let at = 0; at < records.length; at += RECORD_BYTES) host.accept(participant, records, at);
        host.kick();
      },
      close() {
        host.leave(participant);
        return Promise.resolve();
      },
    },
  );
  port.begin(node);
  return { port, node };
}
