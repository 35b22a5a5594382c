/** kill -9 of the gateway anywhere in the update of a node (the C kit as a process, with a flash and a boot loader): the node has the image of before or the new one, never none; the next update ends with the new one; a standby says what was cut. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { encodeImage } from "../drivers/nodekit/image.ts";
import { SIM_NODE } from "../drivers/nodekit/simNode.ts";
import { seededRandom } from "../schemas/random.ts";
import { projectRoot } from "../schemas/testData.ts";
import type { NodeReport, StatusReport } from "../schemas/messages/statusReport.ts";
import { ArmRig, type Configuration } from "./armRig.ts";
import { NodeProcess } from "./nodeProcess.ts";
import { Standby } from "./standbyDaemon.ts";
import { eventually } from "./waiting.ts";

const REQUEST_ID = 0x600 + SIM_NODE;
const program = (seed: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 13 + (i >> 8)) & 0xff);
/** Version `major`.0.0. */
const imageOf = (major: number): Uint8Array => encodeImage({ vendor: 0x1234, product: 0x5678, version: major << 24, securityCounter: 1 }, program(major, 4_001));
/** Seven bytes a segment; what is said before and behind comes on top. */
const SEGMENTS = Math.ceil((4_001 + 128) / 7);

interface Bench {
  rig: ArmRig;
  node: NodeProcess;
  /** Runs `ipcnet node update`. */
  update(major: number): Promise<{ code: number | null; out: string }>;
  report(): Promise<NodeReport>;
  /** Requests that the node was sent so far. */
  requests(): number;
}

async function bench(t: TestContext, configure: (configuration: Configuration, rig: ArmRig) => void = () => undefined): Promise<Bench> {
  const rig = await ArmRig.start({
    joints: ["base"],
    configure: (configuration, each) => {
      configuration.nodes.push({ name: "elbow", link: "arm", heartbeat: { canopen: SIM_NODE }, timeoutMs: 20_000, identity: {}, update: true });
      configure(configuration, each);
    },
  });
  t.after(() => rig.stop());
  const node = new NodeProcess(rig.host);
  t.after(async () => assert.equal(await node.end(), 0, "no rule of the flash was broken"));
  await node.begin(imageOf(1));
  return {
    rig, node,
    report: async () => ((await rig.client.request("gateway/status")) as StatusReport).nodes.find(({ name }) => name === "elbow")!,
    requests: () => rig.seen.filter(({ canId }) => canId === REQUEST_ID).length,
    update(major) {
      const image = join(rig.folder.path, `elbow-${major}.img`);
      writeFileSync(image, imageOf(major));
      const child = spawn(process.execPath, [join(projectRoot(), "bin/ipcnet.mjs"), "node", "update", "elbow", image, "--steady-ms", "1000", "--json", "--socket", rig.daemon.socketPath], { stdio: ["ignore", "pipe", "pipe"] });
      let out = "";
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (out += text));
      return new Promise((resolve) => child.on("close", (code) => resolve({ code, out })));
    },
  };
}

/** Until it has it: a busy machine may let a node's time-outs pass, and the update says so. */
async function insist({ update, report, rig }: Bench, major: number): Promise<void> {
  for (let i = 0; ; i++) {
    const { code, out } = await update(major);
    if (code === 0 || out.includes('"sameImage"')) break;
    assert.ok(i < 6, `${out}\n${rig.daemon.log()}`);
  }
  const known = await eventually("what runs is read", async () => { const { identity } = await report(); return identity?.state === "known" ? identity : undefined; }, { timeoutMs: 60_000, last: () => rig.daemon.log() });
  assert.deepEqual([known.firmware, known.onProbation], [`${major}.0.0`, false]);
}

test("the gateway is killed anywhere in an update: the old image or the new one, and the next update ends with the new one", { timeout: 600_000 }, async (t) => {
  const it = await bench(t);
  const { rig, node } = it;
  const seed = 20_261_123;
  const random = seededRandom(seed);
  await eventually("the node is known", async () => (await it.report()).identity?.state === "known", { timeoutMs: 60_000, last: () => rig.daemon.log() });
  // In the questions before the transfer, in it three times, about its end, when the new image has started.
  const places = [1 + Math.floor(random() * 8), ...Array.from({ length: 3 }, () => Math.floor(random() * SEGMENTS)), SEGMENTS + Math.floor(random() * 12), "started"] as const;
  for (const [round, place] of places.entries()) {
    const major = round + 2;
    const what = `seed ${seed}, round ${round}, killed at ${place}`;
    const before = it.requests();
    const starts = node.said.length;
    const running = it.update(major);
    const ended = { yet: false };
    void running.then(() => (ended.yet = true));
    const isThere = (): boolean => ended.yet || (place === "started" ? node.said.slice(starts).some((line) => /^slot \d/.test(line)) : it.requests() - before >= place);
    await eventually(what, isThere, { timeoutMs: 120_000, last: () => rig.daemon.log() });
    rig.daemon.process.kill("SIGKILL");
    await rig.daemon.ended;
    // Half of the time its power goes, too. (On probation that costs a start, of which it has some.)
    if (round % 2 === 0) await node.powerUp();
    const slots = node.said.filter((line) => line.startsWith("slot "));
    assert.ok(slots.every((line) => line !== "slot none"), `${what}: ${slots.join(", ")}`);
    await rig.startDaemon();
    const told = await running;
    assert.ok(told.code !== 0 || told.out.includes('"done"'), `${what}: ${told.out}`);
    const now = await eventually(`${what}: what runs is read`, async () => { const { identity } = await it.report(); return identity?.state === "known" ? identity : undefined; }, { timeoutMs: 60_000, last: () => rig.daemon.log() });
    assert.ok([`${major - 1}.0.0`, `${major}.0.0`].includes(now.firmware ?? ""), `${what}: ${now.firmware}`);
    await insist(it, major);
    assert.equal((await it.report()).state, "operational");
  }
});

test("a standby that takes over in the middle of an update says what was cut, and the update goes on when it is asked for again", { timeout: 300_000 }, async (t) => {
  const it = await bench(t, (configuration, { folder }) => void (configuration["redundancy"] = { brains: "pair", progressMs: 1_000, stateFolder: folder.path }));
  const { rig } = it;
  const standby = new Standby(rig.folder.path, "b");
  t.after(() => standby.kill());
  await standby.ready();
  await eventually("a standby that is ready", async () => ((await rig.client.request("gateway/failover")) as { standby?: { ready: boolean } }).standby?.ready === true, { timeoutMs: 60_000 });
  const before = it.requests();
  const running = it.update(2);
  await eventually("half of it is there", () => it.requests() - before > SEGMENTS / 2, { timeoutMs: 120_000, last: () => rig.daemon.log() });
  rig.daemon.process.kill("SIGKILL");
  await rig.daemon.ended;
  const told = await running;
  assert.notEqual(told.code, 0);
  assert.match(told.out, /another gateway has begun since/);
  await eventually("it is said", () => standby.log.includes("[nodeUpdateCut]"), { timeoutMs: 60_000, last: () => standby.log });
  assert.match(standby.log, /ended while it replaced the firmware of node elbow: the node has the image that it had/);
  await insist(it, 2);
});
