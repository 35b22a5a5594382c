/** An active that lets its standby go answers its clients from then on without it: so that one must neither kill it nor go on with what it knew. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { lockFile, nativeSeal, OwnPage, SeqpacketServer } from "../../shm/sockets/index.ts";
import { ActiveLink } from "./activeLink.ts";
import { Keeper } from "./keeper.ts";
import { Word } from "./page.ts";
import { Standby } from "./standby.ts";
import { TakeoverTrace } from "./trace.ts";

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
