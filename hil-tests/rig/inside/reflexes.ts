/**
 * In the machine, as root, with the kernel's own CAN: a pair of reflexes on dcan0, the arm's base joint on dcan1.
 * The steps share one rig, because the machine is slow; each leaves it able to be armed.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { commandId, PROBE_ID, yamlOf } from "../../armRig.ts";
import { testFolder } from "../../daemon.ts";
import { FD_BUS, FD_FLAGS, FD_SHIFT_BYTES, writeArmFiles } from "../../armFiles.ts";
import { CLAIM_ID } from "../../reflexProcesses.ts";
import { Motor } from "./motor.ts";
import { Pair, pairConfiguration, PATIENCE_MS } from "./pair.ts";

const OURS = process.env["IPCNET_HIL_OURS"]!;
const MOTORS = process.env["IPCNET_HIL_PEERS"]!;
const ip = (...words: string[]): void => void execFileSync("ip", words);
/** In FD frames of 12 bytes, as armFiles.ts has them. */
const fd = process.env["IPCNET_HIL_FD"] === "1";
const folder = testFolder();
writeArmFiles(folder.path, { fd });
const configuration = yamlOf(pairConfiguration(OURS, { fd }));
const motor = new Motor(folder.path, MOTORS, { fd });
let pair: Pair;

const commands = (from = 0) => motor.seen.slice(from).filter(({ canId }) => canId === commandId("base"));
const targets = (from: number): number[] => [...new Set(commands(from).map(({ data }) => new DataView(data.buffer, data.byteOffset).getInt16(fd ? 4 + FD_SHIFT_BYTES : 4, true) / 1e4))];
const strangers = (from: number): number[] => [...new Set(motor.seen.slice(from).map(({ canId }) => canId))].filter((canId) => canId !== PROBE_ID && (canId < CLAIM_ID || canId > CLAIM_ID + 3));

async function moved(what: string): Promise<void> {
  const accepted = motor.joint.counters.commandsAccepted;
  await pair.until(what, () => motor.joint.counters.commandsAccepted > accepted + 10);
}

before(async () => {
  for (const name of [OURS, MOTORS]) {
    ip("link", "set", name, "type", "can", "bitrate", `${FD_BUS.bitrateBps}`, ...(fd ? ["dbitrate", `${FD_BUS.dataBitrateBps}`, "fd", "on"] : []), "restart-ms", "0", "berr-reporting", "on");
    ip("link", "set", name, "txqueuelen", "64");
  }
  ip("link", "set", OURS, "up");
  motor.setPower(true);
  pair = await Pair.start(folder.path, configuration);
}, { timeout: 3 * PATIENCE_MS });

after(async () => {
  writeFileSync(process.env["IPCNET_HIL_LOG"]!, `${JSON.stringify(pair?.describe(), null, 1)}\n${pair?.events.join("\n")}\n----\n${pair?.log}`);
  await pair?.end();
  motor.stop();
  folder.remove();
});

test("commands pass through the kernel's CAN with the owner's epoch, and are confirmed by their echoes", async () => {
  await pair.arm();
  const program = pair.commanding(1.5);
  await moved("accepted commands");
  await program.stop();
  assert.equal(motor.joint.counters.commandsRejected, 0);
  assert.ok(motor.joint.follows.epoch > 0);
  assert.deepEqual([...new Set(commands().map(({ flags, data }) => `${flags & FD_FLAGS} ${data.length}`))], [fd ? `${FD_FLAGS} 12` : "0 8"]);
  await pair.until("echoes", () => (pair.client.owner?.status?.echoedFrames ?? 0) > 10);
});

test("the owner is killed: its twin goes on through its own socket, under a new epoch, armed", async () => {
  await pair.arm();
  const program = pair.commanding(1.5);
  await moved("motion");
  const [first, { epoch }] = [pair.owner!, motor.joint.follows];
  pair.events.length = 0;
  await pair.kill(first);
  await moved("commands accepted afterwards");
  assert.ok(motor.joint.follows.epoch > epoch);
  assert.notEqual(pair.owner, first);
  assert.equal(pair.supervisor.state, "armed", JSON.stringify(pair.describe()));
  assert.deepEqual(pair.events.filter((text) => / → /.test(text)), [], "and was it all the time");
  await program.stop();
});

test("the interface is taken down and up: both find it again, whoever owns it", async () => {
  await pair.until("two reflexes", () => pair.client.ends.every(({ role }) => role === "owner" || role === "standby"));
  await pair.arm();
  const old = pair.commanding(1.4);
  await moved("motion");
  const from = motor.seen.length;
  ip("link", "set", OURS, "down");
  await pair.until("down, and not armed", () => pair.phase === "down" && pair.supervisor.state !== "armed");
  await old.stop();
  ip("link", "set", OURS, "up");
  await pair.arm();
  const program = pair.commanding(1.2);
  await moved("motion after it");
  // The standby's socket has had its own ENETDOWN.
  await pair.kill(pair.owner!);
  await moved("motion by the twin");
  await program.stop();
  assert.deepEqual(targets(from).filter((target) => target !== 1.2 && target !== 1.4 && target !== 0), []);
});

test("the motors lose their power: dead, purged, and nothing old reaches them when it returns", async () => {
  await pair.until("two reflexes", () => pair.client.ends.every(({ role }) => role === "owner" || role === "standby"));
  await pair.arm();
  const old = pair.commanding(1.0, 1.5);
  await moved("motion");
  motor.setPower(false);
  await pair.until("dead, and the safe pose tried", () => pair.phase === "probing" && (pair.supervisor.state === "fault" || pair.supervisor.state === "posed"));
  pair.refused.clear();
  await pair.until("commands refused", () => [...pair.refused.values()].reduce((sum, count) => sum + count, 0) > 20);
  const from = motor.seen.length;
  motor.setPower(true);
  await pair.until("alive again", () => pair.phase === "proven");
  await moving50(from);
  assert.deepEqual(strangers(from), []);
  await old.stop();
  assert.match((await pair.supervisor.arm("test")).join(), /reset/, "a person has to acknowledge it");
  await pair.arm();
  const fresh = pair.commanding(-0.5);
  await moved("motion to the fresh target");
  await fresh.stop();
  assert.deepEqual(targets(from), [-0.5]);
});

/** The old program has commanded for a while. */
async function moving50(from: number): Promise<void> {
  const before = [...pair.refused.values()].reduce((sum, count) => sum + count, 0);
  await pair.until("fifty more commands refused", () => [...pair.refused.values()].reduce((sum, count) => sum + count, 0) > before + 50);
  assert.deepEqual(commands(from), []);
}

test("bus-off: refused, purged, restarted, proven, and armed again by a person", async () => {
  await pair.arm();
  const program = pair.commanding(0.5);
  await moved("motion");
  writeFileSync("/sys/kernel/debug/faultcan", `${OURS} off`);
  await pair.until("not armed", () => pair.supervisor.state !== "armed");
  await program.stop();
  await pair.until("alive again", () => pair.phase === "proven");
  const from = motor.seen.length;
  await pair.arm();
  const fresh = pair.commanding(-0.25);
  await moved("motion");
  await fresh.stop();
  // 0 is where the safe pose sends it, which may still have run.
  assert.deepEqual(targets(from).filter((target) => target !== 0), [-0.25]);
});

test("without the right to purge nothing is armed: the pair says what it lacks", async () => {
  await pair.end();
  pair = await Pair.start(folder.path, configuration, { through: ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"] });
  await pair.until("what is missing", () => pair.supervisor.missing().some((text) => /purge/.test(text)));
  await pair.supervisor.reset("test");
  assert.match((await pair.supervisor.arm("test")).join(), /CAP_NET_ADMIN/);
  assert.notEqual(pair.supervisor.state, "armed");
});
