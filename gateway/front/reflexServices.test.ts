import assert from "node:assert/strict";
import { test } from "node:test";
import type { Reply } from "../../failsafe/reflex/client/end.ts";
import type { SwitchTo } from "../../failsafe/reflex/client/packets.ts";
import { Status } from "../../schemas/status.ts";
import { reflexService, type ReflexPort } from "./reflexServices.ts";

function port(reply: Reply): ReflexPort & { asked: SwitchTo[] } {
  const asked: SwitchTo[] = [];
  const switchOver = (to: SwitchTo = "twin"): Promise<Reply> => {
    asked.push(to);
    return Promise.resolve(reply);
  };
  return { asked, drills: false, client: { ends: [], table: { bytes: new Uint8Array(0), hash: new Uint8Array(32) } as ReflexPort["client"]["table"], switchOver } };
}

const reply = (code: Reply["code"], text = ""): Reply => ({ code, count: 0, lacks: [], text });

test("a hand-over goes to the twin, or to the other host; what the reflex says becomes a status", async () => {
  const done = port(reply("done"));
  assert.equal((await reflexService({ action: "switch" }, done)).status, Status.ok);
  assert.equal((await reflexService({ action: "switch", to: "host" }, done)).status, Status.ok);
  assert.deepEqual(done.asked, ["twin", "host"]);
  const refused = await reflexService({ action: "switch", to: "host" }, port(reply("fault", "switch: the other host did not take it, nothing has changed")));
  assert.deepEqual([refused.status, refused.text], [Status.preconditionFailed, "switch: the other host did not take it, nothing has changed"]);
  assert.equal((await reflexService({ action: "switch", to: "host" }, port(reply("away", "no reflex owns the buses (a is outvoted)")))).status, Status.serviceUnavailable);
});

test("whatever else is asked for reaches no reflex", async () => {
  const unasked = port(reply("done"));
  assert.equal((await reflexService({ action: "switch", to: "everybody" }, unasked)).status, Status.badRequest);
  assert.equal((await reflexService({ action: "swap" }, unasked)).status, Status.badRequest);
  assert.equal((await reflexService({ action: "switch", to: "host" }, undefined)).status, Status.preconditionFailed);
  assert.deepEqual(unasked.asked, []);
});
