import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { addonPath } from "./addonPath.ts";

test("an addon compiled here goes before a prebuilt one, and the package's own before any further up", () => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-addon-"));
  const make = (path: string): string => {
    const whole = join(folder, path);
    mkdirSync(dirname(whole), { recursive: true });
    writeFileSync(whole, "");
    return whole;
  };
  const from = join(folder, "node_modules/ipcnet/dist/ts/shm/sockets");
  assert.equal(addonPath("x", from), undefined);
  const foreign = make("dist/native/x.node");
  assert.equal(addonPath("x", from), foreign);
  const prebuilt = make(`node_modules/ipcnet/prebuilds/linux-${process.arch}/x.node`);
  make("node_modules/ipcnet/prebuilds/linux-other/x.node");
  assert.equal(addonPath("x", from), prebuilt);
  const compiled = make("node_modules/ipcnet/dist/native/x.node");
  assert.equal(addonPath("x", from), compiled);
  rmSync(folder, { recursive: true });
});
