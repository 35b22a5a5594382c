// The attack suite as a table: attack, attacker, outcome, and what became of the others. `npm run attacks [NAME]`; as root it also plays other users.
import { dist, join, run } from "./lib.mjs";
import { buildPrograms } from "./native.mjs";

await buildPrograms();
run(process.execPath, ["--enable-source-maps", join(dist, "ts/hil-tests/attacks/table.js"), ...process.argv.slice(2)]);
