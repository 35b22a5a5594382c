/** A CAN driver on an emulated bus, in TypeScript: for benches without the C core, and the plainest example of a driver. */
import type { CanLink, CanLinkKind, LinkDriverOptions } from "../linkDriver.ts";
import { LinkDriver } from "../linkDriver.ts";
import { FRAME_STRIDE_BYTES } from "../frame.ts";
import { attachNode } from "./client.ts";
import type { NodePort } from "./port.ts";

export interface EmulatorDriverOptions extends LinkDriverOptions {
  socketPath: string;
  /** The bus's name at the emulator; default: the configured one. */
  bus?: string;
  fd?: boolean;
}

export function createEmulatorDriver(options: EmulatorDriverOptions): LinkDriver {
  const kind: CanLinkKind = {
    kind: "emulator",
    confirms: true,
    fd: options.fd ?? false,
    async open(sink, signal) {
      const port = await attachNode(options.socketPath, { bus: options.bus ?? options.name, name: options.name, fd: options.fd ?? false, listenOnly: options.listenOnly ?? false, signal });
      port.onBatch((batch) => {
        for (let index = 0; index < batch.count; index++) sink.pushRecord(batch.bytes, index * FRAME_STRIDE_BYTES);
        sink.flush();
      });
      port.onDropped(() => sink.dropped(1));
      let up = true;
      port.onChange(() => {
        if (port.linkUp === up) sink.busState(port.state === "errorActive" ? "active" : port.state);
        else sink.interfaceUp((up = port.linkUp));
      });
      port.onClose((why) => sink.lost(why));
      return linkOf(port);
    },
  };
  return new LinkDriver(kind, options);
}

function linkOf(port: NodePort): CanLink {
  const purges = new Set<() => void>();
  return {
    bitrateBps: port.facts.bitrateBps || undefined,
    txQueueFrames: port.facts.queueFrames,
    canPurge: true,
    transmit(frame) {
      const verdict = port.send(frame);
      return verdict === "queued" || verdict === "queueFull" || verdict === "busOff" ? verdict : "linkDown";
    },
    purge: () =>
      new Promise((resolve) => {
        const droppedFrames = port.inFlight;
        port.control("purge");
        const settle = () => {
          if (port.inFlight > 0 && !port.closed) return;
          for (const remove of removers) remove();
          purges.delete(settle);
          resolve(port.closed ? { purged: false, code: "linkDown", text: "the bus emulator went away" } : { purged: true, droppedFrames });
        };
        const removers = [port.onDropped(settle), port.onBatch(settle), port.onClose(settle)];
        purges.add(settle);
        settle();
      }),
    restart() {
      port.control("restart");
      return Promise.resolve(true);
    },
    async close() {
      await port.close();
      for (const settle of purges) settle();
    },
  };
}
