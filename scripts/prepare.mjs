// Makes a fresh clone runnable: checks what the machine has, installs the npm packages if the lock file changed,
// builds the C parts and the TypeScript. Each step is skipped when nothing changed, so a second start costs well under a second.
import { spawnSync } from "node:child_process";
import { dist, existsSync, files, fingerprint, has, join, refuse, root, run, storeys, unlessStamped } from "./lib.mjs";
import { rmSync } from "node:fs";

const [major, minor] = process.versions.node.split(".").map(Number);
if (process.platform !== "linux") refuse(`IPCNet runs on Linux, this is ${process.platform}`);
if (major < 20) refuse(`Node.js 20 or newer is needed, this is ${process.versions.node}`, "install Node.js 24: https://nodejs.org/en/download, or Debian's package: sudo apt-get install -y nodejs npm");
if (major === 20 && minor < 11) refuse(`Node.js 20.11 or newer is needed, this is ${process.versions.node}`, "sudo npm install -g n && sudo n 24");
if (!has("gcc") && !has("cc")) refuse("a C compiler is needed and none was found", "sudo apt-get update && sudo apt-get install -y gcc libc6-dev");
const probe = spawnSync(has("gcc") ? "gcc" : "cc", ["-E", "-"], { input: "#include <stdio.h>\n#include <linux/can.h>\n", stdio: ["pipe", "ignore", "ignore"] });
if (probe.status !== 0) refuse("the C library's headers are missing", "sudo apt-get install -y libc6-dev linux-libc-dev");

const lock = join(root, "package-lock.json");
unlessStamped({ stampFile: join(root, "node_modules/.ipcnet-lock"), print: fingerprint([lock]), result: join(root, "node_modules/.package-lock.json") }, () => {
  process.stdout.write("installing npm packages (once) …\n");
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
});

const { buildAddons } = await import("./native.mjs");
buildAddons();

const sources = [...storeys, "deploy", "bench", "examples"].flatMap((name) => files(join(root, name), (path) => /\.(ts|json)$/.test(path)));
unlessStamped({ stampFile: join(dist, "ts/.stamp"), print: fingerprint([...sources, join(root, "tsconfig.json")]), result: join(dist, "ts") }, () => {
  process.stdout.write("  tsc\n");
  dropOrphans();
  run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.json"]);
});

/** Removes compiled files whose source is gone: a deleted test must not go on passing. */
function dropOrphans() {
  for (const path of files(join(dist, "ts"), (name) => name.endsWith(".js"))) {
    const source = join(root, path.slice(join(dist, "ts").length + 1).replace(/\.js$/, ".ts"));
    if (!existsSync(source)) for (const ending of [".js", ".js.map", ".d.ts"]) rmSync(path.replace(/\.js$/, ending), { force: true });
  }
}
