/** Readers read, writers write what is theirs, operators arm, and who is none of them is not even let in. Asked by processes of other users. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Status } from "../shm/client/index.ts";
import { ArmRig } from "./armRig.ts";
import { eventually } from "./waiting.ts";

const notRoot = process.getuid?.() === 0 ? false : "only root can run programs as other users";

/** Users and groups that nobody else is; no names are needed. */
const READER = { uid: 65_101, gid: 65_101 };
const OPERATOR = { uid: 65_102, gid: 65_202 };
const WRITER = { uid: 65_103, gid: 65_103 };
const STRANGER = { uid: 65_104, gid: 65_104 };

const clientModule = JSON.stringify(join(import.meta.dirname, "../shm/client/index.js"));

/** What each attempt answered: 100 for success, else the status of the refusal. */
type Answers = Record<"connect" | "status" | "read" | "writeBase" | "writeShoulder" | "arm" | "reload" | "disarm", number>;

describe("who may do what", { skip: notRoot }, () => {
  let rig: ArmRig;
  before(async () => {
    rig = await ArmRig.start({ configure: (configuration) => {
      configuration["readers"] = [{ user: String(READER.uid) }];
      configuration["operators"] = [{ group: String(OPERATOR.gid) }];
      configuration.commands[0]!["writers"] = [{ user: String(WRITER.uid) }];
    } });
    // The rules are to be tested, not the permissions of files.
    chmodSync(rig.folder.path, 0o755);
    chmodSync(rig.daemon.socketPath, 0o666);
    await rig.until("nothing missing for arming", ({ missingForArming }) => missingForArming.length === 0);
  });
  after(() => rig.stop());

  /** One program of that user tries everything, in this order. */
  async function tryEverything(who: { uid: number; gid: number }): Promise<Partial<Answers>> {
    const program = `const { connect } = await import(${clientModule});
      const answers = {};
      const attempt = async (name, what) => { try { await what(); answers[name] = 100; } catch (error) { answers[name] = error.status ?? String(error); } };
      let client;
      await attempt("connect", async () => { client = await connect({ socketPath: ${JSON.stringify(rig.daemon.socketPath)}, timeoutMs: 60_000 }); });
      if (client) {
        const hold = { mode: "Hold", targetPosition: 0, velocityLimit: 0 };
        await attempt("status", () => client.request("gateway/status"));
        await attempt("read", async () => { if ((await client.query("can/arm/base_State")) === undefined) throw new Error("no value"); });
        await attempt("writeBase", () => client.publish("cmd/arm/base_Command", hold));
        await attempt("writeShoulder", () => client.publish("cmd/arm/shoulder_Command", hold));
        await attempt("arm", () => client.request("gateway/arm"));
        await attempt("reload", () => client.request("gateway/reload", { path: "/nowhere.yaml" }));
        await attempt("disarm", () => client.request("gateway/disarm"));
        await client.close();
      }
      process.stdout.write(JSON.stringify(answers));`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "pipe"], cwd: "/", ...who });
    let out = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    await once(child, "close");
    assert.notEqual(out, "", errors);
    return JSON.parse(out) as Answers;
  }

  const { ok, forbidden, preconditionFailed, unprocessableContent } = Status;

  test("a stranger is not let in", async () => {
    const { connect, ...rest } = await tryEverything(STRANGER);
    assert.equal(connect, forbidden);
    assert.deepEqual(rest, {});
    await eventually("it is logged", () => new RegExp(`uid ${STRANGER.uid}.*clientRefused`).test(rig.daemon.log()));
  });

  test("a reader reads and changes nothing", async () => {
    assert.deepEqual(await tryEverything(READER), { connect: ok, status: ok, read: ok, writeBase: forbidden, writeShoulder: forbidden, arm: forbidden, reload: forbidden, disarm: forbidden });
  });

  test("an operator arms, disarms and reloads, and commands nothing", async () => {
    // The file that it names does not exist: that it was looked for says that it was permitted.
    assert.deepEqual(await tryEverything(OPERATOR), { connect: ok, status: ok, read: ok, writeBase: forbidden, writeShoulder: forbidden, arm: ok, reload: unprocessableContent, disarm: ok });
  });

  test("a writer commands what is his and only while somebody has armed", async () => {
    const expected = { connect: ok, status: forbidden, read: forbidden, writeShoulder: forbidden, arm: forbidden, reload: forbidden, disarm: forbidden };
    assert.deepEqual(await tryEverything(WRITER), { ...expected, writeBase: preconditionFailed });
    await rig.arm();
    assert.deepEqual(await tryEverything(WRITER), { ...expected, writeBase: ok });
    await rig.client.request("gateway/disarm");
  });

  test("root does everything", async () => {
    assert.deepEqual(await tryEverything({ uid: 0, gid: 0 }), { connect: ok, status: ok, read: ok, writeBase: preconditionFailed, writeShoulder: preconditionFailed, arm: ok, reload: unprocessableContent, disarm: ok });
  });

  test("whoever may connect may ask for the safe pose", async () => {
    const program = `const { connect } = await import(${clientModule});
      const client = await connect({ socketPath: ${JSON.stringify(rig.daemon.socketPath)} });
      await client.request("gateway/safe-pose", {}, { timeoutMs: 60_000 });
      await client.close();`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "ignore", "inherit"], cwd: "/", ...WRITER });
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0);
    assert.equal((await rig.status()).state, "posed");
  });
});
