/** An active that lets its standby go answers its clients from then on without it: so that one must neither kill it nor go on with what it knew. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Descriptor, lockFile, nativeSeal, OwnPage, SeqpacketConnection, SeqpacketServer } from "../../shm/sockets/index.ts";
import { ActiveLink } from "./activeLink.ts";
import { Keeper } from "./keeper.ts";
import { Word } from "./page.ts";
import { PairLink } from "./pairLink.ts";
import { Standby } from "./standby.ts";
import { TakeoverTrace } from "./trace.ts";
import { PAIR_VERSION } from "./version.ts";

/** A process has one. */
const page = new OwnPage();

interface Pair {
  active: ActiveLink;
  standby: Standby;
  told: string[];
  /** Resolves when the standby was told so many things. */
  until(count: number): Promise<void>;
}

async function pair(t: TestContext, mayLeave: () => boolean = () => true): Promise<Pair> {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-letgo-"));
  const seal = nativeSeal();
  const clients = SeqpacketServer.listen(join(folder, "clients.sock"), { mode: 0o600 });
  const path = join(folder, "pair.sock");
  const active = new ActiveLink({
    path, instance: "a", topics: "t", lock: lockFile(join(folder, "active.lock"))!, page, keeper: new Keeper({ page, seal }), seal, listener: () => ({ descriptor: clients.descriptor(), path: clients.path }), mayLeave, event: () => undefined,
  });
  const told: string[] = [];
  let tell: () => void = () => undefined;
  const standby = new Standby({
    path, instance: "b", topics: "t", seal, deadlineMs: 600_000, nowUs: () => Math.floor(performance.now() * 1e3), trace: new TakeoverTrace(() => performance.now() * 1e3),
    happened: (event) => {
      told.push(event);
      tell();
    },
  });
  const until = async (count: number): Promise<void> => {
    while (told.length < count) await new Promise<void>((resolve) => (tell = resolve));
  };
  t.after(() => {
    standby.close();
    clients.close();
    rmSync(folder, { recursive: true });
  });
  await until(1);
  return { active, standby, told, until };
}

const endings: Record<string, (active: ActiveLink, link: PairLink) => void> = {
  "whose active ends without a successor": (active) => active.close(),
  "that wants to leave": (_, link) => void link.send({ op: "leaving" }),
  "that says what is no message": (_, link) => void link.connection.send(new Uint8Array(40)),
};

for (const [how, end] of Object.entries(endings)) {
  test(`a standby ${how} finds that it is no heir as soon as it can see the end of the link: it may be quick, on another processor, and would kill the active`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "ipcnet-letgo-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const seal = nativeSeal();
    const path = join(folder, "pair.sock");
    let connection: SeqpacketConnection | undefined;
    const couldStillSend: boolean[] = [];
    // Looks at the link at the moment at which the word is written.
    const words = new Proxy(page.words, {
      get: (target, key) => Reflect.get(target, key, target) as unknown,
      set(target, key, value: number) {
        if (key === String(Word.heir) && value === 0) couldStillSend.push(connection!.send(new Uint8Array(1)) === "sent");
        return Reflect.set(target, key, value, target);
      },
    });
    const active = new ActiveLink({
      path, instance: "a", topics: "t", lock: lockFile(join(folder, "active.lock"))!, page: { words, descriptor: page.descriptor }, keeper: new Keeper({ page, seal }), seal,
      listener: () => ({ descriptor: someSocket(), path }), mayLeave: () => true, event: () => undefined,
    });
    connection = SeqpacketConnection.connect(path);
    const link = new PairLink(connection, { role: "standby", seal });
    const ended = new Promise<void>((resolve) => connection!.onClose(() => resolve()));
    let welcome: () => void = () => undefined;
    const welcomed = new Promise<void>((resolve) => (welcome = resolve));
    link.onMessage((message, descriptors) => {
      for (const each of descriptors) each.close();
      if (message.op === "welcome") welcome();
    }, (text) => assert.fail(text));
    link.send({ op: "hello", ...PAIR_VERSION, instance: "b", topics: "t", lock: true });
    await welcomed;
    assert.notEqual(page.words[Word.heir], 0);
    end(active, link);
    await ended;
    assert.equal(page.words[Word.heir], 0);
    assert.deepEqual(couldStillSend, [true]);
    active.close();
  });
}

function someSocket(): Descriptor {
  const [one, other] = Descriptor.pair();
  other.close();
  return one;
}

test("a standby that was let go is out, and has nothing to go on with", async (t) => {
  const { active, standby, told, until } = await pair(t);
  assert.equal(page.words[Word.heir], 1);
  active.close();
  await until(2);
  assert.deepEqual(told, ["inSync", "refused"]);
  assert.equal(page.words[Word.heir], 0);
  assert.equal(standby.legacy(), undefined);
});

test("a standby that wants to leave is let go at once, but not by an active that counts on it", async (t) => {
  let isHandingOver = true;
  let looked: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (looked = resolve));
  const { active, standby, told, until } = await pair(t, () => {
    looked();
    return !isHandingOver;
  });
  standby.leave();
  await asked;
  assert.deepEqual([page.words[Word.heir], active.standby?.isReady, told], [1, true, ["inSync"]], "it is still the heir");
  isHandingOver = false;
  standby.leave();
  await until(2);
  assert.deepEqual([told, page.words[Word.heir], active.standby], [["inSync", "refused"], 0, undefined]);
  active.close();
});
