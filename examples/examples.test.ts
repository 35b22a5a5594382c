/** The examples run as their READMEs say: each is started by its command, does what it shows, and leaves nothing behind. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { connect, type Client } from "../shm/client/index.ts";
import { compiledC, root, Stage } from "./stage.ts";

const PATIENCE_MS = 60_000;

interface Run {
  child: ChildProcess;
  text: () => string;
  ended: Promise<number | null>;
}

function run(example: string, ...args: string[]): Run {
  const child = spawn(process.execPath, [join(root, `dist/ts/examples/${example}/run.js`), ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  return { child, text: () => text, ended: new Promise((resolve) => child.on("close", resolve)) };
}

async function eventually<Answer>(what: string, ask: () => Answer | undefined | Promise<Answer | undefined>): Promise<Answer> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert.ok(performance.now() < deadlineMs, `${what}: not within ${PATIENCE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

test("compress: a worker is killed, every file comes back whole", { timeout: 2 * PATIENCE_MS }, async () => {
  const { ended, text } = run("compress");
  assert.equal(await ended, 0, text());
  assert.match(text(), /Ada is killed/);
  assert.match(text(), /60 of 60 files came back whole/);
});

test("vision: pictures are shown, each knows where it comes from, and Ctrl-C ends all", { timeout: 3 * PATIENCE_MS }, async (t) => {
  const { child, ended, text } = run("vision");
  t.after(() => child.kill("SIGKILL"));
  const socketPath = await eventually("the socket's name", () => /--socket (\S+)/.exec(text())?.[1]);
  const client = await connect({ socketPath, name: "test", timeoutMs: PATIENCE_MS });
  const shown = await eventually("something is shown", async () => (await client.topics("display/shown")).length > 0 ? client.query("display/shown") : undefined);
  assert.equal(shown.lineage.length, 2);
  // What was shown was made from boxes, and these from the very same picture.
  await eventually("the chain from the display to the camera", async () => {
    const last = (await client.query("display/shown"))!;
    const boxes = (await client.query("vision/boxes", { last: 200 })).find(({ sequence }) => BigInt(sequence) === last.lineage[1]!.sequence);
    assert.ok(boxes === undefined || (boxes.lineage.length === 1 && (boxes.value as { boxes: unknown[] }).boxes.length <= 2));
    return boxes?.lineage[0]!.sequence === last.lineage[0]!.sequence ? true : undefined;
  });
  await client.close();
  await eventually("a line of figures", () => (/pictures\/s/.test(text()) ? true : undefined));
  child.kill("SIGINT");
  assert.equal(await ended, 0, text());
  assert.match(text(), /pictures shown/);
  assert.ok(!readdirSync(tmpdir()).some((name) => socketPath.includes(`/${name}/`)), "its folder is gone");
});

describe("talk: every language with every other", () => {
  const listeners = ["ts", "c", "py"] as const;
  const command = (program: string, language: (typeof listeners)[number]): string[] =>
    language === "ts" ? [process.execPath, join(root, `dist/ts/examples/talk/${program}.js`)] : language === "py" ? ["python3", "-u", join(root, `examples/talk/${program}.py`)] : [compiledC(`talk/${program}.c`)];
  const names = { ts: "TypeScript", c: "C", py: "Python" };

  test("listeners in each hear talkers in each", { timeout: 2 * PATIENCE_MS }, async (t) => {
    const stage = await Stage.open("talk");
    t.after(() => stage.close());
    const heard = listeners.map((language) => {
      const child = stage.start(`listener in ${names[language]}`, command("listener", language), "pipe");
      const lines = { text: "" };
      child.stdout!.setEncoding("utf8").on("data", (chunk: string) => (lines.text += chunk));
      return lines;
    });
    for (const language of listeners) stage.start(`talker in ${names[language]}`, command("talker", language));
    for (const language of listeners) {
      await eventually(`${names[language]} is heard by all`, () => (heard.every(({ text }) => text.includes(`hello from ${names[language]}`)) ? true : undefined));
    }
  });

  test("callers in each have their sums from services in each", { timeout: 2 * PATIENCE_MS }, async (t) => {
    const stage = await Stage.open("talk");
    t.after(() => stage.close());
    const client: Client = await connect({ socketPath: stage.socketPath, name: "test", timeoutMs: PATIENCE_MS });
    t.after(() => client.close());
    for (const provider of listeners) {
      const service = stage.start(`service in ${names[provider]}`, command("service", provider));
      await eventually("it is offered", async () => ((await client.find("services", "talk/add")).length > 0 ? true : undefined));
      for (const caller of listeners) {
        const child = stage.start(`caller in ${names[caller]}`, [...command("caller", caller), "20", "22.5"], "pipe");
        let text = "";
        child.stdout!.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        await new Promise((resolve) => child.on("close", resolve));
        assert.match(text, /42\.5/, `${names[caller]} of ${names[provider]}`);
      }
      service.kill("SIGKILL");
      await eventually("it is gone", async () => ((await client.find("services", "talk/add")).length === 0 ? true : undefined));
    }
  });
});
