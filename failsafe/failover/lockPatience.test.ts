import assert from "node:assert/strict";
import { test } from "node:test";
import { asksAgain, LOCK_PATIENCE_MS } from "./lockPatience.ts";
import { nextRole, roles } from "./roles.ts";

test("the lock of a dead twin is asked for as long as whoever has it may find that the clients are ours, and not for ever", () => {
  assert.ok(asksAgain({ hasLegacy: true, waitedMs: 0 }));
  assert.ok(asksAgain({ hasLegacy: true, waitedMs: LOCK_PATIENCE_MS - 1 }));
  assert.ok(!asksAgain({ hasLegacy: true, waitedMs: LOCK_PATIENCE_MS }));
  assert.ok(!asksAgain({ hasLegacy: false, waitedMs: 0 }), "who has nothing to go on with joins whoever has the lock");
});

test("who does not get the lock looks for the other one anew, and asks nobody for a pose", () => {
  for (const role of roles) assert.deepEqual(nextRole(role, "lockKept"), role === "active" ? { to: "looking", do: ["lookLater"] } : undefined);
});
