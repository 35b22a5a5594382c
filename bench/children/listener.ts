/** A node on bus "direct" in a process of its own: what a frame's way takes without a gateway in it. */
import { attachNode } from "../../drivers/can/emulator/client.ts";
import { systemClock } from "../../schemas/clock.ts";
import { LatencyLog } from "./latencyLog.ts";
import { serve } from "./rpc.ts";

/** Behind the header of P05. */
const SENT_US_AT = 3;

let log: LatencyLog | undefined;

serve({
  async attach(socketPath: string) {
    const port = await attachNode(socketPath, { bus: "direct", name: "listener", echoes: false });
    port.onBatch((batch) => {
      if (!log) return;
      for (let i = 0; i < batch.count; i++) log.add(batch.view.getUint32(batch.dataOffset(i) + SENT_US_AT, true), batch.timeUs(i), systemClock.nowUs());
    });
  },
  record() {
    log = new LatencyLog();
  },
  latencies() {
    const result = log?.quantiles();
    log = undefined;
    return result;
  },
});
