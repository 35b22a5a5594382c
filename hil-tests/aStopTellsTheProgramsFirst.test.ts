/** An orderly stop tells the programs while the safe pose runs, waits for those that prepare themselves, and for none beyond its time. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CProgram } from "./cProgram/cProgram.ts";
import { startDaemon, testFolder } from "./daemon.ts";
import { Program } from "./program.ts";

test("programs that prepare themselves are waited for, and one that stands still no longer than its time", async (t) => {
  const folder = testFolder();
  const daemon = await startDaemon(folder.path, "version: 1\nrobot: farewell\n");
  t.after(async () => {
    daemon.process.kill("SIGKILL");
    await daemon.ended;
    folder.remove();
  });
  const snapshot = join(folder.path, "snapshot");
  // Longer than the notice: it asks for more, and gets it.
  const careful = new Program(t, daemon.socketPath, `
    const { writeFileSync } = await import("node:fs");
    client.onLeaving(async ({ text, deadlineMs, moreTime, ready }) => {
      say({ told: text, deadlineMs, given: await moreTime(deadlineMs + 8_000) });
      await new Promise((resolve) => setTimeout(resolve, deadlineMs + 500));
      writeFileSync(${JSON.stringify(snapshot)}, "all is well");
      await ready();
      say({ wasReady: true });
    });
    client.onClose((why) => say({ closed: why }));
    say({ ready: true });`, { options: { name: "careful" } });
  const careless = new Program(t, daemon.socketPath, "say({ ready: true });", { options: { name: "careless" } });
  const frozen = new Program(t, daemon.socketPath, "say({ ready: true });", { options: { name: "frozen" } });
  // Of another language, and without a handler as well.
  const inC = new CProgram(t, daemon.socketPath, ["listen", "#"]);
  assert.equal(await inC.line(0), "ready");
  for (const each of [careful, careless, frozen]) await each.hears("a program", ({ ready }: { ready?: boolean }) => ready === true);
  frozen.child.kill("SIGSTOP");
  const { code, verdict } = await daemon.stop();
  assert.ok(existsSync(snapshot), daemon.log());
  const { told, deadlineMs, given } = await careful.hears<{ told: string; deadlineMs: number; given: number }>("its notice", (line: { told?: string }) => line.told !== undefined);
  assert.match(told, /SIGTERM/);
  assert.ok(given > deadlineMs);
  await careful.hears("that its word was heard", ({ wasReady }: { wasReady?: boolean }) => wasReady === true);
  await careful.hears("the end", ({ closed }: { closed?: string }) => closed !== undefined && /goodbye/.test(closed));
  assert.match(daemon.log(), /1 of 4 local programs were not prepared in time: frozen/);
  assert.deepEqual([code, verdict?.verdict], [0, "posed"]);
});
