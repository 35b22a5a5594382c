/**
 * The contract of frame transports, as tests: written once, run for every implementation with `testTransportContract("memory", makeHarness)`.
 * Nothing sleeps to synchronise: tests wait for conditions, with a generous deadline.
 */
import assert from "node:assert/strict";
import { fstatSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { Descriptor } from "../sockets/index.ts";
import { Circuits } from "./circuits.ts";
import type { CircuitLimits } from "./limits.ts";
import { CIRCUIT_LIMITS } from "./limits.ts";
import type { FrameTransport } from "./transport.ts";
import { openDescriptorsOf, until } from "../../schemas/testing.ts";

export interface TransportHarness {
  a: FrameTransport;
  b: FrameTransport;
  limits?: Partial<CircuitLimits>;
  /** Cuts the connection as a crash would; absent where that cannot happen. */
  cut?: () => void;
  stop: () => Promise<void> | void;
}

interface Pair {
  a: Circuits;
  b: Circuits;
  limits: CircuitLimits;
  harness: TransportHarness;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const hasStatus = (status: number) => (error: unknown): boolean => error instanceof IpcnetError && error.status === status;
const never = (): Promise<never> => new Promise(() => undefined);

/** `length` bytes that tell where they are, zeros among them. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
}

export function testTransportContract(name: string, makeHarness: () => Promise<TransportHarness>): void {
  const contract = (rule: string, body: (pair: Pair) => Promise<void>): void =>
    void test(`${name}: ${rule}`, { timeout: 120_000 }, async () => {
      const harness = await makeHarness();
      const a = new Circuits({ transport: harness.a, role: "initiator", name: "a", limits: harness.limits });
      const b = new Circuits({ transport: harness.b, role: "acceptor", name: "b", limits: harness.limits });
      try {
        await body({ a, b, harness, limits: { ...CIRCUIT_LIMITS, ...harness.limits } });
      } finally {
        a.close();
        b.close();
        await harness.stop();
      }
    });
  const settled = (...ends: Circuits[]): Promise<void> => until(() => ends.every((end) => end.busyCircuits === 0 && end.heldUnits === 0), "all circuits idle, all messages given back");

  contract("both say hello and agree", async ({ a, b, harness, limits }) => {
    const carriesDescriptors = harness.a.carriesDescriptors;
    assert.deepEqual(await a.ready(), { name: "b", maxCircuits: limits.maxCircuits, carriesDescriptors });
    assert.deepEqual(await b.ready(), { name: "a", maxCircuits: limits.maxCircuits, carriesDescriptors });
  });

  contract("messages of every size around the frame's come back whole, from both sides", async ({ a, b, harness, limits }) => {
    const echo = (_: unknown, body: Uint8Array): Uint8Array => body;
    a.serve("echo", echo);
    b.serve(7, echo);
    const frame = harness.a.frameBytesMax;
    const sizes = [0, 1, frame - 30, frame - 20, frame - 9, frame - 8, frame - 1, frame, frame + 1, 2 * frame, limits.messageBytesMax].filter((size) => size >= 0 && size <= limits.messageBytesMax);
    for (const size of sizes) {
      const body = pattern(size);
      assert.deepEqual((await a.request(7, body)).bytes, body, `${size} bytes to b`);
      assert.deepEqual((await b.request("echo", body)).bytes, body, `${size} bytes to a`);
    }
    await assert.rejects(a.request(7, new Uint8Array(limits.messageBytesMax + 1)), hasStatus(Status.payloadTooLarge));
    await settled(a, b);
  });

  contract("a stream arrives in order, and a reader that stops stops its sender alone", async ({ a, b, limits }) => {
    const itemBytes = Math.floor(limits.messageBytesMax / 4);
    const count = 3 * Math.ceil(limits.windowUnits / itemBytes) + 3 * Math.ceil(limits.queueUnits / itemBytes);
    let made = 0;
    b.serve("count", function* () {
      for (; made < count; made++) {
        const item = new Uint8Array(itemBytes);
        new DataView(item.buffer).setUint32(0, made);
        yield item;
      }
    });
    b.serve("quick", () => bytes("here"));
    const conversation = await a.open("count", new Uint8Array(0), { last: true });
    await until(() => a.heldUnits + itemBytes + 32 > limits.windowUnits * 0.7, "the window is used");
    assert.equal(text((await a.request("quick", new Uint8Array(0))).bytes), "here");
    assert.ok(a.heldUnits <= limits.windowUnits, `${a.heldUnits} units held`);
    assert.ok(made < count, "the sender ran ahead of its credit");
    let next = 0;
    for await (const item of conversation) {
      assert.equal(new DataView(item.bytes.buffer, item.bytes.byteOffset).getUint32(0), next++);
      assert.ok(a.heldUnits <= limits.windowUnits);
    }
    assert.equal(next, count);
    await settled(a, b);
  });

  contract("both stream at once; each ends for itself; acceptance is told", async ({ a, b }) => {
    b.serve("sum", async (call, body) => {
      call.accept();
      let sum = body[0]!;
      for await (const message of call) {
        sum += message.bytes[0]!;
        await call.send(Uint8Array.of(sum));
      }
      return Uint8Array.of(sum, 255);
    });
    const call = await a.open("sum", Uint8Array.of(1));
    assert.equal(await call.accepted(), true);
    const seen: number[][] = [];
    const reading = (async () => {
      for await (const { bytes: item } of call) seen.push([...item]);
    })();
    for (const value of [2, 3, 4]) await call.send(Uint8Array.of(value));
    call.end();
    await reading;
    assert.deepEqual(seen, [[3], [6], [10], [10, 255]]);
    await settled(a, b);
  });

  contract("failures come as status codes", async ({ a, b }) => {
    b.serve("refuse", () => {
      throw new IpcnetError(1234, "not today");
    });
    b.serve("crash", () => {
      throw new Error("secret");
    });
    b.serve("half", async (call) => {
      await call.send(Uint8Array.of(1));
      throw new IpcnetError(Status.badGateway, "the rest is lost");
    });
    await assert.rejects(a.request("nothing", new Uint8Array(0)), hasStatus(Status.notFound));
    await assert.rejects(a.request("refuse", new Uint8Array(0)), (error: unknown) => error instanceof IpcnetError && error.status === 1234 && error.message.endsWith("not today"));
    await assert.rejects(a.request("crash", new Uint8Array(0)), (error: unknown) => error instanceof IpcnetError && error.status === Status.internalError && !error.message.includes("secret"));
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const { bytes: item } of a.stream("half", new Uint8Array(0))) seen.push(item[0]!);
    }, hasStatus(Status.badGateway));
    assert.deepEqual(seen, [1]);
    await settled(a, b);
  });

  contract("deadlines and cancellation reach both ends, and the circuits are idle again", async ({ a, b }) => {
    const ends: number[] = [];
    b.serve("sleep", async (call) => {
      await new Promise<void>((resolve) => call.signal.addEventListener("abort", () => resolve()));
      ends.push((call.signal.reason as IpcnetError).status);
    });
    await a.ready();
    const slow = a.open("sleep", new Uint8Array(0), { last: true, timeoutMs: 300 });
    await assert.rejects((await slow).next(), hasStatus(Status.requestTimeout));
    await until(() => ends.includes(Status.requestTimeout), "the handler was told of the deadline");
    const controller = new AbortController();
    let begun = false;
    b.serve("nap", async (call) => {
      begun = true;
      await new Promise<void>((resolve) => call.signal.addEventListener("abort", () => resolve()));
      ends.push((call.signal.reason as IpcnetError).status);
    });
    const asked = a.request("nap", new Uint8Array(0), { signal: controller.signal });
    await until(() => begun, "begun");
    controller.abort();
    await assert.rejects(asked, hasStatus(Status.gone));
    await until(() => ends.includes(Status.gone), "the handler was told of the cancellation");
    await settled(a, b);
  });

  contract("leaving a stream early cancels it", async ({ a, b }) => {
    let stopped = false;
    b.serve("forever", (call) => (async function* () {
      try {
        for (let i = 0; !call.signal.aborted; i++) yield Uint8Array.of(i);
      } finally {
        stopped = true;
      }
    })());
    let count = 0;
    for await (const item of a.stream("forever", new Uint8Array(0))) {
      assert.equal(item.bytes[0], count);
      if (++count === 5) break;
    }
    await until(() => stopped, "the handler stopped");
    await settled(a, b);
  });

  contract("no more conversations than agreed, and the ids come back", async ({ a, b, limits }) => {
    b.serve("wait", (call) => call.next().then(() => undefined));
    await a.ready();
    const ours = limits.maxCircuits / 2;
    const open = await Promise.all(Array.from({ length: ours }, () => a.open("wait", new Uint8Array(0))));
    await assert.rejects(a.open("wait", new Uint8Array(0)), hasStatus(Status.tooManyRequests));
    assert.ok((await a.list()).includes("wait"), "discovery has a circuit of its own");
    for (const conversation of open) conversation.end();
    await settled(a, b);
    const again = await Promise.all(Array.from({ length: ours }, () => a.open("wait", new Uint8Array(0), { last: true })));
    assert.equal(new Set(again.map(({ circuit }) => circuit)).size, ours);
    await settled(a, b);
  });

  contract("a busy circuit does not starve the others", async ({ a, b, limits }) => {
    const item = new Uint8Array(Math.floor(limits.messageBytesMax / 2));
    b.serve("flood", (call) => (async function* () {
      while (!call.signal.aborted) yield item;
    })());
    b.serve("ping", (_, body) => body);
    const flood = await a.open("flood", new Uint8Array(0), { last: true });
    let items = 0;
    const draining = (async () => {
      for await (const _ of flood) items += 1;
    })().catch((error: unknown) => error);
    for (let i = 0; i < 20; i++) assert.deepEqual((await a.request("ping", Uint8Array.of(i))).bytes, Uint8Array.of(i));
    const before = items;
    await until(() => items > before + 3, "the flood goes on");
    flood.abort();
    assert.ok(hasStatus(Status.gone)(await draining));
    await settled(a, b);
  });

  contract("descriptors travel, or are refused by name", async ({ a, b, harness }) => {
    const file = Descriptor.open("/dev/null", 0);
    b.serve("look", (_, body, descriptors) => {
      assert.equal(descriptors.length, body[0]);
      return { bytes: bytes(String(fstatSync(descriptors[0]!.fd).rdev)), descriptors: descriptors.splice(0) };
    });
    await a.ready();
    if (!harness.a.carriesDescriptors) await assert.rejects(a.request("look", Uint8Array.of(1), { descriptors: [file] }), hasStatus(Status.notImplemented));
    else {
      const reply = await a.request("look", Uint8Array.of(2, ...pattern(2 * harness.a.frameBytesMax)), { descriptors: [file, file] });
      assert.equal(text(reply.bytes), String(fstatSync(file.fd).rdev));
      assert.equal(reply.descriptors.length, 2);
      for (const descriptor of reply.descriptors) {
        assert.notEqual(descriptor.fd, file.fd);
        descriptor.close();
      }
      await assert.rejects(a.request("look", Uint8Array.of(5), { descriptors: [file, file, file, file, file] }), hasStatus(Status.notImplemented));
    }
    assert.ok(file.isOpen);
    file.close();
    await settled(a, b);
  });

  contract("descriptors that nobody reads are closed, wherever they are", async ({ a, b, harness }) => {
    if (!harness.a.carriesDescriptors) return;
    await a.ready();
    const folder = mkdtempSync(join(tmpdir(), "ipcnet-circuits-"));
    const path = join(folder, "unread");
    writeFileSync(path, "");
    const file = Descriptor.open(path, 0);
    b.serve("ignore", (call) => new Promise<void>((resolve) => call.signal.addEventListener("abort", () => resolve())));
    const call = await a.open("ignore", new Uint8Array(1), { descriptors: [file] });
    // As many as the window takes arrive and stay unread; the others have not left when the abort comes, or were not even queued.
    const sends = Array.from({ length: 8 }, (_, i) => call.send(Uint8Array.of(i), { descriptors: [file, file] }));
    await until(() => b.heldUnits >= 512, "some are there, unread");
    call.abort();
    await Promise.allSettled(sends);
    await settled(a, b);
    await until(() => openDescriptorsOf(path) === 1, "all duplicates are closed");
    file.close();
    rmSync(folder, { recursive: true });
  });

  contract("close ends everything at both ends, with the reason", async ({ a, b }) => {
    b.serve("wait", () => never());
    const asked = a.request("wait", new Uint8Array(0));
    const refused = assert.rejects(asked, hasStatus(1001));
    await a.ready();
    await until(() => b.busyCircuits === 1, "begun");
    b.close(1001, "going home");
    await refused;
    assert.deepEqual(await a.closed(), { reason: "peerLeft", status: 1001, text: "going home" });
    assert.equal((await b.closed()).reason, "closed");
    await assert.rejects(a.request("wait", new Uint8Array(0)), hasStatus(1001));
  });

  contract("a connection that is cut ends everything", async ({ a, b, harness }) => {
    if (!harness.cut) return;
    b.serve("wait", () => never());
    const refused = assert.rejects(a.request("wait", new Uint8Array(0)), (error: unknown) => error instanceof IpcnetError && error.status >= 200);
    await until(() => b.busyCircuits === 1, "begun");
    harness.cut();
    await refused;
    assert.notEqual((await a.closed()).reason, "closed");
  });
}
