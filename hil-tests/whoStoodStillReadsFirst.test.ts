/** A program that stood still itself: an answer that came in time, and waits unread, is not called late. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startDaemon, testFolder } from "./daemon.ts";
import { Program } from "./program.ts";

test("the answer came while the program did something else for longer than it would have waited", async (t) => {
  const folder = testFolder();
  const daemon = await startDaemon(folder.path, "version: 1\nrobot: patient\n");
  const provider = await daemon.connect("provider");
  t.after(async () => {
    await provider.close();
    await daemon.stop();
    folder.remove();
  });
  const answered = join(folder.path, "answered");
  await provider.offer("app/echo", {}, (body) => {
    // It is with the gateway when that has answered what was asked behind it; only then does the program go on.
    setImmediate(() => void provider.find("services").then(() => writeFileSync(answered, "")));
    return body;
  });
  const program = new Program(t, daemon.socketPath, `
    const { existsSync } = await import("node:fs");
    const asked = client.request("app/echo", "in time", { timeoutMs: 10_000 }).then((body) => say({ body }), (error) => say({ status: error.status }));
    // Nothing is read meanwhile.
    const endMs = performance.now() + 12_000;
    while (performance.now() < endMs || !existsSync(${JSON.stringify(answered)}));
    await asked;
    process.exit(0);`);
  assert.deepEqual(await program.line(0), { body: "in time" });
});
