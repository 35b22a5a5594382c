// Measures: `npm run bench -- [NAME…] [--json] [--long]`. Tables on stdout; what the figures were on a known machine is in bench/RESULTS.md.
import { pathToFileURL } from "node:url";
import { dist, existsSync, join, refuse } from "./lib.mjs";

const entry = join(dist, "ts/bench/bench.js");
if (!existsSync(entry)) refuse("the benches are not built yet", "npm run build");
const { main } = await import(pathToFileURL(entry));
process.exit(await main(process.argv.slice(2)));
