import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ManualClock } from "../../schemas/clock.ts";
import { sampleReport } from "../view/sampleReport.ts";
import { completionModel, type PlaceModel } from "./completion/model.ts";
import { runCli } from "./main.ts";
import { MemoryClient, memoryContext } from "./memory.ts";
import { buildProgram } from "./program.ts";

let folder = "";
let places: PlaceModel[] = [];
const scripts = new Map<string, { text: string; path: string }>();

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "ipcnet-completion-"));
  places = completionModel(await buildProgram(undefined, memoryContext()));
  for (const shell of ["bash", "zsh", "fish"]) {
    const context = memoryContext();
    assert.equal(await runCli(["completion", shell], context), 0);
    const path = join(folder, shell);
    writeFileSync(path, context.stdout.text);
    scripts.set(shell, { text: context.stdout.text, path });
  }
  // Stands for the gateway's answer.
  writeFileSync(join(folder, "ipcnet"), "#!/bin/sh\nif [ \"$2\" = topics ]; then printf 'can/arm/elbow_State\\ncan/arm/raw\\ncmd/arm/elbow_Command\\n'; else printf 'arm\\nbase\\n'; fi\n");
  chmodSync(join(folder, "ipcnet"), 0o755);
});

after(() => rmSync(folder, { recursive: true, force: true }));

function installed(shell: string): boolean {
  return spawnSync(shell, ["-c", "true"]).error === undefined;
}

/** What is offered for the last word. */
const offer: Readonly<Record<string, (words: readonly string[]) => string[]>> = {
  bash: (words) => shellLines("bash", ["--norc", "-c", 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ipcnet 2>&1; printf "%s\\n" "${COMPREPLY[@]}"', scripts.get("bash")!.path, ...words]),
  zsh: (words) => shellLines("zsh", ["-fc", `compdef() { }; compadd() { while [[ $1 == -* ]]; do shift; done; print -l -- "$@" }; _files() { print FILES }
    _describe() { [[ $1 == -o ]] && shift; local name=$2; print -l -- "\${(@)\${(P@)name}%%:*}" }; source "$0"; words=("$@"); CURRENT=$#; _ipcnet`, scripts.get("zsh")!.path, ...words]).filter((line) => line === "FILES" || line.startsWith(words.at(-1)!)),
  fish: (words) => shellLines("fish", ["--no-config", "-c", `source ${scripts.get("fish")!.path}; complete -C '${words.join(" ")}'`]).map((line) => line.split("\t")[0]!),
};

function shellLines(shell: string, words: string[]): string[] {
  const { stdout, stderr } = spawnSync(shell, words, { encoding: "utf8", cwd: folder, env: { PATH: `${folder}:${process.env.PATH}`, HOME: folder } });
  assert.equal(stderr, "");
  return stdout.split("\n").filter((line) => line !== "").sort();
}

test("every verb, sub-verb and option is in each script", () => {
  assert.ok(places.length > 10);
  for (const [shell, { text }] of scripts) {
    for (const { path, verbs, options } of places) {
      for (const { name } of verbs) assert.match(text, new RegExp(`\\b${name}\\b`), `${shell}: ${path} ${name}`);
      for (const name of options.flatMap(({ names }) => names)) {
        const written = shell !== "fish" ? name : name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`;
        assert.ok(text.includes(written), `${shell}: ${path} ${name}`);
      }
    }
  }
});

test("bash accepts its script", () => {
  const { status, stderr } = spawnSync("bash", ["-n", scripts.get("bash")!.path], { encoding: "utf8" });
  assert.equal(stderr, "");
  assert.equal(status, 0);
});

for (const shell of ["bash", "zsh", "fish"]) {
  test(`${shell} completes verbs, options, topics, buses, choices and files${installed(shell) ? "" : " (not installed here: only its text was checked)"}`, () => {
    if (!installed(shell)) return;
    const offered = offer[shell]!;
    assert.deepEqual(offered(["ipcnet", "to"]), ["top", "topics"]);
    assert.deepEqual(offered(["ipcnet", "echo", "--co"]), ["--count"]);
    assert.deepEqual(offered(["ipcnet", "--json", "echo", "--ra"]), ["--rate-max"]);
    assert.deepEqual(offered(["ipcnet", "echo", "can/"]), ["can/arm/elbow_State", "can/arm/raw"]);
    assert.deepEqual(offered(["ipcnet", "echo", "can/arm/raw", "cm"]), ["cmd/arm/elbow_Command"]);
    assert.deepEqual(offered(["ipcnet", "echo", "--count", "5", "can/arm/r"]), ["can/arm/raw"]);
    assert.deepEqual(offered(["ipcnet", "echo", "--count", ""]).filter((line) => line.includes("/arm/")), []);
    assert.deepEqual(offered(["ipcnet", "completion", "z"]), ["zsh"]);
    assert.deepEqual(offered(["ipcnet", "doctor", "--only", "s"]), ["serial"]);
    assert.deepEqual(offered(["ipcnet", "help", "exi"]), ["exit-codes"]);
    const files = offered(["ipcnet", "reload", shell === "zsh" ? "" : "ba"]);
    assert.deepEqual(files, shell === "zsh" ? ["FILES"] : ["bash"]);
  });
}

test("the hidden verb prints harmless names only, and nothing at all when anything goes wrong", async () => {
  const client = new MemoryClient();
  for (const name of ["can/arm/raw", "a/$(reboot)", "b/`x`", "c d"]) client.descriptions.push({ name, encoding: "bytes" });
  client.services.set("gateway/status", () => sampleReport());
  const topics = memoryContext({ services: { connect: client.connect } });
  assert.equal(await runCli(["__complete", "topics"], topics), 0);
  assert.equal(topics.stdout.text, "can/arm/raw\n");
  const buses = memoryContext({ services: { connect: client.connect } });
  assert.equal(await runCli(["__complete", "buses"], buses), 0);
  assert.equal(buses.stdout.text, "arm\n");
  const failing = memoryContext({ services: { connect: () => Promise.reject(new Error("no")) } });
  assert.equal(await runCli(["__complete", "topics"], failing), 0);
  assert.equal(failing.stdout.text + failing.stderr.text, "");
});

test("a gateway that does not answer costs 150 ms at most", async () => {
  const clock = new ManualClock();
  let asked = (): void => undefined;
  const connecting = new Promise<void>((resolve) => {
    asked = resolve;
  });
  const connect = (): Promise<never> => {
    asked();
    return new Promise(() => undefined);
  };
  const context = memoryContext({ services: { clock, connect } });
  const ended = runCli(["__complete", "topics"], context);
  await connecting;
  await new Promise((resolve) => setImmediate(resolve));
  clock.advanceMs(150);
  assert.equal(await ended, 0);
  assert.equal(context.stdout.text + context.stderr.text, "");
});
