import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { exactRawRange } from "./exactRange.ts";

const tenth = { kind: "signed", lengthBits: 16, factor: 0.1, offset: 0 } as const;

test("a limit is taken as the decimal that it prints as", () => {
  assert.deepEqual(exactRawRange(tenth, -0.3, 0.3), { least: -3n, greatest: 3n });
  assert.deepEqual(exactRawRange(tenth, -0.31, 0.39999999), { least: -3n, greatest: 3n });
  assert.deepEqual(exactRawRange({ ...tenth, factor: -0.1 }, 0.3, 0.7), { least: -7n, greatest: -3n });
  assert.deepEqual(exactRawRange({ ...tenth, offset: -40, factor: 1, kind: "unsigned", lengthBits: 8 }, -40, 60), { least: 0n, greatest: 100n });
  assert.deepEqual(exactRawRange({ ...tenth, factor: 1e-7 }, 0, 1e-6), { least: 0n, greatest: 10n });
});

test("no limit is what the bits hold; nothing within the limits is undefined", () => {
  assert.deepEqual(exactRawRange(tenth), { least: -32768n, greatest: 32767n });
  assert.deepEqual(exactRawRange(tenth, 1), { least: 10n, greatest: 32767n });
  assert.equal(exactRawRange(tenth, 0.31, 0.39), undefined);
  assert.equal(exactRawRange(tenth, 4000), undefined);
  assert.equal(exactRawRange(tenth, 2, 1), undefined);
  assert.deepEqual(exactRawRange({ ...tenth, kind: "unsigned", lengthBits: 64, factor: 1 }, 2 ** 63), { least: 2n ** 63n, greatest: 2n ** 64n - 1n });
});

test("never wider, and not a step narrower: compared in millionths, which are exact", () => {
  const millionths = fc.integer({ min: -2_000_000_000, max: 2_000_000_000 });
  fc.assert(fc.property(millionths, millionths, fc.integer({ min: -5000, max: 5000 }).filter((each) => each !== 0), millionths, (a, b, factor, offset) => {
    const [low, high] = a < b ? [a, b] : [b, a];
    const range = exactRawRange({ kind: "signed", lengthBits: 32, factor: factor / 1e6, offset: offset / 1e6 }, low / 1e6, high / 1e6);
    const inside = (raw: bigint): boolean => raw * BigInt(factor) + BigInt(offset) >= BigInt(low) && raw * BigInt(factor) + BigInt(offset) <= BigInt(high);
    if (!range) return;
    const limits = { least: -(2n ** 31n), greatest: 2n ** 31n - 1n };
    assert.ok(inside(range.least) && inside(range.greatest));
    assert.ok(range.least === limits.least || !inside(range.least - 1n));
    assert.ok(range.greatest === limits.greatest || !inside(range.greatest + 1n));
  }), { seed: 20260704 });
});
