/** Two ends of a repeating line in simulated time: loss, damage, repetition and delay of whole frames, restarts, and a peer that is gone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../schemas/random.ts";
import { CircuitLine } from "./circuitLine.ts";
import { SerialFrameWriter, serialCodec } from "./frame.ts";
import { CIRCUIT_ID, WINDOW_FRAMES } from "./repetition.ts";

const line = (role: "gateway" | "device", session: number, nowUs = 0): CircuitLine => new CircuitLine({ role, dataId: 77, baudBps: 1_000_000, payloadBytesMax: 64, session }, nowUs);

interface Faults {
  lose: number;
  damage: number;
  repeat: number;
  delayUsMax: number;
}

interface End {
  it: CircuitLine;
  toSend: Uint8Array[];
  got: Uint8Array[];
  arriving: { atUs: number; bytes: Uint8Array }[];
}

/** Runs until both ends have everything or one has ended; returns the simulated time. */
function run(ends: [End, End], faults: Faults, random: () => number, untilUs: number): number {
  let nowUs = 0;
  for (; nowUs < untilUs; nowUs += 200) {
    for (const [index, end] of ends.entries()) {
      const far = ends[1 - index]!;
      for (;;) {
        const next = end.arriving[0];
        if (!next || next.atUs > nowUs) break;
        end.arriving.shift();
        end.it.receivedBytes(next.bytes, nowUs);
      }
      end.got.push(...end.it.takeDelivered());
      end.it.poll(nowUs);
      while (end.it.hasRoom && end.toSend.length > 0) end.it.send(end.toSend.shift()!);
      for (let bytes = end.it.takeWire(nowUs); bytes; bytes = end.it.takeWire(nowUs)) {
        if (random() < faults.lose) continue;
        if (random() < faults.damage) bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
        // A line keeps its order, so a delayed frame delays those behind it.
        const atUs = Math.max(nowUs + random() * faults.delayUsMax, far.arriving.at(-1)?.atUs ?? 0);
        for (let copies = random() < faults.repeat ? 2 : 1; copies > 0; copies--) far.arriving.push({ atUs, bytes: bytes.slice() });
      }
    }
    if (ends.some(({ it }) => it.ended) || ends.every(({ it, toSend }) => it.isUp && it.isFlushed && toSend.length === 0)) break;
  }
  return nowUs;
}

function end(it: CircuitLine, count: number): End {
  return { it, toSend: Array.from({ length: count }, (_, i) => Uint8Array.of(i, i >> 8, 0, ...new Uint8Array(i % 60))), got: [], arriving: [] };
}

for (const [what, faults] of [
  ["nothing", { lose: 0, damage: 0, repeat: 0, delayUsMax: 500 }],
  ["a frame in five", { lose: 0.1, damage: 0.1, repeat: 0, delayUsMax: 2000 }],
  ["repetition and long delays", { lose: 0.02, damage: 0.02, repeat: 0.3, delayUsMax: 90_000 }],
] as [string, Faults][]) {
  test(`everything arrives once and in order, with ${what} lost, damaged, repeated or late`, () => {
    for (let seed = 1; seed <= 25; seed++) {
      const ends: [End, End] = [end(line("gateway", 2 * seed), 400), end(line("device", 2 * seed + 1), 300)];
      const wanted = ends.map(({ toSend }) => [...toSend]);
      const tookUs = run(ends, faults, seededRandom(seed), 600e6);
      assert.deepEqual([ends[0].it.ended, ends[1].it.ended], [undefined, undefined], `seed ${seed} at ${tookUs} µs`);
      assert.deepEqual(ends[1].got, wanted[0], `seed ${seed}`);
      assert.deepEqual(ends[0].got, wanted[1], `seed ${seed}`);
      if (faults.lose === 0) assert.equal(ends[0].it.counters.repeated + ends[1].it.counters.repeated, 0, "nothing was repeated without need");
    }
  });
}

test("a peer that is gone ends the line after its repeats, with what was not acknowledged bounded", () => {
  const ends: [End, End] = [end(line("gateway", 5), 3), end(line("device", 6), 0)];
  run(ends, { lose: 0, damage: 0, repeat: 0, delayUsMax: 100 }, seededRandom(1), 10e6);
  assert.ok(ends[0].it.isUp);
  for (let i = 0; i < WINDOW_FRAMES; i++) ends[0].it.send(Uint8Array.of(i));
  assert.equal(ends[0].it.hasRoom, false);
  assert.throws(() => ends[0].it.send(Uint8Array.of(1)), RangeError);
  let frames = 0;
  for (let nowUs = 1e6; !ends[0].it.ended && nowUs < 1e9; nowUs += 10_000) {
    ends[0].it.poll(nowUs);
    while (ends[0].it.takeWire(nowUs)) frames += 1;
  }
  assert.equal(ends[0].it.ended, "unanswered");
  assert.ok(frames <= 13 * WINDOW_FRAMES, `${frames} frames`);
  assert.equal(ends[0].it.takeWire(2e9), undefined);
  assert.equal(ends[0].it.deadlineUs, Infinity);
});

test("a peer that starts anew ends the line; frames of its old session count for nothing", () => {
  const [gateway, device] = [line("gateway", 5), line("device", 6)];
  const ends: [End, End] = [end(gateway, 1), end(device, 0)];
  run(ends, { lose: 0, damage: 0, repeat: 0, delayUsMax: 100 }, seededRandom(1), 10e6);
  gateway.send(Uint8Array.of(9));
  const old = gateway.takeWire(1e6)!;
  const restarted = line("device", 7, 1e6);
  restarted.receivedBytes(old, 1e6);
  restarted.poll(1e6);
  assert.deepEqual(restarted.takeDelivered(), []);
  gateway.receivedBytes(restarted.takeWire(1e6)!, 1e6);
  assert.equal(gateway.ended, "peerRestarted");
  const again = line("gateway", 8, 2e6);
  const anew: [End, End] = [end(again, 5), end(restarted, 5)];
  anew[1].arriving.push({ atUs: 0, bytes: old });
  run(anew, { lose: 0, damage: 0, repeat: 0, delayUsMax: 100 }, seededRandom(1), 10e6);
  assert.deepEqual([anew[0].got.length, anew[1].got.length], [5, 5]);
});

test("wrong tags, lengths and acknowledgements of what was never sent are refused or change nothing", () => {
  const ends: [End, End] = [end(line("gateway", 5), 1), end(line("device", 6), 0)];
  run(ends, { lose: 0, damage: 0, repeat: 0, delayUsMax: 100 }, seededRandom(1), 10e6);
  const gateway = ends[0].it;
  const tag = (5 ^ 6) & 0xffff;
  const writer = new SerialFrameWriter(serialCodec(77, "device"));
  const say = (...body: number[]): void => gateway.receivedBytes(writer.write(CIRCUIT_ID, Uint8Array.from(body)), 1e6);
  const refusedBefore = gateway.counters.refused;
  say(1, tag + 1, 0, 1, 0, 7);
  say(1, tag, 0, 1);
  say(9, tag, 0, 1);
  say(2, tag, 0, 1, 0);
  say(0, 1, 1);
  say();
  assert.equal(gateway.counters.refused - refusedBefore, 6);
  gateway.send(Uint8Array.of(1));
  say(2, tag, 0, 200);
  assert.equal(gateway.isFlushed, false);
  assert.deepEqual(gateway.takeDelivered(), []);
  say(1, tag, 0, 1, 0, 42);
  assert.deepEqual(gateway.takeDelivered(), [Uint8Array.of(42)]);
});
