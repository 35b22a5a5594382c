import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { messageInHand } from "../../failsafe/failover/inHand.ts";
import type { Death } from "../../failsafe/failover/quarantine.ts";
import { QuarantineFile } from "../../failsafe/failover/quarantineFile.ts";
import { LinkGuard } from "./linkGuard.ts";

/** An instance of the pair with two links; `dies` says what its successor reads. */
function instances(t: TestContext): () => { guard: LinkGuard; handle(link: number, key: number): boolean; rest(): void; dies(): ReturnType<typeof messageInHand>; kept: string[] } {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-guard-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return () => {
    const words = new Uint32Array(256);
    const kept: string[] = [];
    const guard = new LinkGuard({ words, file: new QuarantineFile(join(folder, "quarantine.json"), assert.fail), wallTime: () => "now", quarantined: ({ component }) => kept.push(component) });
    const watches = ["arm", "leg"].map((link) => guard.watch(link, ({ key }) => key.toString(16)));
    return {
      guard, kept,
      handle: (link, key) => watches[link]!.begins(key, Uint8Array.of(key), 0, 1),
      rest: () => watches[0]!.ends(),
      dies: () => messageInHand(words),
    };
  };
}

test("the message over whose handling an instance has died is kept out by all that follow; its neighbours are not", (t) => {
  const next = instances(t);
  const first = next();
  assert.ok(first.handle(0, 0x10) && first.handle(1, 0x11));
  const second = next();
  second.guard.judge(first.dies()!, "fault");
  assert.deepEqual(second.kept, ["leg/11"]);
  assert.deepEqual([second.handle(0, 0x11), second.handle(1, 0x11), second.handle(1, 0x10)], [true, false, true]);
  assert.equal(second.dies()?.key, 0x10, "what is kept out is never in hand");
  assert.equal(next().handle(1, 0x11), false);
});

test("a kill from outside is forgiven when the message has been handled after all, and only then", (t) => {
  for (const death of ["killed", "outOfMemory"] as Death[]) {
    const next = instances(t);
    const first = next();
    first.handle(0, 0x10);
    const second = next();
    second.guard.judge(first.dies()!, death);
    assert.deepEqual(second.kept, []);
    // Something else, then it, then the next: it was handled.
    assert.ok(second.handle(1, 0x20) && second.handle(0, 0x10) && second.handle(0, 0x11) && second.handle(0, 0x10));
    const third = next();
    third.guard.judge(second.dies()!, death);
    assert.deepEqual(third.kept, [], "forgiven: this is the first time again");
    assert.ok(third.handle(0, 0x10));
    const fourth = next();
    fourth.guard.judge(third.dies()!, death);
    assert.deepEqual(fourth.kept, ["arm/10"], "the second time in a row");
  }
});

test("after the last of a run nothing is in hand, and a suspect that was the last is forgiven", (t) => {
  const next = instances(t);
  const first = next();
  first.handle(0, 0x10);
  const second = next();
  second.guard.judge(first.dies()!, "killed");
  second.handle(0, 0x10);
  second.rest();
  assert.equal(second.dies(), undefined);
  second.handle(0, 0x10);
  const third = next();
  third.guard.judge(second.dies()!, "killed");
  assert.deepEqual(third.kept, []);
});
