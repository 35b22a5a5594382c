/** What `lane_attacker` (lanes/attacker.c) says: one line of JSON for each attack and each kind of attacker. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

export interface LaneAttack {
  attack: string;
  /** Whose process the attacker is, seen from its victim. */
  relation: string;
  verdict: "denied" | "harmless" | "DONE";
  text: string;
  /** Whether this attack by this attacker is one that is defended against (docs/attacks.md says which are not). */
  defended: boolean;
  /** Numbered messages that went over the lane meanwhile. */
  messages: number;
  /** What happened to somebody else; "" = nothing. */
  harm: string;
}

const TIMEOUT_MS = 300_000;

/** Runs every attack whose name contains `only`. Rejects when the program itself fails. */
export function runLaneAttacks(only = ""): Promise<LaneAttack[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(attackerProgram(), [only], { stdio: ["ignore", "pipe", "pipe"], timeout: TIMEOUT_MS });
    let out = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code !== 0) return reject(new Error(`lane_attacker ended with ${code ?? signal}: ${errors}\n${out.slice(-1000)}`));
      resolve(out.trim().split("\n").map((line) => JSON.parse(line) as LaneAttack));
    });
  });
}

/** Where the C program is. */
export function attackerProgram(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return join(folder, "dist/native/test/lane_attacker");
}
