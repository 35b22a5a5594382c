import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { checkConfigFile } from "../../../schemas/messages/configFile.ts";
import { EPOCH_BITS_MIN, epochTrouble } from "./epochWidth.ts";
import { judgeReflex } from "./judge.ts";

const examples = join(import.meta.dirname, "../../../../../examples/arm");

const configuration = (redundancy: string): string => `version: 1
robot: test-arm
buses:
  - name: arm
    driver: emulator
    interface: arm.bus
    claimId: 0x10
    databases: [ { dbc: arm.dbc, checks: arm.checks.yaml, template: { id: "node_id << 5 | message_id", nodes: { base: 1 } } } ]
nodes: [ { name: base, link: arm, heartbeat: { canopen: 1 }, timeoutMs: 500 } ]
commands: [ { bus: arm, message: base_Command, ttlMsMax: 200, rateHzMax: 100, writers: [] } ]
safePose:
  budgetMs: 1000
  steps:
    - { name: stop, deadlineMs: 500, send: [ { bus: arm, message: base_Command, values: { mode: Hold, targetPosition: 0, velocityLimit: 0 } } ], until: [ { topic: can/arm/base_State, signal: velocity, absMax: 0.02, holdMs: 30, ageMsMax: 500 } ] }
redundancy: ${redundancy}
`;

/** The warnings about the arm's database with an epoch field of so many bits. */
function warnings(t: TestContext, epochBits: number, redundancy = "{ reflex: pair }") {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-epoch-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  copyFileSync(join(examples, "arm.checks.yaml"), join(folder, "arm.checks.yaml"));
  const dbc = readFileSync(join(examples, "arm.dbc"), "utf8");
  const changed = dbc.replace('epoch : 24|8@1+ (1,0) [0|255]', `epoch : 24|${epochBits}@1+ (1,0) [0|${2 ** epochBits - 1}]`);
  if (epochBits !== 8) assert.notEqual(changed, dbc);
  writeFileSync(join(folder, "arm.dbc"), changed);
  const file = join(folder, "ipcnet.yaml");
  writeFileSync(file, configuration(redundancy));
  const read = checkConfigFile(file, { machine: false });
  assert.ok(read.readable);
  const { result, table } = judgeReflex(read.result, file);
  assert.deepEqual(result.faults.filter(({ severity }) => severity === "error"), []);
  assert.equal(table !== undefined, redundancy !== "{}");
  return result.faults.filter(({ code }) => code === "epochWrapsEarly");
}

test("a command whose epoch field wraps early is a warning at the command, which says how early", (t) => {
  const [warning, ...more] = warnings(t, 4);
  assert.deepEqual(more, []);
  assert.deepEqual([warning!.severity, warning!.path, warning!.line], ["warning", "commands[0].message", 10]);
  assert.match(warning!.message, /^arm\/base_Command: its epoch field has 4 bits: after 16 takeovers/);
  assert.match(warning!.hint, /widen epoch/);
});

test("the arm as it is shipped has an epoch that is wide enough; without a reflex nobody stamps one", (t) => {
  assert.deepEqual(warnings(t, 8), []);
  assert.deepEqual(warnings(t, 7).length, 1);
  assert.deepEqual(warnings(t, 4, "{}"), []);
});

test("the number of bits is that of the arithmetic: more owners than there can be in a command's longest life", () => {
  assert.equal(epochTrouble(0), undefined);
  assert.equal(epochTrouble(EPOCH_BITS_MIN), undefined);
  for (let bits = 1; bits < EPOCH_BITS_MIN; bits++) assert.match(epochTrouble(bits)!, new RegExp(`${bits} bits?: after ${2 ** bits} takeovers`));
  // Starts of one reflex in 60 s: after 20, 40, … 1280 ms, then every 2 s.
  let [atMs, waitMs, starts] = [0, 20, 0];
  for (; atMs + waitMs <= 60_000; waitMs = Math.min(2 * waitMs, 2_000)) {
    atMs += waitMs;
    starts += 1;
  }
  assert.ok(4 * starts < 2 ** EPOCH_BITS_MIN && 4 * starts >= 2 ** (EPOCH_BITS_MIN - 1), `${4 * starts} owners`);
  assert.match(epochTrouble(4)!, new RegExp(`up to ${4 * starts} are possible`));
});
