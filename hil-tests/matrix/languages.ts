/** How the peers of each language are built and started, and what is missing where they cannot be. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../schemas/testData.ts";
import { noPython, pythonEnvironment } from "../python.ts";

export const languages = ["typescript", "c", "cpp", "python"] as const;
export type Language = (typeof languages)[number];
export const languageNames: Readonly<Record<Language, string>> = { typescript: "TypeScript", c: "C", cpp: "C++", python: "Python" };

const root = projectRoot();
const source = join(root, "hil-tests/matrix");
const built = join(root, "dist/native/matrix");
export const casesFile = join(source, "cases.json");

const cc = process.env["CC"] ?? "gcc";

const hasCompiler = (name: string): boolean => {
  try {
    execFileSync(name, ["--version"], { stdio: "ignore" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
};

/** Why a language cannot take part here; undefined: it can. */
export function missing(language: Language): string | undefined {
  if (language === "cpp" && !hasCompiler("g++")) return "there is no g++: C++ is left out";
  if (language === "python" && noPython !== false) return noPython;
  return undefined;
}

/** The command that starts its peer; C and C++ are compiled first, if their sources are newer. */
export function peerCommand(language: Language): string[] {
  switch (language) {
    case "typescript":
      return [process.execPath, "--enable-source-maps", join(import.meta.dirname, "peer.js")];
    case "python":
      return ["python3", join(source, "peer.py")];
    case "c":
      return [compiled("peer_c", ["peer.c"], [cc, "-std=c11", "-Wstrict-prototypes"])];
    case "cpp":
      return [compiled("peer_cpp", ["peer.cpp"], ["g++", "-std=c++17"])];
    default:
      return language satisfies never;
  }
}

/** As somebody outside would: the headers, the library, nothing else. */
function compiled(name: string, sources: readonly string[], compiler: readonly string[]): string {
  const native = join(root, "dist/native");
  const output = join(built, name);
  const inputs = sources.map((file) => join(source, file));
  const folders = ["shm/core", "shm/cpp", "schemas/media/c", "hil-tests/matrix"].map((folder) => join(root, folder));
  const needed = [...inputs, join(source, "peer.h"), join(native, "libipcnet.so"), join(root, "shm/core/ipcnet.h"), join(root, "shm/cpp/ipcnet.hpp")];
  if (existsSync(output) && needed.every((path) => statSync(path).mtimeMs < statSync(output).mtimeMs)) return output;
  mkdirSync(built, { recursive: true });
  // The one part of the library that it does not export and the peers need.
  const sha256 = join(built, `sha256-${process.pid}.o`);
  execFileSync(cc, ["-O2", "-c", join(root, "shm/core/sha256.c"), "-o", sha256], { stdio: ["ignore", "inherit", "inherit"] });
  const [command = "", ...flags] = compiler;
  // Other test files may need it at the same time: it is there whole, or not at all.
  const fresh = `${output}-${process.pid}`;
  execFileSync(command, [...flags, "-O1", "-g", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wshadow", ...folders.map((folder) => `-I${folder}`), ...inputs, sha256, "-o", fresh, `-L${native}`, `-Wl,-rpath,${native}`, "-lipcnet"], { stdio: ["ignore", "inherit", "inherit"] });
  renameSync(fresh, output);
  rmSync(sha256);
  return output;
}

/** A running peer and what it has said. */
export class Peer {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[] = [];
  readonly #what: string;
  #errors = "";
  #changed: (() => void)[] = [];
  #closed = false;

  constructor(language: Language, args: readonly string[]) {
    const [command = "", ...first] = peerCommand(language);
    this.#what = `${languageNames[language]} ${args[0]}`;
    this.child = spawn(command, [...first, ...args], { env: pythonEnvironment(), stdio: ["pipe", "pipe", "pipe"] });
    let text = "";
    this.child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
      const parts = (text + chunk).split("\n");
      text = parts.pop()!;
      for (const part of parts) this.lines.push(JSON.parse(part) as Record<string, unknown>);
      this.#wake();
    });
    this.child.stderr!.setEncoding("utf8").on("data", (chunk: string) => (this.#errors += chunk));
    this.child.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  #wake(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }

  /** Resolves when it has said a line with this key. Rejects when it ended without, or after `timeoutMs`. */
  async said(key: string, timeoutMs = 60_000): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!this.lines.some((line) => key in line)) {
      if (this.#closed) throw new Error(`${this.#what} ended with ${this.child.exitCode ?? this.child.signalCode} without "${key}": ${this.#errors}`);
      if (performance.now() > deadlineMs) throw new Error(`${this.#what} did not say "${key}" within ${timeoutMs} ms; last: ${JSON.stringify(this.lines.slice(-2))} ${this.#errors}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs - performance.now() + 1);
        this.#changed.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Closes its input, which ends it; kills it where that does not. */
  async stop(): Promise<void> {
    if (this.#closed) return;
    const closed = once(this.child, "close");
    this.child.stdin!.end();
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 5_000);
    await closed;
    clearTimeout(timer);
  }
}
