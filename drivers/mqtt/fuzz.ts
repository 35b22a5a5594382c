/** Entry points for fuzzing: each takes any bytes and may only return. A throw is a finding. */
import { decodeCbor, encodeCbor } from "./cbor.ts";
import { decodeCommand, encodeBinaryCommand, encodeJsonCommand } from "./command.ts";
import { EnvelopeReader, envelopeCodec, seal } from "./envelope.ts";
import { decodeJson } from "./json.ts";
import { PAYLOAD_LIMITS } from "./limits.ts";
import { decodeRequest } from "./request.ts";
import { BridgeStateView, parseAvailability } from "./status.ts";
import { mqttFilterFault, mqttTopicFault, topicTree } from "./topics.ts";
import { parsePasswordHash } from "./accounts.ts";
import { crc32Autosar } from "../../schemas/crc/crc32.ts";
import { patternCovers } from "../../schemas/topics/patterns.ts";

export interface FuzzTarget {
  name: string;
  run(input: Uint8Array): void;
  /** Inputs to mutate. */
  seeds?: Uint8Array[];
}

const NAME = "r/cmd/a/b";
const tree = topicTree("r");
const codec = envelopeCodec(crc32Autosar(Buffer.from(NAME)));
const textOf = (input: Uint8Array): string => Buffer.from(input.buffer, input.byteOffset, input.length).toString("utf8");

const command = { id: "a1", ttlMs: 100, seq: 17, sentAt: 1.5, values: { velocity: 0.5, mode: "Hold", list: [1, null, true, [2]] } };
const json = [Buffer.from(JSON.stringify(command))];
const cbor = [Buffer.from(encodeCbor({ ...command, wide: 2n ** 63n, bytes: Uint8Array.of(1, 2) }))];
const states = [Buffer.from('{"state":"online","instance":"a","epoch":1,"session":2,"reason":"","version":"1"}')];

export const fuzzTargets: FuzzTarget[] = [
  {
    name: "mqtt cbor",
    seeds: cbor,
    run(input) {
      const result = decodeCbor(input);
      if (result.ok) encodeCbor(result.value); // throws for whatever we do not speak
    },
  },
  {
    name: "mqtt json",
    seeds: json,
    run(input) {
      const result = decodeJson(input);
      if (result.ok) JSON.stringify(result.value);
    },
  },
  { name: "mqtt command, any bytes", seeds: [encodeJsonCommand(NAME, command), encodeBinaryCommand(NAME, command)], run: (input) => void decodeCommand(NAME, { payload: input, retain: false }) },
  {
    name: "mqtt command, rightly protected rubbish",
    seeds: [...cbor, Buffer.from(JSON.stringify(command).slice(1, -1))],
    run(input) {
      const body = input.subarray(0, PAYLOAD_LIMITS.bytesMax);
      const result = decodeCommand(NAME, { payload: seal(codec, body, 0), retain: false });
      if (result.ok) encodeBinaryCommand(NAME, result.command);
      const text = `{${textOf(input)}`;
      decodeCommand(NAME, { payload: Buffer.from(`${text},"crc":"${crc32Autosar(Buffer.from(NAME + text)).toString(16).padStart(8, "0")}"}`), retain: false });
    },
  },
  { name: "mqtt envelope", seeds: [seal(envelopeCodec(1), new Uint8Array(20), 7)], run: (input) => void new EnvelopeReader({ dataId: 1 }).read(input, 0) },
  { name: "mqtt request", seeds: [Buffer.from('{"transaction":"t","a":{"b":[1]}}')], run: (input) => void decodeRequest({ payload: input, retain: false }) },
  { name: "mqtt bridge state", seeds: states, run: (input) => void [new BridgeStateView().accept(input), parseAvailability(input)] },
  {
    name: "mqtt topics",
    seeds: ["a/+/b\na/#", "bridge/state", "cmd/a/b/set", "nodes/x/availability"].map((text) => Buffer.from(text)),
    run(input) {
      const text = textOf(input);
      const [outer = "", inner = ""] = text.split("\n");
      if (mqttFilterFault(outer) === undefined && mqttFilterFault(inner) === undefined) patternCovers(outer, inner);
      if (mqttTopicFault(text) === undefined) tree.mirrorFault(text);
      tree.meaning(text);
      tree.meaning(tree.root + text);
    },
  },
  { name: "mqtt password hash", seeds: [Buffer.from(`scrypt$14$8$1$${"A".repeat(24)}$${"A".repeat(44)}`)], run: (input) => void parsePasswordHash(textOf(input)) },
];
