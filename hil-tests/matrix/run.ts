/** `npm run matrix`: all pairs against a gateway of its own, as a table; every fault below it. */
import { startDaemon, testFolder } from "../daemon.ts";
import { areas } from "./judge.ts";
import { languageNames, languages, missing, peerCommand } from "./languages.ts";
import { Matrix } from "./matrix.ts";

const only = process.argv.slice(2);
const present = languages.filter((language) => missing(language) === undefined && (only.length === 0 || only.includes(language)));
for (const language of languages) if (missing(language) !== undefined) console.log(missing(language));
for (const language of present) peerCommand(language);

const folder = testFolder();
const daemon = await startDaemon(folder.path, "version: 1\nrobot: babel\n");
const client = await daemon.connect("matrix");
const matrix = new Matrix(daemon.socketPath, client);
const width = 24;
const faults: string[] = [];
const startedMs = performance.now();
try {
  console.log(`${"writer → reader".padEnd(width)}${areas.map((area) => area.padEnd(10)).join("")}`);
  for (const writer of present) {
    for (const [reader, verdict] of await matrix.row(writer, present)) {
      const pair = `${languageNames[writer]} → ${languageNames[reader]}`;
      console.log(`${pair.padEnd(width)}${areas.map((area) => (verdict[area].length === 0 ? "yes" : `${verdict[area].length} faults`).padEnd(10)).join("")}`);
      for (const area of areas) faults.push(...verdict[area].map((fault) => `${pair}, ${area}: ${fault}`));
    }
  }
} finally {
  await matrix.stop();
  await client.close();
  await daemon.stop();
  folder.remove();
}
for (const fault of faults) console.log(`\n${fault}`);
console.log(`${present.length ** 2} pairs, ${faults.length} faults, ${((performance.now() - startedMs) / 1e3).toFixed(1)} s`);
process.exitCode = faults.length === 0 ? 0 : 1;
