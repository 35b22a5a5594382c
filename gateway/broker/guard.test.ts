import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { HandedConnection } from "../../failsafe/failover/handedConnection.ts";
import type { Death } from "../../failsafe/failover/quarantine.ts";
import { QuarantineFile } from "../../failsafe/failover/quarantineFile.ts";
import { Status } from "../../schemas/status.ts";
import { Guard } from "./guard.ts";
import type { Peer } from "./ports.ts";

const packet = new Uint8Array(64).fill(7);
const peer = (pid: number): Peer => ({ component: "uid:1000", uid: 1000, gid: 1000, groups: [], pid, startTime: pid });

/** The instances of a pair, one after the other: each reads what the one before has written. */
function instances(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-guard-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return (death: Death = "killed") => {
    const file = new QuarantineFile(join(folder, "quarantine.json"), assert.fail);
    const kept: string[] = [];
    const committed: (() => void)[] = [];
    const guard = new Guard({ file, keeper: { afterCommit: (act) => void committed.push(act) }, death, wallTime: () => "now", quarantined: ({ name }) => kept.push(name) });
    /** A client that goes on (or comes) with this instance; `suspect`: it has said what was in hand when the one before died. */
    const client = (pid: number, { suspect }: { suspect?: number } = {}) => {
      const left: string[] = [];
      const connection: Pick<HandedConnection, "guard"> = { guard: undefined };
      guard.watch({ peer: peer(pid), leave: (status, text) => void left.push(`${status} ${text}`) }, connection, suspect);
      return { left, says: (isSuspect: boolean) => connection.guard!.stops(packet, isSuspect) };
    };
    return { guard, client, kept, file, commit: () => committed.splice(0).forEach((act) => act()) };
  };
}

test("who was kept out stays out when the instance that did it dies before it has said so: it is sent away before it says anything", (t) => {
  const next = instances(t);
  const first = next("fault");
  const killer = first.client(10, { suspect: 0 });
  assert.equal(killer.says(true), true);
  assert.deepEqual([first.kept, killer.left.length], [["q1"], 1]);
  // It died with that: its successor has the connection as it was, and a clean death to judge.
  const second = next("killed");
  const [again, other] = [second.client(10), second.client(11)];
  assert.equal(again.left.length, 1);
  assert.match(again.left[0]!, new RegExp(`^${Status.forbidden} quarantined as q1: `));
  assert.deepEqual([other.left, second.kept], [[], []], "nobody else is sent away, and it is no news");
  assert.match(second.guard.refusal(peer(10)) ?? "", /quarantined as q1/);
  assert.equal(other.says(false), true, "the same bytes are kept out whoever sends them");
  // Let in again, it is a client like any other.
  second.file.quarantine.release("q1");
  second.file.save();
  const third = next().client(10);
  assert.deepEqual([third.left, third.says(false)], [[], false]);
});

test("a death that nobody explains is forgiven once: handled after all it is forgotten, a second one over the same bytes keeps them out", (t) => {
  const next = instances(t);
  const first = next();
  assert.equal(first.client(10, { suspect: 0 }).says(true), false);
  const second = next();
  const client = second.client(10, { suspect: 0 });
  assert.deepEqual([client.left.length, client.says(true)], [0, true]);
  assert.equal(client.left.length, 1);
  const other = instances(t);
  const third = other();
  third.client(10, { suspect: 0 }).says(true);
  third.commit();
  assert.equal(other().client(10, { suspect: 0 }).says(true), false);
});
