/** A node on the emulated bus without a socket in between: simulated devices and tests in the bus's own process. */
import type { BusHost } from "./host.ts";
import type { BusNode, NodeOptions } from "./node.ts";
import { NodePort } from "./port.ts";
import { RECORD_BYTES } from "./protocol.ts";

/** Attaches a node; `node` is its controller on the bus (for faults, power, counters), `port` its own end. */
export function attachInProcess(host: BusHost, options: NodeOptions = {}): { port: NodePort; node: BusNode } {
  let port: NodePort | undefined;
  const node = host.attach(options, (outbox) => {
    port?.consume(outbox.take());
  });
  port = new NodePort(
    { bitrateBps: host.bus.bitrateBps, fd: host.bus.fd && node.fd, queueFrames: node.queueFrames, listenOnly: node.listenOnly, echoes: node.echoes },
    {
      write(records) {
        for (let at = 0; at < records.length; at += RECORD_BYTES) host.accept(node, records, at);
        host.kick();
      },
      close() {
        host.detach(node);
        return Promise.resolve();
      },
    },
  );
  return { port, node };
}
