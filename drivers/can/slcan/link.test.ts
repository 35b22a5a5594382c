import assert from "node:assert/strict";
import { test } from "node:test";
import type { LinkEvent, LinkState } from "./link.ts";
import { LinkMachine, linkTable, waits } from "./link.ts";

const states = Object.keys(linkTable) as LinkState[];
const events = Object.keys(linkTable.idle) as LinkEvent[];
const next = (state: LinkState, event: LinkEvent): LinkState => {
  const cell = linkTable[state][event];
  return cell === "ignore" ? state : cell.to;
};

test("every state is reachable, and none that waits can wait for ever", () => {
  const reached = new Set<LinkState>(["idle"]);
  for (const state of reached) for (const event of events) reached.add(next(state, event));
  assert.deepEqual([...reached].sort(), [...states].sort());
  for (const state of states) if (waits[state]) assert.notEqual(next(state, "timeout"), state);
});

test("silence leads to failed or, after the steps that may be refused, on; never to open", () => {
  for (const state of states) assert.notEqual(next(state, "timeout") === "open" && state !== "open", true);
  for (const state of states) {
    let at = state;
    for (let count = 0; count < states.length; count++) at = next(at, "timeout");
    assert.ok(["failed", "idle", "open"].includes(at), `${state} → ${at}`);
  }
});

test("the opening sequence, and recovery by C and O", () => {
  const machine = new LinkMachine();
  const heard: LinkEvent[] = ["start", "ok", "refused", "version", "ok", "refused", "ok"];
  assert.deepEqual(heard.flatMap((event) => machine.step(event)), ["sendSync", "sendRate", "sendStamps", "sendOpen", "opened"]);
  assert.deepEqual((["recover", "refused", "ok"] as const).flatMap((event) => machine.step(event)), ["sendClose", "sendOpen", "opened"]);
});
