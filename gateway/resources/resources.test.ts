import assert from "node:assert/strict";
import { once } from "node:events";
import { fstatSync, mkdirSync, mkdtempSync, readSync, rmSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { spawnSync } from "node:child_process";
import { systemClock } from "../../schemas/clock.ts";
import type { Resource } from "../../schemas/messages/config.ts";
import { IpcnetError } from "../../schemas/status.ts";
import { connect } from "../../shm/client/index.ts";
import { Descriptor } from "../../shm/sockets/index.ts";
import { BrokerRig, openPolicy } from "../broker/testRig.ts";
import { Grants } from "./grants.ts";
import { openResource, ResourceTrouble } from "./open.ts";
import { noMoreDescriptorsThan, openDescriptors } from "../../schemas/testing.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-resources-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
writeFileSync(at("plain"), "hello");
mkdirSync(at("maps"));
symlinkSync(at("plain"), at("link"));
symlinkSync(at("maps"), at("maps-link"));
spawnSync("mkfifo", [at("pipe")]);

const description = "";
const open = (resource: Resource, mode: "read" | "write" | "readWrite" = "read"): Promise<Descriptor> => openResource(resource, mode, systemClock);
const refused = (promise: Promise<unknown>, words: RegExp): Promise<void> => assert.rejects(promise, (error) => error instanceof ResourceTrouble && words.test(error.message));

test("devices, folders and files are opened as what they are, and as nothing else", async () => {
  const before = openDescriptors();
  const device = await open({ name: "null", device: "/dev/null", modes: ["readWrite"], description }, "readWrite");
  assert.ok(fstatSync(device.fd).isCharacterDevice());
  assert.equal(writeSync(device.fd, "gone"), 4);
  const maps = await open({ name: "maps", directory: at("maps"), description });
  assert.ok(fstatSync(maps.fd).isDirectory());
  const file = await open({ name: "file", file: at("plain"), modes: ["read"], description });
  const content = Buffer.alloc(5);
  readSync(file.fd, content);
  assert.equal(content.toString(), "hello");
  assert.throws(() => writeSync(file.fd, "x"), /EBADF/);
  for (const each of [device, maps, file]) each.close();
  await refused(open({ name: "x", device: at("plain"), modes: ["read"], description }), /is not a device/);
  await refused(open({ name: "x", file: "/dev/null", modes: ["read"], description }), /is not a plain file/);
  await refused(open({ name: "x", file: at("link"), modes: ["read"], description }), /ELOOP/);
  await refused(open({ name: "x", directory: at("maps-link"), description }), /ENOTDIR|ELOOP/);
  await refused(open({ name: "x", directory: at("plain"), description }), /ENOTDIR/);
  await refused(open({ name: "x", file: at("nothing"), modes: ["read"], description }), /ENOENT/);
  // A pipe that nobody writes would keep a blocking open for ever.
  await refused(open({ name: "x", file: at("pipe"), modes: ["read"], description }), /is not a plain file/);
  await noMoreDescriptorsThan(before);
});

async function listening(where: { path: string } | { port: number; host: string }, use: (server: Server, peer: Promise<Socket>) => Promise<void>): Promise<void> {
  const server = createServer();
  const peer = once(server, "connection").then(([socket]) => socket as Socket);
  server.listen(where);
  await once(server, "listening");
  try {
    await use(server, peer);
  } finally {
    server.close();
  }
}

test("a connection is opened by the gateway and used by whoever gets the descriptor; nothing that came first is lost", async () => {
  for (const where of [{ path: at("server.sock") }, { host: "127.0.0.1", port: 0 }]) {
    await listening(where, async (server, peer) => {
      server.on("connection", (socket) => socket.write("welcome"));
      const address = "path" in where ? `unix:${where.path}` : `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const descriptor = await open({ name: "plc", connect: address, timeoutMs: 2_000, description }, "readWrite");
      const socket = await peer;
      writeSync(descriptor.fd, "hello");
      const [heard] = (await once(socket, "data")) as [Buffer];
      assert.equal(heard.toString(), "hello");
      const content = Buffer.alloc(7);
      for (let got = 0; got < 7;) {
        try {
          got += readSync(descriptor.fd, content, got, 7 - got, null);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
        }
      }
      assert.equal(content.toString(), "welcome");
      descriptor.close();
      socket.destroy();
    });
  }
  await refused(open({ name: "x", connect: `unix:${at("nobody.sock")}`, timeoutMs: 500, description }), /ENOENT/);
});

test("whoever does not answer is given up at the deadline", async () => {
  const before = openDescriptors();
  // TEST-NET-1 is nobody's: silence, or "unreachable" at once where there is no route. Both are a refusal.
  await refused(open({ name: "x", connect: "tcp://192.0.2.1:9", timeoutMs: 50, description }), /did not answer within 50 ms|cannot be reached/);
  await noMoreDescriptorsThan(before);
});

test("grant: the policy is asked, the mode must be one of the resource's, the descriptor arrives, none stays open", async () => {
  const resources: Resource[] = [
    { name: "arm/notes", file: at("plain"), modes: ["readWrite", "read"], description: "what was seen" },
    { name: "secret", file: at("plain"), modes: ["read"], description },
    { name: "gone", file: at("nothing"), modes: ["read"], description },
  ];
  const policy = { ...openPolicy, mayGrant: (_: unknown, resource: string) => resource !== "secret" };
  const rig = new BrokerRig({ policy, resources: new Grants(() => resources, systemClock) });
  const client = await connect({ socketPath: rig.path, name: "test" });
  try {
    const before = openDescriptors();
    const both = await client.grant("arm/notes");
    writeSync(both.fd, "HELLO");
    both.close();
    const reading = await client.grant("arm/notes", "read");
    assert.throws(() => writeSync(reading.fd, "x"), /EBADF/);
    reading.close();
    const rejected = (promise: Promise<unknown>, status: number, words: RegExp): Promise<void> => assert.rejects(promise, (error) => error instanceof IpcnetError && error.status === status && words.test(error.message));
    await rejected(client.grant("arm/notes", "write"), 209, /readWrite or read/);
    await rejected(client.grant("secret"), 202, /may not be granted/);
    await rejected(client.grant("nowhere"), 203, /no resource/);
    await rejected(client.grant("gone"), 302, /ENOENT/);
    assert.deepEqual(await client.find("resources"), [
      { name: "arm/notes", kind: "file", modes: ["readWrite", "read"], description: "what was seen" }, { name: "gone", kind: "file", modes: ["read"], description: "" },
    ]);
    await noMoreDescriptorsThan(before);
    assert.equal(Descriptor.leaked, 0);
  } finally {
    await client.close();
    await rig.close();
  }
});
