/** The sketch, as far as this machine can tell: it compiles against stand-ins, and its Data ID is the one that the gateway derives from the schema. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { schemaDataId } from "../../../gateway/build/mqttLinks.ts";
import { projectRoot } from "../../../schemas/testData.ts";

const root = projectRoot();
const sketch = "examples/firmware/esp32/torso_imu/torso_imu.ino";
const compiler = process.env["CXX"] ?? "g++";
const missing = spawnSync(compiler, ["--version"]).error !== undefined;

test("it has the Data ID that the gateway derives from the schema", () => {
  const schema = JSON.parse(readFileSync(join(root, "examples/arm/imu.schema.json"), "utf8")) as object;
  const [, number] = /IMU_DATA_ID = (0x[0-9a-f]+);/.exec(readFileSync(join(root, sketch), "utf8"))!;
  assert.equal(Number(number), schemaDataId(schema));
});

test("it compiles", { skip: missing ? `no ${compiler}` : false }, () => {
  const includes = ["examples/firmware/esp32/stubs", "drivers/nodekit", "schemas/e2e/c", "schemas/crc/c"].map((folder) => `-I${folder}`);
  const run = spawnSync(compiler, ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", ...includes, "-include", "Arduino.h", "-x", "c++", sketch], { cwd: root, encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
});
