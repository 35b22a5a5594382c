/** Runs Python programs for tests: the interpreter that is there, with the package of this repository. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { projectRoot } from "../schemas/testData.ts";

export const pythonPackage = join(projectRoot(), "shm/python");

/** Why Python tests cannot run here; false: they can. */
export const noPython: string | false = (() => {
  const run = spawnSync("python3", ["-c", "import sys, ctypes; print(sys.version_info >= (3, 9))"], { encoding: "utf8" });
  return run.error || run.status !== 0 ? "there is no python3 with ctypes" : run.stdout.trim() === "True" ? false : "python3 is older than 3.9";
})();

/** Nothing is written beside the sources. */
export function pythonEnvironment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { ...process.env, PYTHONPATH: pythonPackage, PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1", ...extra };
}

export interface PythonProgram {
  readonly process: ChildProcess;
  /** Its lines on stdout so far. */
  readonly lines: string[];
  /** Resolves with its exit code and everything it wrote to stderr. */
  readonly ended: Promise<{ code: number | null; errors: string }>;
  stop(): Promise<void>;
}

/** Starts `python3 ...args` with $IPCNET_SOCKET set. */
export function startPython(args: readonly string[], socketPath: string, extra: Record<string, string> = {}): PythonProgram {
  const child = spawn("python3", args, { env: pythonEnvironment({ IPCNET_SOCKET: socketPath, ...extra }), stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  let rest = "";
  let errors = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    lines.push(...parts);
  });
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const ended = new Promise<{ code: number | null; errors: string }>((resolve) => child.on("close", (code) => resolve({ code, errors })));
  return {
    process: child, lines, ended,
    async stop() {
      child.kill("SIGINT");
      await ended;
    },
  };
}
