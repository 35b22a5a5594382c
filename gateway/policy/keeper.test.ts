import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "../../schemas/clock.ts";
import { type AcceptedConfig, loadConfiguration } from "../build/configuration.ts";
import { reloadConfiguration } from "../build/reload.ts";
import type { EventInput } from "../observe/events.ts";
import { PolicyKeeper } from "./keeper.ts";
import { testLookup, testPeer } from "./testPolicy.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-keeper-"));
after(() => rmSync(folder, { recursive: true }));

const reading = (topic: string): string => `version: 1\nrules: [ { allow: [read], who: [uid:7], topics: [${topic}] } ]\n`;
const who = testPeer(7);

/** A keeper on files of its own, and a way to wait for what it does. */
function setUp(name: string, policy: string): { keeper: PolicyKeeper; policyFile: string; configFile: string; accepted: AcceptedConfig; codes: string[]; until(holds: () => boolean): Promise<void> } {
  const policyFile = join(folder, `${name}.policy.yaml`);
  const configFile = join(folder, `${name}.yaml`);
  writeFileSync(policyFile, policy);
  writeFileSync(configFile, `version: 1\nrobot: test\npolicy: ${name}.policy.yaml\n`);
  const loaded = loadConfiguration(configFile);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const codes: string[] = [];
  let wake = (): void => undefined;
  const event = ({ code }: EventInput): void => {
    codes.push(code);
    wake();
  };
  const keeper = new PolicyKeeper({ accepted: loaded.accepted, clock: systemClock, event, changed: () => wake(), lookup: testLookup, ownUid: 500 });
  const until = async (holds: () => boolean): Promise<void> => {
    const deadline = setTimeout(() => assert.fail(`nothing came of it: ${codes.join(" ")}`), 30_000);
    while (!holds()) await new Promise<void>((resolve) => (wake = resolve));
    clearTimeout(deadline);
  };
  return { keeper, policyFile, configFile, accepted: loaded.accepted, codes, until };
}

test("a file that is replaced, or written in place, is taken over; a broken one is refused whole and told", async () => {
  const { keeper, policyFile, codes, until } = setUp("live", reading("a"));
  keeper.start();
  try {
    assert.ok(keeper.access.mayRead(who, "a") && !keeper.access.mayRead(who, "b"));
    writeFileSync(`${policyFile}.new`, reading("b"));
    renameSync(`${policyFile}.new`, policyFile);
    await until(() => keeper.access.mayRead(who, "b"));
    assert.equal(keeper.access.mayRead(who, "a"), false);
    writeFileSync(policyFile, `${reading("c")}rules: 1\n`);
    await until(() => keeper.report().refused !== "");
    assert.match(keeper.report().refused, /live\.policy\.yaml:3:1: .*\[duplicateKey\]/);
    assert.ok(keeper.access.mayRead(who, "b") && !keeper.access.mayRead(who, "c"));
    unlinkSync(policyFile);
    await until(() => keeper.report().refused.includes("does not exist"));
    assert.ok(keeper.access.mayRead(who, "b"));
    writeFileSync(policyFile, reading("c"));
    await until(() => keeper.access.mayRead(who, "c"));
    assert.deepEqual({ ...keeper.report(), hash: "" }, { file: policyFile, hash: "", rules: 1, components: 0, refused: "" });
    // Between two rests of a slow machine there may be more refusals: of a file that is half written.
    assert.deepEqual([codes[0], codes.at(-1), new Set(codes.slice(1, -1))], ["policyChanged", "policyChanged", new Set(["policyRefused"])]);
  } finally {
    keeper.stop();
  }
});

test("behind a symbolic link both are followed: the link and the file", async () => {
  writeFileSync(join(folder, "first.yaml"), reading("one"));
  writeFileSync(join(folder, "second.yaml"), reading("two"));
  const { keeper, policyFile, until } = setUp("linked", reading("zero"));
  unlinkSync(policyFile);
  symlinkSync("first.yaml", policyFile);
  keeper.start();
  try {
    await until(() => keeper.access.mayRead(who, "one"));
    symlinkSync("second.yaml", `${policyFile}.new`);
    renameSync(`${policyFile}.new`, policyFile);
    await until(() => keeper.access.mayRead(who, "two"));
  } finally {
    keeper.stop();
  }
});

test("what changed between reading the configuration and following the file is not missed", () => {
  const { keeper, policyFile } = setUp("early", reading("a"));
  writeFileSync(policyFile, reading("b"));
  keeper.start();
  keeper.stop();
  assert.ok(keeper.access.mayRead(who, "b"));
});

test("a reload takes the policy over with the configuration, or neither", () => {
  const { keeper, policyFile, configFile, accepted } = setUp("reload", reading("a"));
  let current = accepted;
  const reload = () => reloadConfiguration({ ...current, policyHash: keeper.hash }, configFile, (changed) => {
    current = changed;
    keeper.apply(changed);
  });
  assert.deepEqual(reload().body, { changed: [], hash: accepted.hash });
  writeFileSync(policyFile, reading("b"));
  assert.deepEqual(reload().body, { changed: ["policy"], hash: accepted.hash });
  assert.ok(keeper.access.mayRead(who, "b"));
  writeFileSync(policyFile, reading("a/#/b"));
  const refused = reload();
  assert.match(refused.text ?? "", /reload\.policy\.yaml:2:\d+: error badFormat/);
  assert.ok(keeper.access.mayRead(who, "b"));
  writeFileSync(configFile, "version: 1\nrobot: test\nreaders: [ { user: \"7\" } ]\n");
  assert.deepEqual((reload().body as { changed: string[] }).changed, ["policy", "readers"]);
  assert.ok(keeper.access.mayRead(who, "anything") && keeper.file === undefined);
  assert.equal(keeper.report().file, "");
});
