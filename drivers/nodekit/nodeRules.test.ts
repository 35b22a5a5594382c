/** The rules of a node: rows worked by hand, C against TypeScript, and every bit of a frame. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { e2eProtector } from "../../schemas/e2e/index.ts";
import { fromHex, projectRoot } from "../../schemas/testData.ts";
import { claimKinds, decodeClaim, encodeClaim, epochNewer } from "./claimFrame.ts";
import { NOBODY, NodeRules } from "./nodeRules.ts";
import { commandConfigs, commandsOf, nativeVectors, nativeVectorsPath, randomRows, scenarios, stateOf } from "./vectors.ts";

const root = projectRoot();

for (const { name, steps, ...options } of scenarios()) {
  test(`vector: ${name}`, () => {
    const node = new NodeRules({ ...options, commands: commandsOf() });
    for (const [index, step] of steps.entries()) {
      const where = `${name}, step ${index} at ${step.at} µs`;
      if ("hear" in step) assert.equal(node.hear(step.hear, fromHex(step.bytes), step.at), step.expect, where);
      else if ("judge" in step) assert.equal(node.judge(step.judge, fromHex(step.bytes), step.at), step.expect, where);
      else node.poll(step.at);
      assert.equal(stateOf(node), step.state, where);
    }
  });
}

test("the rows for the C test are up to date", () => {
  assert.equal(readFileSync(join(root, nativeVectorsPath), "utf8"), nativeVectors(), "write them again: node dist/ts/drivers/nodekit/vectors.js --write");
});

test("C and TypeScript agree on forty thousand steps of random owners", () => {
  const build = spawnSync(process.execPath, [join(root, "scripts/native.mjs"), "--test", "ipcnet_node"], { cwd: root, encoding: "utf8" });
  assert.equal(build.status, 0, build.stdout + build.stderr);
  const seed = 20261122;
  const rows = randomRows({ seed, count: 1_000 });
  const run = spawnSync(join(root, "dist/native/test/ipcnet_node.asan"), ["-"], { input: `${rows.join("\n")}\n`, encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, `seed ${seed}: ${run.stderr}`);
  assert.match(run.stdout, new RegExp(`^${rows.length} rows passed`));
});

test("the kit compiles alone, freestanding, in C99, without a warning", () => {
  const flags = ["-std=c99", "-pedantic", "-ffreestanding", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-fsyntax-only", "-Ischemas/crc/c", "-Ischemas/e2e/c", "-DIPCNET_E2E_ONLY", "-DIPCNET_E2E_P05"];
  const sources = readdirSync(join(root, "drivers/nodekit")).filter((name) => /^ipcnet_node\w*\.c$/.test(name) && !name.endsWith("_test.c")).map((name) => `drivers/nodekit/${name}`);
  assert.ok(sources.length >= 7);
  const run = spawnSync(process.env["CC"] ?? "cc", [...flags, ...sources], { cwd: root, encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
});

test("a claim frame reads back as it was written, and no other frame one bit away is a claim", () => {
  for (const kind of claimKinds) {
    const frame = { kind, epoch: 0xfffe, owner: 3, last: 1, counter: 255 };
    const bytes = encodeClaim(frame);
    assert.deepEqual(decodeClaim(bytes), frame);
    for (let bit = 0; bit < 64; bit++) {
      const other = bytes.slice();
      other[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(decodeClaim(other), undefined, `bit ${bit}`);
    }
    for (let length = 0; length < 8; length++) assert.equal(decodeClaim(bytes.subarray(0, length)), undefined);
  }
});

test("no command that is one bit away from a valid one is accepted, nor one of any other epoch or owner", () => {
  const follow = (): NodeRules => {
    const node = new NodeRules({ claimTimeoutUs: 500_000, deadManUs: 200_000, commands: commandsOf() });
    node.hear(2, encodeClaim({ kind: "claim", epoch: 0x1235, owner: 2, last: 0, counter: 9 }), 0);
    return node;
  };
  const frameOf = (epoch: number, owner: number): Uint8Array => {
    const bytes = Uint8Array.of(0, 0, 0, ((epoch & 0xf) << 4) | 2, 1, 2, 3, owner << 4);
    e2eProtector(commandConfigs[0]).protect(bytes, 0, 8, 0x22);
    return bytes;
  };
  const valid = frameOf(0x1235, 2);
  for (let bit = 0; bit < 64; bit++) {
    const other = valid.slice();
    other[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(follow().judge(0, other, 1), "badFrame", `bit ${bit}`);
  }
  for (let epoch = 0; epoch < 16; epoch++) {
    for (let owner = 0; owner < 4; owner++) {
      assert.equal(follow().judge(0, frameOf(epoch, owner), 1), epoch !== 5 ? "otherEpoch" : owner !== 2 ? "otherOwner" : "accepted");
    }
  }
});

test("every pair of epochs: exactly one is newer, unless they are the same or half way round apart", () => {
  for (const a of [0, 1, 2, 0x7fff, 0x8000, 0xfffe, 0xffff]) {
    for (let b = 0; b < 0x10000; b++) {
      const apart = (a - b) & 0xffff;
      assert.equal(Number(epochNewer(a, b)) + Number(epochNewer(b, a)), apart === 0 || apart === 0x8000 ? 0 : 1);
    }
  }
});

test("on a bus without claims every valid command counts, and claims mean nothing", () => {
  const node = new NodeRules({ claimTimeoutUs: 0, deadManUs: 1_000, commands: commandsOf() });
  assert.equal(node.hear(0, encodeClaim({ kind: "claim", epoch: 1, owner: 0, last: 0, counter: 0 }), 0), "notHeard");
  const bytes = new Uint8Array(8);
  e2eProtector(commandConfigs[0]).protect(bytes, 0, 8, 0x22);
  assert.equal(node.judge(0, bytes, 0), "accepted");
  assert.deepEqual([node.outputs, node.owner], ["follow", NOBODY]);
  node.poll(1_000);
  assert.equal(node.outputs, "safe");
});
