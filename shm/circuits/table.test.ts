/** Every state × event, on paper and in the core. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { CircuitCore } from "./core.ts";
import { FIRST_CIRCUIT } from "./limits.ts";
import { bareSeal } from "./seal.ts";
import type { CircuitEvent, CircuitState } from "./table.ts";
import { CIRCUIT_TABLE, REFUSED, circuitDiagram } from "./table.ts";
import type { Frame } from "./wire.ts";
import { encodeFrame } from "./wire.ts";

const states = Object.keys(CIRCUIT_TABLE) as CircuitState[];
const events = Object.keys(CIRCUIT_TABLE.idle) as CircuitEvent[];
const theirs: readonly CircuitEvent[] = ["peerBegin", "peerAccept", "peerData", "peerEnd", "peerAbort", "breach", "left"];

function reachable(from: CircuitState): Set<CircuitState> {
  const seen = new Set([from]);
  for (const state of seen) for (const cell of Object.values(CIRCUIT_TABLE[state])) if (cell !== REFUSED) seen.add(cell.to);
  return seen;
}

test("all states are reachable, and idle from each; a peer's frame has an answer in each; only a peer breaks rules", () => {
  assert.deepEqual(reachable("idle"), new Set(states));
  for (const state of states) {
    assert.ok(reachable(state).has("idle"), state);
    for (const event of events) {
      const cell = CIRCUIT_TABLE[state][event];
      if (theirs.includes(event)) assert.notEqual(cell, REFUSED, `${state} × ${event}`);
      else if (cell !== REFUSED) assert.ok(!cell.do.some((action) => action === "tellBreach" || action === "countBreach"), `${state} × ${event}`);
    }
  }
});

test("what ends a conversation for our program is told exactly once, and nothing is queued behind a final frame", () => {
  for (const state of states) {
    for (const event of events) {
      const cell = CIRCUIT_TABLE[state][event];
      if (cell === REFUSED) continue;
      const finals = cell.do.filter((action) => action === "queueEnd" || action === "queueAbort" || action === "abortUnlessSent");
      assert.ok(finals.length <= 1, `${state} × ${event}`);
      if (finals.includes("queueAbort")) assert.ok(cell.do.indexOf("dropQueue") < cell.do.indexOf("queueAbort"));
      if (cell.to === "idle" && state !== "idle") assert.ok(cell.do.includes("tellIdle"));
    }
  }
});

const peerHello: Frame = { kind: "hello", role: "acceptor", carriesDescriptors: false, frameBytesMax: 1000, maxCircuits: 8, windowUnits: 10_000, messageBytesMax: 1000, silenceMs: 1000, name: "" };
const body = Uint8Array.of(1);
const OURS = FIRST_CIRCUIT;
const THEIRS = FIRST_CIRCUIT + 1;

class Walker {
  readonly core = new CircuitCore({ role: "initiator", name: "", frameBytesMax: 1000, carriesDescriptors: false, seal: bareSeal }, 0);
  circuit = OURS;

  constructor() {
    this.say(peerHello);
    this.takeAll();
  }

  say(frame: Frame): this {
    this.core.receive(encodeFrame(frame), [], 1);
    return this;
  }

  takeAll(): this {
    while (this.core.take(1)) continue;
    return this;
  }

  begin(last = false): this {
    this.core.begin({ protocol: 9, body, last }, 1);
    return this.takeAll();
  }

  peerBegin(last = false): this {
    this.circuit = THEIRS;
    return this.say({ kind: "begin", circuit: THEIRS, generation: 0, more: false, last, descriptors: 0, protocol: 9, deadlineMs: 0, priority: 1, body });
  }

  peer(event: CircuitEvent): this {
    const on = { circuit: this.circuit, generation: 0 };
    const payload = { ...on, more: false, last: false, descriptors: 0, body };
    const frames: Partial<Record<CircuitEvent, Frame>> = {
      peerBegin: { kind: "begin", ...payload, protocol: 9, deadlineMs: 0, priority: 1 },
      peerAccept: { kind: "accept", ...on },
      peerData: { kind: "data", ...payload },
      peerEnd: { kind: "end", ...on, status: 100, text: "" },
      peerAbort: { kind: "abort", ...on, status: 211, text: "" },
    };
    return this.say(frames[event]!);
  }

  ours(event: CircuitEvent): string | undefined {
    const calls: Partial<Record<CircuitEvent, () => string>> = {
      accept: () => this.core.accept(this.circuit, 1),
      send: () => this.core.send(this.circuit, body, {}, 1),
      end: () => this.core.end(this.circuit, 100, "", 1),
      abort: () => this.core.abort(this.circuit, 211, "", 1),
    };
    return calls[event]?.();
  }
}

/** How to come to each state, with all that we had to send sent, except in `draining`. */
const ways: Record<CircuitState, () => Walker> = {
  idle: () => new Walker(),
  calling: () => new Walker().begin(),
  asked: () => new Walker().begin(true),
  offered: () => new Walker().peerBegin(),
  called: () => new Walker().peerBegin(true),
  open: () => new Walker().begin().peer("peerAccept"),
  sendOnly: () => new Walker().begin().peer("peerEnd"),
  receiveOnly() {
    const walker = new Walker().begin().peer("peerAccept");
    walker.ours("end");
    return walker.takeAll();
  },
  draining() {
    const walker = new Walker().peerBegin(true);
    walker.ours("end");
    return walker;
  },
  aborting() {
    const walker = new Walker().begin();
    walker.ours("abort");
    return walker.takeAll();
  },
};

for (const state of states) {
  test(`the core in state ${state} does what the table says for each frame and call`, () => {
    for (const event of ["accept", "send", "end", "abort", "peerBegin", "peerAccept", "peerData", "peerEnd", "peerAbort"] as const) {
      const walker = ways[state]();
      assert.equal(walker.core.stateOf(walker.circuit), state, `the way to ${state}`);
      const cell = CIRCUIT_TABLE[state][event];
      const what = `${state} × ${event}`;
      if (event.startsWith("peer")) {
        // The peer may begin only on its own circuits, so on ours that is a breach in every state, which idle merely counts.
        walker.peer(event);
        const breach = CIRCUIT_TABLE[state].breach;
        const effective = event === "peerBegin" && walker.circuit === OURS ? breach : cell;
        assert.notEqual(effective, REFUSED);
        if (effective === REFUSED) continue;
        const finalSent = state === "asked" || state === "receiveOnly" || state === "aborting";
        const leaves = finalSent && effective.do.some((action) => action === "leaveIfSent" || action === "abortUnlessSent");
        assert.equal(walker.core.stateOf(walker.circuit), leaves ? "idle" : effective.to, what);
      } else {
        assert.equal(walker.ours(event), cell === REFUSED ? "ended" : "queued", what);
        assert.equal(walker.core.stateOf(walker.circuit), cell === REFUSED ? state : cell.to, what);
      }
      assert.ok(walker.core.isUp, `${what}: the transport lives`);
      walker.takeAll();
      // Whatever happened: an abort here and one there bring the circuit back.
      walker.ours("abort");
      walker.takeAll();
      walker.peer("peerAbort").takeAll();
      assert.equal(walker.core.stateOf(walker.circuit), "idle", `${what}, then aborted`);
      assert.equal(walker.core.busyCircuits, 0);
    }
  });
}

test("an abort before the begin has left leaves no trace, and the generation is used again", () => {
  const walker = new Walker();
  for (const last of [false, true]) {
    walker.core.begin({ protocol: 9, body, last }, 1);
    assert.equal(walker.core.abort(OURS, 211, "", 1), "queued");
    assert.equal(walker.core.stateOf(OURS), "idle");
    assert.equal(walker.core.take(1), undefined);
  }
  walker.begin().peer("peerAccept");
  assert.equal(walker.core.stateOf(OURS), "open");
});

test("the diagram in the specification is this table's", () => {
  let root = import.meta.dirname;
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  assert.ok(readFileSync(join(root, "docs/specs/circuits.md"), "utf8").includes(circuitDiagram()), `docs/specs/circuits.md should show:\n${circuitDiagram()}`);
});
