/** What the policy does not allow is not there for a program; a changed policy rules programs that run, and a broken one changes nothing. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { StatusReport } from "../schemas/messages/statusReport.ts";
import { type Client, Status } from "../shm/client/index.ts";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { eventually } from "./waiting.ts";

const notRoot = process.getuid?.() === 0 ? false : "only root can run programs as other users";

/** Users that nobody else is. */
const TALKER = 65_301;
const LISTENER = 65_302;
const STRANGER = 65_303;

const clientModule = JSON.stringify(join(import.meta.dirname, "../shm/client/index.js"));

function policyText(readable: string, more = ""): string {
  return `version: 1
components:
  talker: { uid: ${TALKER} }
  listener: { uid: ${LISTENER} }
rules:
  - { allow: [write], who: [talker], topics: ["app/#"] }
  - { allow: [read], who: [listener], topics: [${readable}] }
${more}`;
}

/** A program of another user. It prints one JSON value a line and does what it is told on stdin. */
class Program {
  readonly #child: ChildProcess;
  readonly #lines: unknown[] = [];
  #heard: (() => void) | undefined;
  #ended = false;

  constructor(daemon: Daemon, uid: number, body: string) {
    const source = `const { connect } = await import(${clientModule});
      const { createInterface } = await import("node:readline");
      const say = (value) => process.stdout.write(JSON.stringify(value) + "\\n");
      const status = (work) => work.then(() => 100, (error) => error.status ?? String(error));
      let client;
      const connected = await status(connect({ socketPath: ${JSON.stringify(daemon.socketPath)}, timeoutMs: 20_000 }).then((c) => { client = c; }));
      if (!client) say({ connected });
      else { ${body} for await (const line of createInterface({ input: process.stdin })) await told(JSON.parse(line)); }
      process.exit(0);`;
    this.#child = spawn(process.execPath, ["--input-type=module", "--eval", source], { stdio: ["pipe", "pipe", "inherit"], cwd: "/", uid, gid: uid });
    let text = "";
    this.#child.stdout!.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop()!;
      this.#lines.push(...lines.map((line) => JSON.parse(line) as unknown));
      this.#heard?.();
    });
    this.#child.on("close", () => {
      this.#ended = true;
      this.#heard?.();
    });
  }

  tell(what: unknown): void {
    this.#child.stdin!.write(`${JSON.stringify(what)}\n`);
  }

  async next<T>(): Promise<T> {
    while (this.#lines.length === 0) {
      assert.ok(!this.#ended, "the program has ended");
      await new Promise<void>((resolve) => (this.#heard = resolve));
    }
    return this.#lines.shift() as T;
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "close");
  }
}

describe("a policy", { skip: notRoot }, () => {
  const folder = testFolder();
  const policyFile = join(folder.path, "policy.yaml");
  let daemon: Daemon;
  let admin: Client;
  let talker: Program;
  let listener: Program;

  const status = async (): Promise<StatusReport> => (await admin.request("gateway/status")) as StatusReport;
  /** As editors and installers do: a reader sees the old file or the new one. */
  const replacePolicy = (text: string): void => {
    writeFileSync(`${policyFile}.new`, text);
    renameSync(`${policyFile}.new`, policyFile);
  };
  const until = async (holds: (report: StatusReport) => boolean): Promise<StatusReport> => {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const report = await status();
      if (holds(report)) return report;
      assert.ok(Date.now() < deadline, JSON.stringify(report.policy));
      await new Promise((resolve) => void setImmediate(resolve));
    }
  };

  before(async () => {
    chmodSync(folder.path, 0o755);
    writeFileSync(policyFile, policyText("app/open"));
    daemon = await startDaemon(folder.path, `version: 1
robot: test
policy: policy.yaml
topics:
  - { name: app/open, encoding: json, writers: [] }
  - { name: app/secret, encoding: json, writers: [] }
`);
    chmodSync(daemon.socketPath, 0o666);
    admin = await daemon.connect();
    talker = new Program(daemon, TALKER, `const told = async ({ topic, value }) => say(await status(client.publish(topic, value))); say("ready");`);
    listener = new Program(daemon, LISTENER, `
      await client.subscribe("app/#", { policy: { queue: 100 } }, ({ topic, value }) => say([topic, value]));
      const told = async ({ look, subscribe }) => {
        if (look) say((await client.topics("#")).map(({ name }) => name));
        if (subscribe) say(await status(client.subscribe(subscribe, {}, () => {})));
      };
      say("ready");`);
    assert.deepEqual([await talker.next(), await listener.next()], ["ready", "ready"]);
  });
  after(async () => {
    await talker?.stop();
    await listener?.stop();
    await admin?.close();
    await daemon?.stop();
    folder.remove();
  });

  async function publish(topic: string, value: number): Promise<void> {
    talker.tell({ topic, value });
    assert.equal(await talker.next(), Status.ok, topic);
  }

  test("programs are known as components, and whom no rule names is not let in", async () => {
    const { clients } = await status();
    assert.deepEqual(clients.map(({ component, uid }) => [uid, component]).filter(([uid]) => uid !== 0).sort(([a], [b]) => Number(a) - Number(b)), [[TALKER, "talker"], [LISTENER, "listener"]]);
    const stranger = new Program(daemon, STRANGER, "const told = () => {};");
    assert.deepEqual(await stranger.next(), { connected: Status.forbidden });
    await stranger.stop();
  });

  test("what is not allowed is not there: not in the list, not by subscription, not under a wildcard", async () => {
    listener.tell({ look: true });
    assert.deepEqual(await listener.next(), ["app/open"]);
    listener.tell({ subscribe: "app/secret" });
    assert.equal(await listener.next(), Status.forbidden);
    await publish("app/secret", 1);
    await publish("app/open", 2);
    assert.deepEqual(await listener.next(), ["app/open", 2]);
    talker.tell({ topic: "can/arm/State", value: 1 });
    assert.equal(await talker.next(), Status.forbidden);
  });

  test("a broken policy is refused whole: the old one stays in force, and the status says why", async () => {
    replacePolicy(policyText("app/secret", "  - { allow: [read], who: [listner], topics: [app/#] }\n"));
    const { policy } = await until(({ policy: { refused } }) => refused !== "");
    assert.match(policy.refused, /policy\.yaml:8:\d+: there is no component or group "listner" \[unknownComponent\]/);
    await publish("app/secret", 3);
    await publish("app/open", 4);
    assert.deepEqual(await listener.next(), ["app/open", 4]);
    await eventually("it is logged", () => /policyRefused/.test(daemon.log()));
  });

  test("a changed policy rules subscriptions that run", async () => {
    replacePolicy(policyText("app/secret"));
    await until(({ policy: { refused } }) => refused === "");
    await publish("app/open", 5);
    await publish("app/secret", 6);
    assert.deepEqual(await listener.next(), ["app/secret", 6]);
    await eventually("it is logged", () => /policyChanged/.test(daemon.log()));
  });

  test("whoever loses every right is sent off; a reload says what was taken over", async () => {
    replacePolicy("version: 1\nrules: []\n");
    await until(({ clients }) => clients.every(({ uid }) => uid === 0));
    writeFileSync(policyFile, "version: 1\ncomponents: { talker: { uid: 1 } }\nrules: [ { allow: [read], who: [talker], topics: [x] } ]\n");
    const answer = await admin.request("gateway/reload", { path: join(folder.path, "ipcnet.yaml") }) as { changed: string[] };
    // The watch may have been faster.
    assert.ok(answer.changed.length === 0 || answer.changed.includes("policy"), JSON.stringify(answer));
    assert.equal((await until(({ policy }) => policy.rules === 1)).policy.components, 1);
  });

  test("the gateway explains itself", async () => {
    const { answers, who } = await admin.request("gateway/policy", { who: "uid:1", verb: "read", what: "x" }) as { who: string; answers: { allowed: boolean; reason: string }[] };
    assert.match(who, /user 1 \(talker\)/);
    assert.equal(answers[0]!.reason, `allowed by ${policyFile}:3`);
  });
});
