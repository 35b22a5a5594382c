import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { documents } from "./docs.ts";
import { projectRoot } from "./root.ts";

test("docs/cli.md and the manual page say what the commands say", async () => {
  for (const [path, text] of await documents()) {
    assert.equal(readFileSync(join(projectRoot(), path), "utf8"), text, `${path} is out of date; remedy: node dist/ts/gateway/cli/docs.js`);
  }
});
