import assert from "node:assert/strict";
import { test } from "node:test";
import { compileMessage, parseDbc, type Message } from "../../../schemas/dbc/index.ts";
import { drawFrom } from "../../../schemas/dbc/random.ts";
import { messageChecks } from "./checks.ts";
import { floatOfOrder, orderOfFloat } from "./field.ts";
import { checkHolds } from "./judge.ts";
import { randomMessage, randomPayload } from "./randomMessage.ts";

const nothingFilledIn = { filledIn: new Set<string>(), filledBits: 0n };

function message(...lines: string[]): Message {
  return parseDbc(new TextEncoder().encode(["BU_: A", ...lines, ""].join("\n")), { file: "test.dbc" }).messages[0]!;
}

function checksOf(of: Message, options: Partial<Parameters<typeof messageChecks>[1]> = {}) {
  const made = messageChecks(of, { ...nothingFilledIn, lengthBytes: of.lengthBytes, ...options });
  assert.ok(made.ok, made.ok ? "" : made.text);
  return made.checks;
}

/** The codec's word on a payload: every signal in its range, nothing set that nobody owns. */
function codecAccepts(of: Message, payload: Uint8Array): boolean {
  const codec = compileMessage(of, { checkRanges: true });
  const decoded = codec.decode(payload, 0, payload.length);
  if (!decoded.ok) return false;
  const again = codec.encode(decoded.raw, { raw: true });
  // −0 and +0 are one number to the codec, and two patterns of bits.
  return again.ok && Buffer.from(again.data).equals(payload);
}

test("random messages and payloads: the checks say what the codec says", () => {
  const seed = Number(process.env["SEED"] ?? 20_261);
  const draw = drawFrom(seed);
  let [accepted, refused, notJudged] = [0, 0, 0];
  for (let round = 0; round < 600; round++) {
    const of = randomMessage(draw);
    const lengthBytes = compileMessage(of).wireLengthBytes;
    const made = messageChecks(of, { ...nothingFilledIn, lengthBytes });
    if (!made.ok) {
      notJudged += 1;
      continue;
    }
    for (let trial = 0; trial < 12; trial++) {
      const payload = randomPayload(of, lengthBytes, draw);
      const holds: boolean = made.checks.every((check) => checkHolds(check, payload));
      assert.equal(holds, codecAccepts(of, payload), `seed ${seed}, round ${round}: ${JSON.stringify(of.signals)} ${Buffer.from(payload).toString("hex")}`);
      if (holds) accepted += 1;
      else refused += 1;
    }
  }
  assert.ok(accepted > 1_000 && refused > 1_000 && notJudged < 200, `${accepted} accepted, ${refused} refused, ${notJudged} messages not judged`);
});

test("a range, and bits that nobody owns", () => {
  const of = message("BO_ 1 M: 2 A", ' SG_ v : 0|8@1- (1,0) [-3|5] "" A');
  assert.deepEqual(checksOf(of).map(({ field, rawMin, rawMax }) => [field.startBit, field.bits, rawMin, rawMax]), [[0, 8, -3n, 5n], [8, 8, 0n, 0n]]);
});

test("what is filled in is not judged, and neither are its bits", () => {
  const of = message("BO_ 1 M: 3 A", ' SG_ counter : 8|4@1+ (1,0) [0|14] "" A', ' SG_ v : 12|4@1+ (1,0) [0|3] "" A');
  assert.deepEqual(checksOf(of, { filledIn: new Set(["counter"]), filledBits: 0xfffn }).map(({ field, rawMax }) => [field.startBit, field.bits, rawMax]), [[12, 4, 3n], [16, 8, 0n]]);
});

test("a value beside the range costs a few checks, not one for each value between", () => {
  const of = message("BO_ 1 M: 2 A", ' SG_ v : 0|16@1+ (1,0) [0|100] "" A', 'VAL_ 1 v 65535 "Invalid" ;');
  const checks = checksOf(of);
  assert.ok(checks.length <= 18, String(checks.length));
  const holds = (value: number): boolean => checks.every((check) => checkHolds(check, Uint8Array.of(value & 0xff, value >> 8)));
  for (let value = 0; value <= 0xffff; value++) assert.equal(holds(value), value <= 100 || value === 65535, String(value));
});

test("multiplexed signals are judged only when they are there; an undeclared selection is refused", () => {
  const of = message("BO_ 1 M: 2 A", ' SG_ m M : 0|4@1+ (1,0) [0|0] "" A', ' SG_ a m1 : 8|8@1+ (1,0) [0|10] "" A', ' SG_ b m2 : 8|4@1+ (1,0) [0|0] "" A');
  const checks = checksOf(of);
  const holds = (...bytes: number[]): boolean => checks.every((check) => checkHolds(check, Uint8Array.from(bytes)));
  assert.deepEqual([holds(1, 10), holds(1, 11), holds(2, 15), holds(2, 16), holds(3, 0), holds(0, 0), holds(0x11, 0)], [true, false, true, false, false, false, false]);
});

test("numbers in IEEE form: NaN and infinities never, the declared bound itself always", () => {
  const of = message("BO_ 1 M: 4 A", ' SG_ v : 0|32@1- (0.1,0) [-1|0.3] "" A', "SIG_VALTYPE_ 1 v : 1;");
  const [check] = checksOf(of);
  const holds = (value: number): boolean => {
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setFloat32(0, value, true);
    return checkHolds(check!, payload);
  };
  assert.deepEqual([Number.NaN, Infinity, -Infinity, -10, -10.001, 2.9, 3.1, -0, 0].map(holds), [false, false, false, true, false, true, false, true, true]);
});

test("the order of IEEE numbers is that of the integers", () => {
  for (const bits of [32, 64] as const) {
    const values = [-Infinity, -1e30, -1, -1e-40, 0, 1e-40, 1, 1e30, Infinity];
    const orders = values.map((value) => orderOfFloat(value, bits));
    assert.deepEqual(orders.toSorted((a, b) => (a < b ? -1 : 1)), orders);
    assert.deepEqual(orders.map((order) => floatOfOrder(order, bits)), values.map((value) => (bits === 32 ? Math.fround(value) : value)));
  }
});

test("what one selector cannot express is refused with its reason", () => {
  const nested = message("BO_ 1 M: 4 A", ' SG_ m M : 0|4@1+ (1,0) [0|0] "" A', ' SG_ n m1M : 8|4@1+ (1,0) [0|0] "" A', ' SG_ a m2 : 16|8@1+ (1,0) [0|10] "" A', "SG_MUL_VAL_ 1 n m 1-1;", "SG_MUL_VAL_ 1 a n 2-2;");
  const made = messageChecks(nested, { ...nothingFilledIn, lengthBytes: 4 });
  assert.ok(!made.ok && /multiplexed within a multiplexed signal/.test(made.text));
});
