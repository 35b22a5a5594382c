import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { SeqpacketConnection } from "./index.ts";
import { hub } from "./native.ts";

const index = JSON.stringify(new URL("index.js", import.meta.url).href);

async function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number | null; signal: string | null; heard: string }> {
  // Without it a test runner within a test would report to the outer one and not to us.
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env } });
  let heard = "";
  child.stdout.on("data", (chunk) => (heard += String(chunk)));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return { code, signal, heard };
}

test("polling is done on Node's own loop, or by a thread where that is asked for", async () => {
  assert.equal(hub().onLoop, process.env["IPCNET_POLLING"] !== "thread");
  if (!hub().onLoop) return;
  const { code, heard } = await run(["--test", "--test-reporter=tap", join(import.meta.dirname, "sockets.test.js"), join(import.meta.dirname, "descriptors.test.js"), join(import.meta.dirname, "polling.test.js"), join(import.meta.dirname, "../lanes/lanes.test.js")], { IPCNET_POLLING: "thread" });
  assert.equal(code, 0, heard);
});

test("microtasks of one report run before the next", async () => {
  const order: string[] = [];
  const pairs = [SeqpacketConnection.pair(), SeqpacketConnection.pair()];
  await new Promise<void>((resolve) => {
    for (const [index_, [, reader]] of pairs.entries()) {
      reader.onPacket(() => {
        order.push(`packet ${index_}`);
        queueMicrotask(() => {
          order.push(`microtask ${index_}`);
          if (order.length === 4) resolve();
        });
      });
    }
    for (const [writer] of pairs) writer.send(Uint8Array.of(1));
  });
  // The thread reports both at once.
  if (hub().onLoop) assert.match(order.join(", "), /^packet (.), microtask \1, packet (.), microtask \2$/);
  for (const ends of pairs) for (const end of ends) end.close();
});

test("open sockets keep a program alive, closed ones do not, and an exit with open ones is clean, in workers too", async () => {
  const ended = await run(["--input-type=module", "-e", `import { SeqpacketConnection } from ${index};
    const [a, b] = SeqpacketConnection.pair(); b.onPacket(() => { b.close(); console.log("heard"); }); setTimeout(() => a.send(Uint8Array.of(1)), 50); a.onClose(() => console.log("closed"));`]);
  assert.deepEqual(ended, { code: 0, signal: null, heard: "heard\nclosed\n" });
  const exits = await run(["--input-type=module", "-e", `import { SeqpacketConnection } from ${index}; import { Worker, isMainThread } from "node:worker_threads";
    const pairs = Array.from({ length: 20 }, () => SeqpacketConnection.pair()); for (const [a, b] of pairs) { b.onPacket(() => {}); a.send(Uint8Array.of(1)); }
    setImmediate(() => process.exit(7));`]);
  assert.deepEqual(exits, { code: 7, signal: null, heard: "" });
  const inWorker = `import { SeqpacketConnection } from ${index}; import { parentPort } from "node:worker_threads";
    const pairs = Array.from({ length: 20 }, () => SeqpacketConnection.pair()); for (const [a, b] of pairs) { b.onPacket(() => { throw new Error("thrown in a worker"); }); a.send(Uint8Array.of(1)); }`;
  const workers = await run(["--input-type=module", "-e", `import { Worker } from "node:worker_threads";
    for (let i = 0; i < 5; i++) { const worker = new Worker(new URL(${JSON.stringify(`data:text/javascript,${encodeURIComponent(inWorker)}`)})); await new Promise((resolve) => worker.on("error", (error) => { console.log(error.message); }).on("exit", resolve)); }`]);
  assert.deepEqual(workers, { code: 0, signal: null, heard: "thrown in a worker\n".repeat(5) });
});
