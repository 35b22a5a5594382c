/** Wires what the reflex asks of this gateway: its links, and the services of components by a connection like any other program's. */
import type { ReflexClient } from "../../../failsafe/reflex/client/client.ts";
import type { Clock } from "../../../schemas/clock.ts";
import { connect } from "../../../shm/client/index.ts";
import type { CommandPath } from "../../commands/commandPath.ts";
import type { Link } from "../../links/link.ts";
import { MqttLink } from "../../links/mqttLink.ts";
import { BrainCalls } from "../../supervisor/brainCalls.ts";
import type { TopicSource } from "../../topics/topicSource.ts";

/** A message of the safe pose that waits longer than this says nothing any more. */
const MQTT_LIFE_MS = 1_000;

export interface CallParts {
  client: ReflexClient;
  clock: Clock;
  topics: TopicSource;
  links: readonly Link[];
  paths: ReadonlyMap<string, CommandPath>;
  socketPath: string;
  trouble(text: string): void;
}

export function answerReflexCalls({ client, clock, topics, links, paths, socketPath, trouble }: CallParts): BrainCalls {
  return new BrainCalls({
    client, clock, topics, paths, trouble,
    publishMqtt: ({ mqtt, topic, values }) => {
      const link = links.find(({ name }) => name === mqtt);
      return link instanceof MqttLink && link.publishJson(topic, values, MQTT_LIFE_MS);
    },
    callService: async (name, given, timeoutMs) => {
      try {
        const caller = await connect({ socketPath, name: "safe pose", timeoutMs });
        try {
          await caller.request(name, given, { timeoutMs });
          return true;
        } finally {
          await caller.close();
        }
      } catch (error) {
        trouble(`service ${name}: ${(error as Error).message}`);
        return false;
      }
    },
  });
}
