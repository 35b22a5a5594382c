import assert from "node:assert/strict";
import { test } from "node:test";
import { applyTemplate, indexMessages, isLintClean, lintDatabase, lintErrors, matches, parseDbc, pgnOf } from "./index.ts";

const parse = (...lines: string[]) => parseDbc(["BU_: A", ...lines].join("\n"), { file: "test.dbc" });
const codes = (...lines: string[]) => lintDatabase(parse(...lines)).filter(({ code }) => code !== "noCycleTime").map(({ code, at }) => `${code} ${at.line}`);
const signal = (name: string, bits: string, rest = '(1,0) [0|0] ""') => ` SG_ ${name} : ${bits} ${rest} A`;

test("overlaps are seen in both byte orders, and not between branches of a multiplexor", () => {
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("a", "0|8@1+"), signal("b", "8|8@1+"), signal("c", "16|1@1+")), []);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("a", "0|9@1+"), signal("b", "8|8@1+")), ["signalsOverlap 4"]);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("a", "7|9@0+"), signal("b", "15|1@1+")), ["signalsOverlap 4"]);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("m M", "0|8@1+"), signal("a m0", "8|8@1+"), signal("b m1", "8|8@1+")), []);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("m M", "0|8@1+"), signal("a m0", "8|8@1+"), signal("b m0", "8|8@1+")), ["signalsOverlap 5"]);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("m M", "0|8@1+"), signal("a m0", "8|8@1+"), signal("b m1", "8|8@1+"), "SG_MUL_VAL_ 1 a m 0-4;", "SG_MUL_VAL_ 1 b m 4-7;"), ["signalsOverlap 5", "multiplexRangeMismatch 7"]);
  // Below different branches of the root, and below the same one.
  const nested = ["BO_ 1 M: 8 A", signal("m M", "0|8@1+"), signal("n m0M", "8|8@1+"), signal("o m1M", "8|8@1+"), signal("a m0", "16|8@1+"), signal("b m0", "16|8@1+"), "SG_MUL_VAL_ 1 n m 0-0;", "SG_MUL_VAL_ 1 o m 1-1;", "SG_MUL_VAL_ 1 a n 0-0;"];
  assert.deepEqual(codes(...nested, "SG_MUL_VAL_ 1 b o 0-0;"), []);
  assert.deepEqual(codes(...nested, "SG_MUL_VAL_ 1 b n 0-0;"), ["multiplexorUnused 5", "signalsOverlap 7"]);
});

test("ranges, value tables, multiplexors, lengths", () => {
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("a", "0|8@1+", '(1,0) [0|300] ""')), ["rangeNotRepresentable 3"]);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("a", "0|8@1+", '(0.1,0) [0|25.6] ""')), []);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("a", "0|2@1+"), 'VAL_ 1 a 4 "x" 0 "y" 1 "y" 1 "z";'), ["valueTableOutOfRange 3", "valueTableDuplicateValue 4"]);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("m M", "0|1@1-"), signal("a m2", "8|8@1+")), ["multiplexorOdd 3", "multiplexValueUnreachable 4"]);
  assert.deepEqual(codes("BO_ 1 M: 8 A", signal("m M", "0|1@1+")), ["multiplexorUnused 3"]);
  assert.deepEqual(codes("BO_ 1 M: 10 A", signal("a", "0|72@1+")), ["lengthNotFd 2", "signalTooLong 3"]);
  assert.deepEqual(codes("BO_ 1 M: 100 A"), ["lengthBeyondFrame 2"]);
  assert.deepEqual(codes("BO_ 1 M: 8 A", "BO_ 1 N: 8 A", "BO_ 2 M: 8 A"), ["duplicateId 2", "duplicateId 3", "duplicateMessageName 4"]);
});

test("a message is lint-clean when nothing is wrong with it or with the file", () => {
  const good = ["BO_ 1 Good: 8 A", signal("a", "0|8@1+")];
  const bad = ["BO_ 2 Bad: 1 A", signal("a", "0|8@1+"), signal("b", "7|1@1+")];
  const database = parse(...good, ...bad, "BO_ 3 Vague: 8 A", signal("a", "0|8@1+", '(1,0) [0|300] ""'));
  assert.deepEqual(["Good", "Bad", "Vague", "None"].map((name) => isLintClean(database, name)), [true, false, true, false]);
  assert.deepEqual(lintErrors(database, "Bad").map(({ code }) => code), ["signalsOverlap"]);
  assert.equal(isLintClean(parse(...good, "SIG_VALTYP_ 1 a : 1;"), "Good"), false, "an unknown statement may concern any message");
  assert.equal(isLintClean(parse(...good, "SIG_VALTYPE_ 2 a : x;", ...bad), "Good"), true, "a broken statement about another message");
  assert.equal(isLintClean(parse(...good, 'CM_ SG_ 1 "which?";'), "Good"), false);
});

test("templates multiply messages per node and keep their faults", () => {
  const database = parse("BO_ 7 State: 8 A", signal("a", "0|8@1+"), "BO_ 9 Broken: 1 A", signal("a", "0|8@1+"), signal("b", "0|8@1+"), "BO_ 5 Sync: 0 A");
  const made = applyTemplate(database, { id: "node_id << 5 | message_id", nodes: { left: 1, right: 3 }, messages: ["State", "Broken"] });
  assert.deepEqual(made.messages.map(({ name, canId, nodeId, templateName }) => [name, canId, nodeId, templateName]), [
    ["Sync", 5, undefined, undefined], ["left_State", 0x27, 1, "State"], ["left_Broken", 0x29, 1, "Broken"], ["right_State", 0x67, 3, "State"], ["right_Broken", 0x69, 3, "Broken"],
  ]);
  assert.deepEqual(["left_State", "right_Broken", "Sync", "State"].map((name) => isLintClean(made, name)), [true, false, true, false]);
  const wide = applyTemplate(database, { id: "message_id << 8 | node_id", nodes: { a: 23 }, extended: true });
  assert.deepEqual(wide.messages.map(({ name, canId, extended }) => [name, canId, extended]), [["a_State", 0x717, true], ["a_Broken", 0x917, true], ["a_Sync", 0x517, true]]);
});

test("templates: what cannot be is a finding", () => {
  const database = parse("BO_ 7 State: 8 A", "BO_ 39 Taken: 8 A");
  const faults = (template: Partial<Parameters<typeof applyTemplate>[1]>) => {
    const made = applyTemplate(database, { id: "node_id << 5 | message_id", nodes: { n: 1 }, messages: ["State"], ...template });
    return made.findings.filter(({ severity }) => severity === "error").map(({ code, messageName }) => [code, messageName]);
  };
  assert.deepEqual(faults({}), [["templateCollision", "State"]]);
  assert.deepEqual(faults({ nodes: { n: 64 } }), [["templateIdOutOfRange", "State"]]);
  assert.deepEqual(faults({ nodes: { n: 0x1000 }, extended: true }), []);
  assert.deepEqual(faults({ nodes: { "a b": 2 } }), [["templateNode", undefined]]);
  assert.deepEqual(faults({ nodes: { n: 1.5 } }), [["templateNode", undefined]]);
  assert.deepEqual(faults({ nodes: { n: 2 }, messages: ["State", "Stat"] }), [["templateMessageUnknown", undefined]]);
  for (const id of ["", "node_id <<", "node_id + x", "process.exit()", "node_id; 1", "(node_id", "1 2", "((".repeat(40), "a".repeat(300)]) assert.deepEqual(faults({ id }), [["templateExpression", undefined]], id);
  const value = (id: string) => applyTemplate(database, { id, nodes: { n: 3 }, messages: ["State"], extended: true }).messages.find(({ nodeId }) => nodeId === 3)?.canId;
  assert.deepEqual(["1 + 2 * 3", "(1 + 2) * 3", "1 << 2 + 1", "0xFF & 0x0F | 0x100", "10 - 2 - 3", "256 >> 4", "6 ^ 3", "node_id * 100 + message_id", "1 << 33", "0 - 1"].map(value), [7, 9, 8, 0x10f, 5, 16, 5, 307, undefined, undefined]);
});

test("messages are found by identifier, J1939 ones by parameter group", () => {
  const format = ['BA_DEF_ BO_ "VFrameFormat" INT 0 15;', 'BA_ "VFrameFormat" BO_ 2566844672 3;', 'BA_ "VFrameFormat" BO_ 2565864190 3;'];
  const database = parse("BO_ 291 Plain: 8 A", "BO_ 2566844672 Engine: 8 A", "BO_ 2565864190 ToOne: 8 A", "BO_ 2566844721 Exact: 8 A", ...format);
  const { find, byName } = indexMessages(database);
  // 18FEF100: PDU2, group 0FEF1 whatever the source; 18EFFFFE: PDU1, group 0EF00 whatever the destination.
  assert.deepEqual([pgnOf(0x18fef1aa), pgnOf(0x18ef12fe)], [0xfef1, 0xef00]);
  assert.deepEqual([find(291, false), find(291, true), find(0x0cfef1aa, true), find(0x18ef12fe, true), find(0x18fef131, true)].map((message) => message?.name), ["Plain", undefined, "Engine", "ToOne", "Exact"]);
  assert.equal(byName("Engine")?.canId, 0x18fef100);
  assert.deepEqual([matches(byName("Engine")!, 0x00fef1ff, true), matches(byName("Engine")!, 0x18fef200, true), matches(byName("Plain")!, 291, true)], [true, false, false]);
});
