import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { runCli } from "./main.ts";
import { MemoryClient, memoryContext } from "./memory.ts";
import { registry } from "./registry.ts";
import { projectRoot, version } from "./root.ts";
import { buildProgram, firstOperand } from "./program.ts";

const bin = join(projectRoot(), "bin/ipcnet.mjs");

async function run(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const context = memoryContext({ services: { connect: () => Promise.reject(Object.assign(new Error("connect ENOENT /nowhere"), { code: "ENOENT" })) } });
  const code = await runCli(argv, context);
  return { code, stdout: context.stdout.text, stderr: context.stderr.text };
}

test("--version and --help", async () => {
  assert.deepEqual(await run("--version"), { code: 0, stdout: `${version()}\n`, stderr: "" });
  const { code, stdout, stderr } = await run("--help");
  assert.equal(code, 0);
  assert.equal(stderr, "");
  for (const { verbs } of registry) for (const verb of verbs) if (!verb.startsWith("__")) assert.match(stdout, new RegExp(`^  ${verb}\\b`, "m"));
  assert.doesNotMatch(stdout, /__complete/);
});

test("each file of the registry registers exactly the verbs it stands for, each with a description", async () => {
  const all = await buildProgram(undefined, memoryContext());
  assert.deepEqual(all.commands.map((command) => command.name()).filter((name) => name !== "help"), registry.flatMap(({ verbs }) => verbs));
  for (const command of all.commands) assert.notEqual(command.description(), "", command.name());
});

test("a mistyped verb or option: one sentence, a suggestion, exit code 2", async () => {
  assert.deepEqual(await run("statsu"), { code: 2, stdout: "", stderr: "ipcnet: unknown command 'statsu'\n        remedy: did you mean status?\n" });
  const option = await run("status", "--wtach");
  assert.equal(option.code, 2);
  assert.match(option.stderr, /unknown option '--wtach'\n {8}remedy: did you mean --watch\?/);
  assert.equal((await run("echo")).code, 2);
  assert.equal((await run("echo", "a", "--count", "0")).code, 2);
});

test("no verb at all: the help on stderr, exit code 2", async () => {
  const { code, stdout, stderr } = await run();
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /Usage: ipcnet/);
});

test("with --json, before or after the verb, trouble is an object on stdout", async () => {
  for (const argv of [["--json", "status"], ["status", "--json"]]) {
    const { code, stdout, stderr } = await run(...argv);
    assert.equal(code, 3);
    assert.equal(stderr, "");
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string; remedy: string } };
    assert.equal(error.code, "unreachable");
    assert.match(error.message, /no gateway answers/);
    assert.match(error.remedy, /--socket/);
  }
});

test("a socket one may not open is exit code 4, with the command that mends it", async () => {
  const context = memoryContext({ services: { connect: () => Promise.reject(Object.assign(new Error("connect EACCES"), { code: "EACCES" })) } });
  assert.equal(await runCli(["status"], context), 4);
  assert.match(context.stderr.text, /usermod -aG ipcnet/);
});

test("the gateway's refusals become exit codes", async () => {
  for (const [status, code] of [[Status.forbidden, 4], [Status.notFound, 2], [Status.conflict, 1], [Status.serviceUnavailable, 3]] as const) {
    const client = new MemoryClient();
    client.onPublish = () => {
      throw new IpcnetError(status, "no");
    };
    assert.equal(await runCli(["pub", "a/b", "x=1"], memoryContext({ services: { connect: client.connect } })), code);
    assert.equal(client.closed, 1);
  }
});

test("help pages and the help of nested verbs", async () => {
  assert.match((await run("help", "exit-codes")).stdout, /^ {2}3 {2}the gateway cannot be reached$/m);
  assert.match((await run("help", "environment")).stdout, /IPCNET_SOCKET/);
  assert.match((await run("help", "echo")).stdout, /^Usage: ipcnet echo/);
  assert.equal((await run("help", "nonsense")).code, 2);
});

test("the verb is found behind global options", () => {
  assert.equal(firstOperand(["--socket", "/x", "--json", "echo", "a"]), "echo");
  assert.equal(firstOperand(["--socket=/x", "echo"]), "echo");
  assert.equal(firstOperand(["--json"]), undefined);
});

test("the global --socket reaches the verb from either side, and IPCNET_SOCKET is the default", async () => {
  const asked: (string | undefined)[] = [];
  const connect = (options: { socketPath?: string }): Promise<never> => {
    asked.push(options.socketPath);
    return Promise.reject(Object.assign(new Error("x"), { code: "ENOENT" }));
  };
  for (const argv of [["--socket", "/a", "topics"], ["topics", "--socket", "/a"]]) await runCli(argv, memoryContext({ services: { connect } }));
  await runCli(["topics"], memoryContext({ services: { connect }, env: { IPCNET_SOCKET: "/b" } }));
  await runCli(["topics"], memoryContext({ services: { connect } }));
  assert.deepEqual(asked, ["/a", "/a", "/b", undefined]);
});

test("the launcher: version, exit code of a failure, quiet when the reader goes away", () => {
  assert.equal(spawnSync(process.execPath, [bin, "--version"], { encoding: "utf8" }).stdout, `${version()}\n`);
  assert.equal(spawnSync(process.execPath, [bin, "nonsense"]).status, 2);
  const piped = spawnSync("bash", ["-c", `"$0" "$1" help | true; "$0" "$1" --help | head -1; echo "\${PIPESTATUS[0]}"`, process.execPath, bin], { encoding: "utf8" });
  assert.equal(piped.stderr, "");
  assert.match(piped.stdout, /^Usage: ipcnet .*\n0\n$/);
  const full = spawnSync("bash", ["-c", '"$0" "$1" --help > /dev/full', process.execPath, bin], { encoding: "utf8" });
  assert.equal(full.status, 1);
  assert.match(full.stderr, /the output cannot be written: .*ENOSPC/);
});

test("Ctrl-C ends a long-running verb cleanly with 130, and the reader's going away with 0", async () => {
  for (const [reason, code] of [["SIGINT", 130], ["SIGTERM", 143], ["EPIPE", 0]] as const) {
    const client = new MemoryClient();
    const context = memoryContext({ services: { connect: client.connect } });
    const ended = runCli(["echo", "can/#"], context);
    await client.untilSubscribed();
    context.abort(reason);
    assert.equal(await ended, code);
    assert.equal(client.closed, 1);
  }
});
