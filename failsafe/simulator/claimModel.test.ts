/** Every interleaving of two hosts, two nodes and a wire that may be split; and that each rule is needed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkClaims } from "./claimModel.ts";

const rules = { ownEpochs: true, nodesCheckEpoch: true, nodesCheckOwner: true };

test("no node is moved by two, and from everywhere there is a way back to one owner", (context) => {
  const { states, unsafe, stuck } = checkClaims(rules);
  context.diagnostic(`${states} states`);
  assert.deepEqual({ unsafe, stuck }, { unsafe: undefined, stuck: undefined });
  assert.ok(states > 10_000);
});

test("without epochs of its own for each host: nodes of the two halves of a split wire keep equal numbers of different owners", () => {
  assert.notEqual(checkClaims({ ...rules, ownEpochs: false }).stuck, undefined);
  assert.match(checkClaims({ ...rules, ownEpochs: false, nodesCheckOwner: false }).unsafe ?? "", /both hosts in epoch|after/);
});

test("a node that does not look at the epoch is moved by an old owner", () => {
  assert.match(checkClaims({ ...rules, nodesCheckEpoch: false, nodesCheckOwner: false }).unsafe ?? "", /accepts epoch/);
});
