/** Readers, pages, bells and foreign processes against a lane and those who use it: nobody but the writer writes, and nobody else loses a message. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type LaneAttack, runLaneAttacks } from "./lanes.ts";

const words = ({ attack, relation, verdict, text, harm }: LaneAttack): string => `${attack} (${relation}): ${verdict}, ${text}${harm && `; HARM: ${harm}`}`;

test("no attack on a lane harms anybody else, and none that is defended against succeeds", async () => {
  const attacks = await runLaneAttacks();
  assert.ok(attacks.length > 80, `${attacks.length} attacks were run`);
  assert.deepEqual(attacks.filter(({ harm }) => harm !== "").map(words), []);
  assert.deepEqual(attacks.filter(({ defended, verdict }) => defended && verdict === "DONE").map(words), []);
  assert.deepEqual(attacks.filter(({ relation, messages }) => relation !== "its writer" && messages < 600).map(words), []);
});
