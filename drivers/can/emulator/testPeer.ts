/** For tests of drivers: an emulated bus with one other node, and the parts of a contract harness that follow from it. */
import type { CanHarness } from "../contract.ts";
import type { CanFrame } from "../frame.ts";
import type { BusHostOptions } from "./host.ts";
import { BusHost } from "./host.ts";
import { attachInProcess } from "./inProcess.ts";
import type { BusNode } from "./node.ts";
import type { NodePort } from "./port.ts";
import { until } from "../../../schemas/testing.ts";

const MARK_ID = 0x7fe;
const PROBE_ID = 0x7ff;

export interface BusWithPeer {
  host: BusHost;
  peer: NodePort;
  node: BusNode;
  /** What the peer has received, probes left out. */
  received: CanFrame[];
  /** Harness parts. `isolate` takes the peer's power. */
  parts: Pick<CanHarness, "peerSend" | "peerReceived" | "settle"> & Required<Pick<CanHarness, "isolate" | "rejoin" | "disturb">>;
  close: () => Promise<void>;
}

export function busWithPeer(options: Partial<BusHostOptions> = {}): BusWithPeer {
  const host = new BusHost({ name: "arm", bitrateBps: 1_000_000, ...options });
  const { port: peer, node } = attachInProcess(host, { name: "peer", fd: true, queueFrames: 512 });
  const received: CanFrame[] = [];
  peer.onFrame((frame) => void (frame.canId !== PROBE_ID && received.push(frame)));
  let mark = 1 << 20;
  return {
    host,
    peer,
    node,
    received,
    parts: {
      peerSend: (frame) => void peer.send(frame),
      peerReceived: () => received,
      /** A frame of the peer's own crosses the bus behind all that was queued; then the links have some turns of the event loop. */
      async settle() {
        await until(() => peer.linkUp, "the peer's link");
        const token = ++mark;
        const { port: taker } = attachInProcess(host);
        const echoed = new Promise<void>((resolve) => {
          const remove = peer.onEcho((echo) => {
            if (echo.token !== token) return;
            remove();
            resolve();
          });
        });
        peer.send({ timeUs: 0, canId: MARK_ID, flags: 0, data: new Uint8Array(0), token });
        await echoed;
        await taker.close();
        for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      },
      isolate: () => host.setPower(node, false),
      rejoin: () => host.setPower(node, true),
      disturb: () => void host.inject({ kind: "bitError", times: 1 }),
    },
    async close() {
      await peer.close();
      host.close();
    },
  };
}
