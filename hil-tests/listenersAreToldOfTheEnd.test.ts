/** A program that only waits (for messages, for calls, for readers), does not reconnect, and whose gateway dies: it ends with an error that names a status, and never as if all were well. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { Program } from "./program.ts";
import { eventually } from "./waiting.ts";

async function dyingGateway(t: TestContext): Promise<Daemon> {
  const folder = testFolder();
  const daemon = await startDaemon(folder.path, "version: 1\nrobot: mortal\n");
  t.after(async () => {
    daemon.process.kill("SIGKILL");
    await daemon.ended;
    folder.remove();
  });
  return daemon;
}

const subscribing = 'const subscription = await client.subscribe("app/#", { policy: { queue: 8 } }, () => {});';

test("a listener that looks nowhere ends with 303 on its stderr and a code of its own", async (t) => {
  const daemon = await dyingGateway(t);
  const program = new Program(t, daemon.socketPath, `${subscribing} say("listening");`);
  await program.line(0);
  daemon.process.kill("SIGKILL");
  const { code, errors } = await program.ended();
  assert.equal(code, 1);
  assert.match(errors, /303 service unavailable: app\/#: /);
});

test("one that waits for the end of its subscription gets the status; one that closes it is not disturbed", async (t) => {
  const daemon = await dyingGateway(t);
  const waits = new Program(t, daemon.socketPath, `${subscribing} subscription.ended.catch((error) => say({ status: error.status, text: error.message })); say("listening");`);
  const listens = new Program(t, daemon.socketPath, `${subscribing} client.onClose((why) => say({ why })); say("listening");`);
  const closes = new Program(t, daemon.socketPath, `${subscribing} subscription.ended.then(() => say("ended")); await subscription.close(); process.stdin.unref(); say("closed");`);
  const closesAll = new Program(t, daemon.socketPath, `${subscribing} await client.close(); await subscription.ended; say("ended");`);
  for (const each of [waits, listens]) await each.line(0);
  assert.equal((await closesAll.ended()).code, 0);
  assert.deepEqual(closesAll.lines, ["ended"]);
  await closes.hears("closed", (line) => line === "closed");
  assert.ok(closes.lines.includes("ended"));
  daemon.process.kill("SIGKILL");
  assert.equal((await waits.line<{ status: number }>(1)).status, 303);
  assert.ok((await listens.line<{ why: string }>(1)).why.length > 0);
  for (const each of [waits, listens, closes]) assert.equal((await each.ended()).code, 0);
});

const offering = 'const offer = await client.offer("app/echo", {}, (body) => body);';
const writing = 'const writer = await client.advertise("app/written");';

for (const [what, source, name] of [["offers", offering, "app/echo"], ["advertises", writing, "app/written"]] as const) {
  test(`a program that only ${what} and looks nowhere ends with 303 on its stderr and a code of its own`, async (t) => {
    const daemon = await dyingGateway(t);
    const program = new Program(t, daemon.socketPath, `${source} say("there");`);
    await program.line(0);
    daemon.process.kill("SIGKILL");
    const { code, errors } = await program.ended();
    assert.equal(code, 1);
    assert.match(errors, new RegExp(`303 service unavailable: ${name}: `));
  });
}

test("offers and writers: who waits for the end gets the status, who listens for the client's end is not disturbed, what was closed in order has ended well, and who reconnects goes on", async (t) => {
  const daemon = await dyingGateway(t);
  const waits = new Program(t, daemon.socketPath, `${offering} ${writing} for (const each of [offer, writer]) each.ended.catch((error) => say({ status: error.status })); say("there");`);
  const listens = new Program(t, daemon.socketPath, `${offering} client.onClose((why) => say({ why })); say("there");`);
  const closes = new Program(t, daemon.socketPath, `${offering} ${writing} offer.ended.then(() => say("offer")); writer.ended.then(() => say("writer")); await offer.close(); await writer.close(); process.stdin.unref(); say("there");`);
  const closesAll = new Program(t, daemon.socketPath, `${offering} ${writing} await client.close(); await offer.ended; await writer.ended; say("ended");`);
  const returns = new Program(t, daemon.socketPath, `${offering} ${writing} offer.ended.catch(() => say("told")); writer.ended.catch(() => say("told")); say("there");`, { options: { reconnect: true } });
  for (const each of [waits, listens, returns]) await each.line(0);
  await closes.hears("there", (line) => line === "there");
  assert.deepEqual(closes.lines.toSorted(), ["offer", "there", "writer"]);
  assert.equal((await closesAll.ended()).code, 0);
  assert.deepEqual(closesAll.lines, ["ended"]);
  daemon.process.kill("SIGKILL");
  for (const line of [1, 2]) assert.equal((await waits.line<{ status: number }>(line)).status, 303);
  assert.ok((await listens.line<{ why: string }>(1)).why.length > 0);
  for (const each of [waits, listens, closes]) assert.equal((await each.ended()).code, 0);
  await daemon.ended;
  const again = await startDaemon(daemon.folder, "version: 1\nrobot: mortal\n");
  t.after(() => again.process.kill("SIGKILL"));
  const client = await again.connect();
  await eventually("the offer is renewed", async () => (await client.find("services", "app/echo")).length === 1, { timeoutMs: 60_000 });
  assert.equal(await client.request("app/echo", 7), 7);
  assert.deepEqual(returns.lines, ["there"]);
  await client.close();
});
