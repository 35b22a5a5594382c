import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { configSchema } from "../../schemas/messages/configSchema.ts";
import { configurationPage, programPage, roff, type SchemaNode } from "./pages.ts";

const page = configurationPage(configSchema as SchemaNode);
const hasMandoc = spawnSync("mandoc", ["-T", "lint", "/dev/null"]).error === undefined;

test("every key of the configuration is in its page, with its default", () => {
  for (const key of Object.keys((configSchema as SchemaNode).properties ?? {})) assert.ok(page.includes(`\n.B ${roff(key)}\n`), key);
  assert.match(page, /\n\.B twinDeadlineMs\n.*Default 10\./);
  assert.match(page, /\n\.B version\n.*Required\.|\n\.B version\n/);
});

test("no line of text is taken for a macro", () => {
  assert.equal(roff(".TH"), "\\&.TH");
  assert.equal(roff("a-b \\c"), "a\\-b \\ec");
  for (const line of page.split("\n")) assert.ok(!line.startsWith(".") || /^\.(?:TH|SH|SS|TP|B|PP|EX|EE)\b/.test(line), line);
});

test("mandoc finds no error in them", { skip: hasMandoc ? false : "needs mandoc" }, () => {
  const program = programPage({ name: "ipcnetd", section: 8, about: "the gateway", usage: "ipcnetd --config FILE\n  .dot", more: [{ title: "FILES", lines: ["/etc/x"] }], seeAlso: "ipcnet(1)" });
  for (const text of [page, program]) {
    const { stdout } = spawnSync("mandoc", ["-T", "lint", "-W", "error"], { input: text, encoding: "utf8" });
    assert.equal(stdout, "");
  }
});
