import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nativeSeal } from "../../shm/sockets/index.ts";
import { readTransaction, transactionBytes, type TransactionSink, TransactionWriter } from "./journal.ts";
import { isBefore, Replica } from "./replica.ts";
import { versionFault } from "./version.ts";

const seal = nativeSeal();

class Recorder implements TransactionSink {
  readonly seen: unknown[] = [];
  state(key: string, descriptors: number[], value: Uint8Array): void {
    this.seen.push(["state", key, descriptors, [...value]]);
  }
  gone(key: string): void {
    this.seen.push(["gone", key]);
  }
  counted(connection: number, slot: number, taken: number, given: number): void {
    this.seen.push(["counted", connection, slot, taken, given]);
  }
  output(connection: number, counter: number, descriptors: number[], bytes: Uint8Array): void {
    this.seen.push(["output", connection, counter, descriptors, [...bytes]]);
  }
}

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const record = fc.oneof(
  fc.tuple(fc.constant("state" as const), fc.string({ maxLength: 40 }), fc.array(u32, { maxLength: 6 }), fc.uint8Array({ maxLength: 100 })),
  fc.tuple(fc.constant("gone" as const), fc.string({ maxLength: 40 })),
  fc.tuple(fc.constant("counted" as const), u32, u32, u32, u32),
  fc.tuple(fc.constant("output" as const), u32, u32, fc.array(u32, { maxLength: 4 }), fc.uint8Array({ maxLength: 200 })),
);

function written(records: readonly (readonly unknown[])[], counter: number): Uint8Array {
  const writer = new TransactionWriter();
  for (const each of records) {
    if (each[0] === "state") writer.state(each[1] as string, each[2] as number[], each[3] as Uint8Array);
    else if (each[0] === "gone") writer.gone(each[1] as string);
    else if (each[0] === "counted") writer.counted(each[1] as number, each[2] as number, each[3] as number, each[4] as number);
    else writer.output(each[1] as number, each[2] as number, each[3] as number[], each[4] as Uint8Array, 0, (each[4] as Uint8Array).length);
  }
  writer.seal(seal, counter);
  return new Uint8Array(writer.bytes.subarray(0, writer.length));
}

const byText = (a: unknown, b: unknown): number => (String(a) < String(b) ? -1 : 1);
const plain = (records: readonly (readonly unknown[])[]): unknown[] => records.map((each) => each.map((part) => (part instanceof Uint8Array ? [...part] : part)));

test("what is written is read, and what is cut short, flipped or out of turn is not there at all", () => {
  fc.assert(fc.property(fc.array(record, { minLength: 1, maxLength: 8 }), u32, fc.nat(), (records, counter, where) => {
    const bytes = written(records, counter);
    assert.equal(transactionBytes(bytes), bytes.length);
    const whole = new Recorder();
    assert.equal(readTransaction(bytes, counter, seal, whole), "ok");
    assert.deepEqual(whole.seen, plain(records));
    const none = new Recorder();
    assert.notEqual(readTransaction(bytes, (counter + 1) >>> 0, seal, none), "ok");
    assert.notEqual(readTransaction(bytes.subarray(0, bytes.length - 1 - (where % (bytes.length - 1))), counter, seal, none), "ok");
    const flipped = bytes.slice();
    flipped[where % bytes.length]! ^= 1 << (where % 8);
    assert.notEqual(readTransaction(flipped, counter, seal, none), "ok");
    assert.deepEqual(none.seen, []);
  }), { numRuns: 300 });
});

test("records that do not add up are refused whole, with a right header", () => {
  const writer = new TransactionWriter();
  writer.gone("a");
  writer.state("b", [1], new Uint8Array([1, 2, 3]));
  for (let length = writer.length - 1; length > 20; length--) {
    const bytes = new Uint8Array(writer.bytes.subarray(0, length));
    seal.seal(bytes, 0, length, 0x504a_0100, 0);
    const sink = new Recorder();
    const verdict = readTransaction(bytes, 0, seal, sink);
    // One cut is a transaction of its own: the one between the two records.
    if (verdict === "ok") assert.deepEqual(sink.seen, [["gone", "a"]]);
    else assert.deepEqual([verdict, sink.seen], ["record", []]);
  }
});

test("the replica against a plain map: states, descriptors that nobody names, packets that have arrived", () => {
  const action = fc.oneof(
    fc.record({ set: fc.constantFrom("a", "b", "c"), descriptors: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 3 }) }),
    fc.record({ gone: fc.constantFrom("a", "b", "c") }),
    fc.record({ output: fc.constantFrom(1, 2) }),
    fc.record({ sent: fc.constantFrom(1, 2), more: fc.integer({ min: 0, max: 3 }) }),
  );
  fc.assert(fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
    const states = new Map<string, number[]>();
    const dropped: number[] = [];
    const sent = new Map([[1, 0xffff_fffd], [2, 0]]);
    const given = new Map(sent);
    const replica = new Replica({ sent: (slot) => sent.get(slot - 100), drop: (numbers) => dropped.push(...numbers) });
    for (const connection of [1, 2]) replica.counted(connection, 100 + connection, 0, 0);
    const expected: number[] = [];
    for (const each of actions) {
      if ("set" in each) {
        expected.push(...(states.get(each.set) ?? []).filter((number) => !each.descriptors.includes(number)));
        states.set(each.set, each.descriptors);
        replica.state(each.set, each.descriptors, new Uint8Array([each.descriptors.length]));
      } else if ("gone" in each) {
        expected.push(...(states.get(each.gone) ?? []));
        states.delete(each.gone);
        replica.gone(each.gone);
      } else if ("output" in each) {
        const counter = given.get(each.output)!;
        given.set(each.output, (counter + 1) >>> 0);
        replica.output(each.output, counter, [], new Uint8Array([1]));
      } else {
        const most = (given.get(each.sent)! - sent.get(each.sent)!) >>> 0;
        sent.set(each.sent, (sent.get(each.sent)! + Math.min(each.more, most)) >>> 0);
        replica.prune();
      }
    }
    assert.deepEqual(dropped, expected);
    assert.deepEqual([...replica.states("")].map(({ key, descriptors }) => [key, descriptors]).toSorted(byText), [...states].toSorted(byText));
    for (const connection of [1, 2]) assert.equal(replica.outputsFrom(connection, sent.get(connection)!).length, (given.get(connection)! - sent.get(connection)!) >>> 0);
  }), { numRuns: 300 });
});

test("counters wrap", () => {
  assert.ok(isBefore(0xffff_ffff, 0));
  assert.ok(!isBefore(0, 0xffff_ffff));
  assert.ok(!isBefore(7, 7));
});

test("one release apart is a pair, two are not, and another major never is", () => {
  const mine = { major: 2, minor: 3 };
  for (const [theirs, fits] of [[{ major: 2, minor: 3 }, true], [{ major: 2, minor: 2 }, true], [{ major: 2, minor: 4 }, true], [{ major: 2, minor: 5 }, false], [{ major: 2, minor: 1 }, false], [{ major: 1, minor: 3 }, false], [{ major: 3, minor: 3 }, false]] as const) {
    assert.equal(versionFault(mine, theirs) === undefined, fits, JSON.stringify(theirs));
  }
});
