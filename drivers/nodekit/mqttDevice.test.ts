/** The MQTT kit in C against the gateway's own readers: values, commands, what does not fit. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { fromHex, projectRoot } from "../../schemas/testData.ts";
import { seededRandom } from "../../schemas/random.ts";
import { decodeCbor } from "../mqtt/cbor.ts";
import { decodeCommand } from "../mqtt/command.ts";
import { EnvelopeReader } from "../mqtt/envelope.ts";

const root = projectRoot();
const DATA_ID = 0x494d_5530;

function payloads(lines: readonly string[]): string[] {
  const run = spawnSync(join(root, "dist/native/test/mqtt_device"), { input: `${lines.join("\n")}\n`, encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout.trimEnd().split("\n");
}

const bitsOf = (value: number): number => new DataView(Float32Array.of(value).buffer).getUint32(0, true);

test("values of every kind are read as they were written, and each payload follows the one before", () => {
  const seed = 20261123;
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const edges = [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2 ** 31 - 1];
  const number = (): number => (below(2) === 0 ? edges[below(edges.length)]! : below(2 ** 31));
  const expected: Record<string, unknown>[] = [];
  const lines = Array.from({ length: 2_000 }, (_, counter) => {
    const values: Record<string, unknown> = {};
    const words = Array.from({ length: below(26) }, (_each, index) => {
      const key = String.fromCodePoint(97 + index);
      switch (below(6)) {
        case 0: { const value = below(2) === 0 ? number() : 2 ** 32 - 1 - number(); values[key] = value; return `u:${value}`; }
        case 1: { const value = below(2) === 0 ? number() : -1 - number(); values[key] = value; return `i:${value}`; }
        case 2: { const value = Math.fround((random() - 0.5) * 10 ** below(12)); values[key] = value; return `f:${bitsOf(value)}`; }
        case 3: { const value = below(2); values[key] = value === 1; return `b:${value}`; }
        case 4: { const count = below(30); values[key] = Array.from({ length: count }, () => 1); return `s:${count}`; }
        default: { const value = "π".repeat(below(40)) + "x".repeat(below(10)); values[key] = value; return `t:${value}`; }
      }
    });
    expected.push(values);
    return `state 8000 ${DATA_ID} ${counter} ${words.join(" ")}`;
  });
  const reader = new EnvelopeReader({ dataId: DATA_ID });
  for (const [counter, hex] of payloads(lines.map((line) => line.trimEnd())).entries()) {
    const read = reader.read(fromHex(hex), counter);
    assert.ok(read.ok, `seed ${seed}, payload ${counter}: ${JSON.stringify(read)}`);
    assert.deepEqual([read.counter, read.lostBefore], [counter, 0]);
    const decoded = decodeCbor(read.body);
    assert.deepEqual(decoded, { ok: true, value: expected[counter] }, `seed ${seed}, payload ${counter}`);
  }
});

test("a command is what the gateway takes for one, under its own name alone", () => {
  const name = "demo-arm/cmd/arm/shoulder_Command";
  const [hex] = payloads([`command 200 ${name} a1 100 17 ${bitsOf(0.5)}`]);
  const payload = fromHex(hex!);
  assert.deepEqual(decodeCommand(name, { payload, retain: false }), { ok: true, command: { id: "a1", ttlMs: 100, seq: 17, values: { velocity: 0.5, mode: "Hold" } } });
  const other = decodeCommand("demo-arm/cmd/arm/elbow_Command", { payload, retain: false });
  assert.equal(other.ok, false);
  for (let bit = 0; bit < payload.length * 8; bit++) {
    payload[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(decodeCommand(name, { payload, retain: false }).ok, false, `bit ${bit}`);
    payload[bit >> 3]! ^= 1 << (bit & 7);
  }
});

test("what does not fit, and what is no number, is not sent", () => {
  const length = fromHex(payloads([`state 200 1 0 u:70000 t:hand`])[0]!).length;
  const lines = Array.from({ length: length + 1 }, (_, capacity) => `state ${capacity} 1 0 u:70000 t:hand`);
  const results = payloads(lines);
  assert.deepEqual(results.map((hex) => hex !== "failed"), lines.map((_, capacity) => capacity === length));
  for (const value of [Number.NaN, Infinity, -Infinity]) assert.deepEqual(payloads([`state 200 1 0 f:${bitsOf(value)}`]), ["failed"]);
});

test("the MQTT kit compiles alone, freestanding, in C99, without a warning", () => {
  const flags = ["-std=c99", "-pedantic", "-ffreestanding", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-fsyntax-only", "-Ischemas/crc/c", "-Ischemas/e2e/c", "-DIPCNET_E2E_ONLY", "-DIPCNET_E2E_P08"];
  const run = spawnSync(process.env["CC"] ?? "cc", [...flags, "drivers/nodekit/ipcnet_mqtt.c"], { cwd: root, encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
});
