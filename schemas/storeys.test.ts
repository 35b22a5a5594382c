/** The arrows of docs/ARCHITECTURE.md: gateway → failsafe → drivers → shm → schemas, never upwards. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { test } from "node:test";
import { projectRoot } from "./testData.ts";

const storeys = ["schemas", "shm", "drivers", "failsafe", "gateway"];

function sources(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts")).map((name) => join(folder, name));
}

test("no storey imports one above it, and nothing imports hil-tests or deploy", () => {
  const root = projectRoot();
  const wrong: string[] = [];
  let arrows = 0;
  for (const [height, storey] of storeys.entries()) {
    for (const file of sources(join(root, storey))) {
      for (const match of readFileSync(file, "utf8").matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
        arrows += 1;
        const target = relative(root, resolve(dirname(file), match[1]!)).split(sep)[0]!;
        const targetHeight = storeys.indexOf(target);
        const allowed = targetHeight >= 0 ? targetHeight <= height : false;
        if (!allowed) wrong.push(`${relative(root, file)} imports ${match[1]}`);
      }
    }
  }
  assert.ok(arrows > 0, "no import was read: the test looks in the wrong place");
  assert.deepEqual(wrong, []);
});
