import assert from "node:assert/strict";
import { test } from "node:test";
import { isSameRate } from "./bitrate.ts";

test("what a controller's clock makes of a rate is that rate; the next one in use is another; unknown is as wanted", () => {
  for (const [runs, wanted] of [[500_000, 500_000], [83_333, 83_300], [505_000, 500_000], [495_000, 500_000], [0, 500_000], [undefined, 500_000], [500_000, undefined], [250_000, 0]] as const) assert.ok(isSameRate(runs, wanted), `${runs} ${wanted}`);
  for (const [runs, wanted] of [[505_001, 500_000], [494_999, 500_000], [80_000, 83_333], [250_000, 500_000], [1_000_000, 500_000]] as const) assert.ok(!isSameRate(runs, wanted), `${runs} ${wanted}`);
});
