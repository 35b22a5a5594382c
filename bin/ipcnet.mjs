#!/usr/bin/env node
import { existsSync, readFileSync } from "node:fs";
import module from "node:module";

const words = process.argv.slice(2);
const entry = new URL("../dist/ts/gateway/cli/process.js", import.meta.url);
if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
  // Asked for by scripts at every start: answered without loading anything.
  process.stdout.write(`${JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version}\n`);
} else if (existsSync(entry)) {
  module.enableCompileCache?.();
  const { main } = await import(entry.href);
  await main(words);
} else {
  process.stderr.write("ipcnet: it is not built yet\n        remedy: npm run build\n");
  process.exitCode = 1;
}
