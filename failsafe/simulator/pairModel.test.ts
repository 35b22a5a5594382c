/** Every interleaving of two gateways and a client; and that each rule is needed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkPair, pairRules, type PairRules } from "./pairModel.ts";

const size = { requests: 2, kills: 3 };

test("no two serve, nothing acknowledged is lost, nothing is answered twice, and from everywhere there is a way to all answers", (context) => {
  const { states, unsafe, stuck } = checkPair(pairRules, size);
  context.diagnostic(`${states} states`);
  assert.deepEqual({ unsafe, stuck }, { unsafe: undefined, stuck: undefined });
  assert.ok(states > 3_000);
});

const broken: readonly [keyof PairRules, RegExp][] = [
  ["commitsFirst", /lost|twice/], ["consumesLast", /lost|twice|stuck/], ["skipsHandled", /handled twice|twice/], ["countsSent", /twice/], ["waitsForProof", /two serve/], ["knowsHeir", /lost|twice/],
];

for (const [rule, found] of broken) {
  test(`without the rule ${rule} it is found`, () => {
    const { unsafe, stuck } = checkPair({ ...pairRules, [rule]: false }, size);
    assert.match(unsafe ?? (stuck === undefined ? "nothing" : `stuck in ${stuck}`), found);
  });
}
