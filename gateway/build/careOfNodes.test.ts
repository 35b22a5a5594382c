import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "../../schemas/messages/config.ts";
import { NodeMonitor } from "../nodes/monitor.ts";
import { CareOfNodes } from "./careOfNodes.ts";

const node: Node = { name: "elbow", link: "arm", heartbeat: { canopen: 3 }, timeoutMs: 100, required: true, update: false };
const [BOOT_UP, OPERATIONAL] = [0, 5];

/** A node that has complained and was lost; then its heartbeat says `state`. What it still counts as complaining of. */
function afterItsReturn(state: number): number[] {
  const care = new CareOfNodes([node], { nowUs: () => 0, allowed: () => false, line: () => undefined, event: () => undefined, reschedule: () => undefined, updatesChanged: () => undefined });
  const monitor = new NodeMonitor([node]);
  monitor.seenCanopen(0, OPERATIONAL, 0);
  care.emcy(0, { node: 3, code: 0x8250, errorRegister: 0x11, info: new Uint8Array(5) }, 1_000);
  for (const event of monitor.poll(200_000)) care.nodeEvent(event);
  const event = monitor.seenCanopen(0, state, 300_000);
  assert.equal(event?.type, "returned");
  care.nodeEvent(event);
  return (care.report("elbow", 300_000).errors ?? []).map(({ code }) => code);
}

test("what a node complained of is over when it comes back as a new one, and stands when only its silence is over", () => {
  assert.deepEqual(afterItsReturn(BOOT_UP), []);
  assert.deepEqual(afterItsReturn(OPERATIONAL), [0x8250]);
});
