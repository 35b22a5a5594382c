/** kill -9 of the gateway between any two messages of a program's protocol, again and again: whoever is connected survives, lanes lose nothing, no answer is forged, and nothing stays behind. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Daemon, startDaemon, testFolder } from "../daemon.ts";
import { Program } from "../program.ts";
import { eventually } from "../waiting.ts";
import { configuration, policyText, users } from "./control/innocents.ts";
import { sharedFilesOf } from "./control/run.ts";
import { stepNames, stoppedAt } from "./control/steps.ts";

const notRoot = process.getuid?.() === 0 ? false : "only root can run programs as other users";
/** Programs that stand at their steps when one gateway dies: each is a Node process. */
const TOGETHER = 5;

const talker = `
  const writer = await client.advertise("app/count", { encoding: "json", queue: 16_384 });
  let sent = 0;
  const timer = setInterval(() => { for (let i = 0; i < 5; i++) { writer.publish(sent); sent += 1; } }, 5);
  onAsk((word) => { if (word === "stop") clearInterval(timer); say({ sent }); });
  say("talking");`;

const listener = `
  let next = 0, wrong = 0, lost = 0;
  await client.subscribe("app/count", { policy: { queue: 16_384 } }, ({ value, lostBefore }) => {
    if (value !== next) wrong += 1;
    lost += lostBefore;
    next = value + 1;
  });
  onAsk(() => say({ next, wrong, lost }));
  say("listening");`;

const provider = `
  await client.offer("app/echo", { capacity: 4 }, ({ n }) => ({ twice: 2 * n }));
  say("providing");`;

/** What a call may end with when its gateway dies: nobody offers it yet, no answer, the connection is gone or is being sought. */
const FAILURES = "[203, 204, 302, 303]";

const caller = `
  let answered = 0, wrong = 0, unexpected = [];
  (async () => {
    for (let n = 0; ; n++) {
      await client.request("app/echo", { n }, { timeoutMs: 60_000 }).then(({ twice }) => { answered += 1; if (twice !== 2 * n) wrong += 1; }, (error) => { if (!${FAILURES}.includes(error.status)) unexpected.push(String(error)); });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  onAsk(() => say({ answered, wrong, unexpected }));
  say("calling");`;

/** Goes through the protocol without end: advertises, subscribes, attaches, offers, asks, and takes all of it back. Each close is of something that the dead gateway may have known. */
const churner = `
  const { readdirSync } = await import("node:fs");
  const open = () => readdirSync("/proc/self/fd").length;
  let before = 0;
  let rounds = 0, wrong = 0, unexpected = [], stopped = false;
  const run = (async () => {
    while (!stopped) {
      const mine = [];
      try {
        const writer = await client.advertise("open/churn", { encoding: "json" });
        mine.push(writer);
        mine.push(await client.subscribe("open/churn", { policy: { queue: 64 } }, ({ value }) => { if (value !== 7) wrong += 1; }));
        writer.publish(7);
        mine.push(await client.offer("open/churned", {}, (body) => body + 1));
        if ((await client.request("open/churned", rounds, { timeoutMs: 60_000 })) !== rounds + 1) wrong += 1;
      } catch (error) {
        if (!${FAILURES}.includes(error.status)) unexpected.push(String(error));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      for (const each of mine) await each.close().catch((error) => { if (!${FAILURES}.includes(error.status)) unexpected.push(String(error)); });
      rounds += 1;
      // What a process opens once has been opened.
      if (rounds === 2) before = open();
    }
  })();
  onAsk(async (word) => { if (word === "stop") { stopped = true; await run; } say({ rounds, wrong, unexpected: unexpected.slice(0, 3), open: open() - before }); });
  say("churning");`;

interface Churned { rounds: number; wrong: number; unexpected: string[]; open: number }
interface Heard { next: number; wrong: number; lost: number }
interface Called { answered: number; wrong: number; unexpected: string[] }

test("gateways that are killed at every step of a program's protocol", { skip: notRoot, timeout: 600_000 }, async (t) => {
  const folder = testFolder();
  chmodSync(folder.path, 0o755);
  writeFileSync(join(folder.path, "policy.yaml"), `${policyText}  - { allow: [read], who: [peer], topics: ["open/#"] }\n`);
  const start = async (): Promise<Daemon> => {
    const daemon = await startDaemon(folder.path, `${configuration}policy: policy.yaml\n`);
    t.after(() => daemon.process.kill("SIGKILL"));
    chmodSync(daemon.socketPath, 0o666);
    return daemon;
  };
  let daemon = await start();
  const { socketPath } = daemon;
  const program = async (uid: number, source: string): Promise<Program> => {
    const started = new Program(t, socketPath, source, { who: { uid, gid: uid }, options: { timeoutMs: 20_000, reconnect: { delayMinMs: 10, delayMaxMs: 50 } } });
    await started.line(0);
    return started;
  };
  const [listens, provides] = await Promise.all([program(users.listener, listener), program(users.provider, provider)]);
  const [talks, calls, churns] = await Promise.all([program(users.talker, talker), program(users.caller, caller), program(users.peer, churner)]);
  const goesOn = async (): Promise<void> => {
    const [heard, called, churned] = await Promise.all([listens.ask<Heard>("?"), calls.ask<Called>("?"), churns.ask<Churned>("?")]);
    await eventually("all go on", async () => (await listens.ask<Heard>("?")).next > heard.next + 100 && (await calls.ask<Called>("?")).answered > called.answered + 5 && (await churns.ask<Churned>("?")).rounds > churned.rounds + 2, { timeoutMs: 60_000 });
  };
  await goesOn();
  for (let i = 0; i < stepNames.length; i += TOGETHER) {
    const stopped: ChildProcess[] = await Promise.all(stepNames.slice(i, i + TOGETHER).map((step) => stoppedAt(t, socketPath, step, users.peer)));
    daemon.process.kill("SIGKILL");
    await daemon.ended;
    // They find the other end gone, and leave as they would have.
    for (const child of stopped) child.kill("SIGCONT");
    for (const child of stopped) if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    assert.deepEqual(stopped.map(({ exitCode }) => exitCode), stopped.map(() => 0));
    daemon = await start();
    await goesOn();
  }
  const churned = await churns.ask<Churned>("stop");
  assert.deepEqual({ wrong: churned.wrong, unexpected: churned.unexpected }, { wrong: 0, unexpected: [] });
  await eventually("all that it had is closed", async () => (await churns.ask<Churned>("stop")).open <= 0, { timeoutMs: 60_000, last: () => churns.lines.at(-1) });
  const { sent } = await talks.ask<{ sent: number }>("stop");
  const heard = await eventually("everything has arrived", async () => {
    const now = await listens.ask<Heard>("?");
    return now.next >= sent && now;
  }, { timeoutMs: 60_000 });
  assert.deepEqual(heard, { next: sent, wrong: 0, lost: 0 });
  const { answered, wrong, unexpected } = await calls.ask<Called>("?");
  assert.deepEqual({ wrong, unexpected }, { wrong: 0, unexpected: [] });
  t.diagnostic(`${stepNames.length} steps; ${sent} messages, ${answered} answers, ${churned.rounds} rounds`);
  assert.deepEqual(sharedFilesOf(daemon.process.pid), []);
  await provides.kill();
  await daemon.stop();
  assert.deepEqual(readdirSync(folder.path).sort(), ["ipcnet.sock.lock", "ipcnet.yaml", "policy.yaml"]);
  assert.deepEqual(sharedFilesOf(undefined), []);
  folder.remove();
});
