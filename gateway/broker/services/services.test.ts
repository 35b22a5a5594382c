import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { IpcnetError } from "../../../schemas/status.ts";
import { connect, type Call, type Client } from "../../../shm/client/index.ts";
import { Descriptor } from "../../../shm/sockets/index.ts";
import { BrokerRig } from "../testRig.ts";

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
const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

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

test("descriptors go with a request, an answer and the items of a stream, and none is left open", async () => {
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
    assert.equal(openDescriptors(), before + 2);
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
    assert.equal(openDescriptors(), before);
    null_.close();
    assert.equal(Descriptor.leaked, 0);
  });
});
