/** Validated frames per second and core with real processes: emulated bus, unpaced → ipcnetd → a subscriber. */
import { setTimeout as delay } from "node:timers/promises";
import type { Bench, Table } from "./harness.ts";
import { quantile } from "./harness.ts";
import { between, read, Rig } from "./rig.ts";
import { defaultTraffic } from "./traffic.ts";

const WARM_UP_MS = 2_000;
const MEASURE_MS = 3_000;
const REPETITIONS = 5;

export const bench: Bench = {
  name: "throughput",
  async run({ scale, progress }) {
    const traffic = defaultTraffic();
    const rig = await Rig.start({ definitions: traffic });
    try {
      const subscriber = await rig.subscriber({ paces: true });
      await rig.bus.call("flood", { traffic: traffic.name });
      await subscriber.call("first");
      await delay(WARM_UP_MS * Math.min(1, scale));
      const rows: Table["rows"] = [];
      for (let repetition = 0; repetition < (scale < 1 ? 1 : REPETITIONS); repetition++) {
        const before = await read(rig, subscriber);
        await delay(MEASURE_MS * Math.min(1, scale));
        const result = between(before, await read(rig, subscriber));
        progress(`${Math.round(result.validatedPerS).toLocaleString("en")} frames/s, ${Math.round(result.validatedPerCoreS).toLocaleString("en")} per core of the gateway`);
        if (result.disorder > 0) throw new Error(`${result.disorder} messages out of order`);
        rows.push({
          run: repetition + 1, "validated/s": result.validatedPerS, "validated/s/core": result.validatedPerCoreS, "delivered/s": result.receivedPerS, "lost by the subscriber %": (100 * result.lost) / (result.received + result.lost),
          "gateway ns/frame": 1e9 / result.validatedPerCoreS, "gateway cores": result.gatewayCpuS / result.seconds, "bus cores": result.busCpuS / result.seconds, "subscriber cores": result.subscriberCpuS / result.seconds,
        });
      }
      const perCore = rows.map((row) => Number(row["validated/s/core"])).sort((a, b) => a - b);
      return [{
        title: `Driver to subscriber, three processes: ${traffic.text}`, rows,
        notes: [`Median ${Math.round(quantile(perCore, 0.5)).toLocaleString("en")} validated frames per second and core of the gateway; aim 300,000.`, "The sender keeps at most 4,096 frames under way. Lost: the gateway dropped them because the subscriber did not keep up (oldest first, each one announced); sequence numbers and announced losses add up exactly."],
      }];
    } finally {
      await rig.close();
    }
  },
};
