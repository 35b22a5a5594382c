/**
 * Topics and a successor: what programs made them (`topic:NAME`) and what they had last (`value:NAME`). Those of the configuration have the same number in both instances, because both
 * have the same configuration; the number of one that programs made is kept.
 */
import type { Inheritance } from "../../failsafe/failover/inheritance.ts";
import type { Keeper } from "../../failsafe/failover/keeper.ts";
import { createHash } from "node:crypto";
import { layoutFromJson, layoutToJson } from "../../schemas/records/index.ts";
import type { DirectTopicTable } from "./directTopics.ts";
import type { Topic, TopicTable } from "./table.ts";
import type { Encoding, Quality, TopicEntry } from "./topicSource.ts";

interface TopicState {
  id: number;
  name: string;
  encoding: Encoding;
  schemaHash: bigint | number;
  layout?: unknown;
  jsonSchema?: object | undefined;
}

interface ValueState {
  name: string;
  sequence: number;
  timeUs: number;
  quality: Quality;
  origin: string;
  fromLanes: number;
  bytes: Uint8Array;
}

/** Two instances whose topics differ cannot stand in for each other: numbers would mean other things. Of the configuration's topics alone, before any program has made one. */
export function topicsFingerprint(table: TopicTable): string {
  const hash = createHash("sha256");
  for (const { id, name, encoding, schemaHash } of table.entries()) hash.update(`${id} ${name} ${encoding} ${schemaHash}\n`);
  return hash.digest("hex").slice(0, 16);
}

/** Notes every change for the keeper from now on. */
export function noteTopics(table: TopicTable, direct: DirectTopicTable, keeper: Keeper): void {
  const noteValue = (topic: TopicEntry): void => keeper.note(`value:${topic.name}`, () => valueOf(topic as Topic));
  const noteTopic = (topic: TopicEntry): void => {
    if (direct.isTemporary(topic as Topic)) keeper.note(`topic:${topic.name}`, () => stateOf(topic as Topic));
  };
  direct.onTemporary(noteTopic);
  table.onGone((topic) => {
    keeper.forget(`topic:${topic.name}`);
    keeper.forget(`value:${topic.name}`);
  });
  for (const topic of table.entries()) if (topic.sequence > 0) noteValue(topic);
  for (const topic of table.entries()) noteTopic(topic);
  table.watch("#", { readsLanes: true, sample: noteValue });
}

/** Makes the topics what a predecessor had. What it says of topics that are not there any more is dropped. */
export function restoreTopics(inheritance: Inheritance, table: TopicTable, direct: DirectTopicTable): void {
  for (const { state } of inheritance.states("topic:")) {
    const { id, name, encoding, schemaHash, layout: layoutJson, jsonSchema } = state as TopicState;
    if (table.get(name)) continue;
    const layout = layoutJson === undefined ? undefined : layoutFromJson(layoutJson);
    direct.restore({ name, encoding, schemaHash: BigInt(schemaHash), writable: true, ...(layout ? { layout } : {}), ...(jsonSchema ? { jsonSchema } : {}) }, id);
  }
  for (const { state } of inheritance.states("value:")) {
    const { name, sequence, bytes, ...rest } = state as ValueState;
    const topic = table.get(name);
    // What a standby has said to itself nobody has heard.
    topic?.restore({ ...rest, sequence, bytes });
  }
}

function stateOf({ id, name, encoding, schemaHash, layout, jsonSchema }: Topic): TopicState {
  return { id, name, encoding, schemaHash, ...(layout ? { layout: layoutToJson(layout) } : {}), jsonSchema };
}

function valueOf({ name, sequence, timeUs, quality, origin, fromLanes, lastBytes, lastLength }: Topic): ValueState {
  return { name, sequence, timeUs, quality, origin, fromLanes, bytes: lastBytes.subarray(0, lastLength) };
}
