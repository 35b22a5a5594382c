import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type SeqpacketConnection, SeqpacketServer } from "../../shm/sockets/index.ts";
import { IdentifiedPeer } from "./peer.ts";
import { credentialsOf, factsOf, readFacts, thisSystem, type ProcessSource } from "./process.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-identity-"));
after(() => rmSync(folder, { recursive: true }));

const source = (changes: Partial<ProcessSource> = {}): ProcessSource => ({ systemd: true, cgroup: () => "0::/system.slice/planner.service\n", executable: () => "/usr/bin/planner", ...changes });

/** A program that connects and stays until it is killed. */
async function withPeer(name: string, use: (connection: SeqpacketConnection, end: () => Promise<void>, pid: number) => Promise<void> | void): Promise<void> {
  const path = join(folder, name);
  const server = SeqpacketServer.listen(path);
  const accepted = new Promise<SeqpacketConnection>((resolve) => server.onConnection(resolve));
  const sockets = JSON.stringify(new URL("../../shm/sockets/index.js", import.meta.url).href);
  const child = spawn(process.execPath, ["--input-type=module", "--eval", `const { SeqpacketConnection } = await import(${sockets}); SeqpacketConnection.connect(${JSON.stringify(path)}).onPacket(() => {}); setInterval(() => {}, 1000);`], { stdio: ["ignore", "ignore", "inherit"] });
  const ended = once(child, "close");
  const end = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  try {
    const connection = await accepted;
    await use(connection, end, child.pid!);
    connection.close();
  } finally {
    server.close();
    await end();
  }
}

test("facts about a living peer are the kernel's; units count only where systemd runs", async () => {
  await withPeer("alive", ({ peer }, _end, pid) => {
    assert.equal(peer.pid, pid);
    assert.deepEqual(factsOf(peer, source()), { cgroup: "/system.slice/planner.service", unit: "planner.service", executable: "/usr/bin/planner" });
    assert.deepEqual(factsOf(peer, source({ systemd: false, executable: () => undefined })), { cgroup: "/system.slice/planner.service" });
    assert.deepEqual(factsOf(peer, source({ cgroup: () => undefined, executable: () => undefined })), {});
    assert.equal(thisSystem().executable(pid), process.execPath);
    assert.equal(factsOf(peer, thisSystem())?.executable, process.execPath);
  });
});

test("nothing is believed about a process that died while it was looked at, or had no pidfd", async () => {
  await withPeer("dead", async ({ peer }, end) => {
    const { pidfd: _, ...withoutPidfd } = peer;
    assert.equal(factsOf(withoutPidfd, source()), undefined);
    await end();
    // Whoever has the number now would be asked; the pidfd knows better.
    assert.equal(factsOf(peer, source()), undefined);
    assert.equal(new IdentifiedPeer(peer, { source: source(), nameOf: () => "x" }).facts, undefined);
  });
});

test("a peer's name follows the policy, its facts do not", async () => {
  await withPeer("named", ({ peer }) => {
    let name = "planner";
    const identified = new IdentifiedPeer(peer, { source: source(), nameOf: ({ facts }) => `${name} in ${facts?.unit}` });
    assert.equal(identified.component, "planner in planner.service");
    name = "other";
    assert.equal(identified.component, "other in planner.service");
    assert.deepEqual([identified.pid, identified.uid, identified.pidfd], [peer.pid, peer.uid, peer.pidfd]);
  });
});

test("of a process by number: its credentials, and what it runs", () => {
  const own = credentialsOf(process.pid);
  assert.deepEqual([own?.uid, own?.gid], [process.geteuid!(), process.getegid!()]);
  // getgroups() of Node adds the effective group.
  assert.deepEqual(new Set([...own!.groups, own!.gid]), new Set(process.getgroups!()));
  assert.equal(credentialsOf(2 ** 31 - 1), undefined);
  assert.equal(readFacts(process.pid, thisSystem()).executable, process.execPath);
});
