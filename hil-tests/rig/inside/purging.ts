/**
 * In the machine, as root, with the kernel's own CAN: a pair of reflexes without any capability on dcan0, the arm's base joint on dcan1, and ipcnet-purge with CAP_NET_ADMIN and nothing else.
 * The steps share one rig, because the machine is slow; each leaves it able to be armed.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ARM_FOLDER, writeArmFiles } from "../../armFiles.ts";
import { commandId, PROBE_ID, yamlOf } from "../../armRig.ts";
import { testFolder } from "../../daemon.ts";
import { CLAIM_ID } from "../../reflexProcesses.ts";
import { Motor } from "./motor.ts";
import { Pair, pairConfiguration, PATIENCE_MS } from "./pair.ts";

const program = join(import.meta.dirname, "../../../../native/ipcnet-purge");
const OURS = process.env["IPCNET_HIL_OURS"]!;
const MOTORS = process.env["IPCNET_HIL_PEERS"]!;
const NO_CAPABILITY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
const ip = (...words: string[]): void => void execFileSync("ip", words);
const folder = testFolder();
const motor = new Motor(ARM_FOLDER, MOTORS);
let pair: Pair;
let helper: ChildProcess;
let helperLog = "";

const commands = (from = 0) => motor.seen.slice(from).filter(({ canId }) => canId === commandId("base"));
const targets = (from: number): number[] => [...new Set(commands(from).map(({ data }) => new DataView(data.buffer, data.byteOffset).getInt16(4, true) / 1e4))];
const strangers = (from: number): number[] => [...new Set(motor.seen.slice(from).map(({ canId }) => canId))].filter((canId) => canId !== PROBE_ID && (canId < CLAIM_ID || canId > CLAIM_ID + 3));
const refusals = (): number => [...pair.refused.values()].reduce((sum, count) => sum + count, 0);
const lacksPurge = (): boolean => pair.supervisor.missing().some((text) => /purge/.test(text));

function startHelper(): void {
  helper = spawn("setpriv", ["--bounding-set=-all,+net_admin", "--inh-caps=-all", "--", program, "--socket", join(folder.path, "purge.sock"), "--peer", "0", OURS], { stdio: ["ignore", "ignore", "pipe"] });
  helper.stderr!.setEncoding("utf8").on("data", (text: string) => (helperLog += text));
}

async function killHelper(): Promise<void> {
  const closed = once(helper, "close");
  helper.kill("SIGKILL");
  await closed;
}

async function moved(what: string): Promise<void> {
  const accepted = motor.joint.counters.commandsAccepted;
  await pair.until(what, () => motor.joint.counters.commandsAccepted > accepted + 10);
}

before(async () => {
  writeArmFiles(folder.path);
  for (const name of [OURS, MOTORS]) {
    ip("link", "set", name, "type", "can", "bitrate", "500000", "restart-ms", "0", "berr-reporting", "on");
    ip("link", "set", name, "txqueuelen", "64");
  }
  ip("link", "set", OURS, "up");
  motor.setPower(true);
  pair = await Pair.start(folder.path, yamlOf(pairConfiguration(OURS)), { through: NO_CAPABILITY });
}, { timeout: 3 * PATIENCE_MS });

after(async () => {
  writeFileSync(process.env["IPCNET_HIL_LOG"]!, `${JSON.stringify(pair?.describe(), null, 1)}\n${pair?.events.join("\n")}\n----\n${pair?.log}\n----\n${helperLog}`);
  await pair?.end();
  helper?.kill("SIGKILL");
  motor.stop();
  folder.remove();
});

test("nobody is there who purges: nothing is armed", async () => {
  await pair.until("what is missing", lacksPurge);
  await pair.until("nothing else is missing", () => pair.supervisor.missing().every((text) => /purge/.test(text)));
  assert.match((await pair.supervisor.arm("test")).join(), /ipcnet-purge/);
  assert.notEqual(pair.supervisor.state, "armed");
});

test("somebody is: armed", async () => {
  startHelper();
  await pair.arm();
  const commanding = pair.commanding(0.5);
  await moved("motion");
  await commanding.stop();
});

test("the motors lose their power: dead, purged for us, and nothing old reaches them when it returns", async () => {
  await pair.arm();
  const old = pair.commanding(1.0, 1.5);
  await moved("motion");
  motor.setPower(false);
  // Probing comes after a purge that was seen by the kernel.
  await pair.until("dead, purged, and the safe pose tried", () => pair.phase === "probing" && (pair.supervisor.state === "fault" || pair.supervisor.state === "posed"));
  const before = refusals();
  await pair.until("commands refused", () => refusals() > before + 20);
  const from = motor.seen.length;
  motor.setPower(true);
  await pair.until("alive again", () => pair.phase === "proven");
  const then = refusals();
  await pair.until("fifty more commands refused", () => refusals() > then + 50);
  assert.deepEqual(strangers(from), []);
  await old.stop();
  await pair.arm();
  const fresh = pair.commanding(-0.5);
  await moved("motion to the fresh target");
  await fresh.stop();
  assert.deepEqual(targets(from), [-0.5]);
});

test("whoever purges is killed while the robot moves: it goes on moving, and is not armed anew until there is another one", async () => {
  await pair.arm();
  const commanding = pair.commanding(0.25);
  await moved("motion");
  pair.events.length = 0;
  await killHelper();
  await pair.until("both know", lacksPurge);
  await moved("motion without it");
  assert.equal(pair.supervisor.state, "armed", JSON.stringify(pair.describe()));
  // The twin follows its owner all the same: what is asked for arming is not asked of an heir.
  await pair.kill(pair.owner!);
  await moved("motion by the twin");
  assert.equal(pair.supervisor.state, "armed", JSON.stringify(pair.describe()));
  assert.deepEqual(pair.events.filter((text) => / → /.test(text)), [], "and was it all the time");
  await commanding.stop();
  assert.match((await pair.supervisor.arm("test")).join(), /ipcnet-purge/);
  startHelper();
  await pair.arm();
  const again = pair.commanding(0.5);
  await moved("motion");
  await again.stop();
});

test("it hangs when it is needed: nothing passes until another one has purged, and nothing old then", async () => {
  await pair.arm();
  const old = pair.commanding(1.0, 1.5);
  await moved("motion");
  helper.kill("SIGSTOP");
  motor.setPower(false);
  // The pose ends before there is power again: its frames are no old ones.
  await pair.until("dead, not purged, and the safe pose tried", () => pair.phase === "unpurgeable" && (pair.supervisor.state === "fault" || pair.supervisor.state === "posed"));
  const before = refusals();
  await pair.until("commands refused", () => refusals() > before + 20);
  // As the service manager does with one that gives no sign of life.
  await killHelper();
  startHelper();
  await pair.until("purged", () => pair.phase === "probing");
  const from = motor.seen.length;
  motor.setPower(true);
  await pair.until("alive again", () => pair.phase === "proven");
  assert.deepEqual(strangers(from), []);
  await old.stop();
  await pair.arm();
  const fresh = pair.commanding(-0.25);
  await moved("motion to the fresh target");
  await fresh.stop();
  assert.deepEqual(targets(from), [-0.25]);
});

const SOCKET = `
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); s.settimeout(60)
def say(kind, index): s.send(struct.pack("<IHHIi", 0x31525550, kind, 0, 1, index))
def ask(kind, index):
    say(kind, index); return struct.unpack("<IHHIi", s.recv(64))[4]
ours, other, lo = (socket.if_nametoindex(name) for name in sys.argv[2:])
`;
const saying = (what: string): string => execFileSync("python3", ["-c", `${SOCKET}${what}`, join(folder.path, "purge.sock"), OURS, MOTORS, "lo"], { encoding: "utf8", timeout: 120_000 }).trim();

test("what somebody asked who has gone away since is not done: the robot moves on", async () => {
  await pair.arm();
  const moving = pair.commanding(0.5);
  await moved("motion");
  helper.kill("SIGSTOP");
  saying("say(2, ours)");
  helper.kill("SIGCONT");
  assert.equal(saying("print(ask(1, ours))"), "0");
  await moved("motion after that");
  assert.deepEqual([pair.supervisor.state, pair.phase], ["armed", "up"]);
  await moving.stop();
});

test("an interface that somebody has taken down is not put up for anybody", async () => {
  ip("link", "set", OURS, "down");
  await pair.until("down", () => pair.phase === "down");
  assert.ok(existsSync(join(folder.path, "purge.sock")));
  // ENETDOWN for ours; EPERM for whatever was not named.
  assert.equal(saying("print(ask(1, ours), ask(2, ours), ask(2, other), ask(3, other), ask(2, lo), ask(1, lo))"), "0 -100 -1 -1 -1 -1");
  ip("link", "set", OURS, "up");
  await pair.arm();
});
