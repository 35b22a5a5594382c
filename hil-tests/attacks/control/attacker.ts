/** The attacker's process: attacker.js SOCKET GROUP [CANARY]. Runs the group's attacks one after the other and prints one line of JSON each. */
import { Attacker, type Attack, done, type Outcome } from "./attack.ts";
import { floods } from "./floods.ts";
import { garbage } from "./garbage.ts";
import { impersonation, passedOff, unpermitted } from "./strangers.ts";

const groups: Readonly<Record<string, Readonly<Record<string, Attack>>>> = { garbage, floods, impersonation, passedOff, unpermitted };

const [, , socketPath = "", group = "", canary = ""] = process.argv;
for (const [attack, run] of Object.entries(groups[group] ?? {})) {
  const attacker = new Attacker(socketPath);
  const beganMs = performance.now();
  let outcome: Outcome;
  try {
    outcome = await run(attacker);
  } catch (error) {
    outcome = done(`failed: ${error instanceof Error ? error.stack ?? error.message : String(error)}`);
  }
  if (canary !== "" && attacker.sees(canary)) outcome = done("it was sent what it may not see");
  attacker.rest();
  process.stdout.write(`${JSON.stringify({ attack, ...outcome, tookMs: Math.round(performance.now() - beganMs) })}\n`);
}
process.exit(0);
