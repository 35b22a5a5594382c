/** Hostile and broken peers, frame by frame: what each breach ends, with which reason; times; bytes on the wire. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoreEvent } from "./coreApi.ts";
import { CircuitCore } from "./core.ts";
import { fuzzTargets } from "./fuzz.ts";
import type { CircuitLimits } from "./limits.ts";
import { costOf } from "./limits.ts";
import { bareSeal, crc32cSeal } from "./seal.ts";
import type { Frame } from "./wire.ts";
import { decodeFrame, encodeFrame, textBytes } from "./wire.ts";

const hello: Frame = { kind: "hello", role: "acceptor", carriesDescriptors: true, frameBytesMax: 200, maxCircuits: 8, windowUnits: 600, messageBytesMax: 500, silenceMs: 1000, name: "peer" };
const limits: Partial<CircuitLimits> = { maxCircuits: 8, windowUnits: 1000, messageBytesMax: 300, poolUnits: 1500, silenceMs: 4000, helloTimeoutMs: 1000, abortTimeoutMs: 500, violationsMax: 5 };
const on = { circuit: 17, generation: 0 };
const payload = { ...on, more: false, last: false, descriptors: 0, body: Uint8Array.of(1) };
const begin: Frame = { kind: "begin", ...payload, protocol: "echo", deadlineMs: 0, priority: 1 };

function make(said: Frame[] = [hello]): CircuitCore<string> {
  const core = new CircuitCore<string>({ role: "initiator", name: "", frameBytesMax: 200, carriesDescriptors: true, seal: bareSeal, limits }, 0);
  for (const frame of said) say(core, frame);
  return core;
}
function say(core: CircuitCore<string>, frame: Frame | Uint8Array, descriptors: string[] = []): CoreEvent<string>[] {
  core.receive(frame instanceof Uint8Array ? frame : encodeFrame(frame), descriptors, 10);
  return core.takeEvents();
}
function taken(core: CircuitCore<string>, nowUs = 10): Frame[] {
  const frames: Frame[] = [];
  for (let out = core.take(nowUs); out; out = core.take(nowUs)) frames.push(decodeFrame(out.bytes) as Frame);
  return frames;
}
const kinds = (frames: Frame[]): string[] => frames.map(({ kind }) => kind);

test("bytes on the wire", () => {
  const hex = (frame: Frame): string => Buffer.from(encodeFrame(frame)).toString("hex");
  assert.equal(hex({ kind: "begin", circuit: 16, generation: 0, more: false, last: true, descriptors: 0, protocol: 7, deadlineMs: 0, priority: 1, body: Uint8Array.of(0xaa) }), "10480701aa");
  assert.equal(hex({ kind: "begin", circuit: 200, generation: 1, more: true, last: false, descriptors: 0, protocol: "echo", deadlineMs: 500, priority: 0, body: new Uint8Array(0) }), "c8013800046563686fd00f");
  assert.equal(hex({ kind: "data", circuit: 16, generation: 1, more: false, last: true, descriptors: 2, body: Uint8Array.of(1, 2) }), "10d9020102");
  assert.equal(hex({ kind: "end", circuit: 17, generation: 0, status: 300, text: "no" }), "110bac02026e6f");
  assert.equal(hex({ kind: "credit", grants: [{ circuit: 16, generation: 1, units: 512 }] }), "0205218004");
  const seal = crc32cSeal("initiator");
  const frame = encodeFrame({ kind: "ping", token: 1 }, seal.headerBytes);
  seal.seal(frame);
  // CRC-32C of "IPC", version 1, sender 0, counter 0, 01 03 01.
  assert.equal(Buffer.from(frame).toString("hex"), "77a61d3d0000010301");
  assert.equal(crc32cSeal("acceptor").open(frame), "ok");
  for (let bit = 0; bit < frame.length * 8; bit++) {
    frame[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(crc32cSeal("acceptor").open(frame), "crcMismatch");
    frame[bit >> 3]! ^= 1 << (bit & 7);
  }
  assert.equal(crc32cSeal("initiator").open(frame), "crcMismatch", "our own echo");
  assert.equal(textBytes("ééé", 3).length, 2);
});

test("a request and its reply cost one frame each way, 4 and 2 bytes of overhead", () => {
  const core = make();
  taken(core);
  core.begin({ protocol: 7, body: Uint8Array.of(1, 2, 3), last: true }, 10);
  assert.equal(core.take(10)?.bytes.length, 3 + 4);
  const events = say(core, { kind: "data", ...payload, circuit: 16, last: true });
  assert.deepEqual(events.map(({ event }) => event), ["accepted", "message", "ended", "idle"]);
});

for (const [what, frames, reason] of [
  ["data before the hello", [[begin]], "helloExpected"],
  ["two hellos", [[hello, hello]], "helloTwice"],
  ["a hello of our own role", [[{ ...hello, role: "initiator" }]], "sameRole"],
] as [string, Frame[][], string][]) {
  test(`the transport ends: ${what}`, () => {
    const core = make([]);
    const events = frames[0]!.flatMap((frame) => say(core, frame));
    const down = events.at(-1)!;
    assert.ok(down.event === "down" && down.reason === reason);
    assert.deepEqual(kinds(taken(core)), ["hello", "goodbye"]);
    assert.equal(core.take(10), undefined);
    assert.deepEqual(say(core, begin, ["fd"]), []);
    assert.deepEqual(core.discarded, ["fd"]);
  });
}

test("the transport ends: broken reserved frames, too long a frame, another version", () => {
  const bytes: [Uint8Array, string][] = [
    [new Uint8Array(0), "malformed"], [Uint8Array.of(0), "malformed"], [Uint8Array.of(0x80, 0x00, 9), "malformed"], [Uint8Array.of(3, 9), "reservedCircuit"], [Uint8Array.of(6, 9), "reservedCircuit"], [Uint8Array.of(1, 9), "reservedCircuit"],
    [Uint8Array.of(2, 5), "malformed"], [Uint8Array.of(1, 3, 1, 1), "malformed"], [new Uint8Array(201), "frameTooLong"], [Uint8Array.of(0, 1, 2), "otherVersion"], [Uint8Array.of(0, 1, 1, 0), "badHello"],
  ];
  for (const [frame, reason] of bytes) {
    const down = say(make(), frame).at(-1);
    assert.ok(down?.event === "down" && down.reason === reason, `${Buffer.from(frame).toString("hex")} → ${JSON.stringify(down)}`);
  }
});

const filled = (length: number): Uint8Array => new Uint8Array(length).fill(7);
for (const [what, frames, breach] of [
  ["more than the window", Array.from({ length: 6 }, (): Frame => ({ kind: "data", ...payload, body: filled(180) })), "creditExceeded"],
  ["a message without end", Array.from({ length: 3 }, (): Frame => ({ kind: "data", ...payload, more: true, body: filled(180) })), "messageTooLarge"],
  ["data behind the end", [{ kind: "end", ...on, status: 100, text: "" }, { kind: "data", ...payload }], "outOfTurn"],
  ["an end within a message", [{ kind: "data", ...payload, more: true }, { kind: "end", ...on, status: 100, text: "" }], "outOfTurn"],
  ["a second begin", [begin], "outOfTurn"],
  ["an accept of its own request", [{ kind: "accept", ...on }], "outOfTurn"],
  ["the other generation", [{ kind: "data", ...payload, generation: 1 }], "otherGeneration"],
  ["descriptors that did not come", [{ kind: "data", ...payload, descriptors: 2 }], "descriptorCount"],
  ["credit beyond its window", [{ kind: "credit", grants: [{ ...on, units: 1 }] }], "creditExceeded"],
] as [string, Frame[], string][]) {
  test(`one circuit ends: ${what}`, () => {
    const core = make([hello, begin]);
    core.begin({ protocol: 1, body: filled(1) }, 10);
    const events = frames.flatMap((frame) => say(core, frame));
    const aborted = events.find(({ event }) => event === "aborted");
    assert.ok(aborted?.event === "aborted" && aborted.by === "breach" && aborted.breach === breach && aborted.circuit === 17, JSON.stringify(events));
    assert.ok(taken(core).some((frame) => frame.kind === "abort" && frame.circuit === 17 && frame.text === breach));
    assert.ok(core.isUp && core.stateOf(16) === "calling", "the others go on");
    assert.equal(core.counters.breaches, 1);
  });
}

test("malformed frames and foreign ids hurt their circuit alone, until there are too many", () => {
  const core = make([hello, begin]);
  assert.equal(say(core, Uint8Array.of(17, 0x0b, 1)).find(({ event }) => event === "aborted")?.event, "aborted");
  for (const frame of [{ ...begin, circuit: 18 }, { ...begin, circuit: 4 }, { ...begin, circuit: 25 }] as Frame[]) {
    assert.deepEqual(say(core, frame, ["fd"]), []);
    assert.deepEqual(core.discarded.splice(0), ["fd"]);
  }
  assert.equal(core.counters.breaches, 4);
  say(core, { kind: "data", ...payload, circuit: 19 });
  const down = say(core, { kind: "data", ...payload, circuit: 19 }).at(-1);
  assert.ok(down?.event === "down" && down.reason === "tooManyBreaches");
});

test("the pool is shared: the circuit whose frame is too much ends, the others keep theirs", () => {
  const core = make();
  for (const circuit of [17, 19]) say(core, { ...begin, circuit, body: filled(150) } as Frame);
  for (const circuit of [17, 17, 17, 19, 19]) assert.equal(say(core, { kind: "data", ...payload, circuit, body: filled(180) })[0]?.event, "message");
  const events = say(core, { kind: "data", ...payload, circuit: 19, body: filled(180) });
  const [aborted] = events;
  assert.ok(aborted?.event === "aborted" && aborted.breach === "poolExceeded" && aborted.circuit === 19, JSON.stringify(events));
  assert.equal(core.stateOf(17), "offered");
  assert.ok(core.heldUnits <= 1500);
});

test("a late abort and late credit are not breaches", () => {
  const core = make([hello, { ...begin, last: true } as Frame]);
  core.end(17, 100, "", 10);
  taken(core);
  assert.equal(core.stateOf(17), "idle");
  say(core, { kind: "abort", ...on, status: 211, text: "" });
  say(core, { kind: "credit", grants: [{ ...on, units: 5 }] });
  assert.deepEqual([core.counters.late, core.counters.breaches, core.isUp], [2, 0, true]);
});

test("hello, silence, pings and unanswered aborts have their times", () => {
  const silent = make([]);
  silent.poll(999_999);
  assert.ok(!silent.isDown);
  silent.poll(1_000_000);
  assert.deepEqual(silent.takeEvents().map((event) => (event.event === "down" ? event.reason : event.event)), ["noHello"]);

  const core = make();
  taken(core);
  let pings = 0;
  for (let nowUs = 0; !core.isDown; nowUs = core.deadlineUs) {
    core.poll(nowUs);
    pings += taken(core, nowUs).filter(({ kind }) => kind === "ping").length;
  }
  assert.equal(pings, 3);
  const last = core.takeEvents().at(-1)!;
  assert.ok(last.event === "down" && last.reason === "silent");

  const deaf = make([hello, begin]);
  deaf.abort(17, 211, "", 10);
  deaf.poll(1_000_000);
  assert.ok(!deaf.isDown, "our abort has not left yet");
  taken(deaf, 1_000_000);
  deaf.receive(encodeFrame({ kind: "ping", token: 1 }), [], 1_400_000);
  deaf.poll(1_499_999);
  assert.ok(!deaf.isDown);
  deaf.poll(1_500_000);
  const end = deaf.takeEvents().at(-1)!;
  assert.ok(end.event === "down" && end.reason === "abortUnanswered");
});

test("a flood of pings makes one pong", () => {
  const core = make();
  taken(core);
  for (let token = 0; token < 1000; token++) say(core, { kind: "ping", token });
  assert.deepEqual(taken(core), [{ kind: "pong", token: 999 }]);
});

test("nothing is sent beyond the peer's credit, and larger messages than it takes are refused", () => {
  const core = make();
  taken(core);
  const begun = core.begin({ protocol: 1, body: filled(300) }, 10);
  assert.ok("circuit" in begun);
  assert.equal(core.send(begun.circuit, filled(501), {}, 10), "tooLarge");
  assert.equal(core.send(begun.circuit, filled(1), { descriptors: ["a", "b", "c", "d", "e"] }, 10), "noDescriptors");
  core.send(begun.circuit, filled(400), {}, 10);
  const spent = taken(core).reduce((sum, frame) => (frame.kind === "begin" || frame.kind === "data" ? sum + costOf(frame.body.length, 0) : sum), 0);
  assert.ok(spent <= 600 && spent > 300, String(spent));
  assert.equal(core.hasFrames, false);
  say(core, { kind: "credit", grants: [{ circuit: begun.circuit, generation: 0, units: spent }] });
  assert.ok(taken(core).length > 0);
});

test("a begin of the generation that was, and answers to what we have not sent, change nothing", () => {
  const core = make();
  taken(core);
  assert.deepEqual(say(core, { ...begin, generation: 1 } as Frame), []);
  core.begin({ protocol: 1, body: filled(1) }, 10);
  for (const generation of [0, 1]) assert.deepEqual(say(core, { kind: "data", ...payload, circuit: 16, generation }), []);
  assert.equal(core.stateOf(16), "calling");
  assert.equal(core.counters.breaches, 3);
});

test("a refused begin costs no circuit", () => {
  const core = make();
  for (let i = 0; i < 10; i++) assert.deepEqual(core.begin({ protocol: 1, body: filled(501) }, 10), { refused: "tooLarge" });
  for (let i = 0; i < 4; i++) assert.ok("circuit" in core.begin({ protocol: 1, body: filled(1) }, 10));
  assert.deepEqual(core.begin({ protocol: 1, body: filled(1) }, 10), { refused: "noCircuit" });
});

test("bad limits are refused at once", () => {
  for (const wrong of [{ maxCircuits: 1 }, { maxCircuits: 20_000 }, { windowUnits: 100 }]) assert.throws(() => new CircuitCore({ role: "initiator", name: "", frameBytesMax: 200, carriesDescriptors: false, seal: bareSeal, limits: wrong }, 0), RangeError);
  assert.throws(() => new CircuitCore({ role: "initiator", name: "", frameBytesMax: 71, carriesDescriptors: false, seal: bareSeal }, 0), RangeError);
  for (const protocol of [0, -1, 1.5, 2 ** 32, "", "x".repeat(41)]) assert.throws(() => make().begin({ protocol, body: filled(1) }, 0), RangeError);
});

for (const { name, run, seeds = [] } of fuzzTargets) {
  test(`fuzz: ${name}`, () => {
    let state = 12_345;
    const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 8;
    for (const seed of [...seeds, new Uint8Array(0)]) {
      run(seed);
      for (let i = 0; i < 3000; i++) {
        const input = new Uint8Array([...seed, ...Array.from({ length: next() % 20 }, next)]);
        for (let flips = next() % 6; flips > 0 && input.length > 0; flips--) input[next() % input.length] = next();
        run(input);
      }
    }
  });
}
