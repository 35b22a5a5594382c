/** Entry points for fuzzing: each takes any bytes and may only return. A throw is a finding. */
import { CircuitCore } from "./core.ts";
import { SMALL_CIRCUIT_LIMITS } from "./limits.ts";
import { bareSeal, crc32cSeal } from "./seal.ts";
import type { Frame } from "./wire.ts";
import { decodeFrame, encodeFrame } from "./wire.ts";

export interface FuzzTarget {
  name: string;
  run(input: Uint8Array): void;
  /** Inputs to mutate. */
  seeds?: Uint8Array[];
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const on = { circuit: 17, generation: 0 };
const payload = { ...on, more: false, last: false, descriptors: 0, body: Uint8Array.of(1, 2, 3) };
const hello: Frame = { kind: "hello", role: "acceptor", carriesDescriptors: false, frameBytesMax: 200, maxCircuits: 8, windowUnits: 1000, messageBytesMax: 500, silenceMs: 1000, name: "fuzz" };
const frames: Frame[] = [
  hello,
  { kind: "begin", ...payload, protocol: "echo", deadlineMs: 100, priority: 2 },
  { kind: "data", ...payload, more: true },
  { kind: "data", ...payload, last: true },
  { kind: "data", ...payload, circuit: 16 },
  { kind: "accept", ...on, circuit: 16 },
  { kind: "end", ...on, status: 100, text: "" },
  { kind: "abort", ...on, status: 211, text: "cancelled" },
  { kind: "credit", grants: [{ circuit: 16, generation: 0, units: 40 }, { circuit: 17, generation: 1, units: 1 }] },
  { kind: "ping", token: 300 },
  { kind: "goodbye", status: 211, text: "bye" },
];
const encoded = frames.map((frame) => encodeFrame(frame));

/** `input` as a run of frames, each with a length byte in front. */
function* split(input: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < input.length;) {
    const lengthBytes = input[at]! & 0x7f;
    yield input.subarray(at + 1, at + 1 + lengthBytes);
    at += 1 + lengthBytes;
  }
}

function joined(many: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(many.flatMap((frame) => [Uint8Array.of(frame.length), frame])));
}

export const fuzzTargets: FuzzTarget[] = [
  {
    name: "circuit frame: what decodes encodes to the same bytes",
    seeds: encoded,
    run(input) {
      const frame = decodeFrame(input);
      if (frame.kind === "bad") return;
      if (frame.kind === "hello" && frame.frameBytesMax > 65_536) return; // is capped when written
      expect(Buffer.compare(encodeFrame(frame), input) === 0, `one meaning, two encodings: ${JSON.stringify(frame)}`);
    },
  },
  {
    name: "circuits, rightly framed rubbish from a peer",
    seeds: [joined(encoded.slice(1)), joined([encoded[1]!, encoded[2]!, encoded[3]!]), joined([encoded[5]!, encoded[4]!])],
    run(input) {
      const core = new CircuitCore({ role: "initiator", name: "", frameBytesMax: 200, carriesDescriptors: false, seal: bareSeal, limits: SMALL_CIRCUIT_LIMITS }, 0);
      core.receive(encoded[0]!, [], 0);
      core.begin({ protocol: 5, body: new Uint8Array(300) }, 0);
      let nowUs = 1;
      for (const frame of split(input)) {
        core.receive(frame, [], (nowUs += 1000));
        let out = 0;
        while (core.take(nowUs)) expect(++out < 100, "one frame makes many");
        expect(core.heldUnits <= SMALL_CIRCUIT_LIMITS.poolUnits, "too much is held");
        expect(core.busyCircuits <= SMALL_CIRCUIT_LIMITS.maxCircuits + 2, "too many circuits");
        expect(core.takeEvents().length <= 20, "one frame makes many events");
      }
      core.poll(nowUs + 1e9);
      expect(core.isDown && core.busyCircuits === 0, "silence ends it");
    },
  },
  {
    name: "circuits, bytes from a stranger",
    run(input) {
      const core = new CircuitCore({ role: "initiator", name: "", frameBytesMax: 200, carriesDescriptors: false, seal: crc32cSeal("initiator"), limits: SMALL_CIRCUIT_LIMITS }, 0);
      core.receive(input, [], 1);
      expect(!core.isUp, "something was accepted");
    },
  },
];
