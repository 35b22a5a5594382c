import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Command } from "commander";
import { parse } from "yaml";
import { loadConfig } from "../../schemas/messages/loadConfig.ts";
import { register } from "./config.ts";
import { describeTrouble } from "./errors.ts";
import { memoryContext } from "./memory.ts";
import { projectRoot } from "./root.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-config-"));
after(() => rmSync(folder, { recursive: true }));
const arm = join(projectRoot(), "examples/config/arm-can0.yaml");

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const context = memoryContext();
  const program = new Command("ipcnet").exitOverride().configureOutput({ writeErr: () => undefined, outputError: () => undefined });
  register(program, context);
  try {
    await program.parseAsync(["config", ...argv], { from: "user" });
  } catch (error) {
    const { exitCode, message } = describeTrouble(error);
    return { code: exitCode, out: context.stdout.text, err: message };
  }
  return { code: context.exitCode, out: context.stdout.text, err: context.stderr.text };
}

test("check: a good file is summed up in one line", async () => {
  const { code, out } = await run("check", arm, "--elsewhere");
  assert.equal(code, 0);
  assert.match(out, /^OK: 1 bus, 1 serial link, 3 nodes, 3 commands, 1 route, 11 topics, 0 warnings; hash [0-9a-f]{64}\n$/);
  const json = JSON.parse((await run("check", arm, "--elsewhere", "--json")).out) as Record<string, unknown>;
  assert.deepEqual({ ...json, hash: "" }, { ok: true, hash: "", faults: [], notes: [] });
});

test("check: an interface that is not here is a note, not a fault", async () => {
  const path = file("absent.yaml", "version: 1\nrobot: r\nbuses: [ { name: a, interface: absent9 } ]\n");
  const { code, out } = await run("check", path);
  assert.equal(code, 0);
  assert.match(out, /:3:32: note unknownHere: there is no interface absent9 on this machine\nOK: .*would not start on this machine/);
  assert.equal((JSON.parse((await run("check", path, "--json")).out) as { startsHere: boolean }).startsHere, false);
});

test("check: a bad file is refused with every fault, caret and hint; control characters do not reach the terminal", async () => {
  const path = file("bad.yaml", 'version: 1\nrobot: "r\\u001b[2J"\nbuses: [ { name: a, interface: can0, bitrateBps: 500k } ]\nroutes: [ { from: can/b/raw, to: can/a/raw, ids: ["0x1"] } ]\n');
  const { code, out } = await run("check", path, "--elsewhere");
  assert.equal(code, 1);
  assert.deepEqual(out.split("\n").filter((line) => line.startsWith(path)).map((line) => line.slice(path.length).split(": ")[1]), ["error badFormat", "error wrongType", "error unknownBus"]);
  assert.match(out, /\^{4}\n {6}expected: a bit rate in bit\/s, 5000 to 1000000\n {6}hint: write 500000\n/);
  assert.match(out, /refused: .*bad\.yaml: 3 errors, 0 warnings\n$/);
  assert.ok(!out.includes("\u001b"));
  const json = JSON.parse((await run("check", path, "--json")).out) as { ok: boolean; hash: null; faults: { code: string; line: number; column: number }[] };
  assert.deepEqual([json.ok, json.hash, json.faults.map(({ code, line, column }) => `${code} ${line}:${column}`)], [false, null, ["badFormat 2:8", "wrongType 3:50", "unknownBus 4:19"]]);
});

test("check, show, diff: a file that cannot be read is wrong usage", async () => {
  for (const verb of [["check"], ["show"], ["diff", arm]]) {
    const { code, err } = await run(...verb, join(folder, "nowhere.yaml"));
    assert.equal(code, 2);
    assert.match(err, /cannot read .*nowhere\.yaml: it does not exist/);
  }
  assert.match((await run("check", folder)).err, /no regular file/);
});

test("show: what it prints is a configuration that means the same", async () => {
  const { code, out } = await run("show", arm);
  assert.equal(code, 0);
  const { config, faults } = loadConfig(out, { file: "shown" });
  assert.deepEqual(faults, []);
  assert.deepEqual(config, JSON.parse((await run("show", arm, "--json")).out));
  assert.equal((parse(out) as { arming: { autoDisarmAfterSilentMs: number } }).arming.autoDisarmAfterSilentMs, 1000);
  const bad = await run("show", file("bad2.yaml", "version: 1\nrobbot: r\n"));
  assert.deepEqual([bad.code, bad.out], [1, ""]);
  assert.match(bad.err, /did you mean "robot"\?/);
});

test("diff: what differs, and what it takes", async () => {
  const before = file("before.yaml", "version: 1\nrobot: r\nbuses: [ { name: a, interface: can0 } ]\n");
  const after = file("after.yaml", "version: 1\nrobot: r\nbuses: [ { name: a, interface: can1 } ]\narming: { autoDisarmAfterSilentMs: 500 }\n");
  assert.deepEqual(await run("diff", before, before), { code: 0, out: "no difference\n", err: "" });
  const { code, out } = await run("diff", before, after);
  assert.equal(code, 1);
  assert.equal(out, '~ arming.autoDisarmAfterSilentMs: 1000 → 500 (live)\n~ buses.a.interface: "can0" → "can1" (reopen a)\n2 differences; to apply: reopen\n');
  assert.deepEqual((await run("diff", before, after, "--json")).out.trim().split("\n").map((line) => (JSON.parse(line) as { path: string }).path), ["arming.autoDisarmAfterSilentMs", "buses.a.interface"]);
});

test("schema: the file that editors use", async () => {
  const { out } = await run("schema");
  assert.equal((JSON.parse(out) as { title: string }).title, "IPCNet configuration");
});
