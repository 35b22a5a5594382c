/** Counter judge, channel state machine, FrameCheck and FrameProtector. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { CounterJudge } from "./counter.ts";
import { e2eCheck, e2eProtector } from "./frameCheck.ts";
import { channelEvents, channelStates, ChannelStateMachine, channelTable, NO_NEW_DATA, printChannelTable } from "./stateMachine.ts";
import type { ChannelInput, StateMachineConfig } from "./stateMachine.ts";
import { CheckResult, checkResultName, E2eStatus, e2eStatusOf, isAccepted } from "./status.ts";
import { projectRoot, vectors } from "../testData.ts";

interface CounterSequence {
  name: string;
  counterCount: number;
  maxDeltaCounter?: number;
  resyncFrames?: number;
  counters: number[];
  results: number[];
  lost?: number[];
  resyncs?: number;
}

test("counter sequences", () => {
  for (const sequence of (vectors("e2e-counter.json") as { sequences: CounterSequence[] }).sequences) {
    const judge = new CounterJudge(sequence);
    for (const [index, counter] of sequence.counters.entries()) {
      assert.equal(checkResultName(judge.judge(counter)), checkResultName(sequence.results[index]!), `${sequence.name}: frame ${index}, counter ${counter}`);
      if (sequence.lost) assert.equal(judge.lost, sequence.lost[index], `${sequence.name}: lost before frame ${index}`);
    }
    assert.equal(judge.resyncs, sequence.resyncs ?? 0, sequence.name);
  }
});

test("whatever was refused before, a frame in sequence is accepted and one out of it is not", () => {
  fc.assert(
    fc.property(fc.constantFrom(15, 16, 256, 65536), fc.nat(), fc.array(fc.nat(), { maxLength: 30 }), (counterCount, first, others) => {
      const judge = new CounterJudge({ counterCount });
      let reference = first % counterCount;
      assert.equal(judge.judge(reference), CheckResult.ok);
      for (const n of others) {
        const counter = n % counterCount;
        const resyncs = judge.resyncs;
        const result = judge.judge(counter);
        const delta = (counter - reference + counterCount) % counterCount;
        if (judge.resyncs === resyncs) {
          const expected = delta === 0 ? CheckResult.repeated : delta === 1 ? CheckResult.ok : delta <= 3 ? CheckResult.okSomeLost : CheckResult.wrongSequence;
          assert.equal(result, expected);
          assert.equal(judge.lost, isAccepted(expected) ? delta - 1 : 0);
        }
        if (isAccepted(result)) reference = counter;
      }
    }),
    { seed: 20260804, numRuns: 500 },
  );
});

test("channel sequences", () => {
  const { sequences } = vectors("e2e-sm.json") as { sequences: { name: string; config: StateMachineConfig; inputs: number[]; states: string[] }[] };
  for (const { name, config, inputs, states } of sequences) {
    const machine = new ChannelStateMachine(config);
    assert.deepEqual(inputs.map((input) => machine.step(input as ChannelInput)), states, name);
  }
});

test("the table reaches every state, DEINIT and NODATA from each, and the specification prints it", () => {
  const reached = new Set<string>(["NODATA"]);
  for (let round = 0; round < channelStates.length; round++) {
    for (const state of channelStates) if (reached.has(state)) for (const event of channelEvents) reached.add(channelTable[state][event].to);
  }
  assert.deepEqual([...reached].sort(), [...channelStates].sort());
  for (const state of channelStates) {
    assert.equal(channelTable[state].stop.to, "DEINIT");
    assert.equal(channelTable[state].start.to, "NODATA");
  }
  const page = readFileSync(join(projectRoot(), "docs/specs/e2e.md"), "utf8");
  assert.ok(page.includes(printChannelTable()), `docs/specs/e2e.md should contain:\n${printChannelTable()}`);
});

test("never VALID without the good results, never VALID with too many errors", () => {
  const inputs = [0, 1, 2, 3, 4, 5, NO_NEW_DATA] as const;
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...inputs), { maxLength: 60 }), (sequence) => {
      const machine = new ChannelStateMachine({ windowSizeInit: 4, windowSizeValid: 6, windowSizeInvalid: 4, minOkStateValid: 2, maxErrorStateValid: 2 });
      const seen: number[] = [];
      for (const input of sequence) {
        seen.push(input);
        if (machine.step(input) !== "VALID") continue;
        const window = seen.slice(-6);
        assert.ok(window.filter((result) => result <= 1).length >= 1);
        assert.ok(window.filter((result) => result === 4 || result === 5).length <= 4);
        assert.ok(seen.slice(-4).filter((result) => result === 4 || result === 5).length <= 2);
      }
    }),
    { seed: 20260805, numRuns: 500 },
  );
});

test("stopped, nothing moves it; started, it begins in NODATA with an empty window", () => {
  const machine = new ChannelStateMachine();
  machine.step(CheckResult.ok);
  machine.step(CheckResult.ok);
  assert.equal(machine.state, "VALID");
  machine.stop();
  assert.equal(machine.step(CheckResult.ok), "DEINIT");
  machine.start();
  assert.equal(machine.state, "NODATA");
  assert.equal(machine.step(CheckResult.ok), "INIT");
});

test("results have AUTOSAR's status values", () => {
  const pairs = [["ok", 0x00], ["okSomeLost", 0x20], ["repeated", 0x08], ["wrongSequence", 0x40], ["crcMismatch", 0x07], ["badLength", 0x07]] as const;
  for (const [name, status] of pairs) assert.equal(e2eStatusOf(CheckResult[name]), status);
  assert.equal(E2eStatus.noNewData, 0x01);
});

test("a channel end to end: loss, corruption, repetition, silence, a sender that starts anew", () => {
  const config = { profile: "P05", dataId: 0x1234, lengthBytes: 8, timeoutMs: 50 } as const;
  const sender = e2eProtector(config);
  const receiver = e2eCheck(config);
  let nowUs = 1_000_000;
  const frame = new Uint8Array(8);
  const send = (times = 1): string => {
    for (let i = 0; i < times; i++) sender.protect(frame, 0, 8, 0x100);
    nowUs += 10_000;
    return checkResultName(receiver.check(frame, 0, 8, 0x100, nowUs));
  };
  assert.equal(receiver.state, "NODATA");
  assert.equal(receiver.wouldTimeOut(nowUs), true, "nothing received is not fresh");
  assert.equal(send(), "ok");
  assert.equal(send(), "ok");
  assert.equal(receiver.state, "VALID");
  assert.equal(receiver.counter, 1);
  assert.equal(send(3), "okSomeLost");
  assert.equal(receiver.lost, 2);
  assert.equal(checkResultName(receiver.check(frame, 0, 8, 0x100, nowUs)), "repeated");
  assert.equal(checkResultName(receiver.check(frame, 0, 7, 0x100, nowUs)), "badLength");
  sender.protect(frame, 0, 8, 0x100);
  frame[5]! ^= 0x10;
  assert.equal(checkResultName(receiver.check(frame, 0, 8, 0x100, nowUs)), "crcMismatch");
  assert.equal(receiver.counter, 4, "a frame with a wrong CRC says nothing about the counter");
  assert.equal(send(), "okSomeLost");
  assert.equal(receiver.wouldTimeOut(nowUs + 50_000), false);
  assert.equal(receiver.wouldTimeOut(nowUs + 50_001), true);
  for (let i = 0; i < 10; i++) receiver.noNewData();
  assert.equal(receiver.state, "INVALID");
  sender.counter = 200;
  assert.deepEqual([send(), send(), send(), send()], ["wrongSequence", "wrongSequence", "ok", "ok"]);
  assert.equal(receiver.resyncs, 1);
  receiver.reset();
  sender.counter = 7;
  assert.equal(send(), "ok");
  assert.equal(receiver.state, "INIT");
  assert.throws(() => (sender.counter = 256), RangeError);
});

test("a sender's counter wraps where its profile says", () => {
  for (const [profile, last] of [["P01", 14], ["P05", 255], ["P04", 65535], ["P08", 0xffffffff]] as const) {
    const sender = e2eProtector({ profile, dataId: 1 });
    assert.equal(sender.counter, 0);
    sender.counter = last;
    sender.protect(new Uint8Array(24), 0, 24, 0);
    assert.equal(sender.counter, 0);
  }
  assert.equal(e2eProtector({ profile: "P02", dataIdList: Array<number>(16).fill(0) }).counter, 1);
});
