/** A faulty file starts nothing and replaces nothing; a right one is in force at once where that is possible, and otherwise says what needs a restart. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Status } from "../shm/client/index.ts";
import { ArmRig, type Configuration, refusal, yamlOf } from "./armRig.ts";
import { testFolder } from "./daemon.ts";

/** Runs a program of ours to its end. */
async function run(script: string, args: readonly string[]): Promise<{ code: number; text: string }> {
  const child = spawn(process.execPath, ["--enable-source-maps", script, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const [code] = (await once(child, "close")) as [number];
  return { code, text };
}

const daemon = join(import.meta.dirname, "../gateway/bin/ipcnetd.js");
const cli = join(import.meta.dirname, "../../../bin/ipcnet.mjs");

const faulty: readonly { what: string; text: string; line: number; column: number; code: string }[] = [
  { what: "an unknown key", text: "version: 1\nrobot: r\nbuzes: []\n", line: 3, column: 1, code: "unknownKey" },
  { what: "a value out of range", text: "version: 1\nrobot: r\nbuses:\n  - { name: arm, interface: can0, txQueueFrames: 0 }\n", line: 4, column: 50, code: "outOfRange" },
  { what: "a command that no database knows", text: "version: 1\nrobot: r\nbuses:\n  - { name: arm, interface: can0, optional: true }\ncommands:\n  - { bus: arm, message: Fire, ttlMsMax: 10, rateHzMax: 10, writers: [] }\n", line: 6, column: 26, code: "" },
  { what: "broken YAML", text: "version: 1\nrobot: [r\n", line: 0, column: 0, code: "" },
];

describe("a faulty file", () => {
  const folder = testFolder();
  after(() => folder.remove());
  for (const [index, { what, text, line, column, code }] of faulty.entries()) {
    test(`${what}: the daemon ends with 2 and names the place; ipcnet config check says the same`, async () => {
      const file = join(folder.path, `faulty${index}.yaml`);
      writeFileSync(file, text);
      const [started, checked] = await Promise.all([run(daemon, ["--config", file]), run(cli, ["config", "check", file])]);
      assert.equal(started.code, 2, started.text);
      const place = new RegExp(`${file.replaceAll(".", "\\.")}:(\\d+):(\\d+): error (\\w+)`).exec(started.text);
      assert.ok(place, started.text);
      if (line > 0) assert.deepEqual([Number(place[1]), Number(place[2])], [line, column], started.text);
      if (code) assert.equal(place[3], code);
      assert.match(started.text, /nothing was started/);
      assert.notEqual(checked.code, 0);
      assert.ok(checked.text.includes(place[0]), `${checked.text}\nversus\n${started.text}`);
    });
  }
  test("a file that is not there: 2, and what to do", async () => {
    const { code, text } = await run(daemon, ["--config", join(folder.path, "missing.yaml")]);
    assert.equal(code, 2);
    assert.match(text, /missing\.yaml/);
    assert.match(text, /remedy/);
  });
});

describe("a reload while running", () => {
  let rig: ArmRig;
  before(async () => {
    rig = await ArmRig.start();
  });
  after(() => rig.stop());

  const inForce = async () => (await rig.client.request("gateway/config")) as { hash: string; file: string; config: Configuration };
  /** Writes a changed copy beside the running one and asks for it. */
  function reload(change: (configuration: Configuration) => void): Promise<unknown> {
    const copy = structuredClone(rig.configuration);
    change(copy);
    const path = join(rig.folder.path, "changed.yaml");
    writeFileSync(path, `socket: { path: "${rig.daemon.socketPath}", mode: "0600" }\n${yamlOf(copy)}`);
    return rig.client.request("gateway/reload", { path });
  }

  test("the same contents change nothing", async () => {
    const { hash } = await inForce();
    assert.deepEqual(await reload(() => undefined), { changed: [], hash });
  });

  test("a faulty file is refused with its faults, and the old one goes on, armed as it was", async () => {
    const { hash } = await inForce();
    await rig.arm();
    const error = await refusal(reload((configuration) => void (configuration.commands[0]!["rateHzMax"] = -1)));
    assert.equal(error.status, Status.unprocessableContent);
    assert.match(error.message, /changed\.yaml:\d+:\d+/);
    assert.equal((await inForce()).hash, hash);
    const { state } = await rig.status();
    assert.equal(state, "armed");
    await rig.command("base", { mode: "Hold", targetPosition: 0, velocityLimit: 0 });
  });

  test("changed buses need a restart: said so, nothing changed", async () => {
    const { hash } = await inForce();
    const error = await refusal(reload((configuration) => {
      configuration.buses[0]!["txQueueFrames"] = 8;
      configuration["readers"] = [{ user: "0" }];
    }));
    assert.equal(error.status, Status.conflict);
    assert.match(error.message, /restart needed/);
    assert.match(error.message, /buses/);
    assert.ok(!/readers/.test(error.message));
    const now = await inForce();
    assert.equal(now.hash, hash);
    assert.equal(now.config["readers"], undefined, "all or nothing");
  });

  test("changed readers, operators and arming are in force at once, without disarming", async () => {
    const before = await inForce();
    const answer = (await reload((configuration) => {
      configuration["readers"] = [{ user: "12345" }];
      configuration["operators"] = [{ group: "54321" }];
      configuration.arming["autoDisarmAfterSilentMs"] = 300;
    })) as { changed: string[]; hash: string };
    assert.deepEqual(answer.changed.map((path) => path.split(/[.[]/, 1)[0]).sort(), ["arming", "operators", "readers"]);
    const now = await inForce();
    assert.equal(now.hash, answer.hash);
    assert.notEqual(now.hash, before.hash);
    // Nobody commands: the new rule disarms.
    const { stateReason } = await rig.until("disarmed by the new rule", ({ state }) => state === "disarmed");
    assert.match(stateReason, /no command for 300 ms/);
  });
});
