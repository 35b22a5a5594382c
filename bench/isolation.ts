/**
 * What one that misbehaves costs the others: a local subscriber that is stopped, an MQTT client that no longer reads, a node that babbles.
 * A healthy subscriber and a healthy MQTT client are watched before, during and after each.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Latencies } from "./children/latencyLog.ts";
import { Child } from "./children/rpc.ts";
import type { Counts } from "./children/subscriber.ts";
import { freePort, freezeMqttClient } from "./frozenMqtt.ts";
import type { StatusReport } from "../schemas/messages/statusReport.ts";
import type { Bench, BenchContext, Table } from "./harness.ts";
import { memoryOf, setRealtime } from "./procfs.ts";
import { between, childProgram, read, Rig, sentUsOffset } from "./rig.ts";
import { probeDefinitions } from "./traffic.ts";

const RATE_HZ = 5_000;
/** 10 topics: 2,000 MQTT messages a second for each client; a socket that nobody reads is full after some seconds. */
const MQTT_RATE_HZ = 200;
const SETTLE_MS = 1_500;
const WINDOW_MS = 3_000;
const FROZEN_WINDOW_MS = 8_000;

interface Disturbance {
  name: string;
  windowMs: number;
  begin(): Promise<void>;
  /** Ends it; says what became of the one that misbehaved. */
  end(): Promise<string>;
}

export const bench: Bench = {
  name: "isolation",
  async run(context) {
    const quick = Math.min(1, context.scale);
    const port = await freePort();
    const rig = await Rig.start({ definitions: probeDefinitions, noisy: true, mqtt: { port, rateHzMax: MQTT_RATE_HZ } });
    const mqtt = new Child(childProgram("mqttSubscriber"));
    try {
      const healthy = await rig.subscriber({ name: "healthy" });
      const other = await rig.subscriber({ name: "stopped", queue: 4096 });
      await mqtt.call("subscribe", { port, topic: "ipcnet/bench/#" });
      await rig.bus.call("probe", { rateHz: RATE_HZ, bus: "bench" });
      const realTime = setRealtime([rig.bus, rig.gateway, healthy, other, mqtt].map(({ pid }) => pid), true);
      const watch = new Watch(rig, healthy, mqtt, context);
      await delay(SETTLE_MS * quick);
      await watch.window("(warm-up)", WINDOW_MS * quick);
      const rows: Table["rows"] = [];
      const notes: string[] = [];
      for (const disturbance of [stoppedSubscriber(healthy, other), frozenClient(port), babblingNode(rig, healthy)]) {
        rows.push(await watch.window(`${disturbance.name}: before`, WINDOW_MS * quick));
        await disturbance.begin();
        rows.push(await watch.window("… during", disturbance.windowMs * quick));
        notes.push(await disturbance.end());
        await delay(SETTLE_MS * quick);
        rows.push(await watch.window("… after", WINDOW_MS * quick));
      }
      return [{ title: `The others, at ${RATE_HZ.toLocaleString("en")} frames/s`, rows, notes: ["Healthy local subscriber: frames/s, lost, latency from send to callback in µs (typical p99: median of the p99 of each 1,000 frames). Healthy MQTT client: messages/s.", realTime ? "All processes of this bench with real-time priority, so that other programs on these cores do not count." : "Ordinary scheduling: this user may not ask for real-time priority.", ...notes] }];
    } finally {
      await mqtt.stop();
      await rig.close();
    }
  },
};

class Watch {
  readonly #rig: Rig;
  readonly #healthy: Child;
  readonly #mqtt: Child;
  readonly #context: BenchContext;

  constructor(rig: Rig, healthy: Child, mqtt: Child, context: BenchContext) {
    this.#rig = rig;
    this.#healthy = healthy;
    this.#mqtt = mqtt;
    this.#context = context;
  }

  async window(what: string, ms: number): Promise<Table["rows"][number]> {
    const before = await read(this.#rig, this.#healthy);
    const mqttBefore = await this.#mqtt.call<number>("received");
    await this.#healthy.call("record", sentUsOffset());
    await delay(ms);
    const { sinceSent } = await this.#healthy.call<Latencies>("latencies");
    const mqttAfter = await this.#mqtt.call<number>("received");
    const result = between(before, await read(this.#rig, this.#healthy));
    this.#context.progress(`${what}: ${Math.round(result.receivedPerS)} frames/s, lost ${result.lost}, p50 ${Math.round(sinceSent.p50)} µs`);
    if (result.disorder > 0) throw new Error(`${result.disorder} messages out of order`);
    return {
      what, "frames/s": result.receivedPerS, lost: result.lost, p50: sinceSent.p50, "typical p99": sinceSent.typicalP99, p99: sinceSent.p99,
      "mqtt/s": (mqttAfter - mqttBefore) / result.seconds, "gateway cores": result.gatewayCpuS / result.seconds, "gateway MB": memoryOf(this.#rig.gateway.pid).residentBytes / 1e6,
    };
  }
}

function stoppedSubscriber(healthy: Child, other: Child): Disturbance {
  return {
    name: "stopped local subscriber", windowMs: WINDOW_MS,
    begin() {
      other.process.kill("SIGSTOP");
      return Promise.resolve();
    },
    async end() {
      other.process.kill("SIGCONT");
      const target = await healthy.call<Counts>("counts");
      await other.call("reach", { count: target.received, timeoutMs: 10_000 });
      const { received, lost, disorder } = await other.call<Counts>("counts");
      if (disorder > 0) throw new Error(`${disorder} messages of the stopped subscriber are out of order`);
      return `Stopped subscriber (SIGSTOP, queue of 4,096): when it went on it received the newest of what it had missed and was told of ${lost.toLocaleString("en")} lost; ${received.toLocaleString("en")} received in all, none unaccounted for.`;
    },
  };
}

function frozenClient(port: number): Disturbance {
  let client: Awaited<ReturnType<typeof freezeMqttClient>> | undefined;
  return {
    name: "frozen MQTT client", windowMs: FROZEN_WINDOW_MS,
    async begin() {
      client = await freezeMqttClient(port, "ipcnet/bench/#");
    },
    async end() {
      // A paused socket hears of its end only when it is read again.
      client!.socket.resume();
      await delay(50);
      const text = client!.cut() ? "the broker had cut it" : "still connected";
      client!.socket.destroy();
      return `Frozen MQTT client: ${text} after the ${FROZEN_WINDOW_MS / 1e3} s.`;
    },
  };
}

function babblingNode(rig: Rig, healthy: Child): Disturbance {
  let before = { frames: 0, load: 0 };
  const noise = () => rig.bus.call<typeof before>("noise");
  return {
    name: "babbling node", windowMs: WINDOW_MS,
    async begin() {
      before = await noise();
      await rig.bus.call("babble", true);
    },
    async end() {
      const { frames, load } = await noise();
      await rig.bus.call("babble", false);
      const { links } = await healthy.call<StatusReport>("request", "gateway/status");
      const { accepted, rejected, unknown } = links.find(({ name }) => name === "noisy")!.counters;
      return `Babbling node: a second bus of 1 Mbit/s at ${Math.round(load * 100)} % load, ${(frames - before.frames).toLocaleString("en")} frames: ${unknown} with unknown identifiers, ${rejected} rejected for their contents, ${accepted} accepted.`;
    },
  };
}
