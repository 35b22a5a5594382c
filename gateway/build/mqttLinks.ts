/** From the MQTT part of the configuration to links. Without one, nothing of MQTT is loaded. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Clock } from "../../schemas/clock.ts";
import { crc32Autosar } from "../../schemas/crc/crc32.ts";
import type { Config, MqttInput } from "../../schemas/messages/config.ts";
import type { LinkPorts } from "../links/link.ts";
import type { WatchLink } from "../links/linkGuard.ts";
import type { MqttLink } from "../links/mqttLink.ts";
import type { GatewayIdentity } from "../observe/status.ts";
import type { Rejects } from "../observe/rejects.ts";
import type { Publisher } from "../topics/publisher.ts";
import type { TopicTable } from "../topics/table.ts";
import { validator } from "./writableTopics.ts";

export interface MqttParts {
  config: Config;
  configFile: string;
  schemas: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  identity: GatewayIdentity;
  table: TopicTable;
  rejects: Rejects;
  clock: Clock;
  publisher: Publisher;
  ports: LinkPorts;
  epoch(): number;
  watch?: WatchLink | undefined;
}

export async function buildMqttLinks(parts: MqttParts): Promise<MqttLink[]> {
  const { config, clock, identity } = parts;
  const { broker, clients } = config.mqtt;
  if (!broker && clients.length === 0) return [];
  const [{ MqttInputReceiver }, { MqttLink: Link }] = await Promise.all([import("../links/mqttInput.ts"), import("../links/mqttLink.ts")]);
  const file = (path: string): string => resolve(dirname(parts.configFile), path);
  // The start time makes the session: within an epoch, whoever comes back later is a later one.
  const speakFor = { robot: config.robot, identity: { instance: identity.instance, version: identity.version, epoch: parts.epoch, firstSession: Number(clock.wallTimeNs() / 1_000_000n) } };
  const links: MqttLink[] = [];
  const build = (driver: ConstructorParameters<typeof Link>[0]["driver"]): void => {
    const { name } = driver;
    links.push(new Link({
      robot: config.robot, driver, clock, topics: parts.table, rejects: parts.rejects, ports: parts.ports, watch: parts.watch?.(name, ({ data }) => Buffer.from(data).toString()),
      inputs: config.mqtt.inputs.filter(({ via }) => via === name).map((input) => new MqttInputReceiver(inputOptions(input, parts))),
      mirrors: config.mqtt.publish.filter(({ via }) => via === name),
      grants: config.mqtt.commands?.via.includes(name) ? config.mqtt.commands.allow : undefined,
      publish: (topic, values, ttlMs, origin, nowUs) => parts.publisher.publish(topic, values, { form: "value", ttlMs, origin }, nowUs),
    }));
  };
  if (broker) {
    const [{ createMqttBrokerDriver }, { passwordHashOf, readPasswordFile }] = await Promise.all([import("../../drivers/mqtt/brokerDriver.ts"), import("../../drivers/mqtt/accounts.ts")]);
    build(createMqttBrokerDriver({
      name: broker.name, speakFor, clock, listen: broker.listen,
      users: await Promise.all(broker.users.map(async ({ name, publish, subscribe, passwordFile, passwordScrypt }) => ({
        name, publish, subscribe, passwordScrypt: passwordScrypt ?? (await passwordHashOf(await readPasswordFile(file(passwordFile!)))),
      }))),
      ...(broker.allowAnonymous ? { anonymous: { publish: [], subscribe: ["ipcnet/#"] } } : {}),
    }));
  }
  // Each side loads its own library only: the client's alone is 8 MB resident.
  if (clients.length === 0) return links;
  const { createMqttClientDriver } = await import("../../drivers/mqtt/clientDriver.ts");
  for (const client of clients) {
    const wanted = config.mqtt.inputs.filter(({ via }) => via === client.name).map(({ topic }) => ({ filter: topic, qos: 1 as const }));
    const commands = config.mqtt.commands?.via.includes(client.name) ? [{ filter: `ipcnet/${config.robot}/cmd/#`, qos: 1 as const }] : [];
    build(createMqttClientDriver({
      name: client.name, speakFor, clock, url: client.url, clientId: `ipcnet-${config.robot}-${identity.instance}`, protocolVersion: client.protocolVersion, queue: { capacityMessages: client.queueMessages, whenFull: "dropOldest" },
      subscriptions: [...wanted, ...commands],
      ...(client.username === undefined ? {} : { username: client.username }),
      ...(client.passwordFile === undefined ? {} : { password: readFileSync(file(client.passwordFile), "utf8").split(/\r?\n/, 1)[0]! }),
      ...(client.ca === undefined && client.certificate === undefined ? {} : { tls: {
        ...(client.ca === undefined ? {} : { ca: readFileSync(file(client.ca)) }),
        ...(client.certificate === undefined ? {} : { cert: readFileSync(file(client.certificate)), key: readFileSync(file(client.key!)) }),
      } }),
    }));
  }
  return links;
}

function inputOptions(input: MqttInput, { table, rejects, schemas }: MqttParts) {
  const schema = input.schema === undefined ? undefined : schemas.get(input.schema);
  return {
    link: input.via, filter: input.topic, encoding: input.encoding, table, rejects, validate: schema && validator(schema),
    dataId: input.integrity === "none" ? undefined : input.dataId === "schema" ? schemaDataId(schema) : input.dataId,
    topic: table.declare({ name: `mqtt/${input.via}/${input.name}`, encoding: input.encoding, timeoutMs: input.timeoutMs, ...(schema ? { jsonSchema: schema } : {}) }),
  };
}

/** The CRC-32/AUTOSAR of the schema's JSON text without white space, members in the file's order: a device computes it at build time. */
export function schemaDataId(schema: object | undefined): number {
  return crc32Autosar(Buffer.from(JSON.stringify(schema ?? {})));
}
