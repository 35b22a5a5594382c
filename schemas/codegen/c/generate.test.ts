/** What is generated: compiled as everything that calls itself a C compiler would, names and texts of the file made harmless, faults told with their place. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { applyTemplate, parseDbc, type Database } from "../../dbc/index.ts";
import { loadChecks, type CheckSet } from "../../e2e/index.ts";
import { layoutFromMessage } from "../../records/layout.ts";
import { generateC, type COptions, type GeneratedC } from "./generate.ts";
import { buildHarness, frameAnswer, reasonOf, WARNINGS } from "./harness.ts";
import { snakeCase } from "./names.ts";
import { projectRoot } from "../../testData.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-gen-"));
after(() => rmSync(folder, { recursive: true }));
const root = projectRoot();
const E2E = [join(root, "schemas/e2e/c"), join(root, "schemas/crc/c")];

function dbc(...lines: string[]): Database {
  return parseDbc(`${lines.join("\n")}\n`, { file: "test.dbc" });
}

function made(database: Database, options: Partial<COptions> = {}): GeneratedC {
  const result = generateC(database, { source: "test.dbc", ...options });
  assert.deepEqual(result.remarks.filter(({ severity }) => severity === "error"), []);
  return result;
}

function codes(database: Database, options: Partial<COptions> = {}): string[] {
  return generateC(database, { source: "test.dbc", ...options }).remarks.map(({ code }) => code);
}

let count = 0;

/** Every compiler that is there, as C and as C++, optimised (the warnings about values never set need it), with and without the names. */
function compileEverywhere({ files, prefix }: GeneratedC): void {
  const at = join(folder, String(count++));
  mkdirSync(at);
  for (const { name, text } of files) writeFileSync(join(at, name), text);
  const ways: [string, ...string[]][] = [
    ["gcc", "-std=c99", "-O2", "-Wshadow"], ["gcc", "-std=c11", `-D${prefix.toUpperCase()}_NAMES`], ["clang", "-std=c99", "-O1"], ["g++", "-x", "c++", "-std=c++11"], ["gcc", "-m32", "-std=c99"], ["arm-none-eabi-gcc", "-std=c99", "-mcpu=cortex-m0plus", "-mthumb", "-Os"],
  ];
  let compiled = 0;
  for (const [command, ...flags] of ways) {
    const result = spawnSync(command, [...flags, ...WARNINGS, "-ffreestanding", ...E2E.map((path) => `-I${path}`), "-c", `${prefix}.c`, "-o", "out.o"], { cwd: at, encoding: "utf8" });
    if (result.error !== undefined) continue;
    assert.equal(result.status, 0, `${command} ${flags.join(" ")}: ${result.stderr.slice(0, 3000)}`);
    compiled += 1;
  }
  assert.ok(compiled >= 2, "no compiler");
}

function arm(nodes: Record<string, number>): { database: Database; checks: CheckSet } {
  const plain = parseDbc(readFileSync(join(root, "examples/arm/arm.dbc")), { file: "arm.dbc" });
  const loaded = loadChecks(readFileSync(join(root, "examples/arm/arm.checks.yaml"), "utf8"), { file: "arm.checks.yaml" });
  assert.ok(loaded.ok);
  return { database: applyTemplate(plain, { id: "node_id << 5 | message_id", nodes }), checks: loaded.checks };
}

test("the arm's messages, sealed, in every arithmetic, compile everywhere; the text is the same each time", () => {
  const { database, checks } = arm({ shoulder: 1, elbow: 2 });
  for (const arithmetic of ["double", "float", "fixed-point"] as const) {
    const options: COptions = { source: "arm.dbc", arithmetic, checks: { set: checks, name: "arm.checks.yaml" } };
    const first = made(database, options);
    assert.equal(first.prefix, "arm");
    assert.deepEqual(first.files, made(database, options).files);
    compileEverywhere(first);
    if (arithmetic !== "double") assert.doesNotMatch(first.files[1]!.text, /\bdouble\b/);
    if (arithmetic === "fixed-point") assert.doesNotMatch(first.files[1]!.text, /\bfloat\b/);
  }
});

test("names that are no names in C, collide or are hostile, and texts that want out of their comment", () => {
  const database = dbc(
    "BU_: A", "BO_ 1 State: 8 A", ' SG_ int : 0|8@1+ (1,0) [0|0] "*/ int x; /*" A', ' SG_ FooBar : 8|8@1+ (1,0) [0|0] "??/" A', ' SG_ foo_bar : 16|8@1+ (1,0) [0|0] "" A', ' SG_ a : 24|8@1+ (0.1,0) [0|0] "" A', ' SG_ a_raw : 32|8@1+ (1,0) [0|0] "" A', ' SG_ class : 40|4@1- (1,0) [0|0] "" A', ' SG_ _ : 44|4@1+ (1,0) [0|0] "" A',
    "BO_ 2 State_Raw: 0 A", "BO_ 3 STATE: 1 A", ' SG_ id M : 0|8@1+ (1,0) [0|0] "" A', "BO_ 4 Message_Count: 1 A", ' SG_ min : 0|8@1+ (1,0) [1|5] "" A', "BO_ 5 State_pack: 1 A", ' SG_ x : 0|1@1- (1,0) [0|0] "" A',
    'CM_ BO_ 1 "*/ #error out /* \\ end";', 'CM_ SG_ 1 int "first\nsecond\\";',
    'VAL_ 1 int 0 "*/" 1 "a b" 2 "A-B" 3 "" 4 "é" 5 "MIN" ;', 'VAL_ 4 min 0 "Min" 6 "Max" ;', 'BA_DEF_ BO_ "Text" STRING ;', 'BA_ "Text" BO_ 1 "a\\b";',
  );
  const result = made(database, { lenient: true });
  compileEverywhere(result);
  const [header] = result.files;
  for (const name of ["int_", "foo_bar_8", "foo_bar_16", "class_", "signal"]) assert.match(header!.text, new RegExp(`^ *uint8_t ${name};|int8_t ${name};`, "m"), name);
  assert.match(header!.text, /TEST_STATE_1_INT__A_B_1 = 1/);
  assert.ok(result.remarks.some(({ code, message }) => code === "renamed" && message.includes("STATE")));
});

test("names in C", () => {
  const rows = { TargetPosition: "target_position", STEER_ANGLE: "steer_angle", HVBatt: "hv_batt", PGN64965Foo: "pgn64965_foo", "2017_5": "2017_5", "Température": "temperature", __x__: "x", "日本": "" };
  for (const [name, expected] of Object.entries(rows)) assert.equal(snakeCase(name), expected, name);
});

const multiplexed = dbc(
  "BU_: A B", "BO_ 100 M: 4 A", ' SG_ m M : 0|8@1+ (1,0) [0|0] "" B', ' SG_ a m0 : 8|16@0- (1,0) [0|0] "" B', ' SG_ b m1 : 8|8@1+ (1,0) [0|100] "" B', ' SG_ n m2M : 8|8@1+ (1,0) [0|0] "" B', ' SG_ c m5 : 16|8@1+ (0.5,-10) [-10|20] "V" B',
  "BO_ 2566844672 Engine: 8 B", ' SG_ speed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" A', "BO_ 2633953536 Same: 8 B", ' SG_ speed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" A', "BO_ 101 Fd: 10 A", ' SG_ last : 72|8@1+ (1,0) [0|0] "" B',
  'BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";', 'BA_DEF_ SG_ "GenSigStartValue" FLOAT 0 100000;', 'BA_DEF_DEF_ "VFrameFormat" "StandardCAN";', 'BA_DEF_DEF_ "GenSigStartValue" 0;',
  'BA_ "VFrameFormat" BO_ 2566844672 3;', 'BA_ "VFrameFormat" BO_ 2633953536 3;', 'BA_ "GenSigStartValue" SG_ 100 c 30;',
  "SG_MUL_VAL_ 100 a m 0-0;", "SG_MUL_VAL_ 100 b m 1-1, 7-9;", "SG_MUL_VAL_ 100 n m 2-2;", "SG_MUL_VAL_ 100 c n 5-6;", 'VAL_ 100 m 4 "nothing more" ;',
);

test("cascaded and ranged multiplexing, CAN FD's lengths, J1939's groups", () => {
  const result = made(multiplexed, { prefix: "mux" });
  compileEverywhere(result);
  const harness = buildHarness([result], { folder: join(folder, "mux") });
  const fault = (line: string | undefined): number[] => [reasonOf(frameAnswer(line!).unpacked.status), frameAnswer(line!).unpacked.status >> 8];
  const [range, cascade, named, unknown, unknownBelow, tooLarge, short, fd, padded, odd, exact, group, stranger, standard] = harness.run([
    "F 0 08640000", "F 0 02060700", "F 0 04000000", "F 0 03000000", "F 0 02070000", "F 0 01650000", "F 0 010000", "F 3 000000000000000000AA", "F 3 000000000000000000AA0000", "F 3 000000000000000000AA00",
    ...[[0x1cfef100, 1], [0x0cfef155, 1], [0x18fef200, 1], [100, 0]].map(([id, extended]) => `I ${id} ${extended}`),
  ]);
  assert.deepEqual(frameAnswer(range!).unpacked, { status: 0, values: ["8", "0", "100", "0", "0000000000000000"] });
  assert.deepEqual(frameAnswer(cascade!).unpacked.values.slice(3), ["6", "c01a000000000000"]);
  assert.deepEqual([named, unknown, unknownBelow, tooLarge, short].map(fault), [[0, 0], [2, 1], [2, 4], [3, 3], [1, 0]]);
  assert.deepEqual([fd, padded, odd].map((line) => frameAnswer(line!).unpacked.status), [0, 0, 1]);
  assert.deepEqual(frameAnswer(fd!).packed, { status: 0, hex: "000000000000000000AA0000" });
  const last = 0x1cfef100;
  // The last message of a group is found by it, an exact identifier before.
  assert.deepEqual([exact, group, stranger, standard], [`${last} 8`, `${last} 8`, "none", "100 4"]);
  assert.match(result.files[1]!.text, /values->c = 5\.0;/, "the start value, scaled");
});

test("what one node sends and receives", () => {
  const text = (node: string): string => made(multiplexed, { node, prefix: "mux" }).files[0]!.text;
  assert.match(text("B"), /mux_m_unpack/);
  assert.doesNotMatch(text("B"), /mux_m_pack/);
  assert.match(text("B"), /mux_engine_pack/);
  assert.match(text("A"), /mux_engine_unpack/);
  compileEverywhere(made(multiplexed, { node: "A" }));
});

test("faults: nothing is generated, and each says where and what to do", () => {
  const broken = dbc("BU_: A", "BO_ 1 M: 1 A", ' SG_ a : 0|8@1+ (1,0) [0|0] "" A', ' SG_ b : 7|1@1+ (1,0) [0|0] "" A');
  const refused = generateC(broken, { source: "test.dbc" });
  assert.deepEqual(refused.files, []);
  const [first] = refused.remarks;
  assert.deepEqual([first?.code, first?.severity, first?.at?.line], ["faultyDefinition", "error", 4]);
  assert.deepEqual(codes(broken, { lenient: true }).filter((code) => code !== "guessedDefinition"), []);
  assert.deepEqual(codes(multiplexed, { node: "C" }), ["unknownNode"]);
  assert.deepEqual(codes(multiplexed, { messages: ["Engin"] }), ["unknownMessage"]);
  assert.match(generateC(multiplexed, { source: "test.dbc", messages: ["Engin"] }).remarks[0]!.hint, /did you mean Engine/);
  for (const prefix of ["1a", "A", "int", "ipcnet", "ipcnet_e2e", "a b", ""]) assert.deepEqual(codes(multiplexed, { prefix }).slice(0, 1), ["badPrefix"], prefix);
  assert.deepEqual(codes(dbc("BU_: A")), ["nothingSelected"]);
});

test("overlapping signals that disagree are refused, those that agree are sent", () => {
  const result = made(dbc("BU_: A", "BO_ 1 M: 1 A", ' SG_ a : 0|8@1+ (1,0) [0|0] "" A', ' SG_ b : 6|2@1+ (1,0) [0|0] "" A'), { lenient: true });
  compileEverywhere(result);
  const [same, other] = buildHarness([result], { folder: join(folder, "overlap") }).run(["V 0 129 2", "V 0 129 1"]);
  assert.equal(same, "P 0 81");
  assert.equal(reasonOf(Number(other!.split(" ")[1])), 7);
});

test("fixed point: a raw value becomes thousandths and back, and what 64 bits do not hold is refused", () => {
  const result = made(dbc("BU_: A", "BO_ 1 M: 8 A", ' SG_ v : 0|16@1- (0.1,-40) [0|0] "V" A', ' SG_ w : 16|16@1+ (-0.003,0.5) [0|0] "" A', ' SG_ tiny : 32|8@1+ (1E-30,0) [0|0] "" A'), { arithmetic: "fixed-point", prefix: "fix" });
  compileEverywhere(result);
  const at = join(folder, "fixed");
  mkdirSync(at);
  for (const { name, text } of result.files) writeFileSync(join(at, name), text);
  writeFileSync(join(at, "main.c"), `#include <inttypes.h>
#include <stdio.h>
#include "fix.h"
static void to(const fix_scale *scale, int64_t raw, uint32_t per_unit) { int64_t out = -1; const fix_status status = fix_to_fixed(scale, raw, per_unit, &out); printf("%" PRIu32 " %" PRId64 "\\n", status, out); }
static void from(const fix_scale *scale, int64_t fixed, uint32_t per_unit) { int64_t out = -1; const fix_status status = fix_from_fixed(scale, fixed, per_unit, &out); printf("%" PRIu32 " %" PRId64 "\\n", status, out); }
int main(void) {
  to(&fix_m_v_scale, 3, 1000u); to(&fix_m_v_scale, -1, 1u); to(&fix_m_v_scale, 5, 1u); to(&fix_m_v_scale, 1, 0u); to(&fix_m_v_scale, INT64_MAX, 1000u); to(&fix_m_v_scale, INT64_MIN, 1u);
  from(&fix_m_v_scale, -39700, 1000u); from(&fix_m_v_scale, -39750, 1000u); from(&fix_m_v_scale, -39650, 1000u); from(&fix_m_v_scale, INT64_MIN, 1000u);
  to(&fix_m_w_scale, 100, 1000u); from(&fix_m_w_scale, 200, 1000u); from(&fix_m_w_scale, 201, 1000u); from(&fix_m_w_scale, 197, 1000u);
  return 0;
}
`);
  const built = spawnSync("cc", ["-std=c99", ...WARNINGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "fix.c", "main.c", "-o", "main"], { cwd: at, encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  const run = spawnSync(join(at, "main"), { encoding: "utf8" });
  assert.equal(run.stderr, "");
  assert.deepEqual(run.stdout.trim().split("\n"), ["0 -39700", "0 -40", "0 -39", "3 -1", "3 -1", "3 -1", "0 3", "0 3", "0 4", "3 -1", "0 200", "0 100", "0 100", "0 101"]);
  assert.doesNotMatch(result.files[0]!.text, /tiny_scale/);
});

test("a .c of another generation than its .h does not compile", () => {
  const one = made(multiplexed, { prefix: "mux" });
  const other = made(multiplexed, { prefix: "mux", node: "A" });
  const at = join(folder, "generations");
  mkdirSync(at);
  writeFileSync(join(at, "mux.h"), one.files[0]!.text);
  writeFileSync(join(at, "mux.c"), other.files[1]!.text);
  const result = spawnSync("cc", ["-fsyntax-only", "mux.c"], { cwd: at, encoding: "utf8" });
  assert.notEqual(result.status, 0);
  assert.match(result.stderr, /different generations/);
});

test("messages without entry, with a manufacturer's checksum, and frames that the protection cannot have", () => {
  const checks = (entry: string): { set: CheckSet; name: string } => {
    const loaded = loadChecks(`version: 1\nmessages:\n${entry}`, { file: "c.yaml" });
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.deepEqual(loaded.checks.verify(multiplexed.messages.map((message) => ({ ...message, layoutHash: layoutFromMessage(message).hash }))), []);
    return { set: loaded.checks, name: "c.yaml" };
  };
  assert.deepEqual(codes(multiplexed, { checks: checks("  M: { checksum: xor8 }\n  Engine: { integrity: link }\n  Same: { integrity: link }\n") }), ["vendorChecksum", "noCheck"]);
  assert.deepEqual(codes(multiplexed, { checks: checks('  Fd: { profile: P05, dataId: 1 }\n  "*": { integrity: link }\n') }), ["protectionDoesNotFit"]);
});
