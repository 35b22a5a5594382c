/** `ipcnet setup` against a made-up machine, written below a folder of the test's. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { eventually } from "../../schemas/testing.ts";
import { canInterface, memoryMachine, wellMachine } from "../doctor/memoryMachine.ts";
import { runCli } from "./main.ts";
import { memoryContext, type MemoryContext } from "./memory.ts";

function robot(t: TestContext): { root: string; read(path: string): string; files(): string[]; context(): MemoryContext; terminal(): MemoryContext } {
  const root = mkdtempSync(join(tmpdir(), "ipcnet-setup-"));
  t.after(() => rmSync(root, { recursive: true }));
  const machine = memoryMachine(wellMachine(canInterface("can0")));
  const context = (): MemoryContext => memoryContext({ services: { machine: () => machine } });
  return {
    root, context, read: (path) => readFileSync(join(root, path), "utf8"),
    files: () => readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => /\.(?:yaml|conf|json|dbc|before-setup-\d+)$/.test(path)).sort(),
    terminal: () => {
      const made = context();
      Object.assign(made.stdin, { isTTY: true });
      return made;
    },
  };
}

test("without questions: what the machine has becomes a configuration and drop-ins", async (t) => {
  const { root, read, files, context } = robot(t);
  const first = context();
  assert.equal(await runCli(["setup", "--yes", "--root", root, "--robot", "arm-7"], first), 0, first.stderr.text);
  assert.deepEqual(files(), ["etc/ipcnet/ipcnet.yaml", "etc/systemd/system.conf.d/50-ipcnet-setup.conf", "etc/systemd/system/ipcnet-reflex@.service.d/50-ipcnet-setup.conf"]);
  assert.match(read("etc/ipcnet/ipcnet.yaml"), /^robot: arm-7$/m);
  assert.match(read("etc/ipcnet/ipcnet.yaml"), /^ {4}interface: can0\n {4}bitrateBps: 500000$/m);
  assert.match(read("etc/systemd/system.conf.d/50-ipcnet-setup.conf"), /^RuntimeWatchdogSec=0$/m);
  // Again: nothing differs. Then something does, and a person's file is kept; setup's own are not.
  const again = context();
  assert.equal(await runCli(["setup", "--yes", "--root", root, "--robot", "arm-7"], again), 0);
  assert.doesNotMatch(again.stdout.text, /^(?:write|change|remove) /m);
  const other = context();
  assert.equal(await runCli(["setup", "--yes", "--root", root, "--robot", "arm-8", "--watchdog", "none"], other), 0);
  assert.match(other.stdout.text, /- robot: arm-7\n.*\+ robot: arm-8/);
  assert.deepEqual(files(), ["etc/ipcnet/ipcnet.yaml", "etc/ipcnet/ipcnet.yaml.before-setup-1"]);
  assert.match(read("etc/ipcnet/ipcnet.yaml.before-setup-1"), /^robot: arm-7$/m);
});

test("a look writes nothing", async (t) => {
  const { root, files, context } = robot(t);
  const look = context();
  assert.equal(await runCli(["setup", "--dry-run", "--root", root, "--json"], look), 0, look.stderr.text);
  assert.deepEqual(files(), []);
  const shown = JSON.parse(look.stdout.text) as { units: string[]; changes: { path: string }[] };
  assert.ok(shown.units.includes("ipcnetd@a.service") && shown.changes.some(({ path }) => path.endsWith("/ipcnet.yaml")));
});

test("a configuration of a person's own is judged, and copied with the files that it names", async (t) => {
  const { root, read, files, context } = robot(t);
  const own = mkdtempSync(join(tmpdir(), "ipcnet-own-"));
  t.after(() => rmSync(own, { recursive: true }));
  mkdirSync(join(own, "dbc"));
  writeFileSync(join(own, "dbc/arm.dbc"), "VERSION \"\"\n\nBU_: Node\n\nBO_ 291 State: 8 Node\n SG_ position : 0|16@1- (0.001,0) [-10|10] \"rad\" Vector__XXX\n");
  const file = join(own, "robot.yaml");
  writeFileSync(file, "version: 1\nrobot: own\nbuses: [ { name: arm, interface: can0, optional: true, databases: [ { dbc: dbc/arm.dbc } ] } ]\nredundancy: { reflex: pair, brains: pair }\n");
  const taken = context();
  assert.equal(await runCli(["setup", "--yes", "--root", root, "--config", file, "--watchdog", "none"], taken), 0, taken.stderr.text);
  assert.deepEqual(files(), ["etc/ipcnet/dbc/arm.dbc", "etc/ipcnet/ipcnet.yaml"]);
  assert.equal(read("etc/ipcnet/ipcnet.yaml"), readFileSync(file, "utf8"));
  // Refused: with the fault's line, and nothing is written.
  writeFileSync(file, "version: 1\nrobot: own\nbusses: []\n");
  const refused = context();
  assert.equal(await runCli(["setup", "--yes", "--root", join(root, "other"), "--config", file], refused), 1);
  assert.match(refused.stderr.text, /busses/);
  assert.ok(!existsSync(join(root, "other")));
});

test("the end of the input ends it in words, and what is neither yes nor no is asked again", async (t) => {
  const { root, files, terminal } = robot(t);
  const first = terminal();
  const run = runCli(["setup", "--root", root, "--robot", "arm", "--buses", "none", "--serial", "none", "--watchdog", "none", "--no-start"], first);
  await eventually("whether to write", () => first.stderr.text.includes("Write this?"));
  first.stdin.write("maybe\n");
  await eventually("that it is asked again", () => first.stderr.text.split("Write this?").length === 3);
  first.stdin.end();
  assert.equal(await run, 1);
  assert.match(first.stderr.text, /interrupted: nothing was written/);
  assert.deepEqual(files().filter((path) => !path.endsWith("setup.json")), []);
});

test("an interrupted run is gone on with", async (t) => {
  const { root, read, context, terminal } = robot(t);
  const first = terminal();
  const run = runCli(["setup", "--root", root], first);
  await eventually("the first question", () => first.stderr.text.includes("Name of the robot"));
  first.stdin.write("No Name\n");
  await eventually("that it is asked again", () => first.stderr.text.split("Name of the robot").length === 3);
  first.stdin.write("kept-arm\n");
  await eventually("the second question", () => first.stderr.text.includes("CAN buses"));
  first.abort("SIGINT");
  assert.equal(await run, 130);
  const second = context();
  assert.equal(await runCli(["setup", "--yes", "--root", root], second), 0, second.stderr.text);
  assert.match(second.stderr.text, /Kept from the run before: robot kept-arm/);
  assert.match(read("etc/ipcnet/ipcnet.yaml"), /^robot: kept-arm$/m);
  assert.ok(!existsSync(join(root, "var/lib/ipcnet/setup.json")), "what is done is not kept any longer");
});

test("who cannot be asked is told what to do, and a wrong flag names what is right", async (t) => {
  const { root, context } = robot(t);
  const silent = context();
  assert.equal(await runCli(["setup", "--root", root], silent), 2);
  assert.match(silent.stderr.text, /ipcnet setup --yes/);
  const wrong = context();
  assert.equal(await runCli(["setup", "--yes", "--root", root, "--buses", "arm=can0@5"], wrong), 2);
  assert.match(wrong.stderr.text, /CAN has 5000 to 1000000/);
});
