/** The contract of all drivers, run on the embedded broker and on the client of an external one. */
import { connect } from "mqtt";
import { systemClock } from "../../schemas/clock.ts";
import type { DriverHarness } from "../contract.ts";
import { testDriverContract } from "../contract.ts";
import { createMqttBroker } from "./broker.ts";
import { createMqttBrokerDriver } from "./brokerDriver.ts";
import { createMqttClientDriver } from "./clientDriver.ts";
import { MQTT_LIMITS } from "./limits.ts";
import type { MqttMessage, MqttOutgoing } from "./message.ts";
import { freePort, until } from "../../schemas/testing.ts";

type Harness = DriverHarness<MqttMessage, MqttOutgoing>;
const anonymous = { publish: ["#"], subscribe: ["#"] };
const common = {
  outgoing: (number: number, deadlineUs: number): MqttOutgoing => ({ topic: "down/x", payload: Uint8Array.of(number), qos: 1, deadlineUs }),
  tooLong: (deadlineUs: number): MqttOutgoing => ({ topic: "down/x", payload: new Uint8Array(MQTT_LIMITS.packetBytes), deadlineUs }),
  numbers: ({ payload }: MqttMessage) => [payload[0]!],
  settle: () => new Promise<void>((resolve) => {
    systemClock.at(systemClock.nowUs() + 20_000, resolve);
  }),
};

testDriverContract("mqtt broker", async (): Promise<Harness> => {
  const port = await freePort();
  const broker = createMqttBrokerDriver({ name: "broker", listen: { port }, anonymous });
  const peer = connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 5, protocolVersion: 5, resubscribe: false, queueQoSZero: false });
  const received: number[] = [];
  let subscribed = false;
  peer.on("error", () => undefined); // not listening yet, or not any more
  peer.on("close", () => (subscribed = false));
  peer.on("connect", () => {
    peer.subscribe("down/#", { qos: 1 }, (error) => (subscribed = !error));
  });
  peer.on("message", (_topic, payload) => received.push(payload[0]!));
  return {
    ...common,
    // A broker that nobody has subscribed at yet is started, but its peer is not there.
    driver: {
      ...broker,
      async start() {
        await broker.start();
        await until(() => (subscribed && broker.clients().length > 0) || broker.health().state === "stopped", "the peer's subscription");
      },
    },
    peerSend(number) {
      if (subscribed) peer.publish("up/x", Buffer.of(number), { qos: 0 });
    },
    peerReceived: () => received,
    async stop() {
      await peer.endAsync(true);
      await broker.stop();
    },
  };
});

testDriverContract("mqtt client", async (): Promise<Harness> => {
  const port = await freePort();
  const received: number[] = [];
  const open = async () => {
    const made = createMqttBroker({ listen: { port }, anonymous });
    made.onMessage(({ payload }) => received.push(payload[0]!));
    await made.start();
    return made;
  };
  let broker = await open();
  const driver = createMqttClientDriver({ name: "fleet", url: `mqtt://127.0.0.1:${port}`, clientId: "own", subscriptions: [{ filter: "up/#", qos: 1 }], backoff: { minMs: 5, maxMs: 20 } });
  return {
    ...common,
    driver,
    peerSend: (number) => void broker.publish({ topic: "up/x", payload: Uint8Array.of(number), qos: 1 }),
    peerReceived: () => received,
    breakLink: () => broker.stop(),
    async restoreLink() {
      broker = await open();
    },
    async stop() {
      await driver.stop();
      await broker.stop();
    },
  };
});
