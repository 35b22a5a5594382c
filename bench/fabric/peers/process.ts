/** A broker as a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Middle } from "../peer.ts";

export { freePort } from "../../../schemas/testing.ts";

export async function runBroker(command: string, args: readonly string[], port: number): Promise<Middle> {
  const child = spawn(command, args, { stdio: "ignore", env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` } });
  await answers(child, port);
  return {
    at: String(port),
    pids: [child.pid!],
    async stop() {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

async function answers(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`);
    const socket = createConnection({ host: "127.0.0.1", port });
    const open = await new Promise<boolean>((resolve) => socket.once("connect", () => resolve(true)).once("error", () => resolve(false)));
    socket.destroy();
    if (open) return;
    await delay(50);
  }
  throw new Error(`${child.spawnfile} does not answer on port ${port}`);
}
