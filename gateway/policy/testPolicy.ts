/** Engines from texts, for tests. */
import assert from "node:assert/strict";
import { checkPolicy } from "../../schemas/messages/checkPolicy.ts";
import { loadConfig } from "../../schemas/messages/loadConfig.ts";
import type { Peer } from "../broker/ports.ts";
import type { ProcessFacts } from "../identity/facts.ts";
import { Engine } from "./engine.ts";
import { ruleSet } from "./ruleSet.ts";

const users: Readonly<Record<string, number>> = { root: 0, robot: 1000, planner: 1001, camera: 1002, operator: 1003 };
const groups: Readonly<Record<string, number>> = { ipcnet: 300, operators: 200 };
export const testLookup = {
  uid: (user: string): number | undefined => (/^\d+$/.test(user) ? Number(user) : users[user]),
  gid: (group: string): number | undefined => (/^\d+$/.test(group) ? Number(group) : groups[group]),
};
export const OWN_UID = 500;

/** An engine of a policy, a configuration, or both, without heads ("version: 1"). What is unknown is collected. */
export function testEngine({ policy, configuration }: { policy?: string; configuration?: string }): { engine: Engine; unknown: string[] } {
  const unknown: string[] = [];
  const checked = policy === undefined ? undefined : checkPolicy({ text: `version: 1\n${policy}`, file: "policy.yaml" });
  if (checked) assert.ok(checked.checked, JSON.stringify(checked.faults));
  const loaded = configuration === undefined ? undefined : loadConfig(`version: 1\nrobot: test\n${configuration}`, { file: "ipcnet.yaml" });
  if (loaded) assert.ok(loaded.config, JSON.stringify(loaded.faults));
  const set = ruleSet({ ownUid: OWN_UID, policy: checked?.checked, ...(loaded?.config ? { configuration: { config: loaded.config, file: "ipcnet.yaml", locate: loaded.locate } } : {}) });
  return { engine: new Engine(set, { lookup: testLookup, onUnknown: (name, place) => unknown.push(`${place?.file}:${place?.line} ${name}`) }), unknown };
}

export function testPeer(uid: number, { gid = 9999, groups: of = [], facts }: { gid?: number; groups?: number[]; facts?: ProcessFacts } = {}): Peer {
  return { pid: 1, uid, gid, groups: of, component: "", facts };
}
