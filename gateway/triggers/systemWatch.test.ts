import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { eventually } from "../../schemas/testing.ts";
import { BusConnection } from "./dbus/connection.ts";
import { noBus, PrivateBus } from "./privateBus.ts";
import { SystemWatch } from "./systemWatch.ts";

async function watching(t: TestContext, bus: string | undefined) {
  const told = { prepared: 0, trouble: [] as string[] };
  const watch = new SystemWatch({
    bus, uid: process.getuid!(), delay: false,
    prepare: async () => void (told.prepared += 1),
    trouble: (text) => told.trouble.push(text),
  });
  t.after(() => watch.close());
  await watch.start();
  return { watch, told };
}

test("logind's word is heard, and taken back", { skip: noBus }, async (t) => {
  const bus = await PrivateBus.start(t);
  const { watch, told } = await watching(t, bus.path);
  assert.equal(await watch.isStopping(), false);
  bus.prepareForShutdown(true);
  await eventually("the word", () => told.prepared === 1);
  assert.equal(watch.isPreparing, true);
  assert.equal(await watch.isStopping(), true);
  bus.prepareForShutdown(false);
  await eventually("it is called off", () => !watch.isPreparing);
  assert.equal(told.prepared, 1);
});

test("nobody else can say so", { skip: noBus }, async (t) => {
  const bus = await PrivateBus.start(t);
  const { told } = await watching(t, bus.path);
  const liar = await BusConnection.connect(bus.path, process.getuid!());
  t.after(() => liar.close());
  // Unique names are given in order: the watch has one of them.
  for (let number = 0; number < 8; number++) bus.pretend(liar, `:1.${number}`);
  liar.send({ type: "signal", path: "/org/freedesktop/login1", interface: "org.freedesktop.login1.Manager", member: "PrepareForShutdown", body: { signature: "b", bytes: Uint8Array.of(1, 0, 0, 0) } });
  await liar.busCall("GetNameOwner", "org.freedesktop.login1");
  // What was sent before is through when the true word arrives.
  bus.prepareForShutdown(true);
  await eventually("the true word", () => told.prepared > 0);
  assert.equal(told.prepared, 1);
});

test("systemd is asked, within a bound", { skip: noBus }, async (t) => {
  const bus = await PrivateBus.start(t);
  const { watch, told } = await watching(t, bus.path);
  bus.state = "stopping";
  assert.equal(await watch.isStopping(10_000), true);
  bus.state = "degraded";
  assert.equal(await watch.isStopping(10_000), false);
  bus.state = undefined;
  assert.equal(await watch.isStopping(20), false);
  assert.equal(bus.asked, 3);
  assert.deepEqual(told.trouble, ["Get: no answer within 20 ms"]);
});

test("no bus, and a bus that ends: an ordinary stop, said once", { skip: noBus }, async (t) => {
  const none = await watching(t, undefined);
  assert.equal(await none.watch.isStopping(), false);
  assert.deepEqual(none.told.trouble, ["there is no system bus"]);
  const bus = await PrivateBus.start(t);
  const { watch, told } = await watching(t, bus.path);
  bus.daemon.kill("SIGKILL");
  await eventually("the end of the bus", () => told.trouble.length > 0);
  assert.equal(await watch.isStopping(), false);
});
