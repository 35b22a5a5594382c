/** decode, encode and dbc against files of their own and streams in memory. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Command } from "commander";
import type { Register } from "./command.ts";
import { register as registerDbc } from "./dbc.ts";
import { register as registerDecode } from "./decode.ts";
import { register as registerEncode } from "./encode.ts";
import { describeTrouble } from "./errors.ts";
import { memoryContext } from "./memory.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-dbc-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const arm = file("arm.dbc", `VERSION "1"
BU_: Host Shoulder
BO_ 256 State: 8 Shoulder
 SG_ angle : 0|16@1- (0.1,0) [-180|180] "deg" Host
 SG_ mode : 16|2@1+ (1,0) [0|3] "" Host
 SG_ serial : 24|40@1+ (16777216,1) [0|0] "" Host
BO_ 2566844672 Engine: 8 Shoulder
 SG_ speed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" Host
BO_ 257 Selected: 2 Shoulder
 SG_ which M : 0|8@1+ (1,0) [0|0] "" Host
 SG_ a m0 : 8|8@1+ (1,0) [0|0] "" Host
BO_ 512 Wide: 12 Shoulder
 SG_ f : 0|32@1- (1,0) [0|0] "" Host
 SG_ d : 32|64@1- (1,0) [0|0] "" Host
VAL_ 256 mode 0 "Off" 1 "Hold" 2 "Move" ;
SIG_VALTYPE_ 512 f : 1;
SIG_VALTYPE_ 512 d : 2;
`);

async function run(register: Register, argv: readonly string[], input = ""): Promise<{ code: number; out: string[]; err: string[] }> {
  const context = memoryContext();
  context.stdin.end(input);
  const program = new Command("ipcnet").exitOverride().configureOutput({ writeErr: () => undefined, outputError: () => undefined });
  register(program, context);
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    const { exitCode, message } = describeTrouble(error);
    return { code: exitCode, out: context.stdout.lines, err: [...context.stderr.lines, message] };
  }
  return { code: context.exitCode, out: context.stdout.lines, err: context.stderr.lines };
}

test("decode --json prints one object a line, exactly in the documented form", async () => {
  const { code, out, err } = await run(registerDecode, ["decode", "--dbc", arm, "--json"], "(1398128223.803317) can0 100#9CFF02FFFFFFFFFF\n(2.5) can0 98FEF100#00\n(2.5) can1 18FEF100#000000A00F000000\n");
  assert.deepEqual(out, [
    '{"t":1398128223.803317,"bus":"can0","id":256,"ext":false,"msg":"State","signals":{"angle":-10,"mode":2,"serial":"18446744073692774401"},"raw":{"angle":-100,"mode":2,"serial":1099511627775}}',
    '{"t":2.5,"bus":"can1","id":419361024,"ext":true,"msg":"Engine","signals":{"speed":500},"raw":{"speed":4000}}',
  ]);
  assert.deepEqual([code, err], [1, ["ipcnet: line 2: badId: the identifier 98FEF100 has too many bits", "ipcnet: 2 frames: 2 decoded, 0 of unknown identifiers, 0 rejected, 1 malformed lines"]]);
});

test("decode --json: NaN and infinities are strings, large doubles keep an exponent", async () => {
  const frame = (f: number, d: number) => {
    const data = Buffer.alloc(12);
    data.writeFloatLE(f);
    data.writeDoubleLE(d, 4);
    return `(1) can0 200##0${data.toString("hex").toUpperCase()}\n`;
  };
  const { out } = await run(registerDecode, ["decode", "--dbc", arm, "--json"], frame(NaN, -Infinity) + frame(1.5, 6.855369958830899e16));
  assert.match(out[0]!, /"signals":\{"f":"NaN","d":"-Infinity"\}/);
  assert.match(out[1]!, /"signals":\{"f":1\.5,"d":6\.855369958830899e\+16\}/);
});

test("decode: names, units, unknown identifiers, and chunks that cut lines", async () => {
  const context = memoryContext();
  const program = new Command("ipcnet");
  registerDecode(program, context);
  const ended = program.parseAsync(["decode", "--dbc", arm, "--names", "--all"], { from: "user" });
  for (const letter of "(1.0) can0 100#9CFF020000000000\n(1.1) can0 7FF#01\n(1.2) can0 123#R") context.stdin.write(letter);
  context.stdin.end();
  await ended;
  assert.deepEqual(context.stdout.lines, ["(1.0) can0 100 State angle=-10deg mode=Move serial=1", "(1.1) can0 7FF ? 01"]);
  assert.deepEqual(context.stderr.lines, ["ipcnet: 3 frames: 1 decoded, 1 of unknown identifiers, 0 rejected, 1 remote requests or error reports, 0 malformed lines"]);
  assert.equal(context.exitCode, 0);
});

test("decode rejects with a reason: short frames, unknown multiplexers, and with --strict long frames and values out of range", async () => {
  const input = "(1) can0 100#00\n(1) can0 101#0100\n(1) can0 101#000000\n(1) can0 100#1027000000000000\n";
  const reasons = async (...options: string[]) => {
    const { code, out } = await run(registerDecode, ["decode", "--dbc", arm, "--json", ...options], input);
    return [code, ...out.map((line) => (JSON.parse(line) as { reject?: string }).reject)];
  };
  assert.deepEqual(await reasons(), [1, "badLength", "unknownMultiplexer", undefined, undefined]);
  assert.deepEqual(await reasons("--strict"), [1, "badLength", "unknownMultiplexer", "badLength", "outOfRange"]);
  const text = await run(registerDecode, ["decode", "--dbc", arm], input);
  assert.equal(text.err[0], "ipcnet: line 1: State: rejected, badLength: State has 8 bytes, the frame 1");
});

test("decode --checks rejects frames whose checksum or counter is wrong", async () => {
  const checks = file("arm.checks.yaml", 'version: 1\nmessages:\n  State: { checksum: honda }\n');
  // Four bits of checksum at the end: 8 − nibbles of the identifier − nibbles of the data.
  const nibbles = (hex: string) => Array.from(hex).reduce((sum, digit) => sum + Number.parseInt(digit, 16), 0);
  const frame = (counter: number, spoil = 0) => {
    const hex = `0000000000000${spoil}${counter}`;
    return `(1) can0 100#${hex}${((8 - nibbles("100") - nibbles(hex)) & 0xf).toString(16).toUpperCase()}`;
  };
  const wrong = frame(1).replace("#0000", "#0100");
  const { code, out } = await run(registerDecode, ["decode", "--dbc", arm, "--checks", checks, "--json"], [frame(0), wrong, frame(1), "(1) can0 101#0000"].join("\n"));
  assert.equal(code, 1);
  assert.deepEqual(out.map((line) => (JSON.parse(line) as { reject?: string }).reject), [undefined, "crcMismatch", undefined, undefined]);
  const bad = await run(registerDecode, ["decode", "--dbc", arm, "--checks", file("bad.yaml", 'version: 1\nmessages:\n  Stat: { checksum: honda }\n')]);
  assert.equal(bad.code, 2);
  assert.match(bad.err.join(" "), /did you mean State/);
});

test("decode refuses what is no DBC, and with --strict what has errors", async () => {
  assert.equal((await run(registerDecode, ["decode", "--dbc", join(folder, "missing.dbc")])).code, 2);
  const { code, err } = await run(registerDecode, ["decode", "--dbc", file("no.dbc", "hello\n")]);
  assert.equal(code, 2);
  assert.match(err[0]!, /no\.dbc:1:1: error notADatabase/);
  const overlap = file("overlap.dbc", 'BU_: A\nBO_ 1 M: 1 A\n SG_ a : 0|8@1+ (1,0) [0|0] "" A\n SG_ b : 7|1@1+ (1,0) [0|0] "" A\n');
  assert.equal((await run(registerDecode, ["decode", "--dbc", overlap])).code, 0);
  assert.equal((await run(registerDecode, ["decode", "--dbc", overlap, "--strict"])).code, 1);
});

test("encode prints what cansend takes, and refuses with a code", async () => {
  const encode = (...words: string[]) => run(registerEncode, ["encode", "--dbc", arm, ...words]);
  assert.deepEqual(await encode("State", "angle=-10", "mode=Move", "serial=1"), { code: 0, out: ["100#9CFF020000000000"], err: [] });
  assert.deepEqual((await encode("Engine", "speed=500", "--unused", "255")).out, ["18FEF100#FFFFFFA00FFFFFFF"]);
  assert.deepEqual((await encode("Wide", "f=1", "d=-1")).out, ["200##10000803F000000000000F0BF"]);
  assert.deepEqual(JSON.parse((await encode("Selected", "which=0", "a=7", "--json")).out[0]!), { id: 257, ext: false, fd: false, msg: "Selected", data: "0007", frame: "101#0007" });
  const refused = async (...words: string[]) => {
    const { code, out } = await encode(...words, "--json");
    return [code, (JSON.parse(out[0]!) as { reject: string }).reject];
  };
  assert.deepEqual(await refused("State", "angle=181", "mode=0", "serial=1"), [1, "outOfRange"]);
  assert.deepEqual(await refused("State", "angle=nan", "mode=0", "serial=1"), [1, "notANumber"]);
  assert.deepEqual(await refused("State", "angle=1", "mode=Fly", "serial=1"), [1, "unknownValueName"]);
  assert.deepEqual(await refused("State", "angle=1", "mode=1"), [1, "missingSignal"]);
  assert.deepEqual(await refused("State", "angel=1"), [1, "unknownSignal"]);
  assert.deepEqual(await refused("Selected", "which=1", "a=1"), [1, "unknownMultiplexer"]);
  assert.equal((await encode("State", "angle=181", "mode=0", "serial=1", "--any-range")).code, 0);
  assert.equal((await encode("Nothing")).code, 2);
});

test("encode --node puts the device's number into the identifier", async () => {
  const odrive = file("odrive.dbc", 'BU_: A\nBO_ 7 Set_State: 4 A\n SG_ state : 0|32@1+ (1,0) [0|0] "" A\nBO_ 103 Other: 0 A\n');
  assert.deepEqual((await run(registerEncode, ["encode", "--dbc", odrive, "--node", "3", "Set_State", "state=8"])).out, ["067#08000000"]);
  assert.deepEqual((await run(registerEncode, ["encode", "--dbc", odrive, "--node", "3", "--template", "message_id << 4 | node_id", "Set_State", "state=8"])).out, ["073#08000000"]);
  assert.equal((await run(registerEncode, ["encode", "--dbc", odrive, "--node", "64", "Set_State", "state=8"])).code, 2);
});

test("decode --nodes names the device whose number is in the identifier", async () => {
  const odrive = file("odrive2.dbc", 'BU_: A\nBO_ 7 Set_State: 4 A\n SG_ state : 0|32@1+ (1,0) [0|0] "" A\n');
  const decode = (...words: string[]) => run(registerDecode, ["decode", "--dbc", odrive, "--json", ...words], "(1.0) can0 067#08000000\n(2.0) can0 047#01000000\n");
  const { code, out } = await decode("--nodes", "left=2,right=0x3");
  assert.deepEqual([code, out.map((line) => (JSON.parse(line) as { msg: string }).msg)], [0, ["right_Set_State", "left_Set_State"]]);
  assert.deepEqual((await decode("--nodes", "left=7", "--template", "message_id << 4 | node_id")).out, []);
  for (const wrong of ["left", "left=x", "left=1,left=2", "=1", "a b=1", "left=99"]) assert.equal((await decode("--nodes", wrong)).code, 2, wrong);
});

test("dbc lint: place, severity, code and hint; exit code 1 for errors only", async () => {
  assert.equal((await run(registerDbc, ["dbc", "lint", arm])).code, 0);
  const bad = file("bad.dbc", 'BU_: A\nBO_ 5000 M: 8 A\n SG_ 2nd : 0|8@1+ (.5,0) [0|0] "" A\n');
  const { code, out } = await run(registerDbc, ["dbc", "lint", bad, "--json"]);
  assert.equal(code, 1);
  const findings = out.map((line) => JSON.parse(line) as { code: string; severity: string; at: { line: number; column: number }; messageName?: string });
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map((finding) => [finding.code, finding.at.line, finding.at.column, finding.messageName]), [
    ["extendedFlagMissing", 2, 1, "M"], ["nameStartsWithDigit", 3, 6, "M"], ["numberWithoutLeadingZero", 3, 20, "M"],
  ]);
  assert.match((await run(registerDbc, ["dbc", "lint", bad])).out[0]!, /bad\.dbc:2:1: error extendedFlagMissing: .*\(add 2147483648/);
});

test("dbc show: text for people, the whole database as JSON", async () => {
  const text = await run(registerDbc, ["dbc", "show", arm, "--message", "State"]);
  assert.deepEqual(text.out.slice(0, 3), ["100 State, 8 bytes, from Shoulder", "    angle: 0|16 little-endian signed, × 0.1 + 0, [-180, 180], deg", "    mode: 16|2 little-endian unsigned, [0, 3]"]);
  const { out } = await run(registerDbc, ["dbc", "show", arm, "--json"]);
  const database = JSON.parse(out[0]!) as { messages: { name: string; signals: { valueNames?: Record<string, string> }[] }[] };
  assert.deepEqual(database.messages.map(({ name }) => name), ["State", "Engine", "Selected", "Wide"]);
  assert.deepEqual(database.messages[0]!.signals[1]!.valueNames, { 0: "Off", 1: "Hold", 2: "Move" });
  assert.equal((await run(registerDbc, ["dbc", "show", arm, "--message", "Nothing"])).code, 2);
});
