/** Random operations against plain arrays: nothing is lost or doubled without a reason, order is by priority, echoes come exactly once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { CanFlag } from "../frame.ts";
import { arbitrationKey } from "./bits.ts";
import { CanBus } from "./bus.ts";
import type { BusNode } from "./node.ts";
import { seededRandom } from "../../../schemas/random.ts";
import { drain, frame, framesOf, runUntil } from "./testBus.ts";

const anyId = fc.oneof({ weight: 3, arbitrary: fc.record({ canId: fc.nat(0x7ff), flags: fc.constantFrom(0, CanFlag.remote) }) },
  { weight: 1, arbitrary: fc.record({ canId: fc.nat(0x1fff_ffff), flags: fc.constantFrom<number>(CanFlag.extended, CanFlag.extended | CanFlag.remote) }) });

test("frames queued together leave in the order that repeated arbitration between the queues' heads gives", () => {
  fc.assert(fc.property(fc.array(fc.array(anyId, { maxLength: 8 }), { minLength: 2, maxLength: 6 }), fc.constantFrom(0, 250_000), (queues, bitrateBps) => {
    const bus = new CanBus({ bitrateBps });
    const nodes = queues.map(() => bus.attach({}, 0));
    const listener = bus.attach({ listenOnly: true }, 0);
    // Distinct identifiers, so that nothing collides: the model stays a sort.
    const seen = new Set<number>();
    const kept = queues.map((queue) => queue.filter(({ canId, flags }) => !seen.has(arbitrationKey(canId, flags)) && seen.add(arbitrationKey(canId, flags))));
    kept.forEach((queue, index) => queue.forEach(({ canId, flags }) => assert.equal(bus.sendFrame(nodes[index]!, frame(canId, [], 0, flags), 50), "queued")));
    const expected: string[] = [];
    for (;;) {
      const heads = kept.filter((queue) => queue.length > 0).sort((a, b) => arbitrationKey(a[0]!.canId, a[0]!.flags) - arbitrationKey(b[0]!.canId, b[0]!.flags));
      const won = heads[0]?.shift();
      if (!won) break;
      expected.push(`${won.canId}/${won.flags}`);
    }
    runUntil(bus, 1e6);
    assert.deepEqual(framesOf(drain(listener)).map(({ canId, flags }) => `${canId}/${flags}`), expected);
  }));
});

/** What a model knows of one node: tokens queued and not yet accounted for, and what others must have received. */
interface Model {
  node: BusNode;
  waiting: number[];
}

const operation = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant("send" as const), node: fc.nat(3), frame: anyId }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("wait" as const), us: fc.nat(3000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("purge" as const, "linkDown" as const, "linkUp" as const, "powerOff" as const, "powerOn" as const, "restart" as const), node: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("bitErrors" as const), times: fc.integer({ min: 1, max: 40 }) }) },
);

test("conservation: each frame queued is echoed exactly once, or dropped once with a reason, or still waits; each echo reached the others exactly once", () => {
  fc.assert(fc.property(fc.array(operation, { maxLength: 120 }), fc.nat(), fc.constantFrom(0, 500_000), (operations, seed, bitrateBps) => {
    const bus = new CanBus({ bitrateBps, random: seededRandom(seed) });
    const models: Model[] = [0, 1, 2, 3].map(() => ({ node: bus.attach({ queueFrames: 5 }, 0), waiting: [] }));
    const witness = bus.attach({}, 0);
    const echoed: number[] = [];
    const witnessed: number[] = [];
    let nowUs = 1000;
    let token = 0;
    const settle = () => {
      runUntil(bus, nowUs);
      for (const { node, waiting } of models) {
        let lastEchoed = -1;
        for (const output of drain(node)) {
          if (output.what !== "echo" && output.what !== "dropped") continue;
          const own = output.what === "dropped" ? output.token : output.frame.token!;
          const at = waiting.indexOf(own);
          assert.ok(at >= 0, `token ${own} accounted for twice, or never queued`);
          if (output.what === "echo") {
            assert.ok(own > lastEchoed, "a node's frames leave in the order in which they were queued");
            lastEchoed = own;
            echoed.push(own);
          }
          waiting.splice(at, 1);
        }
        assert.equal(node.queuedFrames, waiting.length);
        assert.ok(node.tec >= 0 && node.rec >= 0 && node.rec <= 255);
        assert.equal(node.state === "busOff", node.tec >= 256);
      }
      for (const { data } of framesOf(drain(witness))) witnessed.push(data[0]! * 256 + data[1]!);
    };
    for (const step of operations) {
      if (step.do === "send") {
        token += 1;
        const model = models[step.node]!;
        model.waiting.push(token);
        // Data frames only: the payload says to the witness which frame it was.
        bus.sendFrame(model.node, frame(step.frame.canId, [token >> 8, token & 0xff], token, step.frame.flags & CanFlag.extended), nowUs);
      } else if (step.do === "wait") nowUs += step.us;
      else if (step.do === "bitErrors") bus.faults.add({ kind: "bitError", times: step.times });
      else {
        const { node } = models[step.node]!;
        if (step.do === "purge") bus.purge(node, nowUs);
        else if (step.do === "restart") bus.restart(node, nowUs);
        else if (step.do.startsWith("link")) bus.setLink(node, step.do === "linkUp", nowUs);
        else bus.setPower(node, step.do === "powerOn", nowUs);
      }
      settle();
    }
    nowUs += 1e6;
    settle();
    assert.deepEqual(witnessed, echoed.sort((a, b) => witnessed.indexOf(a) - witnessed.indexOf(b)), "the witness saw what was echoed, once each");
    for (const { node, waiting } of models) assert.ok(waiting.length === 0 || node.listenOnly, `${node.state}: ${waiting.length} frames still wait although the bus works`);
  }), { numRuns: 300 });
});

test("with random faults after the CRC the books still balance: received = sent − lost + doubled", () => {
  fc.assert(fc.property(fc.nat(), fc.integer({ min: 1, max: 200 }), (seed, count) => {
    const bus = new CanBus({ bitrateBps: 0, random: seededRandom(seed) });
    const a = bus.attach({ queueFrames: 256 }, 0);
    const b = bus.attach({}, 0);
    let struck = { lose: 0, duplicate: 0 };
    for (const kind of ["lose", "duplicate"] as const) bus.faults.add({ kind, probability: 0.2 });
    const spy = bus.faults.strike.bind(bus.faults);
    bus.faults.strike = (...args) => {
      const fault = spy(...args);
      if (fault?.kind === "lose" || fault?.kind === "duplicate") struck = { ...struck, [fault.kind]: struck[fault.kind] + 1 };
      return fault;
    };
    for (let token = 1; token <= count; token++) bus.sendFrame(a, frame(token, [], token), 1);
    runUntil(bus, 2);
    assert.equal(framesOf(drain(b)).length, count - struck.lose + struck.duplicate);
    assert.equal(drain(a).filter(({ what }) => what === "echo").length, count);
    assert.equal(bus.statistics.faultsStruck, struck.lose + struck.duplicate);
  }));
});
