import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { findingCatalogue } from "./findings.ts";

test("docs/specs/dbc.md lists every code with its severity and hint", () => {
  let root = import.meta.dirname;
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  const spec = readFileSync(join(root, "docs/specs/dbc.md"), "utf8");
  const rows = Object.entries(findingCatalogue).map(([code, { severity, hint }]) => `| \`${code}\` | ${severity} | ${hint.replaceAll("|", "\\|")} |`);
  assert.equal(spec.slice(spec.indexOf("| code | severity |")).trim(), ["| code | severity | what to do |", "|---|---|---|", ...rows].join("\n"));
});
