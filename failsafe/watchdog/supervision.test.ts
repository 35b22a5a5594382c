import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { globalState, globalStates, localEvents, localStates, type LocalState, localTable } from "./status.ts";
import { type EntityRules, Supervision } from "./supervision.ts";

function supervised(rules: EntityRules, graceCycles = 2): Supervision {
  return new Supervision({ entities: { task: rules }, graceCycles });
}

test("the local table is total, every state is reachable, and expired is for ever", () => {
  const reached = new Set<LocalState>(["ok"]);
  for (let grew = true; grew;) {
    const before = reached.size;
    for (const state of reached) for (const event of localEvents) reached.add(localTable[state][event]);
    grew = reached.size > before;
  }
  assert.deepEqual([...reached].toSorted(), [...localStates].toSorted());
  for (const event of localEvents) assert.equal(localTable.expired[event], "expired");
  for (const event of localEvents) if (event !== "activate") assert.equal(localTable.deactivated[event], "deactivated");
});

test("globally the worst local state counts, and stopped is for ever", () => {
  const several = localStates.flatMap((a) => localStates.flatMap((b) => localStates.map((c) => [a, b, c])));
  for (const before of globalStates) {
    for (const locals of several) {
      for (const graceOver of [false, true]) {
        const expected = before === "stopped" ? "stopped" : locals.includes("expired") ? (graceOver ? "stopped" : "expired") : locals.includes("failed") ? "failed" : "ok";
        assert.equal(globalState(before, locals, graceOver), expected);
      }
    }
  }
});

test("alive: too few and too many reports both fail, are borne so often, and are made up for one by one", () => {
  for (const wrong of [0, 4]) {
    const supervision = supervised({ alive: { checkpoint: "here", cycles: 2, min: 1, max: 3, tolerance: 2 } });
    const reference = (reports: number): string => {
      for (let i = 0; i < reports; i++) supervision.passed("task", "here", 0);
      supervision.cycle(0);
      supervision.cycle(0);
      return supervision.stateOf("task")!;
    };
    assert.deepEqual([2, wrong, 1, 3, wrong, wrong, 2, 2, wrong, wrong, wrong, 2, 2, 2].map(reference), ["ok", "failed", "ok", "ok", "failed", "failed", "failed", "ok", "failed", "failed", "expired", "expired", "expired", "expired"]);
  }
});

test("what is failed or expired says where and why, until it has recovered", () => {
  const supervision = supervised({ alive: { checkpoint: "here", cycles: 1, min: 1, max: 1, tolerance: 1 }, deadlines: [{ from: "here", to: "there", minMs: 0, maxMs: 10 }] });
  assert.deepEqual(supervision.faults(), []);
  supervision.cycle(0);
  assert.deepEqual(supervision.faults(), [{ entity: "task", state: "failed", checkpoint: "here", why: "here came 0 times in a reference cycle, not 1 to 1" }]);
  supervision.passed("task", "here", 0);
  supervision.cycle(0);
  assert.deepEqual(supervision.faults(), []);
  supervision.passed("task", "here", 0);
  supervision.cycle(20_000);
  assert.deepEqual(supervision.faults().map(({ state, checkpoint }) => [state, checkpoint]), [["expired", "there"]]);
});

test("alive without tolerance expires at once", () => {
  const supervision = supervised({ alive: { checkpoint: "here", cycles: 1, min: 1, max: 1, tolerance: 0 } });
  supervision.cycle(0);
  assert.equal(supervision.stateOf("task"), "expired");
});

test("deadline: too fast, too slow, and never", () => {
  const rules: EntityRules = { deadlines: [{ from: "a", to: "b", minMs: 10, maxMs: 20 }] };
  for (const [tookMs, state] of [[9.9, "expired"], [10, "ok"], [20, "ok"], [20.1, "expired"]] as const) {
    const supervision = supervised(rules);
    supervision.passed("task", "a", 1_000);
    supervision.passed("task", "b", 1_000 + tookMs * 1e3);
    supervision.cycle(1_000 + tookMs * 1e3);
    assert.equal(supervision.stateOf("task"), state, `${tookMs} ms`);
  }
  const never = supervised(rules);
  never.passed("task", "a", 0);
  never.cycle(20_000);
  assert.equal(never.stateOf("task"), "ok");
  assert.deepEqual(never.cycle(20_001).map(({ to }) => to), ["expired", "expired"]);
});

test("logical: only what the graph allows, round after round", () => {
  const rules: EntityRules = { logical: { begin: ["a"], end: ["d"], next: { a: ["b", "c"], b: ["d"], c: ["b"] } } };
  const allowed = ["abd", "acbd", "abdabd", "acbdabdac"];
  const refused = ["b", "aa", "ad", "abdd", "abc", "abdb", "acd"];
  for (const trace of [...allowed, ...refused]) {
    const supervision = supervised(rules);
    for (const point of trace) supervision.passed("task", point, 0);
    supervision.cycle(0);
    assert.equal(supervision.stateOf("task"), allowed.includes(trace) ? "ok" : "expired", trace);
  }
});

test("all traces up to six checkpoints: the order is judged as a walk through the graph", () => {
  const next: Record<string, readonly string[]> = { a: ["b", "c"], b: ["d"], c: ["b"] };
  const isWalk = (trace: string): boolean => {
    let at: string | undefined;
    for (const point of trace) {
      if (!(at === undefined ? point === "a" : next[at]?.includes(point))) return false;
      at = point === "d" ? undefined : point;
    }
    return true;
  };
  let traces = [""];
  for (let length = 0; length < 6; length++) {
    traces = traces.flatMap((trace) => ["a", "b", "c", "d"].map((point) => trace + point));
    for (const trace of traces) {
      const supervision = supervised({ logical: { begin: ["a"], end: ["d"], next } });
      for (const point of trace) supervision.passed("task", point, 0);
      assert.equal(supervision.stateOf("task") === "ok", isWalk(trace), trace);
    }
  }
});

test("expired, a grace, then stopped; nothing is fed then, and nothing brings it back", () => {
  const supervision = supervised({ logical: { begin: ["a"], end: ["a"], next: {} } }, 3);
  supervision.passed("task", "z", 0);
  const seen = Array.from({ length: 6 }, () => {
    supervision.cycle(0);
    return `${supervision.state} ${supervision.mayFeed}`;
  });
  assert.deepEqual(seen, ["expired true", "expired true", "expired true", "stopped false", "stopped false", "stopped false"]);
});

test("what is not supervised is not judged, and begins anew", () => {
  const supervision = supervised({ alive: { checkpoint: "a", cycles: 1, min: 1, max: 1, tolerance: 0 }, logical: { begin: ["a"], end: ["a"], next: {} } });
  supervision.deactivate("task");
  supervision.passed("task", "z", 0);
  supervision.cycle(0);
  assert.equal(supervision.stateOf("task"), "deactivated");
  supervision.activate("task");
  supervision.passed("task", "a", 0);
  supervision.cycle(0);
  assert.equal(supervision.state, "ok");
});

test("whatever is reported and whenever: a local state never gets better than expired, and changes are told exactly once", () => {
  const event = fc.oneof(fc.constantFrom("a", "b", "z").map((point) => ({ point })), fc.integer({ min: 1, max: 30_000 }).map((passUs) => ({ passUs })), fc.constant({ cycle: true }));
  fc.assert(fc.property(fc.array(event, { maxLength: 60 }), (events) => {
    const supervision = supervised({ alive: { checkpoint: "a", cycles: 2, min: 1, max: 2, tolerance: 1 }, deadlines: [{ from: "a", to: "b", minMs: 0, maxMs: 10 }], logical: { begin: ["a"], end: ["b"], next: { a: ["b"] } } });
    let nowUs = 0;
    let told: string = "ok";
    let expired = false;
    for (const each of events) {
      if ("point" in each) supervision.passed("task", each.point, nowUs);
      else if ("passUs" in each) nowUs += each.passUs;
      else for (const { entity, to } of supervision.cycle(nowUs)) if (entity === "task") told = to;
      if (expired) assert.equal(supervision.stateOf("task"), "expired");
      expired = supervision.stateOf("task") === "expired";
    }
    for (const { entity, to } of supervision.cycle(nowUs)) if (entity === "task") told = to;
    assert.equal(told, supervision.stateOf("task"));
  }));
});
