/**
 * What travels by MQTT as JSON, described for whoever writes the other end; `mqtt.schema.json` is generated from it. The code that reads and writes
 * these is `drivers/mqtt/`; a test there holds the two against each other.
 */
import { object, ref } from "./schema.ts";
import type { RootSchema, Schema } from "./schema.ts";

const text = (title: string, description: string, more: Schema = {}): Schema => ({ type: "string", title, description, maxLength: 256, ...more });
const count = (description: string): Schema => ({ type: "integer", title: "a whole number from 0", description, minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const incarnation = {
  epoch: count("Rises with each takeover by another instance of the gateway; whoever has seen a higher (epoch, session) ignores a lower one."),
  session: count("Rises with each connection that one instance makes."),
};
const code: Schema = { type: "integer", title: "an IPCNet status code", description: "IPCNet status code: 1xx it worked, 2xx the asker has to act, 3xx the gateway; from 1000 up an application's own.", minimum: 100 };
const transaction: Schema = { anyOf: [{ type: "number" }, { type: "string", maxLength: 128 }], title: "a number or up to 128 characters", description: "The asker's name for the request; comes back with the answer." };

const definitions: Record<string, Schema> = {
  BridgeState: object("ipcnet/<robot>/bridge/state, retained: what the gateway itself does. Also its last will.", {
    state: { type: "string", enum: ["starting", "online", "stopping", "offline"], title: "one of starting, online, stopping, offline", description: "State of the gateway." },
    instance: text("a name", "Which of the redundant instances speaks."),
    ...incarnation,
    "reason?": text("a sentence", "Why, for people; empty when online."),
    "version?": text("a version", "Version of the gateway."),
  }),
  Availability: object("ipcnet/<robot>/nodes/<node>/availability, retained. A node can be relied on only if bridge/state of the same epoch and session says online, too.", {
    state: { type: "string", enum: ["online", "offline"], title: "online or offline", description: "Whether the node answers." },
    ...incarnation,
  }),
  Command: object("ipcnet/<robot>/cmd/<link>/<message>/set, never retained. Members in any order, but crc last.", {
    id: { type: "string", title: "1 to 64 characters", description: "The sender's name for the command; comes back with the answer.", minLength: 1, maxLength: 64 },
    ttlMs: { type: "number", title: "milliseconds above 0, at most 60000", description: "How long it may be carried out, from sentAt if given, else from arrival.", exclusiveMinimum: 0, maximum: 60_000 },
    seq: count("Rises with each command of one sender for one topic."),
    "sentAt?": { type: "number", title: "milliseconds since 1970", description: "The sender's wall clock; only ever shortens the command's life.", exclusiveMinimum: 0 },
    values: { type: "object", title: "a table of signals and values", description: "Signal to physical value or value name; all signals that the message needs." },
    crc: { type: "string", title: "8 hexadecimal digits", description: "CRC-32/AUTOSAR over <robot>/cmd/<link>/<message> and the payload's bytes before the comma in front of \"crc\".", pattern: "^[0-9A-Fa-f]{8}$" },
  }, { examples: [{ id: "a1", ttlMs: 100, seq: 17, values: { velocity: 0.5 }, crc: "1697d06a" }] }),
  Request: { type: "object", description: "ipcnet/<robot>/bridge/request/<service>, never retained; further members are the request's body. An empty payload is a request without one.", properties: { transaction } },
  Response: {
    description: "ipcnet/<robot>/bridge/response/<service>.",
    oneOf: [
      object("It worked.", { status: { type: "string", const: "ok", description: "ok" }, code, "data?": { description: "The answer." }, "transaction?": transaction }),
      object("It did not.", { status: { type: "string", const: "error", description: "error" }, code, error: text("a sentence", "Why, for people.", { maxLength: 4096 }), "data?": { description: "Details." }, "transaction?": transaction }),
    ],
  },
};

export const mqttSchema: RootSchema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  $id: "https://ipcnet.example/schemas/mqtt.schema.json",
  title: "What IPCNet says and takes by MQTT",
  description: "One definition for each kind of topic; see docs/specs/mqtt.md. Mirrored topics carry the values that the topic's own schema describes.",
  anyOf: Object.keys(definitions).map((name) => ref(name)),
  definitions,
};
