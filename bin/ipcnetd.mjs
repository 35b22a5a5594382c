#!/usr/bin/env node
import { existsSync } from "node:fs";

const entry = new URL("../dist/ts/gateway/bin/ipcnetd.js", import.meta.url);
if (!existsSync(entry)) {
  process.stderr.write("ipcnetd: it is not built yet\n        remedy: npm run build\n");
  process.exit(1);
}
await import(entry.href);
