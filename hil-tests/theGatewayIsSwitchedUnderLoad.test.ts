/** Dozens of faults while programs use everything: killed, stopped, switched. Nothing is lost, doubled or disconnected. `npm run bench:failover` does the same by the thousand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { faultKinds, measure } from "../bench/failover/brains.ts";

const FAULTS_OF_EACH_KIND = 8;

test("killed, stopped and switched, many times over: 0 disconnects, 0 lost or doubled answers, samples and items", async () => {
  const { figures, findings, load } = await measure({ kinds: faultKinds, faults: FAULTS_OF_EACH_KIND });
  assert.deepEqual(findings, []);
  assert.deepEqual(figures.map(({ faults }) => faults), [FAULTS_OF_EACH_KIND, FAULTS_OF_EACH_KIND, FAULTS_OF_EACH_KIND]);
  assert.ok(load.replies > 0 && load.samples > 0 && load.laneSamples > 0 && load.items > 0 && load.changes > 0);
});
