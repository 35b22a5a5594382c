/** The firmware's frames against the gateway's codecs: what one end seals the other one opens, what is spoilt, stale or out of range nobody takes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { generateC } from "../../../schemas/codegen/c/index.ts";
import { applyTemplate, compileMessage, parseDbc, type Message } from "../../../schemas/dbc/index.ts";
import { CheckResult, loadChecks, type CheckSet } from "../../../schemas/e2e/index.ts";
import { checkedMessage } from "../../../schemas/messages/check/databases.ts";
import { projectRoot } from "../../../schemas/testData.ts";

const root = projectRoot();
const sources = join(root, "examples/arm/firmware");
const FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-DIPCNET_E2E_ONLY", "-DIPCNET_E2E_P05"];
const INCLUDES = ["schemas/e2e/c", "schemas/crc/c"].map((path) => `-I${join(root, path)}`);
const RUNTIME = ["schemas/e2e/c/ipcnet_e2e.c", "schemas/crc/c/ipcnet_crc.c"].map((path) => join(root, path));

let folder = "";
let checks: CheckSet;
let command: Message;
let state: Message;

before(() => {
  folder = mkdtempSync(join(tmpdir(), "ipcnet-firmware-"));
  const database = applyTemplate(parseDbc(readFileSync(join(root, "examples/arm/arm.dbc")), { file: "arm.dbc" }), { id: "node_id << 5 | message_id", nodes: { shoulder: 1 } });
  const loaded = loadChecks(readFileSync(join(root, "examples/arm/arm.checks.yaml"), "utf8"), { file: "arm.checks.yaml" });
  assert.ok(loaded.ok);
  checks = loaded.checks;
  [command, state] = ["shoulder_Command", "shoulder_State"].map((name) => database.messages.find((message) => message.name === name)!) as [Message, Message];
  const { files, remarks } = generateC(database, { source: "arm.dbc", prefix: "shoulder", node: "Joint", arithmetic: "float", checks: { set: checks, name: "arm.checks.yaml" } });
  assert.deepEqual(remarks, []);
  for (const { name, text } of files) writeFileSync(join(folder, name), text);
  for (const name of ["joint_frames.h", "joint_frames.c", "host.c"]) copyFileSync(join(sources, name), join(folder, name));
  const built = spawnSync("cc", [...FLAGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", ...INCLUDES, "shoulder.c", "joint_frames.c", "host.c", ...RUNTIME, "-o", "joint"], { cwd: folder, encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
});

after(() => rmSync(folder, { recursive: true, force: true }));

function joint(lines: readonly string[]): string[] {
  const run = spawnSync(join(folder, "joint"), { input: `${lines.join("\n")}\n`, encoding: "utf8" });
  assert.equal(run.stderr, "");
  return run.stdout.trimEnd().split("\n");
}

test("commands of the gateway are obeyed, and the joint's states are accepted by the gateway, in sequence", () => {
  const codec = compileMessage(command);
  const protector = checks.protectorFor(checkedMessage(command))!;
  const positions = Array.from({ length: 600 }, (_, index) => Math.round(Math.sin(index / 50) * 29_000) / 10_000);
  const lines = positions.map((targetPosition, index) => {
    const encoded = codec.encode({ crc: 0, counter: 0, epoch: index % 256, targetPosition, velocityLimit: 1.5, mode: "Move", owner: 1 });
    assert.ok(encoded.ok);
    protector.protect(encoded.data, 0, encoded.data.length, command.canId);
    return `022 ${Buffer.from(encoded.data).toString("hex")}`;
  });
  const check = checks.forMessage(checkedMessage(state))!;
  const reader = compileMessage(state, { checkRanges: true });
  for (const [index, answer] of joint(lines).entries()) {
    assert.match(answer, /^021 /, answer);
    const frame = Buffer.from(answer.slice(4), "hex");
    assert.equal(check.check(frame, 0, frame.length, state.canId, index * 1e4), CheckResult.ok);
    const decoded = reader.decode(frame, 0, frame.length);
    assert.ok(decoded.ok);
    assert.deepEqual([decoded.raw.position, decoded.raw.velocity, decoded.raw.mode, decoded.raw.counter], [Math.round(positions[index]! * 1e4), 1500, 2, index % 256]);
  }
});

test("a repeated command, any flipped bit, a wrong length, a value out of range and a stranger are refused", () => {
  const protector = checks.protectorFor(checkedMessage(command))!;
  const sealed = (values: Record<string, number>): string => {
    const encoded = compileMessage(command, { checkRanges: false }).encode({ crc: 0, counter: 0, epoch: 0, targetPosition: 0, velocityLimit: 0, mode: 1, owner: 0, ...values });
    assert.ok(encoded.ok);
    protector.protect(encoded.data, 0, encoded.data.length, command.canId);
    return Buffer.from(encoded.data).toString("hex");
  };
  const first = sealed({});
  const beyond = sealed({ targetPosition: 3.0001 });
  const next = sealed({ targetPosition: 3 });
  const flipped = Array.from({ length: 64 }, (_, bit) => {
    const frame = Buffer.from(next, "hex");
    frame[bit >> 3]! ^= 1 << (bit & 7);
    return `022 ${frame.toString("hex")}`;
  });
  const answers = joint([`022 ${first}`, `022 ${first}`, ...flipped, `022 ${first.slice(2)}`, `023 ${first}`, `022 ${beyond}`, `022 ${next}`]);
  assert.match(answers[0]!, /^021 /);
  assert.equal(answers[1], "refused 8, 2", "repeated");
  assert.deepEqual(answers.slice(2, 66), flipped.map(() => "refused 8, 4"), "crc");
  assert.deepEqual(answers.slice(66, 69), ["refused 8, 5", "refused 8, 0", "refused 3, 4"]);
  assert.match(answers[69]!, /^021 /);
});

test("the same sources are small on a Cortex-M0+", (t) => {
  const compile = (...args: string[]) => spawnSync("arm-none-eabi-gcc", ["-mcpu=cortex-m0plus", "-mthumb", "-Os", "-ffreestanding", "-ffunction-sections", "-fdata-sections", ...FLAGS, ...INCLUDES, ...args], { cwd: folder, encoding: "utf8" });
  const built = compile("-c", "shoulder.c", "joint_frames.c", ...RUNTIME);
  if (built.error !== undefined) return t.skip("there is no arm-none-eabi-gcc (sudo apt-get install -y gcc-arm-none-eabi)");
  assert.equal(built.status, 0, built.stderr);
  const size = spawnSync("arm-none-eabi-size", ["-A", "shoulder.o"], { cwd: folder, encoding: "utf8" });
  const bytes = [...size.stdout.matchAll(/^\.(?:text|rodata)\S*\s+(\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  t.diagnostic(`shoulder.o: ${bytes} bytes of code and constants before the linker drops what is not called`);
  assert.ok(bytes > 500 && bytes < 8192, `${bytes} bytes`);
});
