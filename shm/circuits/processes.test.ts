/** Two real processes over a SEQPACKET socket: the contract's essentials, descriptors, and a peer that is killed. This file is also the other process. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { IpcnetError } from "../../schemas/status.ts";
import { Descriptor, SeqpacketConnection, SeqpacketServer } from "../sockets/index.ts";
import { Circuits, seqpacketTransport } from "./index.ts";
import { until } from "../../schemas/testing.ts";

if (process.argv[2] === "serve") serve(process.argv[3]!);
else tests();

function serve(path: string): void {
  const circuits = new Circuits({ transport: seqpacketTransport(SeqpacketConnection.connect(path)), role: "initiator", name: "child" });
  circuits.serve("echo", (_, body) => body);
  circuits.serve("read", (_, __, descriptors) => {
    const buffer = new Uint8Array(100);
    return buffer.subarray(0, readSync(descriptors[0]!.fd, buffer, 0, 100, 0));
  });
  circuits.serve("open", (_, body) => ({ bytes: new Uint8Array(0), descriptors: [Descriptor.open(new TextDecoder().decode(body), 0)] }));
  circuits.serve("wait", () => new Promise<never>(() => undefined));
  void circuits.closed().then(() => process.exit(0));
}

function tests(): void {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-circuits-"));
  const children: ChildProcess[] = [];
  after(() => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });

  async function withChild(name: string): Promise<{ circuits: Circuits; child: ChildProcess }> {
    const path = join(folder, name);
    const server = SeqpacketServer.listen(path);
    const accepted = new Promise<SeqpacketConnection>((resolve) => server.onConnection(resolve));
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "serve", path], { stdio: "inherit" });
    children.push(child);
    const circuits = new Circuits({ transport: seqpacketTransport(await accepted), role: "acceptor", name: "parent" });
    server.close();
    return { circuits, child };
  }

  test("two processes: requests, descriptors both ways, and an orderly end", { timeout: 120_000 }, async () => {
    const { circuits, child } = await withChild("orderly.sock");
    assert.equal((await circuits.ready()).name, "child");
    assert.deepEqual((await circuits.list()).toSorted(), ["echo", "open", "read", "wait"]);
    const big = Uint8Array.from({ length: 200_000 }, (_, i) => i * 7);
    const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => circuits.request("echo", big.subarray(0, 10_000 * i))));
    for (const [i, { bytes }] of replies.entries()) assert.deepEqual(bytes, big.subarray(0, 10_000 * i));

    const secret = join(folder, "secret");
    writeFileSync(secret, "handed over");
    const fd = openSync(secret, "r");
    const ours = Descriptor.adopt(fd);
    rmSync(secret);
    assert.equal(new TextDecoder().decode((await circuits.request("read", new Uint8Array(0), { descriptors: [ours] })).bytes), "handed over");
    ours.close();
    writeFileSync(secret, "fetched");
    const { descriptors } = await circuits.request("open", new TextEncoder().encode(secret));
    const buffer = new Uint8Array(7);
    readSync(descriptors[0]!.fd, buffer);
    assert.equal(new TextDecoder().decode(buffer), "fetched");
    descriptors[0]!.close();

    const exited = new Promise((resolve) => child.once("exit", resolve));
    circuits.close();
    assert.equal(await exited, 0);
  });

  test("two processes: one that is killed ends what was asked of it, with a status", { timeout: 120_000 }, async () => {
    const { circuits, child } = await withChild("killed.sock");
    const asked = circuits.request("wait", new Uint8Array(0));
    const refused = assert.rejects(asked, (error: unknown) => error instanceof IpcnetError && error.status === 302);
    await circuits.request("echo", new Uint8Array(1));
    await until(() => circuits.busyCircuits === 1, "only the waiting one is busy");
    child.kill("SIGKILL");
    await refused;
    assert.equal((await circuits.closed()).reason, "lost");
  });
}
