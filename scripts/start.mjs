// `npm start`: the demonstration; `npm start -- --config FILE`: the gateway with that configuration.
import { pathToFileURL } from "node:url";
import { dist, join } from "./lib.mjs";

process.setSourceMapsEnabled(true);
const entry = process.argv.length > 2 ? "gateway/bin/ipcnetd.js" : "examples/arm/run.js";
await import(pathToFileURL(join(dist, "ts", entry)));
