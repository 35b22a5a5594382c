/**
 * From YAML to entries with places. Everything is checked here that can be checked without the messages; a value is looked at once, and
 * each fault names the key's or the value's line and column.
 */
import { nearest, nearestKey } from "../nearest.ts";
import { readYaml } from "../messages/yamlTree.ts";
import type { Span, Tree, TreeMap } from "../messages/yamlTree.ts";
import { isProfileName, profileFacts, profileNames, receiverFaults, shown, validateE2eConfig } from "./config.ts";
import type { E2eConfig, ReceiverConfig } from "./config.ts";
import type { StateMachineConfig } from "./stateMachine.ts";
import type { BitField, VendorChecksum } from "./vendor/checksum.ts";
import { vendorKinds } from "./vendor/index.ts";
import type { ParameterValue } from "./vendor/index.ts";

/** Something wrong in a checks file. Line and column count from 1. */
export interface CheckFault {
  file: string;
  line: number;
  column: number;
  message: string;
  hint: string;
}

interface Place {
  line: number;
  column: number;
}

/** Where an entry and its keys stand; nested keys with a dot. */
export interface EntryPlaces {
  entry: Place;
  keys: ReadonlyMap<string, Place>;
}

export type CheckEntry =
  | { kind: "e2e"; config: E2eConfig; dataIdFromSchema: boolean; places: EntryPlaces }
  | { kind: "vendor"; checksum: VendorChecksum; counter: BitField | "none" | undefined; receiver: ReceiverConfig; places: EntryPlaces }
  | { kind: "link"; receiver: ReceiverConfig; places: EntryPlaces };

const receiverKeys = ["maxDeltaCounter", "resyncFrames", "timeoutMs", "stateMachine"] as const;
const layoutKeys = ["dataId", "dataIdList", "dataIdMode", "offsetBytes", "crcOffsetBits", "counterOffsetBits", "dataIdNibbleOffsetBits", "minLengthBytes"] as const;
const keysOf = {
  e2e: ["profile", ...layoutKeys, ...receiverKeys],
  vendor: ["checksum", "parameters", "counter", ...receiverKeys],
  link: ["integrity", "timeoutMs", "stateMachine"],
} as const;
type EntryKind = CheckEntry["kind"];
/** The key that says of which kind an entry is. */
const kindKeys: Record<EntryKind, string> = { e2e: "profile", vendor: "checksum", link: "integrity" };
const stateMachineKeys = [
  "windowSizeInit", "windowSizeValid", "windowSizeInvalid", "minOkStateInit", "minOkStateValid", "minOkStateInvalid",
  "maxErrorStateInit", "maxErrorStateValid", "maxErrorStateInvalid", "clearToInvalid",
] as const satisfies (keyof StateMachineConfig)[];

/** Signals, by name, in which messages carry who commands the bus (docs/specs/claim.md). In a command the owner of the bus fills them in; in a frame of a node they say whom it follows. */
export interface ClaimSignals {
  epoch?: string;
  owner?: string;
  /** Actuators that are of use together only: of each group a node must say that it follows before a claim of the bus counts as confirmed. Names of messages that carry the epoch, by group. */
  groups?: ReadonlyMap<string, readonly string[]>;
}

/** The reflex's table numbers groups with one byte. */
const GROUPS_MAX = 255;

export function readChecks(text: string, file: string): { entries: Map<string, CheckEntry>; claims: ClaimSignals; faults: CheckFault[] } {
  const reader = new Reader(text, file);
  return { entries: reader.read(), claims: reader.claims, faults: reader.faults };
}

/** The pairs of one map: by key, the value and both places. */
type Pairs = Map<string, { value: Tree; keyPlace: Place; valuePlace: Place }>;

class Reader {
  readonly faults: CheckFault[] = [];
  readonly claims: ClaimSignals = {};
  readonly #file: string;
  readonly #text: string;
  readonly #lineStarts: number[] = [0];

  constructor(text: string, file: string) {
    this.#file = file;
    this.#text = text;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) this.#lineStarts.push(at + 1);
  }

  read(): Map<string, CheckEntry> {
    const entries = new Map<string, CheckEntry>();
    const root = this.#root();
    if (!root) return entries;
    const pairs = this.#pairs(root, ["version", "claims", "messages"], "a checks file");
    const claims = pairs.get("claims");
    if (claims) this.#readClaims(claims.value, claims.valuePlace);
    const version = pairs.get("version");
    if (!version) this.#fault({ line: 1, column: 1 }, "version is missing", "begin with version: 1");
    else if (scalar(version.value) !== 1) this.#fault(version.valuePlace, "this version is not known", "version: 1");
    const messages = pairs.get("messages");
    if (!messages) this.#fault({ line: 1, column: 1 }, "messages is missing", 'messages: { "*": … }');
    else if (messages.value.kind !== "map") this.#fault(messages.valuePlace, "messages is not a map", "name: { profile: … } for each message");
    else {
      for (const [name, { value, keyPlace }] of this.#pairs(messages.value, undefined, "messages")) {
        const entry = this.#entry(name, value, keyPlace);
        if (entry) entries.set(name, entry);
      }
    }
    return entries;
  }

  #readClaims(tree: Tree, place: Place): void {
    if (tree.kind !== "map") {
      this.#fault(place, "claims is not a map", "claims: { epoch: SIGNAL, owner: SIGNAL }");
      return;
    }
    for (const [key, { value, valuePlace }] of this.#pairs(tree, ["epoch", "owner", "groups"], "claims")) {
      const name = scalar(value);
      if (key === "groups") this.#readGroups(value, valuePlace);
      else if (typeof name === "string" && name !== "") this.claims[key as "epoch" | "owner"] = name;
      else this.#fault(valuePlace, `claims.${key} is not the name of a signal`, `claims: { ${key}: ${key} }`);
    }
  }

  #readGroups(tree: Tree, place: Place): void {
    const groups = new Map<string, string[]>();
    const shape = "claims: { groups: { NAME: [MESSAGE, …] } }";
    if (tree.kind !== "map") return this.#fault(place, "claims.groups is not a map", shape);
    for (const [group, { value, valuePlace }] of this.#pairs(tree, undefined, "claims.groups")) {
      const names = value.kind === "list" ? value.items.map(scalar) : [];
      if (names.length === 0 || !names.every((name) => typeof name === "string" && name !== "")) this.#fault(valuePlace, `group ${group} is not a list of messages`, shape);
      for (const name of names) {
        const other = [...groups].find(([, members]) => members.includes(String(name)))?.[0];
        if (other !== undefined) this.#fault(valuePlace, `${String(name)} is in group ${other} already`, "a node confirms one group");
      }
      groups.set(group, names.map(String));
    }
    if (groups.size > GROUPS_MAX) this.#fault(place, `${groups.size} groups`, `at most ${GROUPS_MAX}`);
    this.claims.groups = groups;
  }

  #root(): TreeMap | undefined {
    const { tree, faults } = readYaml(this.#text);
    for (const { code, at, message, expected, hint } of faults) {
      this.#fault(this.#place(at), message, code === "emptyFile" ? "begin with version: 1" : hint || expected || "correct the YAML here");
    }
    if (tree?.kind === "map") return tree;
    if (tree) this.#fault({ line: 1, column: 1 }, "a checks file is a map", "begin with version: 1");
    return undefined;
  }

  #entry(name: string, tree: Tree, place: Place): CheckEntry | undefined {
    if (tree.kind !== "map") {
      this.#fault(place, `the check of ${name} is not a map`, "{ profile: P05, … }, { checksum: honda } or { integrity: link }");
      return undefined;
    }
    const faultsBefore = this.faults.length;
    const kinds = (Object.keys(kindKeys) as EntryKind[]).filter((kind) => tree.entries.has(kindKeys[kind]));
    const [kind] = kinds;
    if (kinds.length !== 1 || !kind) {
      const near = [...tree.entries.keys()].map((key) => nearest(key, Object.values(kindKeys))).find((word) => word !== undefined);
      const hint = kinds.length === 0 && near ? `did you mean ${near}?` : `exactly one of ${Object.values(kindKeys).join(", ")}`;
      this.#fault(place, kinds.length === 0 ? `the check of ${name} does not say how` : `the check of ${name} says more than one way`, hint);
      return undefined;
    }
    const pairs = this.#pairs(tree, keysOf[kind], `a check by ${kindKeys[kind]}`);
    const keys = new Map<string, Place>();
    for (const [key, pair] of pairs) keys.set(key, pair.valuePlace);
    const places: EntryPlaces = { entry: place, keys };
    const receiver = this.#receiver(pairs, keys);
    const entry = this.#entryOf(kind, pairs, places, receiver);
    return this.faults.length > faultsBefore ? undefined : entry;
  }

  #entryOf(kind: EntryKind, pairs: Pairs, places: EntryPlaces, receiver: ReceiverConfig): CheckEntry | undefined {
    switch (kind) {
      case "e2e":
        return this.#e2e(pairs, places, receiver);
      case "vendor":
        return this.#vendor(pairs, places, receiver);
      case "link": {
        const { value, valuePlace } = pairs.get("integrity")!;
        if (scalar(value) !== "link") this.#fault(valuePlace, "integrity can only be link", "integrity: link accepts the bus's own CRC");
        this.#configFaults(receiverFaults(receiver, 1), places);
        return { kind, receiver, places };
      }
    }
  }

  #e2e(pairs: Pairs, places: EntryPlaces, receiver: ReceiverConfig): CheckEntry | undefined {
    const profile = scalar(pairs.get("profile")!.value);
    if (!isProfileName(profile)) {
      this.#fault(pairs.get("profile")!.valuePlace, `unknown profile ${shown(profile)}`, nearestFirst(shown(profile), profileNames));
      return undefined;
    }
    const values: Record<string, unknown> = {};
    for (const key of layoutKeys) {
      const pair = pairs.get(key);
      if (pair) values[key] = pair.value.kind === "list" ? pair.value.items.map(scalar) : scalar(pair.value);
    }
    const config = { ...values, ...receiver, profile } as unknown as E2eConfig;
    const dataIdFromSchema = values.dataId === "schema";
    if (dataIdFromSchema && profileFacts[profile].dataIdBits === 0) {
      this.#fault(pairs.get("dataId")!.valuePlace, `${profile} cannot derive its Data IDs from the schema`, "give a dataIdList of 16 numbers");
      return undefined;
    }
    // Any number stands for the Data ID that only the message will tell.
    this.#configFaults(validateE2eConfig(dataIdFromSchema ? { ...config, dataId: 0 } : config), places);
    return { kind: "e2e", config, dataIdFromSchema, places };
  }

  #vendor(pairs: Pairs, places: EntryPlaces, receiver: ReceiverConfig): CheckEntry | undefined {
    const { value, valuePlace } = pairs.get("checksum")!;
    const name = shown(scalar(value));
    const kind = Object.hasOwn(vendorKinds, name) ? vendorKinds[name] : undefined;
    const counter = this.#counter(pairs);
    if (!kind) {
      this.#fault(valuePlace, `unknown checksum ${name}`, nearestFirst(name, Object.keys(vendorKinds)));
      return undefined;
    }
    const parameters: Record<string, ParameterValue> = {};
    const faultsBefore = this.faults.length;
    const given = pairs.get("parameters");
    if (given && given.value.kind !== "map") this.#fault(given.valuePlace, "parameters is not a map", "{ name: value, … }");
    const inner: Pairs = given?.value.kind === "map" ? this.#pairs(given.value, Object.keys(kind.parameters), `parameters of ${name}`) : new Map();
    for (const [key, rule] of Object.entries(kind.parameters)) {
      const pair = inner.get(key);
      if (!pair) {
        if (rule.required) this.#fault(given?.valuePlace ?? valuePlace, `checksum ${name} needs the parameter ${key}`, `parameters: { ${key}: … }, ${rule.expected}`);
        continue;
      }
      const parameter = scalar(pair.value);
      const usable = typeof parameter === "number" || typeof parameter === "string" || typeof parameter === "boolean";
      if (usable && rule.accepts(parameter)) parameters[key] = parameter;
      else this.#fault(pair.valuePlace, `${key} is ${shown(parameter)}`, rule.expected);
    }
    // How wide the counter is may depend on the message: here the widest it can be.
    this.#configFaults(receiverFaults(receiver, 0x100), places);
    if (this.faults.length > faultsBefore) return undefined;
    return { kind: "vendor", checksum: kind.create(parameters), counter, receiver, places };
  }

  #counter(pairs: Pairs): BitField | "none" | undefined {
    const pair = pairs.get("counter");
    if (!pair) return undefined;
    if (scalar(pair.value) === "none") return "none";
    if (pair.value.kind !== "map") {
      this.#fault(pair.valuePlace, "counter is neither none nor a map", "{ byte: 7, shiftBits: 4, lengthBits: 4 }");
      return undefined;
    }
    const inner = this.#pairs(pair.value, ["byte", "shiftBits", "lengthBits"], "counter");
    const field = { byte: 0, shiftBits: 0, lengthBits: 0 };
    for (const [key, low, high] of [["byte", 0, 63], ["shiftBits", 0, 7], ["lengthBits", 2, 8]] as const) {
      const given = inner.get(key);
      const number = given && scalar(given.value);
      if (typeof number === "number" && Number.isInteger(number) && number >= low && number <= high) field[key] = number;
      else this.#fault(given?.valuePlace ?? pair.valuePlace, given ? `${key} is ${shown(number)}` : `counter needs ${key}`, `a whole number ${low}…${high}`);
    }
    if (field.shiftBits + field.lengthBits > 8) this.#fault(pair.valuePlace, "the counter reaches beyond its byte", "shiftBits + lengthBits is at most 8");
    return field;
  }

  #receiver(pairs: Pairs, places: Map<string, Place>): ReceiverConfig {
    const receiver: Record<string, unknown> = {};
    for (const key of receiverKeys) {
      const pair = pairs.get(key);
      if (!pair) continue;
      if (key !== "stateMachine") receiver[key] = scalar(pair.value);
      else if (pair.value.kind !== "map") this.#fault(pair.valuePlace, "stateMachine is not a map", "{ windowSizeValid: 10, … }");
      else {
        const inner: Record<string, unknown> = {};
        for (const [name, { value, valuePlace }] of this.#pairs(pair.value, stateMachineKeys, "stateMachine")) {
          inner[name] = scalar(value);
          places.set(`stateMachine.${name}`, valuePlace);
        }
        receiver.stateMachine = inner;
      }
    }
    return receiver as ReceiverConfig;
  }

  #configFaults(faults: readonly { key: string; message: string; hint: string }[], places: EntryPlaces): void {
    for (const { key, message, hint } of faults) this.#fault(places.keys.get(key) ?? places.entry, message, hint);
  }

  /** A map's pairs; keys that are not in `allowed` are faults and left out. */
  #pairs(map: TreeMap, allowed: readonly string[] | undefined, what: string): Pairs {
    const pairs: Pairs = new Map();
    for (const [key, { keyAt, value }] of map.entries) {
      const keyPlace = this.#place(keyAt);
      if (!allowed || allowed.includes(key)) {
        pairs.set(key, { value, keyPlace, valuePlace: this.#place(value.at) });
        continue;
      }
      const near = nearestKey(key, allowed);
      this.#fault(keyPlace, `${key.slice(0, 64)} is no key of ${what}`, near ? `did you mean ${near}?` : allowed.length > 0 ? `one of ${allowed.join(", ")}` : "there are none");
    }
    return pairs;
  }

  #place({ from }: Span): Place {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#lineStarts[middle]! <= from) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: from - this.#lineStarts[low]! + 1 };
  }

  #fault(place: Place, message: string, hint: string): void {
    this.faults.push({ file: this.#file, line: place.line, column: place.column, message, hint });
  }
}

function scalar(tree: Tree): unknown {
  return tree.kind === "scalar" ? tree.value : `a ${tree.kind}`;
}

/** All words there are, for a hint, with the nearest first. */
function nearestFirst(word: string, words: readonly string[]): string {
  const near = nearest(word, words);
  return `one of ${[...words].sort((a, b) => Number(b === near) - Number(a === near)).join(", ")}`;
}
