/**
 * The C node kit as a process on the emulated bus, against a real gateway with its command line, and the same through a reflex: who the node is decides about arming, its errors are told, it keeps the gateway's time,
 * and it gets new firmware while nothing can move, and only then.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { encodeImage } from "../drivers/nodekit/image.ts";
import { projectRoot } from "../schemas/testData.ts";
import { SIM_NODE } from "../drivers/nodekit/simNode.ts";
import type { NodeReport, StatusReport } from "../schemas/messages/statusReport.ts";
import { ArmRig } from "./armRig.ts";
import { NodeProcess } from "./nodeProcess.ts";
import { eventually } from "./waiting.ts";

const info = { vendor: 0x1234, product: 0x5678, version: 0x0100_0000, securityCounter: 1 };
const program = (seed: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 13 + (i >> 8)) & 0xff);
const oldImage = encodeImage(info, program(1, 3_000));
const newImage = encodeImage({ ...info, version: 0x0200_0003, securityCounter: 2 }, program(2, 4_001));
/** As the node process answers (drivers/nodekit/sim/node.c). */
const itself = { vendor: 0x1234, product: 0x5678, revision: 0x0001_0002, serial: 0xcafe };

interface Bench {
  rig: ArmRig;
  node: NodeProcess;
  /** For the message of a failure. */
  log(): string;
  status(): Promise<StatusReport>;
  report(): Promise<NodeReport>;
  ipcnet(...words: string[]): Promise<{ code: number | null; out: string; err: string }>;
}

async function bench(t: TestContext, { reflex, identity = itself, time = false }: { reflex?: "single"; identity?: object; time?: boolean } = {}): Promise<Bench> {
  const rig = await ArmRig.start({
    joints: ["base"], ...(reflex ? { reflex } : {}),
    configure: (configuration) => {
      configuration.nodes.push({ name: "elbow", link: "arm", heartbeat: { canopen: SIM_NODE }, timeoutMs: 20_000, identity, update: true });
      if (time) configuration.buses[0]!["time"] = { periodMs: 50 };
    },
  });
  t.after(() => rig.stop());
  const node = new NodeProcess(rig.host);
  t.after(() => node.end());
  const status = async (): Promise<StatusReport> => (await rig.client.request("gateway/status")) as StatusReport;
  return {
    rig, node, status, log: () => rig.daemon.log(),
    report: async () => (await status()).nodes.find(({ name }) => name === "elbow")!,
    ipcnet: (...words) => ipcnet(rig, words),
  };
}

function ipcnet(rig: ArmRig, words: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [join(projectRoot(), "bin/ipcnet.mjs"), ...words, "--socket", rig.daemon.socketPath], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

for (const reflex of [undefined, "single"] as const) {
  const through = reflex === undefined ? "" : ", through the reflex";

  test(`a node says who it is, and gets new firmware while the robot is disarmed, and only then${through}`, { timeout: 240_000 }, async (t) => {
    const { rig, node, log, status, report, ipcnet } = await bench(t, { ...(reflex ? { reflex } : {}), time: true });
    await node.begin(oldImage);
    const known = await eventually("it is known", async () => { const each = await report(); return each.identity?.state === "known" ? each : undefined; }, { timeoutMs: 60_000, last: log });
    assert.deepEqual(known.identity, { state: "known", ...itself, name: "elbow joint", firmware: "1.0.0", slot: 0, onProbation: false });
    await eventually("it keeps the gateway's time", async () => (await node.timeErrorUs()) !== undefined, { timeoutMs: 60_000, last: log });

    // Armed, nothing of this is said.
    const image = join(rig.folder.path, "elbow.img");
    writeFileSync(image, newImage);
    await rig.arm();
    const seenBefore = rig.seen.length;
    const refused = await ipcnet("node", "update", "elbow", image);
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, /only while the robot is disarmed/);
    assert.ok(!rig.seen.slice(seenBefore).some(({ canId }) => canId === 0x600 + SIM_NODE || canId === 0));
    await rig.client.request("gateway/disarm");
    await eventually("disarmed", async () => (await status()).state === "disarmed");

    // Disarmed: it gets it, and meanwhile nothing can be armed.
    const update = (): ReturnType<typeof ipcnet> => ipcnet("node", "update", "elbow", image, "--steady-ms", "1000", "--json");
    const updating = update();
    const missing = await eventually("it is being replaced", async () => (await status()).missingForArming.find((sentence) => sentence.includes("is being replaced")), { timeoutMs: 60_000, last: log });
    assert.equal(missing, "the firmware of node elbow is being replaced");
    await assert.rejects(rig.client.request("gateway/arm"), /is being replaced|not operational|preOperational|is not there/);
    let done = await updating;
    // A machine that is busy enough may let a node's time-outs pass; then the update says so and nothing has changed.
    for (let i = 0; i < 5 && done.out.includes('"noAnswer"'); i++) done = await update();
    assert.equal(done.code, 0, `${done.out}${done.err}${rig.daemon.log()}`);
    const lines = done.out.trim().split("\n").map((line) => JSON.parse(line) as { state: string; version?: string; slot?: number });
    assert.deepEqual([lines.at(-1)?.state, lines.at(-1)?.version, lines.at(-1)?.slot], ["done", "2.0.3", 1]);
    await eventually("its new version is known", async () => (await report()).identity?.firmware === "2.0.3", { timeoutMs: 60_000, last: log });
    assert.ok(node.said.includes("slot 1"), node.said.join(", "));
    const again = await ipcnet("node", "update", "elbow", image, "--json");
    assert.equal(again.code, 1);
    assert.match(again.out, /"sameImage"/);
    const table = await ipcnet("nodes", "elbow");
    assert.match(table.out, /operational +required +elbow joint, firmware 2\.0\.3, 0x1234\/0x5678 serial 51966/);

    // It starts anew while the robot is armed. Who it is can be asked only when the pose is over and looked after; one word of a person is enough all the same.
    await rig.arm();
    await node.powerUp();
    await rig.until("the pose has ended", ({ state }) => state === "posed" || state === "fault", 120_000);
    await rig.until("it is there again", ({ nodes }) => nodes.every(({ state }) => state === "operational"), 60_000);
    assert.equal((await report()).identity?.state, "unread");
    await rig.client.request("gateway/arm", { reset: true, why: "test" }, { timeoutMs: 20_000 });
    assert.deepEqual([(await status()).state, (await report()).identity?.state], ["armed", "known"], log());
  });
}

test("another node than the configured one keeps the robot from being armed", { timeout: 180_000 }, async (t) => {
  const { rig, node, log, status, report, ipcnet } = await bench(t, { identity: { ...itself, serial: 7, firmware: "1.0.1" } });
  await node.begin(oldImage);
  await eventually("it is another", async () => (await report()).identity?.state === "mismatch", { timeoutMs: 60_000, last: log });
  const sentence = "node elbow is not the configured one: serial 0xcafe, not 0x7, firmware 1.0.0, not 1.0.1";
  assert.ok((await status()).missingForArming.includes(sentence), (await status()).missingForArming.join("; "));
  await assert.rejects(rig.client.request("gateway/arm"), /not the configured one/);
  const shown = await ipcnet("nodes");
  assert.equal(shown.code, 1);
  assert.match(shown.out, /not the configured one: serial 0xcafe, not 0x7/);
});

test("an update that is given up in the middle leaves the node at work with what it had", { timeout: 180_000 }, async (t) => {
  const { rig, node, log, report } = await bench(t);
  await node.begin(oldImage);
  await eventually("it is known", async () => (await report()).identity?.state === "known", { timeoutMs: 60_000, last: log });
  const image = encodeImage({ ...info, version: 0x0300_0000 }, program(3, 12_000));
  const ask = (body: object): Promise<unknown> => rig.client.request("gateway/node-update", body);
  const { id } = await ask({ action: "begin", node: "elbow", bytes: image.length }) as { id: number };
  await assert.rejects(ask({ action: "begin", node: "elbow", bytes: 10 }), /somebody is replacing/);
  await assert.rejects(ask({ action: "data", id, offset: 1, data: "AAAA" }), /offset 0/);
  await ask({ action: "data", id, offset: 0, data: Buffer.from(image).toString("base64") });
  await assert.rejects(ask({ action: "start", id, sha256: "0".repeat(64) }), /SHA-256/);
  const { createHash } = await import("node:crypto");
  await ask({ action: "start", id, sha256: createHash("sha256").update(image).digest("hex") });
  await eventually("a part of it is there", async () => ((await report()).updateProgress ?? 0) > 0, { timeoutMs: 60_000, last: log });
  await ask({ action: "abort", id });
  const told = await ask({ action: "status", id }) as { state: string; code: string };
  assert.deepEqual([told.state, told.code], ["failed", "interrupted"]);
  await eventually("it is at work again", async () => { const each = await report(); return each.state === "operational" && each.identity?.state === "known"; }, { timeoutMs: 60_000, last: log });
  assert.equal((await report()).identity?.firmware, "1.0.0");
  assert.ok(!node.said.includes("slot 1"));
});

test("what a node complains of is told and shown until it is over", { timeout: 180_000 }, async (t) => {
  const { rig, node, log, report, ipcnet } = await bench(t);
  await node.begin(oldImage);
  await eventually("it is there", async () => (await report()).state === "operational", { timeoutMs: 60_000, last: log });
  // Another node with its number: the kit says 0x8150.
  const { attachInProcess } = await import("../drivers/can/emulator/inProcess.ts");
  const { port } = attachInProcess(rig.host, { name: "impostor" });
  port.send({ timeUs: 0, canId: 0x080 + SIM_NODE, flags: 0, data: Uint8Array.of(0x10, 0x42, 0x09, 0, 0, 0, 0, 0) });
  const hot = await eventually("the error is shown", async () => { const each = await report(); return each.errors ? each : undefined; }, { timeoutMs: 60_000, last: log });
  assert.deepEqual(hot.errors?.map(({ code, text, count }) => ({ code, text, count })), [{ code: 0x4210, text: "temperature of the device", count: 1 }]);
  assert.deepEqual(hot.errorRegister, ["generic", "temperature"]);
  assert.match((await ipcnet("status")).out, /node elbow: temperature of the device \(EMCY 0x4210\)/);
  const events = (await rig.client.request("gateway/events")) as { code: string; source: string }[];
  assert.ok(events.some(({ code, source }) => code === "nodeError" && source === "elbow"));
  port.send({ timeUs: 0, canId: 0x080 + SIM_NODE, flags: 0, data: new Uint8Array(8) });
  await eventually("it is over", async () => (await report()).errors === undefined, { timeoutMs: 60_000, last: log });
});
