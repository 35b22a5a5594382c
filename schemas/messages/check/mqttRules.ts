/** MQTT: brokers and users that exist, secrets that are secret, mirrored topics that can be, and nothing in clear text that should not be. */
import type { BrokerUser, MqttClient } from "../config.ts";
import type { Path } from "../fault.ts";
import { patternsOverlap } from "../../topics/patterns.ts";
import type { CheckContext } from "./context.ts";
import { linkLists } from "./names.ts";
import type { Link } from "./names.ts";
import type { JsonSchemas } from "./schemaFiles.ts";
import type { TopicInfo } from "./topics.ts";

/** First levels under ipcnet/<robot>/ that mirrored topics cannot have: commands, the bridge's own state and the nodes' availability live there. */
const ownLevels = ["cmd", "bridge", "nodes"];

export function checkMqtt(context: CheckContext, links: ReadonlyMap<string, Link>): void {
  const { mqtt } = context.config;
  checkBroker(context);
  for (const [client, path] of context.items(mqtt.clients, ["mqtt", "clients"])) checkClient(context, client, path);
  for (const [input, path] of context.items(mqtt.inputs, ["mqtt", "inputs"])) {
    checkVia(context, links, input.via, [...path, "via"]);
    const why = input.encoding === "record" ? "a record's layout" : input.integrity === "P08" && input.dataId === "schema" ? "the data id" : undefined;
    if (why !== undefined && input.schema === undefined) context.fault("schemaNeeded", path, `${why} is derived from a schema, and there is none`, { expected: why === "the data id" ? "the key schema, or a number as dataId" : "the key schema" });
  }
  for (const [mirror, path] of context.items(mqtt.publish, ["mqtt", "publish"])) checkVia(context, links, mirror.via, [...path, "via"]);
  for (const [via, path] of context.items(mqtt.commands?.via, ["mqtt", "commands", "via"])) checkVia(context, links, via, path);
}

function checkVia(context: CheckContext, links: ReadonlyMap<string, Link>, via: string, path: Path): void {
  const names = [...links].filter(([, { kind }]) => kind === "broker" || kind === "client").map(([name]) => name);
  if (!names.includes(via)) context.unknown("unknownBroker", path, { what: "broker or MQTT client", name: via, known: names, lists: linkLists });
}

function checkBroker(context: CheckContext): void {
  const { broker } = context.config.mqtt;
  if (!broker) return;
  const path: Path = ["mqtt", "broker"];
  if (!isLoopback(broker.listen.host)) {
    context.warning("plainText", [...path, "listen", "host"], "the broker listens beyond this machine without encryption: passwords and commands can be read and changed on the way", { hint: "127.0.0.1, or a network that nobody else is on" });
  }
  if (broker.users.length === 0 && !broker.allowAnonymous && !context.loaded.isIncomplete("mqtt.broker.users")) {
    context.warning("nobodyMayConnect", [...path, "users"], "the broker has no users and lets nobody in without a name", { hint: "add users" });
  }
  for (const [user, at] of context.items(broker.users, [...path, "users"])) checkUser(context, user, at);
}

function checkUser(context: CheckContext, user: BrokerUser, path: Path): void {
  if (user.passwordFile !== undefined && user.passwordScrypt !== undefined) {
    context.fault("conflictingKeys", [...path, "passwordScrypt"], '"passwordFile" and "passwordScrypt" stand side by side', { expected: "one of them", part: "key" });
  }
  if (user.passwordFile === undefined && user.passwordScrypt === undefined) context.fault("passwordMissing", path, `the user ${user.name} has no password`, { expected: "passwordFile or passwordScrypt" });
  if (user.passwordFile !== undefined) checkPassword(context, user.passwordFile, [...path, "passwordFile"]);
  const root = `ipcnet/${context.config.robot}`;
  for (const [pattern, at] of context.items(user.publish, [...path, "publish"])) {
    if (patternsOverlap(pattern, `${root}/bridge/state`)) context.warning("mayImpersonate", at, `${user.name} may publish ${root}/bridge/state and so speak for the gateway`, { hint: `for commands: ${root}/cmd/#` });
  }
}

function checkPassword(context: CheckContext, file: string, path: Path): void {
  const bytes = context.read(file, path, { secret: true });
  if (bytes && new TextDecoder().decode(bytes).split(/\r?\n/)[0] === "") context.fault("passwordMissing", path, `"${file}" has an empty first line`, { expected: "the password in the first line" });
}

function checkClient(context: CheckContext, client: MqttClient, path: Path): void {
  const { broker } = context.config.mqtt;
  const url = URL.canParse(client.url) ? new URL(client.url) : undefined;
  if (!url || url.pathname.length > 1 || url.search !== "" || url.hash !== "") {
    context.fault("badUrl", [...path, "url"], `"${client.url}" is no address of a broker`, { expected: "mqtt://host:port or mqtts://host:port" });
  }
  const port = url?.port === "" ? (url.protocol === "mqtts:" ? 8883 : 1883) : Number(url?.port);
  if (url && broker && broker.listen.port !== 0 && port === broker.listen.port && isLoopback(url.hostname)) {
    context.fault("clientOfOwnBroker", [...path, "url"], "this is the embedded broker itself", { expected: `another broker; topics name the embedded one as via: ${broker.name}` });
  }
  if (url?.protocol === "mqtt:" && !isLoopback(url.hostname)) context.warning("plainText", [...path, "url"], "without encryption, passwords and values can be read and changed on the way", { hint: client.url.replace(/^mqtt:/, "mqtts:") });
  if (client.passwordFile !== undefined) {
    if (client.username === undefined) context.fault("keyNeeded", [...path, "passwordFile"], "a password without a user name", { expected: "the key username", part: "key" });
    checkPassword(context, client.passwordFile, [...path, "passwordFile"]);
  }
  for (const [key, other] of [["certificate", "key"], ["key", "certificate"]] as const) {
    if (client[key] !== undefined && client[other] === undefined) context.fault("keyNeeded", [...path, key], `"${key}" without "${other}"`, { expected: `the key ${other}`, part: "key" });
  }
  for (const key of ["ca", "certificate", "key"] as const) {
    const file = client[key];
    if (file === undefined) continue;
    const bytes = context.read(file, [...path, key], { secret: key === "key" });
    if (bytes && !new TextDecoder("latin1").decode(bytes).includes("-----BEGIN ")) context.fault("notPem", [...path, key], `"${file}" is not in PEM form`, { expected: "a file with -----BEGIN …-----" });
  }
  context.note("notTried", [...path, "url"], `whether ${client.url} answers and lets the gateway in`);
}

/** Once all topics are known: mirrored patterns and grants of commands mean something. */
export function checkMqttTopics(context: CheckContext, topics: ReadonlyMap<string, TopicInfo>): void {
  const { mqtt } = context.config;
  const names = [...topics.keys()];
  // With something dropped from the file, what is missing may have been meant.
  const certain = context.loaded.config !== undefined;
  for (const [mirror, path] of context.items(mqtt.publish, ["mqtt", "publish"])) {
    for (const [pattern, at] of context.items(mirror.topics, [...path, "topics"])) {
      const first = pattern.split("/")[0]!;
      if (ownLevels.includes(first)) context.fault("notMirrored", at, `"${pattern}" cannot be mirrored`, { expected: `topics that do not begin with ${ownLevels.join(", ")}` });
      else if (certain && first !== "ipcnet" && !names.some((topic) => patternsOverlap(pattern, topic))) context.warning("matchesNothing", at, `"${pattern}" fits no topic of this configuration`);
    }
  }
  const grants = mqtt.commands;
  const users = grants?.via.includes(mqtt.broker?.name ?? "") === true && grants.via.length === 1 ? mqtt.broker?.users.map((user) => user.name) : undefined;
  for (const [grant, path] of context.items(grants?.allow, ["mqtt", "commands", "allow"])) {
    if (users && !users.includes(grant.user)) context.unknown("unknownUser", [...path, "user"], { what: "user", name: grant.user, where: " of the broker", known: users, lists: ["mqtt.broker.users"] });
    for (const [pattern, at] of context.items(grant.topics, [...path, "topics"])) {
      if (!patternsOverlap(pattern, "cmd/#")) context.fault("notACommand", at, `"${pattern}" names no commands`, { expected: "a pattern such as cmd/arm/#" });
      else if (certain && !names.some((topic) => topic.startsWith("cmd/") && patternsOverlap(pattern, topic))) context.warning("matchesNothing", at, `"${pattern}" fits no command of this configuration`);
    }
  }
}

/** All schema files of topics, read and compiled. */
export function loadSchemas(context: CheckContext, schemas: JsonSchemas): void {
  for (const [input, path] of context.items(context.config.mqtt.inputs, ["mqtt", "inputs"])) if (input.schema !== undefined) schemas.load(context, input.schema, [...path, "schema"]);
  for (const [topic, path] of context.items(context.config.topics, ["topics"])) if (topic.schema !== undefined) schemas.load(context, topic.schema, [...path, "schema"]);
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
