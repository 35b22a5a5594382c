/** table.js [NAME]: runs the attacks on lanes whose name contains NAME and, without NAME, those on a gateway; prints what came of each. */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startDaemon, testFolder } from "../daemon.ts";
import { CANARY, configuration, policyText, users } from "./control/innocents.ts";
import { controlGroups, runControlAttacks } from "./control/run.ts";
import { runLaneAttacks } from "./lanes.ts";

const only = process.argv[2] ?? "";
const print = (cells: readonly string[]): void => void process.stdout.write(`${cells.map((cell, i) => cell.padEnd([56, 24, 10, 0][i]!)).join("")}\n`);

print(["attack", "attacker", "outcome", ""]);
const lanes = await runLaneAttacks(only);
for (const { attack, relation, verdict, text, defended, harm } of lanes) print([attack, relation, verdict, `${text}${defended || verdict !== "DONE" ? "" : " (not defended against)"}${harm === "" ? "" : `; HARM: ${harm}`}`]);
if (only === "") {
  const isRoot = process.getuid?.() === 0;
  const folder = testFolder();
  chmodSync(folder.path, 0o755);
  writeFileSync(join(folder.path, "policy.yaml"), `${policyText}  - { allow: [write], who: [user:root], topics: ["shared/#", "secret/#"] }\n`);
  const daemon = await startDaemon(folder.path, `${configuration}policy: policy.yaml\n`);
  chmodSync(daemon.socketPath, 0o666);
  const talker = await daemon.connect("talker");
  // A lane that the attacker may read, to try with, and one that it may not.
  const writers = isRoot ? [await talker.advertise("shared/count", { encoding: "json" }), await talker.advertise("secret/canary", { encoding: "json" })] : [];
  writers[1]?.publish(CANARY);
  for (const group of isRoot ? controlGroups : (["packets", "garbage"] as const)) {
    for (const { attack, verdict, text } of await runControlAttacks(daemon.socketPath, group, { uid: isRoot ? users.attacker : undefined, canary: CANARY })) print([attack, isRoot ? "another user's program" : "same user", verdict, text.split("\n")[0]!]);
  }
  for (const writer of writers) await writer.close();
  await talker.close();
  await daemon.stop();
  folder.remove();
}
const bad = lanes.filter(({ harm, defended, verdict }) => harm !== "" || (defended && verdict === "DONE"));
process.exit(bad.length > 0 ? 1 : 0);
