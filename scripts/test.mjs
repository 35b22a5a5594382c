// All tests: the C ones (sanitizers on), then the TypeScript ones from dist. `npm test -- NAME` runs only files whose path contains NAME.
import { dist, files, join, relative, run } from "./lib.mjs";
import { buildPrograms, runNativeTests } from "./native.mjs";

const only = process.argv[2];
const tests = files(join(dist, "ts"), (path) => path.endsWith(".test.js") && (only === undefined || relative(dist, path).includes(only)));
if (only === undefined && !(await runNativeTests())) process.exit(1);
if (tests.length === 0) { process.stderr.write(`no test file matches ${only}\n`); process.exit(1); }
await buildPrograms();
run(process.execPath, ["--enable-source-maps", "--test", "--test-concurrency=2", ...tests]);
