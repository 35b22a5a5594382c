import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv } from "ajv";
import { configSchema } from "./configSchema.ts";
import { generatedFiles, sourceFolder } from "./generate.ts";
import { mqttSchema } from "./mqttSchema.ts";
import { planSchema } from "./planSchema.ts";
import { policySchema } from "./policySchema.ts";
import type { GatewayState, NodeState, StatusReport } from "./statusReport.ts";
import { statusSchema } from "./statusSchema.ts";

for (const [name, text] of generatedFiles()) {
  test(`${name} is what its schema says: else run node dist/ts/schemas/messages/generate.js`, () => {
    assert.equal(readFileSync(join(sourceFolder(), name), "utf8"), text);
  });
}

test("the schemas are strict draft-07, and their examples are valid", () => {
  for (const schema of [configSchema, mqttSchema, planSchema, policySchema, statusSchema]) {
    const ajv = new Ajv({ strict: true, strictTypes: false, allErrors: true });
    assert.equal(ajv.validateSchema(schema), true);
    ajv.addSchema(schema);
    for (const [name, { examples = [] }] of Object.entries(schema.definitions)) {
      for (const example of examples) assert.equal(ajv.validate(`${schema.$id}#/definitions/${name}`, example), true, name);
    }
  }
});

/** Every key of the type, checked by the compiler; every key of the schema, checked by ajv: neither can have one that the other lacks. */
const fullStatus: Required<StatusReport> = {
  robot: "demo-arm", version: "0.1.0", instance: "a", boot: "4f1c", pid: 7, uptimeMs: 1.5, epoch: 3, state: "armed", stateReason: "ipcnet arm", pose: { trigger: "compromise", why: "operator", msAgo: 5, latched: true, reset: "ipcnet reset" }, missingForArming: ["node elbow is lost"],
  links: [{ kind: "can", name: "arm", driver: "socketcan", state: "up", reason: "", loadPercent: 12.5, receivedRateHz: 800, sentRateHz: 200, counters: { framesReceived: 5 } }],
  nodes: [{ name: "elbow", link: "arm", state: "lost", required: true, lastSeenMsAgo: 250, rateHz: 0 }],
  rejects: [{ link: "arm", reason: "crcMismatch", count: 3, lastSample: { atMsAgo: 10, source: "0x21", hex: "00ff" } }],
  clients: [{ name: "planner", pid: 8, uid: 1000, component: "planner", leaving: "an update", subscriptions: 2, sentMessages: 9, droppedMessages: 0, pendingBytes: 0 }],
  services: { requests: 1, failovers: 0 },
  lanes: [{ topic: "arm/pose", writer: "planner/-/8/0badcafe", pid: 8, policy: "queue", readers: 1, messages: 7 }],
  policy: { file: "/etc/ipcnet/policy.yaml", hash: "ab", rules: 1, components: 1, refused: "" }, quota: { capacity: { lanes: 10 }, users: [{ uid: 1000, used: { lanes: 1 } }] },
  reflexes: [{
    instance: "a", there: true, reason: "", role: "owner", epoch: 3, pid: 9, uptimeMs: 10, tableIsOurs: true, healthy: true, realtime: true, watchdog: false, twinSeenMsAgo: 0.5, lateTurns: 0, turnMsMax: 1.2, takeovers: 1, plansRun: 0, plansResumed: 0,
    sentFrames: 7, refused: { expired: 1 },
  }],
  supervision: { state: "failed", faults: [{ entity: "crank", state: "failed", checkpoint: "end", why: "it came too rarely" }] },
  commands: { sent: 4, refused: { notArmed: 1 } }, topics: 12, process: { rssBytes: 1, heapUsedBytes: 1, cpuPercent: 0.5, eventLoopDelayP99Us: 20.5 },
};

test("status.schema.json has the keys and words of StatusReport, no more and no fewer", () => {
  const validate = new Ajv().compile(statusSchema);
  assert.ok(validate(fullStatus), JSON.stringify(validate.errors));
  const optional = ["pose", "links.0.loadPercent", "nodes.0.lastSeenMsAgo", "rejects.0.lastSample", "clients.0.leaving", "reflexes.0.twinSeenMsAgo", "supervision"];
  for (const path of keyPaths(fullStatus, [])) {
    const copy = structuredClone(fullStatus);
    deleteAt(copy, path);
    assert.equal(validate(copy), optional.includes(path.join(".")) || ["counters", "refused", "capacity", "used", "services"].includes(path.at(-2) ?? ""), path.join("."));
  }
  const gatewayStates = { starting: 0, disarmed: 0, armed: 0, safePose: 0, posed: 0, fault: 0 } satisfies Record<GatewayState, 0>;
  const nodeStates = { unknown: 0, bootUp: 0, preOperational: 0, operational: 0, stopped: 0, lost: 0 } satisfies Record<NodeState, 0>;
  assert.deepEqual(statusSchema.properties?.state?.enum, Object.keys(gatewayStates));
  assert.deepEqual(statusSchema.definitions.Node?.properties?.state?.enum, Object.keys(nodeStates));
});

function keyPaths(value: unknown, path: readonly string[]): string[][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => [...(Array.isArray(value) ? [] : [[...path, key]]), ...keyPaths(item, [...path, key])]);
}

function deleteAt(value: unknown, [key, ...rest]: readonly string[]): void {
  if (rest.length === 0) Reflect.deleteProperty(value as object, key!);
  else deleteAt((value as Record<string, unknown>)[key!], rest);
}
