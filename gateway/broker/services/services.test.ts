import assert from "node:assert/strict";
import { test } from "node:test";
import { IpcnetError } from "../../../schemas/status.ts";
import { connect, type Call, type Client } from "../../../shm/client/index.ts";
import { decodeCbor } from "../../../shm/protocol/cborReader.ts";
import { CborWriter } from "../../../shm/protocol/cborWriter.ts";
import { Channel } from "../../../shm/protocol/channel.ts";
import { PACKET_BYTES_MAX } from "../../../shm/protocol/limits.ts";
import { Descriptor, nativeSeal, SeqpacketConnection } from "../../../shm/sockets/index.ts";
import { FairShare } from "../quota/quota.ts";
import { BrokerRig, openPolicy } from "../testRig.ts";
import { SharedCallQuota } from "./callQuota.ts";
import { noMoreDescriptorsThan, openDescriptors } from "../../../schemas/testing.ts";

async function withClients<N extends string>(options: ConstructorParameters<typeof BrokerRig>[0], names: readonly N[], use: (clients: Record<N, Client>, rig: BrokerRig) => Promise<void>): Promise<void> {
  const rig = new BrokerRig(options);
  const clients = new Map<N, Client>();
  try {
    for (const name of names) clients.set(name, await connect({ socketPath: rig.path, name }));
    await use(Object.fromEntries(clients) as Record<N, Client>, rig);
  } finally {
    for (const client of clients.values()) await client.close();
    await rig.close();
  }
}

const refused = (promise: Promise<unknown>, status: number, words: RegExp): Promise<void> =>
  assert.rejects(promise, (error) => error instanceof IpcnetError && error.status === status && words.test(error.message), `${status} ${words}`);

test("after a start a caller that is quicker than the provider is answered all the same", async () => {
  await withClients({ returnMs: 60_000 }, ["provider", "caller"], async ({ provider, caller }) => {
    const early = caller.request("math/double", 21);
    await caller.request("echo", 1);
    assert.deepEqual(await caller.find("services", "math/#"), [], "nobody offers it yet");
    await provider.offer("math/double", {}, (body) => Number(body) * 2);
    assert.equal(await early, 42);
  });
});

test("offer and request: the body goes there and the answer back, with the caller's identity", async () => {
  await withClients({}, ["provider", "caller"], async ({ provider, caller }) => {
    const offer = await provider.offer("math/double", {}, (body, { caller: { uid, pid }, signal }) => ({ doubled: Number(body) * 2, uid, pid, aborted: signal.aborted }));
    assert.deepEqual(await caller.request("math/double", 21), { doubled: 42, uid: process.getuid!(), pid: process.pid, aborted: false });
    await provider.offer("fails", {}, () => {
      throw new IpcnetError(1007, "the gripper is stuck", { newton: 3 });
    });
    await refused(caller.request("nowhere"), 203, /nobody offers nowhere/);
    const answer = await caller.requestFull("fails");
    assert.equal(answer.status, 1007);
    assert.deepEqual(answer.body, { newton: 3 });
    await provider.offer("breaks", {}, () => Promise.reject(new Error("a bug")));
    await refused(caller.request("breaks"), 300, /a bug/);
    await provider.offer("unspeakable", {}, () => () => 1);
    await refused(caller.request("unspeakable"), 209, /no encoding/);
    await offer.close();
    await refused(caller.request("math/double", 1), 203, /nobody offers/);
  });
});

test("a stream comes at the caller's pace, ends with the generator, and stops it when the caller leaves", async () => {
  await withClients({}, ["provider", "caller"], async ({ provider, caller }, rig) => {
    let stopped = 0;
    let sent = 0;
    await provider.offer("count", { capacity: 4 }, async function* count(body) {
      try {
        for (let i = 0; i < Number(body); i++) {
          sent = i + 1;
          yield i;
        }
      } finally {
        stopped += 1;
      }
    });
    const all: unknown[] = [];
    for await (const item of caller.stream("count", 100, { credit: 3 })) all.push(item);
    assert.deepEqual(all, Array.from({ length: 100 }, (_, i) => i));
    assert.equal(stopped, 1);
    for await (const item of caller.stream("count", 1e9, { credit: 4 })) if (item === 10) break;
    assert.equal(await caller.request("echo", 1), 1);
    await rig.until(() => stopped === 2);
    assert.ok(sent <= 16, `${sent} were sent ahead`);
    await refused(caller.request("count", 3), 200, /call it by stream/);
    await provider.offer("one", {}, () => 5);
    const one: unknown[] = [];
    for await (const item of caller.stream("one")) one.push(item);
    assert.deepEqual(one, [5]);
  });
});

test("descriptors go with a request, an answer and the items of a stream, and none is left open", { timeout: 60_000 }, async () => {
  await withClients({}, ["provider", "caller"], async ({ provider, caller }) => {
    const null_ = Descriptor.open("/dev/null", 0);
    const before = openDescriptors();
    await provider.offer("files/back", {}, (_body, call: Call) => call.reply({ got: call.descriptors.length }, call.descriptors));
    await provider.offer("files/items", {}, async (_body, call: Call) => {
      for (let i = 0; i < 3; i++) await call.item(i, [null_]);
    });
    const answer = await caller.requestFull("files/back", undefined, { descriptors: [null_, null_] });
    assert.deepEqual(answer.body, { got: 2 });
    assert.equal(answer.descriptors.length, 2);
    // What came from others is closed by another thread.
    await noMoreDescriptorsThan(before + 2);
    for (const descriptor of answer.descriptors) descriptor.close();
    let items = 0;
    for await (const { descriptors } of caller.streamFull("files/items")) {
      items += descriptors.length;
      for (const descriptor of descriptors) descriptor.close();
    }
    assert.equal(items, 3);
    // Nobody takes these: not permitted, nobody offers it, thrown away by the caller.
    await refused(caller.request("nobody", 1, { descriptors: [null_] }), 203, /nobody offers/);
    await caller.request("files/back", undefined, { descriptors: [null_] });
    await noMoreDescriptorsThan(before);
    null_.close();
    assert.equal(Descriptor.leaked, 0);
  });
});

test("a channel: two programs talk directly, also when the gateway is gone", async () => {
  await withClients({}, ["provider", "caller"], async ({ provider, caller }, rig) => {
    const heard: string[] = [];
    // It goes on without a gateway, and says so: else the end of its offer would be its own.
    provider.onClose(() => {});
    await provider.offer("talk", {}, (_body, call: Call) => {
      const connection = SeqpacketConnection.of(call.descriptors[0]!.dup());
      connection.onPacket((bytes, at, length) => {
        heard.push(Buffer.from(bytes.subarray(at, at + length)).toString());
        connection.close();
      });
      return "go on";
    });
    const { descriptor, body } = await caller.channel("talk");
    assert.equal(body, "go on");
    await rig.broker.close("gone");
    const connection = SeqpacketConnection.of(descriptor);
    connection.send(Buffer.from("hello"));
    await rig.until(() => heard.length === 1);
    connection.close();
    await refused(caller.channel("talk"), 303, /./);
  });
});

test("announce and find: who is there, what can be called, by whom it is offered and how busy it is", async () => {
  const policy = { ...openPolicy, mayCall: (_: unknown, service: string) => service !== "hidden", isOneOf: (_: unknown, principal: string) => principal === "anyone" };
  await withClients({ policy }, ["provider", "caller"], async ({ provider, caller }, rig) => {
    rig.topic("app/a", true);
    await provider.announce({ version: "1.2.0", description: "folds laundry" });
    await refused(provider.announce({ text: "x".repeat(5_000) }), 208, /4096 bytes/);
    let release = (): void => {};
    await provider.offer("fold", { capacity: 3, group: "left", description: "folds one piece" }, () => new Promise<void>((resolve) => {
      release = resolve;
    }));
    await provider.offer("hidden", {}, () => 1);
    await provider.offer("narrow", { deny: ["anyone"] }, () => 1);
    await provider.offer("wide", { allow: ["anyone"] }, () => 1);
    await provider.offer("closed", { allow: ["somebody"] }, () => 1);
    await refused(caller.request("hidden"), 202, /may not call/);
    await refused(caller.request("narrow"), 202, /does not admit/);
    await refused(caller.request("closed"), 202, /does not admit/);
    assert.equal(await caller.request("wide"), 1);
    const running = caller.request("fold");
    const uid = process.getuid!();
    const [fold] = await caller.find("services", "fold");
    assert.deepEqual(fold, { service: "fold", waiting: 0, providers: [{ component: `uid:${uid}`, name: "provider", uid, pid: process.pid, group: "left", capacity: 3, running: 1, leaving: false, description: "folds one piece" }] });
    release();
    await running;
    assert.deepEqual((await caller.find("services")).map(({ service }) => service), ["echo", "fold", "narrow", "wide", "closed"]);
    assert.deepEqual((await caller.find("components")).map(({ name, announced }) => [name, announced]), [["provider", { version: "1.2.0", description: "folds laundry" }], ["caller", undefined]]);
    assert.deepEqual((await caller.find("topics")).map(({ name, mayWrite }) => [name, mayWrite]), [["app/a", true]]);
    assert.deepEqual(await caller.find("resources"), []);
    await provider.leaving(5_000, "an update");
    const [leaving] = await caller.find("components");
    assert.equal((leaving!["leaving"] as { text: string }).text, "an update");
    assert.deepEqual(rig.broker.clients().map(({ leaving: text }) => text), ["an update", undefined]);
    await refused(caller.request("fold"), 303, /is leaving/);
    await refused(caller.find("services", "a/#/b"), 200, /pattern/);
  });
});

test("who reads a leaving program's topics is told, once", async () => {
  await withClients({}, ["writer", "reader", "other"], async ({ writer, reader, other }, rig) => {
    const told: string[] = [];
    reader.onNotice(({ text }) => told.push(text));
    other.onNotice(({ text }) => told.push(`not for me: ${text}`));
    for (const topic of ["app/a", "app/b"]) await writer.advertise(topic, { encoding: "bytes" });
    await reader.subscribe("app/#", {}, () => {});
    await other.subscribe("elsewhere", {}, () => {});
    await writer.leaving(3_000, "an update");
    await rig.until(() => told.length > 0);
    assert.equal(await other.request("echo", 1), 1);
    assert.deepEqual(told, ["writer, which writes topics that are read here, leaves in 3000 ms: an update"]);
  });
});

test("a caller that aborts is answered by its own signal, and the provider's is aborted", async () => {
  await withClients({}, ["provider", "caller"], async ({ provider, caller }, rig) => {
    const reasons: unknown[] = [];
    await provider.offer("slow", {}, (_body, { signal }) => new Promise((resolve) => signal.addEventListener("abort", () => {
      reasons.push((signal.reason as Error).message);
      resolve(undefined);
    })));
    const controller = new AbortController();
    const call = caller.request("slow", 1, { signal: controller.signal });
    const second = caller.request("slow", 2, { timeoutMs: 400 });
    controller.abort(new Error("enough"));
    await assert.rejects(call, /enough/);
    await refused(second, 204, /did not answer within 400 ms/);
    await rig.until(() => reasons.length === 2);
    assert.match(String(reasons[0]), /cancelled/);
    assert.match(String(reasons[1]), /time is over/);
  });
});

test("the gateway leaves: programs are told, may ask for more time within a bound, and are waited for", async () => {
  await withClients({}, ["quick", "slow", "silent"], async ({ slow, silent }, rig) => {
    const given: number[] = [];
    slow.onLeaving(({ text, deadlineMs, moreTime, ready }) => {
      assert.match(text, /shutdown|again/);
      assert.ok(deadlineMs === 2_000 || deadlineMs === 1_000);
      void moreTime(50_000).then((ms) => {
        given.push(ms);
        return ready();
      });
    });
    await slow.request("echo");
    const { told, late } = await rig.broker.sayFarewell(2_000, "shutdown");
    assert.deepEqual([told, late], [3, []]);
    assert.ok(given[0]! > 9_000 && given[0]! <= 12_000, `${given[0]}`);
    // One that says nothing is waited for until its time is over.
    silent.onLeaving(() => {});
    assert.deepEqual((await rig.broker.sayFarewell(1_000, "again")).late, ["silent"]);
    await refused(slow.request("gateway/nothing"), 203, /nobody offers/);
  });
});

test("offers are renewed when the gateway comes back", async () => {
  const rig = new BrokerRig();
  const provider = await connect({ socketPath: rig.path, name: "provider", reconnect: { delayMinMs: 5 } });
  await provider.announce({ version: "2" });
  await provider.offer("again", {}, () => "here");
  await rig.restartBroker();
  const caller = await connect({ socketPath: rig.path, name: "caller" });
  await rig.until(() => provider.gateway.boot !== "" && rig.broker.clients().length === 2);
  for (;;) {
    const [found] = await caller.find("services", "again");
    if (found) break;
  }
  assert.equal(await caller.request("again"), "here");
  assert.deepEqual((await caller.find("components", "#")).length, 2);
  await provider.close();
  await caller.close();
  await rig.close();
});

/** A client that says what it likes, behind correct headers. */
class RawClient {
  readonly #connection: SeqpacketConnection;
  readonly #channel: Channel;
  readonly #writer = new CborWriter({ lengthMax: 1 << 18 });
  readonly heard: Record<string, unknown>[] = [];
  open = true;

  constructor(path: string) {
    this.#connection = SeqpacketConnection.connect(path);
    this.#channel = new Channel({ role: "client", seal: nativeSeal(), transport: this.#connection, controlBytesMax: 1 << 22, scratch: new Uint8Array(PACKET_BYTES_MAX) });
    this.#connection.onPacket((bytes, at, length, descriptors) => {
      const kind = this.#channel.receive(bytes, at, length, descriptors);
      if (kind !== "control" && kind !== "handshake") return;
      const decoded = decodeCbor(this.#channel.body, { at: this.#channel.bodyAt, lengthBytes: this.#channel.bodyBytes });
      if (decoded.ok) this.heard.push(decoded.value as Record<string, unknown>);
    });
    this.#connection.onClose(() => (this.open = false));
    this.say({ op: "hello", versions: [1], name: "raw" }, [], "handshake");
  }

  say(message: object, descriptors: readonly Descriptor[] = [], kind: "control" | "handshake" = "control"): void {
    this.#channel.sendControl(this.#writer.reset().value(message).take(), kind, descriptors);
  }

  call(index: number): Record<string, unknown> | undefined {
    return this.heard.filter(({ op }) => op === "call")[index];
  }

  get farewell(): string {
    const goodbye = this.heard.find(({ op }) => op === "goodbye");
    return goodbye ? `${String(goodbye["status"])} ${String(goodbye["text"])}` : "";
  }

  close(): void {
    this.#connection.close();
  }
}

test("a provider that breaks the rules costs itself its connection, and its callers nothing", async () => {
  const null_ = Descriptor.open("/dev/null", 0);
  const attacks: readonly (readonly [string, (raw: RawClient, call: unknown) => void, RegExp])[] = [
    ["an item that nobody gave credit for", (raw, call) => raw.say({ op: "result", call, status: 100, more: true, body: 1 }), /200 an item of a stream/],
    ["descriptors that it does not name", (raw, call) => raw.say({ op: "result", call, status: 100, body: 1 }, [null_]), /200 result came with 1 descriptors/],
    ["descriptors that it does not send", (raw, call) => raw.say({ op: "result", call, status: 100, body: 1, fds: 2 }), /200 result came with 0 descriptors/],
    ["descriptors with what takes none", (raw) => raw.say({ op: "cancel", request: 1, fds: 1 }, [null_]), /200 cancel came with 1 descriptors/],
    ["credit for what is no stream", (raw) => {
      raw.say({ op: "request", seq: 7, service: "work" });
      raw.say({ op: "credit", request: 7, items: 1 });
    }, /200 credit for a request that is no stream/],
  ];
  const before = openDescriptors();
  for (const [what, attack, words] of attacks) {
    await withClients({}, ["caller", "honest"], async ({ caller, honest }, rig) => {
      const raw = new RawClient(rig.path);
      raw.say({ op: "offer", seq: 1, service: "work", capacity: 1 });
      // What it answers without being asked is ignored and counted.
      for (const call of [1, 2, 0xffff_ffff]) raw.say({ op: "result", call, status: 100, body: "forged" });
      await rig.until(() => raw.heard.some(({ op, seq }) => op === "reply" && seq === 1));
      const asked = caller.request("work", 1, { timeoutMs: 60_000 });
      await rig.until(() => raw.call(0) !== undefined);
      await honest.offer("work", { capacity: 4 }, (body) => ({ honest: body }));
      attack(raw, raw.call(0)!["call"]);
      assert.deepEqual(await asked, { honest: 1 }, what);
      await rig.until(() => raw.farewell !== "");
      assert.match(raw.farewell, words, what);
      raw.close();
    });
  }
  null_.close();
  await noMoreDescriptorsThan(before - 1);
});

test("what users share is taken whole or not at all, and given back", () => {
  const shares = { connections: 0, lanes: 0, requests: 4, bytes: 400, descriptors: 4 };
  const quota = new FairShare(shares);
  const calls = new SharedCallQuota(quota);
  assert.ok(!calls.take(1, { bytes: 300, descriptors: [] }), "one user alone has half");
  assert.ok(!calls.take(1, { bytes: 10, descriptors: [1, 2, 3] }));
  assert.deepEqual(quota.use().users, []);
  assert.ok(calls.take(1, { bytes: 200, descriptors: [1, 2] }));
  assert.ok(calls.take(1, { bytes: 0, descriptors: [] }));
  assert.ok(!calls.take(1, { bytes: 0, descriptors: [] }));
  calls.giveBack(1, { bytes: 200, descriptors: [1, 2] });
  calls.giveBack(1, { bytes: 0, descriptors: [] });
  assert.deepEqual(quota.use().users, []);
});
