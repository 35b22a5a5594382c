/** Runs `ipcnetd` as a child for a test: a folder of its own, its configuration, its end awaited, its output kept for the failure message. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Client } from "../shm/client/index.ts";
import type { PoseVerdict } from "../failsafe/safePose/sequence.ts";

const entry = join(import.meta.dirname, "../gateway/bin/ipcnetd.js");
const START_TIMEOUT_MS = 120_000;

export interface Daemon {
  readonly process: ChildProcess;
  readonly folder: string;
  readonly socketPath: string;
  /** What it wrote on stderr so far. */
  readonly log: () => string;
  connect(name?: string): Promise<Client>;
  /** Resolves with its exit code and the verdict it printed. */
  readonly ended: Promise<{ code: number | null; signal: string | null; verdict: PoseVerdict | undefined }>;
  /** SIGTERM, then waits for the end. */
  stop(): Promise<{ code: number | null; verdict: PoseVerdict | undefined }>;
}

/** A folder for one test; removed by `remove`, when whoever writes there has ended: hooks of `t.after` run in the order in which they were given. */
export function testFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "ipcnet-test-"));
  // Who is only just ending may still put something there.
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 }) };
}

/** Starts the daemon with `configuration` (YAML; `socket` is added) and resolves when its socket answers. */
export async function startDaemon(folder: string, configuration: string): Promise<Daemon> {
  const socketPath = join(folder, "ipcnet.sock");
  const configFile = join(folder, "ipcnet.yaml");
  writeFileSync(configFile, `socket: { path: "${socketPath}", mode: "0600" }\n${configuration}`);
  const child = spawn(process.execPath, ["--enable-source-maps", entry, "--config", configFile, "--until-stdin-closes"], { stdio: ["pipe", "pipe", "pipe"] });
  let log = "";
  let out = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (log += text));
  child.stdout!.setEncoding("utf8").on("data", (text: string) => (out += text));
  const ended = new Promise<Awaited<Daemon["ended"]>>((resolve) => child.on("close", (code, signal) => {
    const line = out.trim().split("\n").at(-1) ?? "";
    resolve({ code, signal, verdict: line.startsWith("{") ? (JSON.parse(line) as PoseVerdict) : undefined });
  }));
  const daemon: Daemon = {
    process: child, folder, socketPath, log: () => log, ended,
    async connect(name = "test") {
      const client = await connect({ socketPath, name, timeoutMs: 60_000 });
      // Tests end their gateways on purpose: the end of their own subscriptions is no news.
      client.onClose(() => undefined);
      return client;
    },
    async stop() {
      child.kill("SIGTERM");
      return ended;
    },
  };
  await listening(child, () => log, ended);
  return daemon;
}

/** Resolves when the daemon says that clients can connect; rejects with its own words when it ends before. */
function listening(child: ChildProcess, log: () => string, ended: Daemon["ended"]): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the daemon did not listen within ${START_TIMEOUT_MS} ms:\n${log()}`)), START_TIMEOUT_MS);
    const look = (): void => {
      if (!log().includes("[listening]")) return;
      clearTimeout(timer);
      child.stderr!.off("data", look);
      resolve();
    };
    child.stderr!.on("data", look);
    void ended.then(({ code }) => {
      clearTimeout(timer);
      reject(new Error(`the daemon ended with ${code}:\n${log()}`));
    });
  });
}

/** Resolves when `condition` is true; asked at each event of `subscribe`, and a deadline ends it. */
export function until(condition: () => boolean, subscribe: (look: () => void) => () => void, { timeoutMs = 120_000, what = "the condition" }: { timeoutMs?: number; what?: string } = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      leave();
      reject(new Error(`${what} did not come true within ${timeoutMs} ms`));
    }, timeoutMs);
    const look = (): void => {
      if (!condition()) return;
      clearTimeout(timer);
      leave();
      resolve();
    };
    const leave = subscribe(look);
    look();
  });
}
