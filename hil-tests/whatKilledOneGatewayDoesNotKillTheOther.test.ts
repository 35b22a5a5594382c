/** A packet that kills the gateway that handles it: its successor does not touch it, keeps its sender out, and everybody else goes on. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { pairConfiguration, PairRig } from "../bench/failover/pairRig.ts";
import { type Client, IpcnetError } from "../shm/client/index.ts";
import { Status } from "../schemas/status.ts";
import { Program } from "./program.ts";
import { BusHost } from "../drivers/can/emulator/host.ts";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { serveBuses } from "../drivers/can/emulator/server.ts";
import { testFolder } from "./daemon.ts";
import { eventually } from "./waiting.ts";

interface Kept {
  name: string;
  pid: number;
  why: string;
  sample: string;
}

/** A pair that dies of a packet with POISON in it, as `kind` says, and a program that offers an echo meanwhile. */
async function poisonable(t: TestContext, kind: string): Promise<{ rig: PairRig; bystander: Client; isGone(): boolean }> {
  const rig = new PairRig({ configuration: pairConfiguration, env: () => ({ IPCNETD_FAILPOINT: `${kind}:POISON` }) });
  t.after(() => rig.close());
  await rig.startBoth();
  const bystander = await rig.connect("bystander");
  await bystander.offer("app/echo", { capacity: 4 }, (body) => body);
  let gone = false;
  bystander.onClose(() => (gone = true));
  return { rig, bystander, isGone: () => gone };
}

/** Sends such a packet, and says when its connection ends; asked anything, whether it may connect again. In a process of its own: it is processes that are kept out. */
class Poisoner extends Program {
  constructor(t: TestContext, { socketPath }: PairRig) {
    super(t, socketPath, `
      client.onClose((why) => say({ closed: why }));
      // Said on stderr: it may come after the goodbye, and would pass for the next answer.
      client.request("app/echo", "POISON", { timeoutMs: 60000 }).catch((error) => console.error(error.message));
      onAsk(() => connect({ socketPath: ${JSON.stringify(socketPath)}, timeoutMs: 20000 }).then(() => say("in"), (error) => say(String(error.status))));
    `);
  }

  /** Why its connection has ended. */
  async closed(): Promise<string> {
    return (await this.hears<{ closed: string }>("the goodbye", (line: { closed?: string }) => line.closed !== undefined)).closed;
  }
}

for (const kind of ["throw", "abort", "hang"]) {
  test(`a packet over which the gateway dies (${kind}) kills one instance, never two`, async (t) => {
    const { rig, bystander, isGone } = await poisonable(t, kind);
    const first = await rig.active();
    assert.match(first.log, /FAILPOINT/);
    const sender = new Poisoner(t, rig);
    await first.exited;
    assert.equal(await bystander.request("app/echo", "still here", { timeoutMs: 60_000 }), "still here");
    assert.match(await sender.closed(), /quarantined as q1/);
    const second = await rig.active();
    assert.notEqual(second, first);
    const [entry, ...more] = (await bystander.request("gateway/quarantine", {})) as Kept[];
    assert.equal(more.length, 0);
    assert.equal(entry!.pid, sender.child.pid);
    assert.ok(Buffer.from(entry!.sample, "hex").includes("POISON"));
    assert.equal(await sender.ask<string>("again"), "202");
    // The next standby learns of it, and so does the one after.
    rig.start(first.name);
    await rig.standby();
    second.child.kill("SIGKILL");
    await second.exited;
    await eventually("the other one is active again", async () => ((await bystander.request("gateway/failover", {}, { timeoutMs: 60_000 })) as { active: string }).active === first.name);
    assert.equal(((await bystander.request("gateway/quarantine", {})) as Kept[]).length, 1);
    assert.equal(await sender.ask<string>("again"), "202");
    await bystander.request("gateway/quarantine", { release: "q1" });
    assert.equal(await sender.ask<string>("again"), "in");
    await assert.rejects(bystander.request("gateway/quarantine", { release: "q1" }), (error) => error instanceof IpcnetError && error.status === Status.notFound);
    assert.equal(isGone(), false);
    await bystander.close();
  });
}

test("a packet over which the gateway is killed, and nobody says why (kill -9, the out-of-memory killer of a container): forgiven once, kept out after the second death", async (t) => {
  const { rig, bystander, isGone } = await poisonable(t, "kill");
  // Killed while it had nothing in hand: nobody is to blame.
  const first = await rig.active();
  first.child.kill("SIGKILL");
  await first.exited;
  assert.equal(await bystander.request("app/echo", 1, { timeoutMs: 60_000 }), 1);
  assert.deepEqual(await bystander.request("gateway/quarantine", {}), []);
  rig.start(first.name);
  await rig.standby();
  const [second, third] = [await rig.active(), rig.instances.get(first.name)!];
  const sender = new Poisoner(t, rig);
  await second.exited;
  // It goes on with the packet still there, handles it once more, and dies over it too.
  await third.exited;
  assert.deepEqual([second, third].map(({ child }) => child.signalCode), ["SIGKILL", "SIGKILL"]);
  // Nobody is left; the next one has read of both deaths. Sessions died with the last one: a pair has two lives, and systemd starts the third.
  rig.start("a");
  await eventually("an active one", () => rig.instances.get("a")!.isActive, { timeoutMs: 60_000, last: () => rig.logs() });
  await sender.closed();
  assert.match(await new Poisoner(t, rig).closed(), /quarantined as q1: two deaths over the same packet/);
  const operator = await rig.connect("operator");
  const [entry, ...more] = (await operator.request("gateway/quarantine", {})) as Kept[];
  assert.equal(more.length, 0);
  assert.ok(Buffer.from(entry!.sample, "hex").includes("POISON"));
  assert.equal(isGone(), true);
  await operator.close();
});

for (const kind of ["abort", "hang"]) {
  test(`a frame of a bus over which the gateway dies (${kind}) kills one instance, never two, however often it comes`, async (t) => {
    const host = new BusHost({ name: "arm", bitrateBps: 500_000 });
    const folder = testFolder();
    const busSocket = join(folder.path, "bus.sock");
    const server = await serveBuses({ socketPath: busSocket, buses: [host] });
    const { port } = attachInProcess(host, { name: "node" });
    // Acknowledges: a gateway without commands only listens.
    attachInProcess(host, { name: "another node" });
    const rig = new PairRig({ configuration: `${pairConfiguration}buses: [ { name: arm, driver: emulator, interface: ${busSocket}, bitrateBps: 500000, publishRaw: true } ]\n`, env: () => ({ IPCNETD_LINK_FAILPOINT: `${kind}:deadbeef` }) });
    t.after(async () => {
      await rig.close();
      await server.close();
      folder.remove();
    });
    await rig.startBoth();
    const ended = await rig.active(), other = await rig.standby();
    // As a real node does: again and again.
    const frames = setInterval(() => {
      for (const [canId, hex] of [[0x123, "deadbeef"], [0x124, "dead"]] as const) void port.send({ timeUs: 0, canId, flags: 0, data: Buffer.from(hex, "hex"), token: 0 });
    }, 5);
    t.after(() => clearInterval(frames));
    await ended.exited;
    const client = await eventually("the other one serves", () => rig.connect().catch(() => undefined), { timeoutMs: 60_000, last: () => rig.logs() });
    const [entry, ...more] = await eventually("it is kept out", async () => {
      const list = (await client.request("gateway/quarantine", {}, { timeoutMs: 60_000 })) as (Kept & { component: string })[];
      return list.length > 0 && list;
    });
    assert.deepEqual([entry!.component, entry!.sample, more.length], ["arm/123", "deadbeef", 0]);
    // The frames go on; its neighbour is taken, and nobody dies of it any more.
    let neighbours = 0;
    await client.subscribe("can/arm/raw", {}, () => (neighbours += 1));
    await eventually("frames", () => neighbours > 20);
    const status = (await client.request("gateway/status")) as { rejects: { reason: string; count: number }[] };
    assert.ok(status.rejects.some(({ reason, count }) => reason === "quarantined" && count > 0));
    assert.equal(other.hasEnded, false, rig.logs());
    await client.close();
    if (kind === "hang") return;
    // Let in again it is what it was: the gateway has nobody to stand by, and dies of it.
    const operator = await rig.connect("operator");
    operator.onClose(() => {});
    await operator.request("gateway/quarantine", { release: "arm/123" }).catch(() => "it may be dead before it has answered");
    await other.exited;
    await operator.close();
  });
}
