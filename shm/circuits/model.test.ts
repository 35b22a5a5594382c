/** Two cores joined by a simulated pipe, random operations in simulated time, against plain lists. A failure prints its seed; CIRCUITS_SEED repeats it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoreEvent } from "./coreApi.ts";
import { CircuitCore } from "./core.ts";
import type { CircuitLimits } from "./limits.ts";
import { costOf } from "./limits.ts";
import { seededRandom } from "../../schemas/random.ts";
import { crc32cSeal } from "./seal.ts";
import type { Role } from "./wire.ts";

interface Faults {
  lose: number;
  repeat: number;
  damage: number;
}
interface UnderWay {
  bytes: Uint8Array;
  handles: readonly Handle[];
}
/** Stands for a descriptor: counts its way. */
interface Handle {
  place: "sender" | "receiver" | "discarded";
}
/** One conversation, as the model knows it: what each side sent, and got. */
interface Talk {
  key: number;
  sent: Record<Role, Uint8Array[]>;
  handles: Record<Role, number[]>;
  got: Record<Role, number>;
  over: Record<Role, boolean>;
  cut: boolean;
}
interface Side {
  role: Role;
  core: CircuitCore<Handle>;
  talks: Map<number, Talk>;
  unread: { circuit: number; units: number; conversation: number }[];
  pipe: UnderWay[];
  down: string | undefined;
}

const LIMITS: Partial<CircuitLimits> = { maxCircuits: 6, windowUnits: 900, messageBytesMax: 500, poolUnits: 1600, queueUnits: 1200, silenceMs: 3000, helloTimeoutMs: 2000, abortTimeoutMs: 20_000 };
const other = (role: Role): Role => (role === "initiator" ? "acceptor" : "initiator");

class World {
  readonly random: () => number;
  readonly faults: Faults;
  readonly sides: Record<Role, Side>;
  readonly talks = new Map<number, Talk>();
  readonly handles: Handle[] = [];
  nowUs = 0;
  nextKey = 1;
  delivered = 0;
  damaged = 0;
  /** What happened at all, so that a test that shows nothing is seen. */
  readonly seen = new Set<string>();

  constructor(seed: number, faults: Faults) {
    this.random = seededRandom(seed);
    this.faults = faults;
    this.sides = { initiator: this.#side("initiator"), acceptor: this.#side("acceptor") };
  }

  #side(role: Role): Side {
    // Different limits: what is agreed must hold for both.
    const limits = role === "initiator" ? LIMITS : { ...LIMITS, windowUnits: 1500, maxCircuits: 10, messageBytesMax: 700 };
    const core = new CircuitCore<Handle>({ role, name: role, frameBytesMax: role === "initiator" ? 120 : 200, carriesDescriptors: true, seal: crc32cSeal(role), limits }, 0);
    return { role, core, talks: new Map(), unread: [], pipe: [], down: undefined };
  }

  upTo(count: number): number {
    return Math.floor(this.random() * count);
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.upTo(items.length)];
  }

  message(talk: Talk, role: Role): { body: Uint8Array; descriptors: Handle[] } {
    const body = new Uint8Array(8 + this.upTo(this.random() < 0.3 ? 480 : 30));
    const view = new DataView(body.buffer);
    view.setUint32(0, talk.key);
    view.setUint32(4, talk.sent[role].length);
    body.fill(talk.key * 31 + talk.sent[role].length, 8);
    const descriptors = Array.from({ length: this.random() < 0.1 ? 1 : 0 }, (): Handle => ({ place: "sender" }));
    return { body, descriptors };
  }

  step(): void {
    const side = this.sides[this.random() < 0.5 ? "initiator" : "acceptor"];
    const { core, role } = side;
    const circuit = this.pick([...side.talks.keys()]);
    const dice = this.random();
    if (dice < 0.1) this.begin(side);
    else if (dice < 0.3 && circuit !== undefined) this.send(side, circuit);
    else if (dice < 0.34 && circuit !== undefined) core.accept(circuit, this.nowUs);
    else if (dice < 0.38 && circuit !== undefined) {
      if (core.end(circuit, 100, "", this.nowUs) === "queued") side.talks.get(circuit)!.over[role] = true;
    } else if (dice < 0.39 && circuit !== undefined) {
      if (core.abort(circuit, 211, "", this.nowUs) === "queued") side.talks.get(circuit)!.cut = true;
    } else if (dice < 0.6) for (const message of side.unread.splice(0, this.upTo(4))) core.consumed(message.circuit, message);
    else if (dice < 0.8) this.take(side, 1 + this.upTo(5));
    else if (dice < 0.98) this.arrive(side, 1 + this.upTo(5));
    else this.pass(this.upTo(200_000));
    this.look();
  }

  begin(side: Side): void {
    const talk: Talk = { key: this.nextKey, sent: { initiator: [], acceptor: [] }, handles: { initiator: [], acceptor: [] }, got: { initiator: 0, acceptor: 0 }, over: { initiator: false, acceptor: false }, cut: false };
    const { body, descriptors } = this.message(talk, side.role);
    const last = this.random() < 0.3;
    const deadlineUs = this.random() < 0.1 ? this.nowUs + this.upTo(1e6) : Infinity;
    const begun = side.core.begin({ protocol: talk.key, body, descriptors, last, deadlineUs, priority: this.upTo(4) }, this.nowUs);
    this.seen.add("refused" in begun ? begun.refused : "begin");
    if ("refused" in begun) return;
    this.nextKey += 1;
    this.handles.push(...descriptors);
    this.talks.set(talk.key, talk);
    side.talks.set(begun.circuit, talk);
    talk.sent[side.role].push(body);
    talk.handles[side.role].push(descriptors.length);
    talk.over[side.role] = last;
  }

  send(side: Side, circuit: number): void {
    const talk = side.talks.get(circuit)!;
    const { body, descriptors } = this.message(talk, side.role);
    const last = this.random() < 0.1;
    const verdict = side.core.send(circuit, body, { descriptors, last }, this.nowUs);
    assert.ok(["queued", "full", "tooLarge", "ended", "notUp"].includes(verdict), verdict);
    this.seen.add(verdict);
    if (verdict !== "queued") return;
    this.handles.push(...descriptors);
    talk.sent[side.role].push(body);
    talk.handles[side.role].push(descriptors.length);
    talk.over[side.role] ||= last;
  }

  take(side: Side, count: number): void {
    for (let i = 0; i < count; i++) {
      const frame = side.core.take(this.nowUs);
      if (!frame) return;
      const underWay = { bytes: frame.bytes, handles: frame.descriptors };
      if (this.random() < this.faults.lose) {
        this.damaged += 1;
        for (const handle of frame.descriptors) handle.place = "discarded";
        continue;
      }
      if (this.random() < this.faults.damage) {
        this.damaged += 1;
        const at = this.upTo(frame.bytes.length);
        frame.bytes[at]! ^= 1 << this.upTo(8);
      }
      side.pipe.push(underWay);
      if (this.random() < this.faults.repeat) side.pipe.push({ bytes: frame.bytes.slice(), handles: [] });
    }
  }

  arrive(to: Side, count: number): void {
    for (const { bytes, handles } of this.sides[other(to.role)].pipe.splice(0, count)) {
      for (const handle of handles) handle.place = "receiver";
      to.core.receive(bytes, handles, this.nowUs);
      this.look();
    }
  }

  pass(us: number): void {
    this.nowUs += us;
    for (const side of Object.values(this.sides)) side.core.poll(this.nowUs);
  }

  look(): void {
    for (const side of Object.values(this.sides)) {
      for (const handle of side.core.discarded.splice(0)) handle.place = "discarded";
      for (const event of side.core.takeEvents()) this.told(side, event);
      const { limits, heldUnits, busyCircuits } = side.core;
      assert.ok(busyCircuits <= 6, `${busyCircuits} circuits are busy`);
      const unread = side.unread.reduce((sum, { units }) => sum + units, 0);
      assert.ok(heldUnits >= unread && heldUnits <= limits.poolUnits, `${heldUnits} units held, ${unread} unread`);
      const perTalk = new Map<number, number>();
      for (const { conversation, units } of side.unread) perTalk.set(conversation, (perTalk.get(conversation) ?? 0) + units);
      for (const [talk, units] of perTalk) assert.ok(units <= limits.windowUnits, `conversation ${talk} holds ${units} units`);
    }
  }

  told(side: Side, event: CoreEvent<Handle>): void {
    const { role } = side;
    assert.equal(side.down, undefined, `${event.event} after down`);
    this.seen.add(event.event === "aborted" ? `aborted by ${event.by}` : event.event);
    switch (event.event) {
      case "begun": {
        const talk = this.talks.get(event.protocol as number);
        assert.ok(talk, "a conversation that nobody began");
        assert.ok(!side.talks.has(event.circuit));
        side.talks.set(event.circuit, talk);
        return;
      }
      case "message": {
        const talk = side.talks.get(event.circuit)!;
        const index = talk.got[role]++;
        assert.deepEqual(event.bytes, talk.sent[other(role)][index], `message ${index} of conversation ${talk.key}`);
        assert.equal(event.descriptors.length, talk.handles[other(role)][index]);
        assert.ok(event.units >= costOf(event.bytes.length, event.descriptors.length));
        side.unread.push({ circuit: event.circuit, units: event.units, conversation: event.conversation });
        this.delivered += 1;
        return;
      }
      case "ended": {
        const talk = side.talks.get(event.circuit)!;
        assert.ok(talk.over[other(role)], "ended, but nobody did");
        assert.equal(talk.got[role], talk.sent[other(role)].length, `conversation ${talk.key} ended well with messages missing`);
        return;
      }
      case "aborted":
        side.talks.get(event.circuit)!.cut = true;
        // Between honest ends nothing but the shared pool may run out.
        if (event.by === "breach") assert.equal(event.breach, "poolExceeded");
        return;
      case "idle": {
        const talk = side.talks.get(event.circuit)!;
        assert.ok(talk.cut || (talk.over.initiator && talk.over.acceptor), "idle before both ended");
        side.talks.delete(event.circuit);
        return;
      }
      case "down":
        side.down = event.reason;
        assert.ok([...side.talks.values()].every(({ cut }) => cut), "a conversation was not told of the end");
        side.talks.clear();
        return;
      case "up": case "accepted": case "space":
    }
  }

  /** Lets everything come to its end. */
  finish(): void {
    for (let round = 0; round < 400; round++) {
      for (const side of Object.values(this.sides)) {
        for (const [circuit, talk] of side.talks) if (round > 5 && side.core.end(circuit, 100, "", this.nowUs) === "queued") talk.over[side.role] = true;
        for (const message of side.unread.splice(0)) side.core.consumed(message.circuit, message);
        this.take(side, 50);
      }
      for (const side of Object.values(this.sides)) this.arrive(side, 50);
      this.look();
      this.pass(10_000);
    }
  }
}

function run(seed: number, faults: Faults, steps: number): World {
  const world = new World(seed, faults);
  try {
    for (let i = 0; i < steps; i++) world.step();
    world.finish();
    // By then all aborts are answered, without any timer's help.
    if (faults.lose + faults.damage === 0) for (const { core } of Object.values(world.sides)) assert.deepEqual([core.busyCircuits, core.isDown, Array.from({ length: 6 }, (_, i) => core.stateOf(16 + i)).join()], [0, false, "idle,idle,idle,idle,idle,idle"]);
    world.pass(1e9);
    world.look();
  } catch (error) {
    throw new Error(`seed ${seed}, faults ${JSON.stringify(faults)}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return world;
}

const firstSeed = Number(process.env["CIRCUITS_SEED"] ?? Math.floor(Math.random() * 1e9));

test("a pipe without faults: everything arrives once and in order, every circuit becomes idle again, nobody goes down", () => {
  let delivered = 0;
  const seen = new Set<string>();
  for (let seed = firstSeed; seed < firstSeed + 60; seed++) {
    const world = run(seed, { lose: 0, repeat: 0, damage: 0 }, 2500);
    // Simulated silence at the very end is the only way down.
    for (const { down, core, role } of Object.values(world.sides)) {
      assert.ok(down === "silent", `seed ${seed}: ${role} ${down ?? "is up"}`);
      assert.equal(core.busyCircuits, 0);
      assert.equal(core.heldUnits, 0, `seed ${seed}: units never given back`);
    }
    assert.ok(world.handles.every(({ place }) => place !== "sender"), `seed ${seed}: a descriptor was forgotten`);
    delivered += world.delivered;
    for (const what of world.seen) seen.add(what);
  }
  for (const what of ["begin", "noCircuit", "full", "ended", "queued", "accepted", "space", "idle", "aborted by us", "aborted by peer", "aborted by deadline", "aborted by breach"]) assert.ok(seen.has(what), `no run saw: ${what}`);
  assert.ok(delivered > 60 * 100, `only ${delivered} messages were delivered`);
});

test("repeated frames change nothing", () => {
  for (let seed = firstSeed; seed < firstSeed + 20; seed++) {
    const world = run(seed, { lose: 0, repeat: 0.2, damage: 0 }, 1500);
    for (const { core, down } of Object.values(world.sides)) assert.deepEqual([core.busyCircuits, down], [0, "silent"], `seed ${seed}`);
    assert.ok(world.sides.initiator.core.counters.repeated > 0);
  }
});

test("lost and damaged frames end the transport with a reason, and never a wrong message", () => {
  const reasons = new Set<string>();
  for (let seed = firstSeed; seed < firstSeed + 60; seed++) {
    const world = run(seed, { lose: 0.003, repeat: 0.02, damage: 0.003 }, 2000);
    for (const { down, core } of Object.values(world.sides)) {
      assert.ok(down !== undefined, `seed ${seed}`);
      if (world.damaged > 0) reasons.add(down);
      assert.equal(core.busyCircuits, 0);
    }
    assert.ok(world.handles.every(({ place }) => place !== "sender"), `seed ${seed}: a descriptor was forgotten`);
  }
  for (const reason of reasons) assert.ok(["framesLost", "crcMismatch", "peerLeft", "silent", "noHello"].includes(reason), reason);
  assert.ok(reasons.has("framesLost") && reasons.has("crcMismatch"), [...reasons].join());
});

test("no circuit waits longer than the others' weights, whatever their priority and queues", () => {
  const world = new World(firstSeed, { lose: 0, repeat: 0, damage: 0 });
  const { initiator, acceptor } = world.sides;
  world.take(initiator, 9);
  world.take(acceptor, 9);
  world.arrive(initiator, 9);
  world.arrive(acceptor, 9);
  // Priorities 0, 3, 3: weights 1, 8, 8. All have several frames to send, within their credit.
  const body = new Uint8Array(480);
  const circuits = [0, 3, 3].map((priority) => {
    const begun = initiator.core.begin({ protocol: 1, body, priority }, 0);
    assert.ok("circuit" in begun);
    for (let i = 0; i < 1; i++) initiator.core.send(begun.circuit, body, {}, 0);
    return begun.circuit;
  });
  const order: number[] = [];
  for (let frame = initiator.core.take(0); frame; frame = initiator.core.take(0)) order.push(frame.bytes[6]!);
  const [low] = circuits;
  const turns = order.flatMap((circuit, index) => (circuit === low ? [index] : []));
  assert.ok(turns.length >= 8);
  assert.ok(turns[0]! <= 18, order.join());
  for (let i = 1; i < turns.length; i++) assert.ok(turns[i]! - turns[i - 1]! <= 8 + 8 + 3, order.join());
  for (const circuit of circuits) assert.equal(order.filter((it) => it === circuit).length, turns.length);
});
