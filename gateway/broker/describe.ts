/** Topics as they are announced to clients. The part that never changes is encoded once per topic: a layout can take kilobytes. */
import { CborWriter } from "../../shm/protocol/cborWriter.ts";
import { CONTROL_BYTES_MAX_TO_CLIENT } from "../../shm/protocol/limits.ts";
import { layoutToJson } from "../../schemas/records/index.ts";
import type { TopicEntry } from "../topics/topicSource.ts";

const writer = new CborWriter({ lengthMax: CONTROL_BYTES_MAX_TO_CLIENT });
/** Keys and values without the map's head. */
const fixedParts = new WeakMap<TopicEntry, { entries: number; cbor: Uint8Array }>();

function fixedPart(topic: TopicEntry): { entries: number; cbor: Uint8Array } {
  const known = fixedParts.get(topic);
  if (known) return known;
  const fields = {
    id: topic.id, name: topic.name, encoding: topic.encoding, schemaHash: topic.schemaHash.toString(16).padStart(16, "0"),
    layout: topic.layout && layoutToJson(topic.layout), jsonSchema: topic.jsonSchema, writable: topic.writable, cycleTimeMs: topic.cycleTimeMs,
  };
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  writer.reset();
  for (const [key, value] of entries) writer.text(key).value(value);
  const part = { entries: entries.length, cbor: writer.take() };
  fixedParts.set(topic, part);
  return part;
}

/** The `TopicAnnouncement` of a topic, as CBOR. */
export function describeTopic(topic: TopicEntry): Uint8Array {
  const { entries, cbor } = fixedPart(topic);
  const direct = topic.writers > 0;
  writer.reset().map(entries + (direct ? 3 : 2)).raw(cbor).text("rateHz").value(topic.rateHz).text("quality").value(topic.quality);
  return (direct ? writer.text("writers").value(topic.writers) : writer).take();
}
