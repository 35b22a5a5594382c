/**
 * The whole verdict on a configuration, from the text and whatever files it names. `ipcnet config check` and the gateway's start and reload call
 * this same function, so their verdicts are the same. Opens nothing itself: files come through `readFile`, and what only this machine knows
 * through `machine`; what cannot be known is said in `notes`.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../canonicalJson.ts";
import { checkCommands, checkNodes, checkSafePose } from "./check/commands.ts";
import { CheckContext } from "./check/context.ts";
import type { FileAnswer, MachineProbe, Note } from "./check/context.ts";
import { BusMessages } from "./check/databases.ts";
import type { LoadedDatabase } from "./check/databases.ts";
import { checkLinks } from "./check/links.ts";
import { checkLoops } from "./check/loops.ts";
import { checkMachine } from "./check/machine.ts";
import { checkMqtt, checkMqttTopics, loadSchemas } from "./check/mqttRules.ts";
import { checkRedundancy } from "./check/redundancy.ts";
import { checkNames } from "./check/names.ts";
import { checkNodeCare } from "./check/nodeCare.ts";
import { checkRoutes } from "./check/routes.ts";
import { JsonSchemas } from "./check/schemaFiles.ts";
import { collectTopics, isReserved, reservedLevels } from "./check/topics.ts";
import type { TopicInfo } from "./check/topics.ts";
import { checkPlan } from "./checkPlan.ts";
import type { CheckedPlan } from "./checkPlan.ts";
import { checkPoseConditions } from "./plan/surroundings.ts";
import { checkPolicy } from "./checkPolicy.ts";
import type { CheckedPolicy, PolicySurroundings } from "./checkPolicy.ts";
import type { Config } from "./config.ts";
import { sortFaults } from "./fault.ts";
import type { Fault, Path } from "./fault.ts";
import { loadConfig } from "./loadConfig.ts";
import type { Location } from "./loadConfig.ts";

export type { CanInterfaceAnswer, FileAnswer, MachineProbe, Note } from "./check/context.ts";
export type { LoadedDatabase } from "./check/databases.ts";
export type { FieldInfo, Fields } from "./check/fields.ts";
export type { TopicInfo } from "./check/topics.ts";

export interface CheckInputs {
  text: string;
  /** Name of the configuration file, for messages. */
  file: string;
  /** Reads a file named in the configuration; relative paths count from the configuration's folder. */
  readFile: (path: string) => FileAnswer;
  /** Absent: nothing about this machine is asked, and nothing said. */
  machine?: MachineProbe;
}

/** What the check has read and worked out; the gateway goes on with it instead of reading the files again. */
export interface CheckedParts {
  /** Every message of every bus, with its database, checks and what its protection fills in. */
  messages: BusMessages;
  /** By bus name. */
  databases: ReadonlyMap<string, readonly LoadedDatabase[]>;
  /** JSON Schemas by path as it stands in the configuration. */
  schemas: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  /** Every topic that is known beforehand, with what its samples hold. */
  topics: ReadonlyMap<string, TopicInfo>;
  /** What the plan file says, if the configuration names one. */
  plan: CheckedPlan | undefined;
  /** What the policy file says, if the configuration names one. */
  policy: CheckedPolicy | undefined;
  /** What the policy is judged beside. */
  policySurroundings: PolicySurroundings;
  /** SHA-256 of the files that the configuration names, secrets and the policy excepted. */
  filesHash: string;
  /** Where something of the configuration stands in its file. */
  locate(path: Path): Location;
}

export interface CheckResult {
  /** Undefined when any fault is an error. */
  config: Config | undefined;
  /** Errors and warnings: of the configuration from top to bottom, then of the files it names. */
  faults: readonly Fault[];
  notes: readonly Note[];
  /** SHA-256 of the configuration with its defaults and of the files it names, secrets and the policy excepted (that one has a hash of its own, because it may change alone); the same for two files that mean the same. Undefined when refused. */
  hash: string | undefined;
  parts: CheckedParts;
  /** Texts of the files read, by name: to show the line of a fault. */
  texts: ReadonlyMap<string, string>;
}

export function checkConfig({ text, file, readFile, machine }: CheckInputs): CheckResult {
  const loaded = loadConfig(text, { file });
  const config = loaded.config ?? loaded.salvage;
  if (!config) return { config: undefined, faults: loaded.faults, notes: [], hash: undefined, parts: { messages: new BusMessages(), databases: new Map(), schemas: new Map(), topics: new Map(), plan: undefined, policy: undefined, policySurroundings: { topics: new Set(), writers: new Map() }, filesHash: "", locate: loaded.locate }, texts: new Map([[file, text]]) };
  const context = new CheckContext({ config, loaded, readFile });
  const schemas = new JsonSchemas();
  const messages = new BusMessages();

  const links = checkNames(context);
  checkLinks(context);
  for (const [bus, path] of context.items(config.buses, ["buses"])) messages.load(context, bus, path);
  loadSchemas(context, schemas);
  checkTopicNames(context);
  const topics = collectTopics(context, messages, schemas);
  checkCommands(context, messages);
  const routes = checkRoutes(context, topics);
  checkLoops(context, routes, topics);
  checkNodes(context, { links, messages, topics });
  checkSafePose(context, messages, topics);
  checkRedundancy(context, messages);
  checkNodeCare(context, messages);
  checkMqtt(context, links);
  checkMqttTopics(context, topics);
  if (config.redundancy.reflex !== "none") checkPoseConditions(context, { messages, topics });
  const plan = checkPlanFile(context, { messages, topics });
  const files = Object.fromEntries(context.fileHashes);
  const policySurroundings = {
    topics: new Set([...topics.keys(), ...config.buses.map(({ name }) => `cmd/${name}/raw`)]),
    writers: new Map(config.commands.map((command) => [`cmd/${"bus" in command ? command.bus : command.serial}/${command.message}`, command.writers])),
  };
  const policy = checkPolicyFile(context, policySurroundings, machine);
  if (machine) checkMachine(context, machine);

  const faults = sortFaults([...loaded.faults, ...context.faults], file);
  const accepted = faults.every((fault) => fault.severity !== "error");
  return {
    config: accepted ? config : undefined,
    faults,
    notes: context.notes.toSorted((a, b) => Number(a.file !== file) - Number(b.file !== file) || a.line - b.line || a.column - b.column),
    hash: accepted ? hashOf({ config, files }) : undefined,
    parts: { messages, databases: messages.databases, schemas: schemas.all, topics, plan, policy, policySurroundings, filesHash: hashOf(files), locate: loaded.locate },
    texts: new Map([...context.texts, [file, text]]),
  };
}

/** Whether the gateway would start on this machine, as far as the check can know. */
export function startsHere({ config, notes }: Pick<CheckResult, "config" | "notes">): boolean {
  return config !== undefined && notes.every((note) => !note.blocksStart);
}

function hashOf(value: unknown): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}

/** Its faults stand in its own file. */
function checkPlanFile(context: CheckContext, ground: { messages: BusMessages; topics: ReadonlyMap<string, TopicInfo> }): CheckedPlan | undefined {
  const file = context.config.safePose.plan;
  if (file === undefined) return undefined;
  const text = context.readText(file, ["safePose", "plan"]);
  if (text === undefined) return undefined;
  const { checked, faults, notes } = checkPlan({ text, file, surroundings: { ...ground, config: context.config, uncertainBuses: context.uncertainBuses } });
  context.faults.push(...faults);
  context.notes.push(...notes);
  return checked;
}

/** Its faults stand in its own file, beside those of the configuration. */
function checkPolicyFile(context: CheckContext, surroundings: PolicySurroundings, machine: MachineProbe | undefined): CheckedPolicy | undefined {
  const file = context.config.policy;
  if (file === undefined) return undefined;
  const text = context.readText(file, ["policy"]);
  if (text === undefined) return undefined;
  const mode = context.modeOf(file);
  const { checked, faults, notes } = checkPolicy({ text, file, ...(mode === undefined ? {} : { mode }), ...(machine ? { machine } : {}), surroundings });
  context.faults.push(...faults);
  context.notes.push(...notes);
  return checked;
}

function checkTopicNames(context: CheckContext): void {
  for (const [topic, path] of context.items(context.config.topics, ["topics"])) {
    if (isReserved(topic.name)) context.fault("reservedTopic", [...path, "name"], `topics that begin with ${topic.name.split("/")[0]} belong to IPCNet`, { expected: `a first level other than ${reservedLevels.join(", ")}` });
    if (topic.encoding === "bytes" && topic.schema !== undefined) context.fault("conflictingKeys", [...path, "schema"], "bytes have no JSON Schema", { expected: "encoding json or cbor, or no schema", part: "key" });
  }
}
