/** MQTT, QoS 0, with the client library mqtt.js: through aedes (a process of its own) or mosquitto. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import mqtt from "mqtt";
import { missingProgram } from "../library.ts";
import type { Endpoint, MessageListener, Middle, Peer } from "../peer.ts";
import { freePort, runBroker } from "./process.ts";

async function member(port: string, { reads, writes }: { reads: string; writes: string }, listener: MessageListener): Promise<Endpoint> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4 });
  client.on("message", (topic, bytes) => listener(bytes, Number(topic.slice(topic.lastIndexOf("/") + 1)) || 0));
  await client.subscribeAsync(reads, { qos: 0 });
  return {
    send: (bytes) => {
      client.publish(writes, bytes as Buffer, { qos: 0 });
      return true;
    },
    drained: () => new Promise((resolve) => setImmediate(resolve)),
    close: () => client.endAsync(true).then(() => undefined),
  };
}

function overMqtt(name: string, missing: () => string | undefined, start: (folder: string) => Promise<Middle>): Peer {
  return {
    name, flow: "window", payloadBytesMax: Infinity, missing, start,
    hub: ({ at }, listener) => member(at, { reads: "up/+", writes: "down" }, listener),
    leaf: ({ at }, index, listener) => member(at, { reads: "down", writes: `up/${index}` }, listener),
  };
}

export const aedes = overMqtt("aedes", () => undefined, async () => {
  const port = await freePort();
  return runBroker(process.execPath, [fileURLToPath(new URL("./aedesBroker.js", import.meta.url)), String(port)], port);
});

export const mosquitto = overMqtt("mosquitto", () => missingProgram("mosquitto", "mosquitto"), async (folder) => {
  const port = await freePort();
  const file = join(folder, "mosquitto.conf");
  writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n`);
  return runBroker("mosquitto", ["-c", file], port);
});
