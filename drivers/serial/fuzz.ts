/** Entry points for fuzzing: each takes any bytes and may only return. A throw is a finding. */
import { ManualClock } from "../../schemas/clock.ts";
import { CircuitLine } from "./circuitLine.ts";
import { CobsDecoder, cobsFrame } from "./cobs.ts";
import { FRAME_BYTES_MAX, HELLO_ID, SerialFrameWriter, decodeHello, encodeHello, serialCodec } from "./frame.ts";
import { SerialLink } from "./link.ts";
import { LinkCircuits } from "./linkCircuits.ts";
import { CIRCUIT_ID } from "./repetition.ts";

export interface FuzzTarget {
  name: string;
  run(input: Uint8Array): void;
  /** Inputs to mutate. */
  seeds?: Uint8Array[];
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** What any chunking must agree on. */
function framesOf(chunks: readonly Uint8Array[]): string {
  const decoder = new CobsDecoder({ maxFrameBytes: 128 });
  let frames = "";
  for (const chunk of chunks) decoder.push(chunk, { frame: (payload) => (frames += `${payload.join()};`) });
  return frames;
}

function upLink(): { link: SerialLink; writer: SerialFrameWriter } {
  const link = new SerialLink({ role: "gateway", name: "fuzz", dataId: 1, baudBps: 115_200, silenceTimeoutMs: 500, newSession: () => 5, random: () => 0.5 });
  const writer = new SerialFrameWriter(serialCodec(1, "device"));
  link.start(0);
  link.opened(0);
  link.received(writer.write(HELLO_ID, encodeHello({ role: "device", bodyBytesMax: 64, session: 9, heardSession: 5, name: "x" })), 1);
  expect(link.state === "up", "the link comes up");
  return { link, writer };
}

const wire = Buffer.concat([1, 2, 3].map((byte) => new SerialFrameWriter(serialCodec(1, "device")).write(byte, new Uint8Array(30).fill(byte))));
const hello = encodeHello({ role: "device", bodyBytesMax: 64, session: 9, heardSession: 5, name: "x" });

export const fuzzTargets: FuzzTarget[] = [
  {
    name: "cobs decode, any chunking",
    seeds: [wire],
    run(input) {
      const half = input.length >> 1;
      const whole = framesOf([input]);
      expect(whole === framesOf([input.subarray(0, half), input.subarray(half)]), "two chunks give other frames than one");
    },
  },
  {
    name: "cobs round trip behind garbage",
    run(input) {
      const payload = input.subarray(0, 128);
      const decoder = new CobsDecoder({ maxFrameBytes: 128 });
      let last: Uint8Array | undefined;
      const sink = { frame: (frame: Uint8Array) => void (last = frame.slice()) };
      decoder.push(input, sink);
      decoder.push(cobsFrame(payload), sink);
      if (payload.length > 0) expect(Buffer.compare(last ?? new Uint8Array(0), payload) === 0, "the frame behind the garbage is lost");
    },
  },
  { name: "hello", seeds: [hello], run: (input) => void decodeHello(input) },
  {
    name: "serial link, bytes from a stranger",
    // Of another link: as well formed as a stranger can be.
    seeds: [Buffer.from(new SerialFrameWriter(serialCodec(2, "device")).write(HELLO_ID, hello))],
    run(input) {
      const { link, writer } = upLink();
      for (const effect of link.received(input, 1000)) expect(effect.do !== "deliver", "something was accepted");
      const good = link.received(Buffer.concat([Uint8Array.of(0), writer.write(3, Uint8Array.of(1))]), 2000);
      expect(good.some((effect) => effect.do === "deliver"), "the frame after the rubbish is lost");
    },
  },
  {
    name: "serial link, rightly protected rubbish",
    seeds: [hello],
    run(input) {
      const { link, writer } = upLink();
      const body = input.subarray(0, FRAME_BYTES_MAX - 18);
      link.received(writer.write(input.length === 0 ? 0 : input[0]! % 2 === 0 ? HELLO_ID : input[0]!, body), 1000);
      link.poll(1e6);
      link.poll(1e9);
    },
  },
  {
    name: "circuits beside messages, rightly protected rubbish",
    seeds: [Uint8Array.of(0, 1, 1, 9, 0, 0, 0, 5, 0, 0, 0, 1, 12, 0, 0, 0, 9, 0, 0, 0, 0, 0), Uint8Array.of(2, 12, 0, 1, 0, 0, 0, 0, 0, 0, 0)],
    run(input) {
      const clock = new ManualClock();
      let sessions = 4;
      const lines: { ended: boolean }[] = [];
      const circuits = new LinkCircuits({
        baudBps: 115_200, frameBytesMax: 64, clock, newSession: () => (sessions += 1), wake: () => undefined,
        begun(transport) {
          const line = { ended: false };
          lines.push(line);
          transport.start({ frame: () => expect(!line.ended, "a frame behind the end"), room: () => transport.hasRoom && transport.send(Uint8Array.of(1), []), ended: () => void (line.ended = true) });
        },
      });
      circuits.begin();
      for (let at = 0; at < input.length; at += 11) {
        circuits.received(input.subarray(at, at + 11));
        let out = 0;
        while (circuits.take(at)) expect(++out < 12, "a few frames make many");
      }
      circuits.end("over");
      expect(circuits.take(1e9) === undefined && circuits.dueUs === Infinity, "it speaks behind its end");
    },
  },
  {
    name: "circuit line, rightly protected rubbish",
    seeds: [Uint8Array.of(1, 12, 0, 0, 0, 9), Uint8Array.of(2, 12, 0, 1), Uint8Array.of(0, 1, 1, 9, 0, 0, 0, 5, 0, 0, 0)],
    run(input) {
      const line = new CircuitLine({ role: "gateway", dataId: 1, baudBps: 115_200, payloadBytesMax: 64, session: 5 }, 0);
      const writer = new SerialFrameWriter(serialCodec(1, "device"));
      line.receivedBytes(writer.write(CIRCUIT_ID, Uint8Array.of(0, 1, 0, 9, 0, 0, 0, 5, 0, 0, 0)), 1);
      expect(line.isUp, "the line comes up");
      line.send(Uint8Array.of(1));
      line.takeWire(1);
      for (let at = 0; at < input.length; at += 11) line.receivedBytes(writer.write(CIRCUIT_ID, input.subarray(at, at + 11)), 2);
      line.receivedBytes(input, 3);
      let out = 0;
      while (line.takeWire(4)) expect(++out < 12, "a few frames make many");
      line.poll(1e9);
    },
  },
];
