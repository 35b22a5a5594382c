/** Every reader of a lane knows its id. Whoever puts it on a lane of its own, and is quicker than the owner when the gateway comes back, neither keeps the owner out nor passes for it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Daemon, startDaemon, testFolder } from "../daemon.ts";
import { Program } from "../program.ts";
import { eventually, standsStill } from "../waiting.ts";
import { configuration, policyText, users } from "./control/innocents.ts";

const notRoot = process.getuid?.() === 0 ? false : "only root can run programs as other users";

const talker = `
  const writer = await client.advertise("shared/count", { encoding: "json", queue: 16_384 });
  let sent = 0, refused = "";
  setInterval(() => { try { for (let i = 0; i < 5; i++) { writer.publish(sent); sent += 1; } } catch (error) { refused = String(error); } }, 5);
  onAsk(() => say({ sent, refused }));
  say("talking");`;

/** Reads everything by one subscription: that is where lanes could be mixed up. */
const listener = `
  let next = 0, wrong = 0, lost = 0, foreign = 0;
  await client.subscribe("#", { policy: { queue: 16_384 } }, ({ topic, value, lostBefore, origin }) => {
    if (topic !== "shared/count" || !origin.startsWith("talker/")) { foreign += topic === "shared/count" || value !== -1 || !origin.startsWith("attacker/") ? 1 : 0; return; }
    lost += lostBefore;
    if (value !== next) wrong += 1;
    next = value + 1;
  });
  onAsk(() => say({ next, wrong, lost, foreign }));
  say("listening");`;

interface Heard { next: number; wrong: number; lost: number; foreign: number }

test("a lane's id in a stranger's hand, at a gateway that has just come back", { skip: notRoot }, async (t) => {
  const folder = testFolder();
  chmodSync(folder.path, 0o755);
  writeFileSync(join(folder.path, "policy.yaml"), `${policyText}  - { allow: [read], who: [listener], topics: ["open/#"] }\n`);
  const start = async (): Promise<Daemon> => {
    const daemon = await startDaemon(folder.path, `${configuration}policy: policy.yaml\n`);
    chmodSync(daemon.socketPath, 0o666);
    return daemon;
  };
  const first = await start();
  t.after(() => first.process.kill("SIGKILL"));
  const program = (uid: number, source: string): Program => new Program(t, first.socketPath, source, { who: { uid, gid: uid }, options: { timeoutMs: 20_000, reconnect: { delayMinMs: 10, delayMaxMs: 50 } } });
  const hears = program(users.listener, listener);
  await hears.line(0);
  const talks = program(users.talker, talker);
  await talks.line(0);
  const heardMore = async (than: number): Promise<Heard> => eventually("messages arrive", async () => {
    const heard = await hears.ask<Heard>("?");
    return heard.next > than && heard;
  }, { timeoutMs: 60_000 });
  await heardMore(100);
  const squatter = spawn(process.execPath, ["--enable-source-maps", join(import.meta.dirname, "control/squatter.js"), first.socketPath], { stdio: ["ignore", "pipe", "pipe"], cwd: "/", uid: users.attacker, gid: users.attacker });
  t.after(() => squatter.kill("SIGKILL"));
  let said = "";
  let errors = "";
  squatter.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  squatter.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const says = (lines: number): Promise<string> => eventually("the squatter speaks", () => said.split("\n").length > lines && said.split("\n")[lines - 1], { timeoutMs: 60_000, last: () => [said, errors, squatter.exitCode] });
  assert.equal(await says(1), '"ready"');
  talks.child.kill("SIGSTOP");
  await standsStill(talks.child.pid!);
  first.process.kill("SIGKILL");
  await first.ended;
  const second = await start();
  t.after(async () => {
    await second.stop();
    folder.remove();
  });
  const status = Number(await says(2));
  talks.child.kill("SIGCONT");
  const { sent } = await talks.ask<{ sent: number }>("?");
  await heardMore(sent + 200);
  // By the new gateway, and not only by what was mapped before.
  await eventually("the talker has its topic back", async () => {
    const client = await second.connect();
    const found = (await client.topics("shared/count"))[0];
    await client.close();
    return found?.quality === "good";
  }, { timeoutMs: 60_000 });
  const { refused } = await talks.ask<{ refused: string }>("?");
  const heard = await hears.ask<Heard>("?");
  assert.deepEqual({ refused, wrong: heard.wrong, lost: heard.lost, foreign: heard.foreign, status }, { refused: "", wrong: 0, lost: 0, foreign: 0, status: 100 });
});
