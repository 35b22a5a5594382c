import assert from "node:assert/strict";
import { test } from "node:test";
import { loadChecks } from "./checks.ts";
import type { CheckedMessage, CheckSet } from "./checks.ts";
import { canDiscriminator, derivedDataId } from "./dataId.ts";
import { e2eCodec } from "./profiles.ts";
import { checkResultName } from "./status.ts";

const message = (name: string, more: Partial<CheckedMessage> = {}): CheckedMessage => ({ name, canId: 0x100, extended: false, lengthBytes: 8, ...more });

function load(text: string): CheckSet {
  const loaded = loadChecks(text, { file: "arm.checks.yaml" });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  return loaded.checks;
}

/** "line:column message (hint)" of every fault. */
function faults(text: string): string[] {
  const loaded = loadChecks(text, { file: "arm.checks.yaml" });
  assert.ok(!loaded.ok, "expected faults");
  return loaded.faults.map((fault) => `${fault.line}:${fault.column} ${fault.message} (${fault.hint})`);
}

const example = `version: 1
messages:
  ShoulderCommand: { profile: P05, dataId: 0x1234, maxDeltaCounter: 2, timeoutMs: 100 }
  ElbowCommand:
    profile: P02
    dataIdList: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    stateMachine: { windowSizeValid: 20, clearToInvalid: true }
  Derived: { profile: P05, dataId: schema }
  Wheel: { checksum: honda, counter: none }
  Sum: { checksum: sum8, parameters: { byte: 0 }, counter: { byte: 1, shiftBits: 4, lengthBits: 4 } }
  Lamp: { integrity: link, timeoutMs: 1000 }
  "*": { profile: P01, dataId: 0x42 }
`;

test("one receiver and one sender per message understand each other", () => {
  const checks = load(example);
  for (const name of ["ShoulderCommand", "ElbowCommand", "Derived", "Wheel", "Sum", "Lamp", "AnyOther"]) {
    const one = message(name, { layoutHash: 0x0123456789abcdefn });
    const sender = checks.protectorFor(one)!;
    const receiver = checks.forMessage(one)!;
    const frame = new Uint8Array(8).fill(0x55);
    for (let i = 0; i < 40; i++) {
      sender.protect(frame, 0, 8, 0x100);
      assert.equal(checkResultName(receiver.check(frame, 0, 8, 0x100, i)), "ok", `${name}, frame ${i}`);
    }
    assert.equal(receiver.state, "VALID");
    assert.equal(checkResultName(receiver.check(frame, 0, 7, 0x100, 0)), "badLength");
    assert.notEqual(checks.forMessage(one), receiver, "each call gives a memory of its own");
  }
  assert.equal(checks.forMessage(message("ShoulderCommand"))!.timeoutMs, 100);
  assert.deepEqual(checks.names, ["ShoulderCommand", "ElbowCommand", "Derived", "Wheel", "Sum", "Lamp"]);
});

test("without an entry and without * there is no check", () => {
  const checks = load("version: 1\nmessages: { Lamp: { integrity: link } }");
  assert.equal(checks.forMessage(message("Door")), undefined);
  assert.equal(checks.protectorFor(message("Door")), undefined);
  assert.equal(checks.covers("Door"), false);
  assert.equal(checks.covers("Lamp"), true);
  assert.deepEqual(["Lamp", "Door"].map((name) => checks.kindOf(name)), ["link", undefined]);
  assert.deepEqual(["ShoulderCommand", "Wheel", "Lamp", "AnyOther"].map((name) => load(example).kindOf(name)), ["e2e", "vendor", "link", "e2e"]);
});

test("a variable length is allowed where the file says so", () => {
  const checks = load("version: 1\nmessages: { Blob: { profile: P06, dataId: 7, minLengthBytes: 8 } }");
  const one = message("Blob", { lengthBytes: 64 });
  const frame = new Uint8Array(64);
  const sender = checks.protectorFor(one)!;
  const receiver = checks.forMessage(one)!;
  for (const lengthBytes of [8, 12, 64]) {
    sender.protect(frame, 0, lengthBytes, 0x100);
    assert.equal(checkResultName(receiver.check(frame, 0, lengthBytes, 0x100, 0)), "ok");
  }
  assert.equal(checkResultName(receiver.check(frame, 0, 7, 0x100, 0)), "badLength");
});

test("ends with different schema versions refuse each other", () => {
  const checks = load("version: 1\nmessages: { \"*\": { profile: P05, dataId: schema } }");
  const frame = new Uint8Array(8);
  checks.protectorFor(message("A", { layoutHash: "0123456789abcdef" }))!.protect(frame, 0, 8, 0x100);
  const result = (more: Partial<CheckedMessage>): string => checkResultName(checks.forMessage(message("A", more))!.check(frame, 0, 8, 0x100, 0));
  assert.equal(result({ layoutHash: "0x0123456789ABCDEF" }), "ok");
  assert.equal(result({ layoutHash: "0123456789abcdee" }), "crcMismatch");
  assert.equal(result({ layoutHash: "0123456789abcdef", canId: 0x101 }), "crcMismatch");
  assert.equal(result({ layoutHash: "0123456789abcdef", extended: true }), "crcMismatch");
});

test("equal layouts under different 11-bit identifiers never share a derived Data ID", () => {
  for (const bits of [16, 32] as const) {
    const seen = new Set<number>();
    for (let canId = 0; canId < 0x800; canId++) seen.add(derivedDataId({ layoutHash: 0xfeedfacecafebeefn, discriminator: canDiscriminator(canId, false), bits }));
    assert.equal(seen.size, 0x800);
  }
});

test("the derivation is pinned: firmware repeats it", () => {
  assert.equal(derivedDataId({ layoutHash: "0123456789abcdef", discriminator: canDiscriminator(0x100, false), bits: 32 }), 0xc5ddeed);
  assert.equal(derivedDataId({ layoutHash: "0123456789abcdef", discriminator: canDiscriminator(0x100, false), bits: 16 }), 0xd2b0);
  assert.equal(derivedDataId({ layoutHash: "0123456789abcdef", discriminator: canDiscriminator(0x18765432, true), bits: 32 }), 0x7b2e445);
  assert.throws(() => derivedDataId({ layoutHash: "123", discriminator: 0, bits: 16 }), RangeError);
});

test("all faults at once, each with its place and the nearest word", () => {
  assert.deepEqual(
    faults(`version: 2
mesages: {}
messages:
  A: { profile: P5, dataId: 1 }
  B: { profile: P05, dataID: 1, timeoutMs: -1 }
  C: { checksum: hondo }
  D: { integrity: none }
  E: { profil: P05 }
  F: { profile: P05, checksum: honda }
  G: P05
  H: { profile: P02, dataId: schema }
  I: { profile: P05, dataId: 1, stateMachine: { windowSizeInt: 3, windowSizeInit: 99 } }
  J: { checksum: crc8 }
  K: { checksum: crc8, parameters: { polynomial: 300, initail: 0 } }
  L: { checksum: sum8, counter: { byte: 0, shiftBits: 6, lengthBits: 4 } }
`),
    [
      "2:1 mesages is no key of a checks file (did you mean messages?)",
      "1:10 this version is not known (version: 1)",
      "4:17 unknown profile P5 (one of P05, P01, P11, P02, P22, P04, P06, P07, P08)",
      "5:22 dataID is no key of a check by profile (did you mean dataId?)",
      "5:3 P05 needs a dataId (a number 0…0xffff)",
      "5:44 timeoutMs is -1 (a number of milliseconds above 0)",
      "6:18 unknown checksum hondo (one of honda, toyota, xor8, sum8, crc8)",
      "7:19 integrity can only be link (integrity: link accepts the bus's own CRC)",
      "8:3 the check of E does not say how (did you mean profile?)",
      "9:3 the check of F says more than one way (exactly one of profile, checksum, integrity)",
      "10:3 the check of G is not a map ({ profile: P05, … }, { checksum: honda } or { integrity: link })",
      "11:30 P02 cannot derive its Data IDs from the schema (give a dataIdList of 16 numbers)",
      "12:49 windowSizeInt is no key of stateMachine (did you mean windowSizeInit?)",
      "12:83 windowSizeInit is 99 (a whole number 0…64)",
      "13:18 checksum crc8 needs the parameter polynomial (parameters: { polynomial: … }, a whole number 0…255)",
      "14:55 initail is no key of parameters of crc8 (did you mean initial?)",
      "14:50 polynomial is 300 (a whole number 0…255)",
      "15:33 the counter reaches beyond its byte (shiftBits + lengthBits is at most 8)",
    ],
  );
});

test("text that is no YAML, no map or not there at all", () => {
  assert.match(faults("messages: [")[0]!, /^1:1\d /);
  assert.deepEqual(faults(""), ["1:1 the file holds nothing (begin with version: 1)"]);
  assert.deepEqual(faults("- 1"), ["1:1 a checks file is a map (begin with version: 1)"]);
  assert.deepEqual(faults("version: 1"), ["1:1 messages is missing (messages: { \"*\": … })"]);
  assert.match(faults("version: 1\nmessages: { A: { integrity: link }, A: { integrity: link } }")[0]!, /^2:/);
  assert.match(faults("[".repeat(200_000))[0]!, /1:/);
});

test("what only the messages can tell: names, lengths, hashes", () => {
  const checks = load(`version: 1
messages:
  Shoulder: { profile: P07, dataId: 1 }
  Elbo: { integrity: link }
  Wrist: { profile: P05, dataId: schema }
  Hand: { checksum: honda, maxDeltaCounter: 3 }
`);
  const messages = [message("Shoulder"), message("Elbow"), message("Wrist"), message("Hand")];
  assert.deepEqual(
    checks.verify(messages).map((fault) => `${fault.file}:${fault.line}:${fault.column} ${fault.message} (${fault.hint})`),
    [
      "arm.checks.yaml:4:3 there is no message Elbo (did you mean Elbow?)",
      "arm.checks.yaml:3:3 Shoulder (8 bytes): lengthBytes is 8 (a whole number 20…4194304)",
      "arm.checks.yaml:5:34 Wrist has no layout hash to derive a Data ID from (give the Data ID as a number)",
      "arm.checks.yaml:6:45 Hand: maxDeltaCounter is 3 (a whole number 1…2)",
    ],
  );
  assert.throws(() => checks.forMessage(messages[0]!), RangeError);
  assert.equal(load(example).verify([message("ShoulderCommand")]).length, 5);
});

test("the check is the profile's: a frame of its codec passes", () => {
  const codec = e2eCodec({ profile: "P05", dataId: 0x1234, lengthBytes: 8 });
  const frame = new Uint8Array(8);
  codec.protect(frame, 0, 8, 0, 99);
  assert.equal(checkResultName(load(example).forMessage(message("ShoulderCommand"))!.check(frame, 0, 8, 0, 0)), "ok");
});

test("claims name signals and groups of messages; what is not one is said at its place", () => {
  const head = (groups: string) => `version: 1\nclaims: { epoch: e, owner: o, groups: ${groups} }\nmessages: { "*": { profile: P05, dataId: 1 } }\n`;
  const checks = load(head("{ arm: [A, B], hand: [C] }"));
  assert.deepEqual([checks.claims.epoch, checks.claims.owner, [...checks.claims.groups!]], ["e", "o", [["arm", ["A", "B"]], ["hand", ["C"]]]]);
  assert.deepEqual(checks.verify([message("A"), message("B"), message("See")]).map(({ message: text }) => text), ["claims.groups: there is no message C"]);
  assert.deepEqual(faults(head("[A]")), ["2:39 claims.groups is not a map (claims: { groups: { NAME: [MESSAGE, …] } })"]);
  assert.deepEqual(faults(head("{ arm: A, hand: [] }")).map((text) => text.slice(0, 45)), ["2:46 group arm is not a list of messages (cla", "2:55 group hand is not a list of messages (cl"]);
  assert.deepEqual(faults(head("{ arm: [A], hand: [A] }")), ["2:57 A is in group arm already (a node confirms one group)"]);
});
