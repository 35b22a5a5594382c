/** A local program asks a microcontroller (the serial kit in C, as a process) for what it serves, by the gateway and its policy: answered, refused and told when the device is away; the device and the gateway are killed in the middle. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { DATA_ID, wire, type Wire } from "../drivers/nodekit/serialRig.ts";
import { seededRandom } from "../schemas/random.ts";
import { Status } from "../schemas/status.ts";
import { type Client, IpcnetError } from "../shm/client/index.ts";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { eventually } from "./waiting.ts";

const configuration = (port: string): string => Object.entries({
  version: 1,
  robot: "bench",
  serial: [{
    name: "hand", port, baudBps: 3_000_000, dataId: DATA_ID, silenceTimeoutMs: 40_000, optional: true, services: ["parameter", "log", "nothing"],
    messages: [{ id: 10, name: "Telemetry", direction: "in", fields: [{ name: "number", type: "u32" }, { name: "outputs", type: "u8" }] }],
  }],
}).map(([section, value]) => `${section}: ${JSON.stringify(value)}\n`).join("");

const theLog = Uint8Array.from({ length: 4000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
const u32 = (value: number): number[] => [...new Uint8Array(Uint32Array.of(value).buffer)];
const hasStatus = (...status: number[]) => (error: unknown): boolean => error instanceof IpcnetError && status.includes(error.status);

interface Bench {
  line: Wire;
  folder: string;
  daemon: Daemon;
  client: Client;
}

async function bench(t: TestContext, seed: number): Promise<Bench> {
  const folder = testFolder();
  t.after(() => folder.remove());
  // Nobody is silent for so long but who is dead.
  const line = await wire(t, seed, 20_000);
  const daemon = await startDaemon(folder.path, configuration(line.pty.path));
  t.after(() => daemon.process.kill("SIGKILL"));
  const client = await daemon.connect();
  t.after(() => client.close());
  return { line, folder: folder.path, daemon, client };
}

const isBroken = hasStatus(Status.badGateway, Status.serviceUnavailable, Status.gatewayTimeout);
const once = async (client: Client, service: string, body?: Uint8Array): Promise<number[]> => [...((await client.request(`serial/hand/${service}`, body, { timeoutMs: 60_000 })) as Uint8Array)];

/** Again, if the line broke: on a machine that stands still for seconds it may, without anybody's fault. */
async function ask(client: Client, service: string, body?: Uint8Array): Promise<number[]> {
  for (;;) {
    try {
      return await once(client, service, body);
    } catch (error) {
      if (!isBroken(error)) throw error;
    }
  }
}

test("a program asks a device for a parameter and a log", { timeout: 240_000 }, async (t) => {
  const { client, line } = await bench(t, 41);
  assert.deepEqual(await ask(client, "parameter", Uint8Array.of(3, ...u32(70_000))), u32(70_000));
  assert.deepEqual(await ask(client, "parameter", Uint8Array.of(3)), u32(70_000));
  assert.deepEqual(await ask(client, "log"), [...theLog]);
  // More at once than the device has memory for: they wait for each other.
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(client, "parameter", Uint8Array.of(i % 8, ...u32(i)))));
  assert.deepEqual(answers, Array.from({ length: 20 }, (_, i) => u32(i)));
  await assert.rejects(ask(client, "parameter", Uint8Array.of(8)), hasStatus(Status.notFound));
  await assert.rejects(ask(client, "parameter"), hasStatus(Status.badRequest));
  await assert.rejects(ask(client, "nothing"), hasStatus(Status.notFound), "the configuration names it, the device does not have it");
  await assert.rejects(client.request("serial/hand/count", Uint8Array.of(1, 0, 0, 0)), hasStatus(Status.notFound, Status.requestTimeout), "the device has it, the configuration does not name it");
  await assert.rejects(client.request("serial/hand/parameter", { number: 3 }), hasStatus(Status.badRequest));
  const services = (await client.find("services", "serial/#")) as { service: string }[];
  assert.deepEqual(services.map(({ service }) => service).sort(), ["serial/hand/log", "serial/hand/nothing", "serial/hand/parameter"]);

  // Away: said, not waited for. And back.
  await line.switchOff();
  await assert.rejects(once(client, "parameter", Uint8Array.of(3)), isBroken);
  line.switchOn(42);
  assert.deepEqual(await ask(client, "parameter", Uint8Array.of(3)), u32(0));
});

test("the device and the gateway are killed in the middle: each request is answered rightly or refused, and the next ones are answered", { timeout: 240_000 }, async (t) => {
  const { line, folder, daemon, client } = await bench(t, 50);
  const random = seededRandom(20_261_123);
  assert.deepEqual(await ask(client, "log"), [...theLog]);
  let answered = 0;
  let refused = 0;
  for (let seed = 51; seed < 57; seed++) {
    const asked = Array.from({ length: 3 }, () => once(client, "log").then((bytes) => (assert.deepEqual(bytes, [...theLog]), answered += 1), (error: unknown) => (assert.ok(isBroken(error), String(error)), refused += 1)));
    // Somewhere in what it is sent or says.
    const passed = line.sent.length + Math.floor(random() * 6);
    await eventually("some of it has passed", () => line.sent.length >= passed);
    await line.switchOff();
    line.switchOn(seed);
    await Promise.all(asked);
    assert.deepEqual(await ask(client, "log"), [...theLog]);
  }
  assert.equal(answered + refused, 18);
  const cut = assert.rejects(Promise.all(Array.from({ length: 50 }, () => once(client, "log"))));
  daemon.process.kill("SIGKILL");
  await daemon.ended;
  await cut;
  const second = await startDaemon(folder, configuration(line.pty.path));
  t.after(() => second.process.kill("SIGKILL"));
  const other = await second.connect();
  t.after(() => other.close());
  assert.deepEqual(await ask(other, "log"), [...theLog]);
});
