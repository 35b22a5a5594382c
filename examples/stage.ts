/** What the examples share: a gateway of their own in a folder of their own, programs that end with it, and the compiler for those in C. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** The repository: from dist/ts/examples. */
export const root = join(import.meta.dirname, "../../..");
const START_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 5_000;

export class Stage {
  readonly folder: string;
  readonly socketPath: string;
  readonly #programs: { name: string; child: ChildProcess; ended: Promise<unknown> }[] = [];

  private constructor(folder: string) {
    this.folder = folder;
    this.socketPath = join(folder, "ipcnet.sock");
  }

  /** Starts a gateway that has nothing but its socket, and resolves when programs can connect. */
  static async open(robot: string): Promise<Stage> {
    const stage = new Stage(mkdtempSync(join(tmpdir(), "ipcnet-example-")));
    const configuration = join(stage.folder, "ipcnet.yaml");
    writeFileSync(configuration, `version: 1\nrobot: ${robot}\nsocket: { path: "${stage.socketPath}", mode: "0600" }\n`);
    // A session of its own: Ctrl-C in the terminal is for the example, which ends the programs first.
    const gateway = spawn(process.execPath, [join(root, "dist/ts/gateway/bin/ipcnetd.js"), "--config", configuration, "--until-stdin-closes"], { stdio: ["pipe", "ignore", "pipe"], detached: true });
    stage.#keep("the gateway", gateway);
    let log = "";
    gateway.stderr!.setEncoding("utf8").on("data", (text: string) => (log = (log + text).slice(-20_000)));
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    while (!log.includes("[listening]")) {
      if (gateway.exitCode !== null || performance.now() > deadlineMs) {
        await stage.close();
        throw new Error(`the gateway did not start:\n${log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return stage;
  }

  /** Starts a program that finds the gateway by itself. It is ended by `close`; its standard output is `output` (default: ours). */
  start(name: string, [command = "", ...args]: readonly string[], output: "inherit" | "pipe" = "inherit"): ChildProcess {
    const child = spawn(command, args, { env: { ...process.env, IPCNET_SOCKET: this.socketPath, PYTHONPATH: join(root, "shm/python"), PYTHONDONTWRITEBYTECODE: "1" }, stdio: ["ignore", output, "inherit"], detached: true });
    this.#keep(name, child);
    return child;
  }

  #keep(name: string, child: ChildProcess): void {
    // A program that cannot be started at all says so, and has ended.
    const ended = new Promise<void>((resolve) => {
      child.on("close", () => resolve());
      child.on("error", (error) => {
        process.stderr.write(`${name}: ${error.message}\n`);
        resolve();
      });
    });
    this.#programs.push({ name, child, ended });
  }

  /** Ends the programs, the last one first and the gateway at the end; who does not go is killed. */
  async close(): Promise<void> {
    for (const { child, ended } of this.#programs.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGINT");
      const timer = setTimeout(() => child.kill("SIGKILL"), END_TIMEOUT_MS);
      await ended;
      clearTimeout(timer);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Resolves at Ctrl-C, at SIGTERM, or after `seconds`. */
export async function untilStopped(seconds = Number.POSITIVE_INFINITY): Promise<void> {
  const stop = new AbortController();
  const timer = Number.isFinite(seconds) ? setTimeout(() => stop.abort(), seconds * 1e3) : undefined;
  // Without a timer nothing else keeps this program alive until it is stopped.
  const alive = setInterval(() => {}, 60_000);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stop.abort());
  await once(stop.signal, "abort");
  clearTimeout(timer);
  clearInterval(alive);
}

/** The program of a C source, compiled if the source is newer. As anybody would: the header, the library, nothing else. */
export function compiledC(source: string): string {
  const native = join(root, "dist/native");
  const output = join(native, "examples", source.replace(/^.*\/|\.c$/g, ""));
  const input = join(root, "examples", source);
  if (existsSync(output) && [input, join(native, "libipcnet.so")].every((path) => statSync(path).mtimeMs < statSync(output).mtimeMs)) return output;
  mkdirSync(dirname(output), { recursive: true });
  execFileSync(process.env["CC"] ?? "gcc", ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", `-I${join(native, "include")}`, input, "-o", output, `-L${native}`, `-Wl,-rpath,${native}`, "-lipcnet"], { stdio: ["ignore", "inherit", "inherit"] });
  return output;
}
