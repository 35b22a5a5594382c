/**
 * `ipcnet node update` for a device at a serial line (the C kit as a process with a flash memory): brought, proven, confirmed, while the gateway and the device are killed in the middle; a transfer that was cut goes on where the device stands.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { encodeImage } from "../drivers/nodekit/image.ts";
import { DATA_ID, wire, type Wire } from "../drivers/nodekit/serialRig.ts";
import { seededRandom } from "../schemas/random.ts";
import { Status } from "../schemas/status.ts";
import { projectRoot } from "../schemas/testData.ts";
import { IpcnetError } from "../shm/client/index.ts";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { Standby } from "./standbyDaemon.ts";
import { eventually } from "./waiting.ts";

const IMAGE_BYTES = 24_000;
const random = seededRandom(20_261_123);
const imageOf = (major: number, bytes = IMAGE_BYTES): Uint8Array => encodeImage({ vendor: 0x1234, product: 0x5678, version: major * 2 ** 24, securityCounter: 1 }, Uint8Array.from({ length: bytes }, () => Math.floor(random() * 256)));

const configuration = (port: string, more: object): string => Object.entries({
  version: 1,
  robot: "bench",
  serial: [{
    name: "hand", port, baudBps: 115_200, dataId: DATA_ID, silenceTimeoutMs: 40_000, optional: true, services: ["parameter"],
    messages: [{ id: 10, name: "Telemetry", direction: "in", fields: [{ name: "number", type: "u32" }, { name: "outputs", type: "u8" }] }],
  }],
  nodes: [{ name: "hand", link: "hand", heartbeat: { message: "Telemetry" }, timeoutMs: 20_000, required: false, update: true }],
  ...more,
}).map(([section, value]) => `${section}: ${JSON.stringify(value)}\n`).join("");

interface Told {
  state?: string;
  progress?: number;
  version?: string;
  code?: string;
}

interface Update {
  lines: Told[];
  ended: Promise<{ code: number | null; out: string }>;
}

class Bench {
  readonly line: Wire;
  readonly folder: string;
  daemon!: Daemon;
  readonly #more: object;

  constructor(line: Wire, folder: string, more: object) {
    this.line = line;
    this.folder = folder;
    this.#more = more;
  }

  async begin(): Promise<void> {
    this.daemon = await startDaemon(this.folder, configuration(this.line.pty.path, this.#more));
  }

  async killGateway(): Promise<void> {
    this.daemon.process.kill("SIGKILL");
    await this.daemon.ended;
  }

  update(image: Uint8Array): Update {
    const file = join(this.folder, "new.img");
    writeFileSync(file, image);
    const child = spawn(process.execPath, [join(projectRoot(), "bin/ipcnet.mjs"), "node", "update", "hand", file, "--steady-ms", "1000", "--json", "--socket", this.daemon.socketPath], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    const lines: Told[] = [];
    child.stderr.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      for (const line of text.split("\n")) if (line.startsWith("{")) lines.push(JSON.parse(line) as Told);
    });
    return { lines, ended: new Promise((resolve) => child.on("close", (code) => resolve({ code, out }))) };
  }
}

/** `isPair`: a second gateway may stand in for it. */
async function bench(t: TestContext, seed: number, { isPair = false } = {}): Promise<Bench> {
  const folder = testFolder();
  t.after(() => folder.remove());
  const line = await wire(t, 0, 20_000);
  line.flash = join(folder.path, "flash");
  writeFileSync(join(folder.path, "old.img"), imageOf(1, 3_000));
  assert.equal(spawnSync(join(projectRoot(), "dist/native/test/serial_device"), ["make", line.flash, join(folder.path, "old.img")]).status, 0);
  line.switchOn(seed);
  const it = new Bench(line, folder.path, isPair ? { redundancy: { brains: "pair", progressMs: 1_000, stateFolder: folder.path } } : {});
  await it.begin();
  t.after(() => it.daemon.process.kill("SIGKILL"));
  return it;
}

test("a device takes new firmware by its name; programs do not reach the service; one that does not come up reverts", { timeout: 240_000 }, async (t) => {
  const it = await bench(t, 600);
  const { code, out } = await it.update(imageOf(2)).ended;
  assert.equal(code, 0, out + it.daemon.log());
  assert.match(out, /"state":"done".*"version":"2\.0\.0"/);
  const client = await it.daemon.connect();
  t.after(() => client.close());
  await assert.rejects(client.request("serial/hand/update", Uint8Array.of(0)), (error: unknown) => error instanceof IpcnetError && [Status.notFound, Status.requestTimeout].includes(error.status as 203 | 204));
  const broken = await it.update(imageOf(66)).ended;
  assert.equal(broken.code, 1, broken.out);
  assert.match(broken.out, /"code":"reverted"/);
});

test("the gateway is killed in the middle of a transfer, then the device: the next one goes on where the device stands", { timeout: 240_000 }, async (t) => {
  const it = await bench(t, 700);
  const image = imageOf(2);
  const first = it.update(image);
  await eventually("half of it is there", () => first.lines.some(({ progress = 0 }) => progress > 0.5), { timeoutMs: 60_000, last: () => it.daemon.log() });
  await it.killGateway();
  assert.notEqual((await first.ended).code, 0);
  await it.begin();
  const second = it.update(image);
  await eventually("more of it is there", () => second.lines.some(({ progress = 0 }) => progress > 0.7), { timeoutMs: 60_000, last: () => it.daemon.log() });
  await it.line.switchOff();
  const [behind, sentBefore] = [second.lines.length, it.line.sent.length];
  it.line.switchOn(701);
  const { code, out } = await second.ended;
  assert.equal(code, 0, out + it.daemon.log());
  const resumed = Number(/has (\d+) bytes of its new firmware already/.exec(it.daemon.log())?.[1]);
  assert.ok(resumed > IMAGE_BYTES * 0.4, `resumed at ${resumed}\n${it.daemon.log()}`);
  // Not only behind the gateway's end, behind the device's too: two pages back at most, of 24. (The same event of the same node is written once in five seconds, so that it is the line that says it.)
  const sentAgain = it.line.sent.slice(sentBefore).reduce((sum, { length }) => sum + length, 0);
  assert.ok(sentAgain < IMAGE_BYTES * 0.9, `${sentAgain} bytes`);
  assert.ok(second.lines.slice(1).every(({ progress = 1 }) => progress > 0.4), out);
  assert.ok(second.lines.slice(behind).every(({ progress = 1 }) => progress > 0.6), out);
});

test("a standby that takes over in the middle of a transfer says what was cut, and the next update goes on where the device stands", { timeout: 300_000 }, async (t) => {
  const it = await bench(t, 800, { isPair: true });
  const standby = new Standby(it.folder, "b");
  t.after(() => standby.kill());
  await standby.ready();
  const client = await it.daemon.connect();
  t.after(() => client.close());
  await eventually("a standby that is ready", async () => ((await client.request("gateway/failover")) as { standby?: { ready: boolean } }).standby?.ready === true, { timeoutMs: 60_000 });
  const image = imageOf(2);
  const cut = it.update(image);
  await eventually("half of it is there", () => cut.lines.some(({ progress = 0 }) => progress > 0.5), { timeoutMs: 60_000, last: () => it.daemon.log() });
  await it.killGateway();
  const told = await cut.ended;
  assert.notEqual(told.code, 0);
  assert.match(told.out, /another gateway has begun since/);
  await eventually("it is said", () => standby.log.includes("[nodeUpdateCut]"), { timeoutMs: 60_000, last: () => standby.log });
  assert.match(standby.log, /ended while it replaced the firmware of node hand: .*; ipcnet node update goes on where it stands \[nodeUpdateCut\]/);
  const { code, out } = await it.update(image).ended;
  assert.equal(code, 0, out + standby.log);
  const resumed = Number(/has (\d+) bytes of its new firmware already/.exec(standby.log)?.[1]);
  assert.ok(resumed > IMAGE_BYTES * 0.4, `resumed at ${resumed}\n${standby.log}`);
});
