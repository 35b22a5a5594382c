import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { soonUs } from "../../contract.ts";
import { DriverError } from "../../driver.ts";
import type { CanHarness } from "../contract.ts";
import { numberedFrame, testCanDriverContract } from "../contract.ts";
import { busWithPeer } from "../emulator/testPeer.ts";
import type { SocketcandOptions } from "./driver.ts";
import { createSocketcand } from "./driver.ts";
import { serveSocketcand } from "./server.ts";
import { freePort, until } from "../../../schemas/testing.ts";

const bus = () => busWithPeer({ name: "can0", fd: true, queueFrames: 256 });
const quick: Partial<SocketcandOptions> = { answerTimeoutMs: 20_000, reopen: { minMs: 2, maxMs: 10 }, health: { probeIntervalMs: 20 } };

async function harness(): Promise<CanHarness> {
  const { host, parts: { peerSend, peerReceived, settle }, close } = bus();
  let server: Awaited<ReturnType<typeof serveSocketcand>> | undefined = await serveSocketcand({ buses: [host], port: await freePort(), quietAfterRawmodeMs: 0 });
  const { port } = server;
  const driver = createSocketcand({ name: "arm", host: "127.0.0.1", port, bus: "can0", fd: true, ...quick });
  return {
    driver,
    peerSend,
    peerReceived,
    settle,
    async breakLink() {
      await server?.close();
      server = undefined;
    },
    async restoreLink() {
      server = await serveSocketcand({ buses: [host], port, quietAfterRawmodeMs: 0 });
    },
    async stop() {
      await driver.stop();
      await server?.close();
      await close();
    },
  };
}

testCanDriverContract("socketcand", harness);

test("a wrong bus, nobody there, and a mute server are DriverErrors with a remedy", async () => {
  const { host, close } = bus();
  const server = await serveSocketcand({ buses: [host], port: 0 });
  const driver = createSocketcand({ name: "arm", host: "127.0.0.1", port: server.port, bus: "can7", ...quick });
  await assert.rejects(driver.start(), (error) => error instanceof DriverError && error.code === "refused" && error.remedy.includes("can7"));
  await server.close();
  await assert.rejects(driver.start(), { code: "cannotConnect" });
  const mute = createServer().listen(0, "127.0.0.1");
  await once(mute, "listening");
  const { port } = mute.address() as AddressInfo;
  await assert.rejects(createSocketcand({ name: "arm", host: "127.0.0.1", port, bus: "can0", ...quick, answerTimeoutMs: 20 }).start(), { code: "noAnswer" });
  mute.close();
  await close();
});

test("a server that stalls is noticed; what is under way to it is bounded and refused beyond", async () => {
  let far: Socket | undefined;
  const stalling = createServer((socket) => {
    far = socket;
    socket.on("error", () => undefined);
    socket.write("< hi >");
    let heard = "";
    socket.on("data", (bytes) => {
      heard += bytes.toString();
      if (heard.endsWith("< open can0 >") || heard.endsWith("< rawmode >")) socket.write("< ok >");
    });
  }).listen(0, "127.0.0.1");
  await once(stalling, "listening");
  const { port } = stalling.address() as AddressInfo;
  const driver = createSocketcand({ name: "arm", host: "127.0.0.1", port, bus: "can0", ...quick, txQueueFrames: 8, answerTimeoutMs: 3_000 });
  await driver.start();
  const verdicts = Array.from({ length: 10 }, (_, number) => driver.send(numberedFrame(number, soonUs())));
  assert.deepEqual(verdicts, [...Array.from({ length: 8 }, () => "queued"), "queueFull", "queueFull"]);
  await until(() => driver.health().state === "down", "state down");
  await driver.stop();
  far?.destroy();
  stalling.close();
});

const hasPythonCan = spawnSync("python3", ["-c", "import can, can.interfaces.socketcand"], { stdio: "ignore" }).status === 0;

test("python-can joins the bus through the server", { skip: hasPythonCan ? false : "python3-can is not installed (sudo apt-get install -y python3-can)" }, async () => {
  const { host, peer, received, close } = bus();
  const server = await serveSocketcand({ buses: [host], port: 0 });
  const script = `
import can, sys
bus = can.Bus(interface="socketcand", host="127.0.0.1", port=${server.port}, channel="can0")
bus.send(can.Message(arbitration_id=0x123, data=[1, 2, 0xFF], is_extended_id=False))
bus.send(can.Message(arbitration_id=0x1ABCDEF0, data=[], is_extended_id=True))
print("ready", flush=True)
while True:
    message = bus.recv(20)
    print("%X=%s" % (message.arbitration_id, message.data.hex()), flush=True)
    if message.arbitration_id == 0x202:
        break
bus.shutdown()
`;
  const child = spawn("python3", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
  await until(() => received.length === 2 && said.startsWith("ready"), "two frames from python-can", 30_000);
  assert.deepEqual(received.map(({ canId, flags, data }) => [canId, flags & 1, ...data]), [[0x123, 0, 1, 2, 0xff], [0x1abc_def0, 1]]);
  // One by one, and again until seen: python-can 4.1 loses a byte between messages that arrive together.
  for (const [index, data] of [[7, 8], [], [0xaa]].entries()) {
    const line = `${(0x200 + index).toString(16)}=${Buffer.from(data).toString("hex")}\n`;
    let nextUs = 0;
    await until(() => {
      if (said.includes(line)) return true;
      if (soonUs(0) > nextUs) {
        nextUs = soonUs(200);
        peer.send({ timeUs: 0, canId: 0x200 + index, flags: 0, data: Uint8Array.from(data) });
      }
      return false;
    }, `${line} at python-can`, 30_000);
  }
  await once(child, "close");
  await server.close();
  await close();
});
