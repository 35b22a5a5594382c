/** Statements and their quirks: what is read, what is mended, and where it is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { attributeValue, findingCatalogue, lintDatabase, parseDbc, type Database, type Message } from "./index.ts";

const parse = (...lines: string[]) => parseDbc(lines.join("\n"), { file: "test.dbc" });

/** code, line, column and message of each finding but the notes. */
function quirks(database: Database): [string, number, number, string | undefined][] {
  return database.findings.filter(({ severity }) => severity !== "note").map(({ code, at, messageName }) => [code, at.line, at.column, messageName]);
}

function only(database: Database): Message {
  assert.equal(database.messages.length, 1);
  return database.messages[0]!;
}

const signal = (name: string) => ` SG_ ${name} : 0|8@1+ (1,0) [0|0] "" A`;

test("a plain file gives everything it says, without a finding", () => {
  const database = parse(
    'VERSION "1.2"', "", "NS_ :", "\tNS_DESC_", "\tCM_", "\tBA_DEF_", "\tSG_MUL_VAL_", "", "BS_:", "", "BU_: Host Arm",
    'VAL_TABLE_ OnOff 1 "On" 0 "Off" ;',
    "BO_ 256 State: 8 Arm", ' SG_ angle : 7|16@0- (0.1,-40) [-180|180] "deg" Host,Arm', ' SG_ on : 23|1@1+ (1,0) [0|1] "" Vector__XXX',
    "BO_ 2566844672 Engine: 64 Vector__XXX", "BO_TX_BU_ 256 : Arm,Host;",
    'CM_ "the bus";', 'CM_ BU_ Arm "moves";', 'CM_ BO_ 256 "two\nlines";', 'CM_ SG_ 256 angle "of the \\"elbow\\"";',
    'BA_DEF_ BO_ "GenMsgCycleTime" INT 0 10000;', 'BA_DEF_ "BusType" STRING ;', 'BA_DEF_ SG_ "Kind" ENUM "raw","filtered";', 'BA_DEF_ BU_ "Weight" FLOAT 0 10;',
    'BA_DEF_DEF_ "GenMsgCycleTime" 100;', 'BA_DEF_DEF_ "BusType" "CAN";', 'BA_DEF_DEF_ "Kind" "raw";', 'BA_DEF_DEF_ "Weight" 1;',
    'BA_ "GenMsgCycleTime" BO_ 256 10;', 'BA_ "Kind" SG_ 256 angle 1;', 'BA_ "Weight" BU_ Arm 2.5;', 'BA_ "BusType" "CAN FD";',
    'SIG_GROUP_ 256 Both 1 : angle on;', "VAL_ 256 on OnOff ;", 'VAL_ 256 angle -1 "below" 18446744073709551615 "huge" ;',
  );
  assert.deepEqual(quirks(database), []);
  assert.deepEqual([database.version, database.nodes, database.comment, database.attributes], ["1.2", ["Host", "Arm"], "the bus", { BusType: "CAN FD" }]);
  assert.deepEqual(database.nodeDetails[1], { name: "Arm", comment: "moves", attributes: { Weight: 2.5 } });
  const [state, engine] = database.messages as [Message, Message];
  assert.deepEqual([state.canId, state.extended, state.lengthBytes, state.fd, state.sender, state.otherSenders, state.cycleTimeMs, state.comment], [256, false, 8, false, "Arm", ["Arm", "Host"], 10, "two\nlines"]);
  assert.deepEqual([engine.canId, engine.extended, engine.fd, engine.sender, engine.cycleTimeMs], [0x18fef100, true, true, undefined, 100]);
  assert.deepEqual(state.signalGroups, [{ name: "Both", repetitions: 1, signals: ["angle", "on"] }]);
  const [angle, on] = state.signals;
  assert.deepEqual(
    { ...angle, valueNames: [...angle!.valueNames!] },
    {
      name: "angle", at: { line: 14, column: 2 }, startBit: 7, lengthBits: 16, byteOrder: "big", kind: "signed", factor: 0.1, offset: -40, minimum: -180, maximum: 180, unit: "deg",
      receivers: ["Host", "Arm"], isMultiplexor: false, multiplexing: undefined, valueNames: [[-1, "below"], [18446744073709551615n, "huge"]], comment: 'of the "elbow"', attributes: { Kind: "filtered" },
    },
  );
  assert.deepEqual([on!.receivers, [...on!.valueNames!]], [[], [[1, "On"], [0, "Off"]]]);
  assert.equal(attributeValue(database, "signal", on!.attributes, "Kind"), "raw");
  assert.equal(attributeValue(database, "message", engine.attributes, "Nothing"), undefined);
});

test("CRLF, lone CR, tabs, no line break at the end", () => {
  for (const end of ["\r\n", "\r", "\n"]) {
    const database = parseDbc(["BU_:\tA", "BO_ 1 M: 8 A", signal("s"), "", 'CM_ BO_ 1 "c";'].join(end), { file: "f" });
    assert.deepEqual([quirks(database), only(database).comment, only(database).signals[0]!.at], [[], "c", { line: 3, column: 2 }]);
  }
});

test("encodings: UTF-8 with and without mark, Windows-1252, UTF-16", () => {
  const text = `BU_: A\nBO_ 1 M: 8 A\n SG_ s : 0|8@1+ (1,0) [0|0] "°C €" A\n`;
  const unit = (source: Uint8Array) => {
    const database = parseDbc(source, { file: "f" });
    return [only(database).signals[0]!.unit, ...database.findings.map(({ code, at }) => `${code} ${at.line}:${at.column}`)];
  };
  assert.deepEqual(unit(Buffer.from(text)), ["°C €"]);
  assert.deepEqual(unit(Buffer.from(`\ufeff${text}`)), ["°C €", "byteOrderMark 1:1"]);
  assert.deepEqual(unit(Buffer.from(text.replace("€", "\u0080"), "latin1")), ["°C €", "encodingCp1252 3:30"]);
  assert.deepEqual(unit(Buffer.from(`\ufeff${text}`, "utf16le")), ["°C €", "encodingUtf16 1:1"]);
});

test("identifiers: 29 bits without bit 31 are mended, what no frame can have is left out", () => {
  const database = parse("BU_: A", "BO_ 4096 Wide: 8 A", "BO_ 4294967295 Beyond: 8 A", signal("s"), "BO_ 1075054137 Odd: 8 A", "BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX", signal("t"), 'CM_ BO_ 4294967295 "no further word";');
  assert.deepEqual(quirks(database), [["extendedFlagMissing", 2, 1, "Wide"], ["idOutOfRange", 3, 1, "Beyond"], ["idOutOfRange", 5, 1, "Odd"]]);
  assert.deepEqual([only(database).canId, only(database).extended], [4096, true]);
  assert.ok(database.findings.some(({ code }) => code === "independentSignals"));
});

test("names: digits in front, blanks and signs are told and kept; __proto__ is left out", () => {
  const database = parse("BU_: A", "BO_ 1 2017_5: 8 A", signal("64_BIT"), signal("Wheel Speed"), signal("a-b"), signal("__proto__"));
  assert.deepEqual(quirks(database), [["nameStartsWithDigit", 2, 7, "2017_5"], ["nameStartsWithDigit", 3, 6, "2017_5"], ["unknownMultiplexToken", 4, 6, "2017_5"], ["badName", 5, 6, "2017_5"], ["nameRefused", 6, 6, "2017_5"]]);
  assert.deepEqual(only(database).signals.map(({ name }) => name), ["64_BIT", "Wheel", "a-b"]);
});

test("numbers: .5, hexadecimal digits, exponents; no number at all leaves the signal out", () => {
  const database = parse("BU_: A", "BO_ 0x10 M: 8 A", ' SG_ a : 0|8@1+ (.5,-1.5E-03) [-.5|1e2] "" A', ' SG_ b : 0|8@1+ (x,0) [0|0] "" A', ' SG_ c : 0|8@1+ (1e999,0) [0|0] "" A', signal("d"));
  assert.deepEqual(quirks(database), [["numberNotDecimal", 2, 5, undefined], ["numberWithoutLeadingZero", 3, 18, "M"], ["numberWithoutLeadingZero", 3, 32, "M"], ["syntax", 4, 18, "M"], ["syntax", 5, 18, "M"]]);
  const [a, d] = only(database).signals;
  assert.deepEqual([only(database).canId, a!.factor, a!.offset, a!.minimum, a!.maximum, d!.name], [16, 0.5, -0.0015, -0.5, 100, "d"]);
});

test("bounds that are not finite are no bounds; control characters are told once", () => {
  const database = parse("BU_: A", "BO_ 1 M: 8 A", ' SG_ a : 0|8@1+ (1,0) [-inf|+1.#INF] "" A', ' SG_ b : 8|8@1+ (1,0) [0|1E+999] "" A', 'BA_DEF_ "F" FLOAT nan 1;', "\u0001 \u0002");
  assert.deepEqual(quirks(database), [["badNumber", 3, 24, "M"], ["badNumber", 3, 29, "M"], ["badNumber", 4, 26, "M"], ["badNumber", 5, 19, undefined], ["controlCharacter", 6, 1, undefined]]);
  assert.deepEqual(only(database).signals.map(({ minimum, maximum }) => [minimum, maximum]), [[undefined, undefined], [0, undefined]]);
});

test("comments without target: CM_ id, CM_ SG_ id, and comments on what is not there", () => {
  const database = parse("BU_: A", "BO_ 145 M: 8 A", signal("s"), 'CM_ 145 "about the message";', 'CM_ SG_ 145 "of which?";', 'CM_ BO_ 7 "nobody";', 'CM_ SG_ 145 t "nothing";', 'CM_ FOO "x";');
  assert.deepEqual(quirks(database), [["commentWithoutTarget", 4, 1, "M"], ["commentWithoutTarget", 5, 1, "M"], ["unknownMessage", 6, 1, undefined], ["unknownSignal", 7, 1, "M"], ["commentWithoutTarget", 8, 9, undefined]]);
  assert.equal(only(database).comment, "about the message");
});

test("a text that nobody closed ends before the next statement", () => {
  const database = parse('BU_: A', 'BO_ 1 M: 8 A', ' SG_ s : 0|8@1+ (1,0) [0|0] "m/s" A', 'CM_ SG_ 1 s "speed of the', 'wheel;', "", "BO_ 2 N: 8 A", ' SG_ t : 0|8@1+ (1,0) [0|0] "V" A', 'CM_ BO_ 2 "fine";');
  assert.deepEqual(quirks(database), [["unterminatedString", 4, 13, "M"], ["missingSemicolon", 7, 1, "M"]]);
  assert.deepEqual(database.messages.map(({ name, comment, signals }) => [name, comment, signals[0]!.comment, signals[0]!.unit]), [["M", undefined, "speed of the\nwheel", "m/s"], ["N", "fine", undefined, "V"]]);
  // At the end of the file, and in the middle of a signal.
  assert.deepEqual(quirks(parse("BU_: A", 'CM_ "never closed')), [["unterminatedString", 2, 5, undefined], ["missingSemicolon", 2, 18, undefined]]);
  assert.deepEqual(parse("BU_: A", "BO_ 1 M: 8 A", ' SG_ s : 0|8@1+ (1,0) [0|0] "m A', signal("t")).messages[0]!.signals.map(({ name }) => name), ["s", "t"]);
});

test("texts may hold statements, semicolons, backslashes and line breaks", () => {
  const text = 'old:\nBO_ 6 X: 8 Y\n SG_ z : 0|8@1+ (1,0) [0|0] \\"\\" A;\nCM_ BO_ 1 ';
  const database = parse("BU_: A", "BO_ 1 M: 8 A", `CM_ BO_ 1 "${text}";`, 'BA_DEF_ "Path" STRING ;', 'BA_ "Path" "C:\\data\\";', "BO_ 2 N: 0 A");
  assert.deepEqual(quirks(database), []);
  assert.deepEqual([database.messages.length, database.messages[0]!.comment, database.attributes.Path], [2, text.replaceAll('\\"', '"'), "C:\\data\\"]);
});

test("unknown statements, stray words, missing semicolons: the rest of the file is read", () => {
  const database = parse("BU_: A", "FOO_ 1 2 3;", "BO_ 1 M: 8 A", signal("s"), "Note: this", "is prose", 'VAL_ 1 s 0 "zero" 1 "one"', 'CM_ BO_ 1 "c"', "// a line", "BO_ 2 N: 8 A // behind", signal("t"), ";");
  assert.deepEqual(quirks(database), [
    ["unknownStatement", 2, 1, undefined], ["unknownStatement", 5, 1, undefined], ["missingSemicolon", 8, 1, "M"], ["lineComment", 9, 1, undefined], ["missingSemicolon", 10, 1, "M"], ["lineComment", 10, 14, undefined],
  ]);
  assert.deepEqual(database.messages.map(({ name, signals }) => [name, signals.length]), [["M", 1], ["N", 1]]);
});

test("signals that cannot be, and what becomes of them", () => {
  const database = parse(
    "BU_: A", signal("orphan"), "BO_ 1 M: 2 A", ' SG_ none : 0|0@1+ (1,0) [0|0] "" A', ' SG_ far : 9|8@1+ (1,0) [0|0] "" A', ' SG_ big : 0|8@0+ (1,0) [0|0] "" A', ' SG_ bigger : 0|10@0+ (1,0) [0|0] "" A',
    ' SG_ zero : 0|8@1+ (0,0) [0|0] "" A', ' SG_ zero : 0|8@1+ (1,0) [0|0] "" A', ' SG_ upside : 0|8@1+ (1,0) [5|-5] "" A', ' SG_ away : 0|8@1+ (1,0) [256|300] "" A', ' SG_ unsigned : 0|8@1 (1,0) [0|0] "" A', " SG_ bare : 0|8@1+",
  );
  assert.deepEqual(quirks(database), [
    ["signalOutsideMessage", 2, 2, undefined], ["zeroLengthSignal", 4, 2, "M"], ["signalDoesNotFit", 5, 2, "M"], ["signalDoesNotFit", 7, 2, "M"], ["factorZero", 8, 2, "M"], ["duplicateSignal", 9, 2, "M"],
    ["minimumAboveMaximum", 10, 2, "M"], ["rangeExcludesAll", 11, 2, "M"], ["signMissing", 12, 21, "M"], ["missingPart", 13, 19, "M"], ["missingPart", 13, 19, "M"], ["missingPart", 13, 19, "M"],
  ]);
  assert.deepEqual(only(database).signals.map(({ name, factor, minimum }) => [name, factor, minimum]), [["big", 1, undefined], ["zero", 1, undefined], ["upside", 1, undefined], ["away", 1, undefined], ["unsigned", 1, undefined], ["bare", 1, undefined]]);
});

test("multiplexing: simple, extended with ranges, nested, and its faults", () => {
  const database = parse(
    "BU_: A", "BO_ 1 M: 8 A", ' SG_ r M : 0|4@1+ (1,0) [0|0] "" A', ' SG_ n m0M : 8|4@1+ (1,0) [0|0] "" A', ' SG_ a m1 : 16|8@1+ (1,0) [0|0] "" A', ' SG_ b m3 : 16|8@1+ (1,0) [0|0] "" A', ' SG_ p : 56|8@1+ (1,0) [0|0] "" A',
    "SG_MUL_VAL_ 1 n r 0-0;", "SG_MUL_VAL_ 1 a r 1-1, 4-7;", "SG_MUL_VAL_ 1 b n 3 - 3;",
  );
  assert.deepEqual(quirks(database), []);
  assert.deepEqual(only(database).signals.map(({ name, isMultiplexor, multiplexing }) => [name, isMultiplexor, multiplexing?.multiplexor, multiplexing?.ranges]), [
    ["r", true, undefined, undefined], ["n", true, "r", [[0, 0]]], ["a", false, "r", [[1, 1], [4, 7]]], ["b", false, "n", [[3, 3]]], ["p", false, undefined, undefined],
  ]);
  const faults = (...lines: string[]) => quirks(parse("BU_: A", "BO_ 1 M: 8 A", ...lines)).map(([code]) => code);
  assert.deepEqual(faults(' SG_ a m1 : 16|8@1+ (1,0) [0|0] "" A'), ["multiplexorMissing"]);
  assert.deepEqual(faults(' SG_ a V0 : 16|8@1+ (1,0) [0|0] "" A'), ["unknownMultiplexToken"]);
  assert.deepEqual(faults(' SG_ r M : 0|4@1+ (1,0) [0|0] "" A', ' SG_ n m0M : 8|4@1+ (1,0) [0|0] "" A', ' SG_ a m1 : 16|8@1+ (1,0) [0|0] "" A'), ["multiplexorAmbiguous"]);
  assert.deepEqual(faults(signal("a"), "SG_MUL_VAL_ 1 a x 1-1;"), ["multiplexorUnknown"]);
  assert.deepEqual(faults(signal("a"), signal("b"), "SG_MUL_VAL_ 1 a b 1-1;"), ["multiplexorNotMarked"]);
  assert.deepEqual(faults(' SG_ r M : 0|4@1+ (1,0) [0|0] "" A', ' SG_ a m1 : 16|8@1+ (1,0) [0|0] "" A', "SG_MUL_VAL_ 1 a r 2-1;"), ["multiplexRangeBad"]);
  assert.deepEqual(faults(' SG_ r M : 0|4@1+ (1,0) [0|0] "" A', ' SG_ a m1 : 16|8@1+ (1,0) [0|0] "" A', "SG_MUL_VAL_ 1 a r 2-2;"), ["multiplexRangeMismatch"]);
  assert.deepEqual(faults(' SG_ r m0M : 0|4@1+ (1,0) [0|0] "" A', ' SG_ n m0M : 8|4@1+ (1,0) [0|0] "" A', "SG_MUL_VAL_ 1 n r 0-0;", "SG_MUL_VAL_ 1 r n 0-0;"), ["multiplexCycle"]);
});

test("floats, value types and their faults", () => {
  const database = parse("BU_: A", "BO_ 1 M: 8 A", ' SG_ f : 0|32@1- (1,0) [0|0] "" A', ' SG_ s : 32|16@1- (1,0) [0|0] "" A', "BO_ 2 N: 8 A", ' SG_ d : 7|64@0- (1,0) [0|0] "" A', "SIG_VALTYPE_ 1 f : 1;", "SIG_VALTYPE_ 1 s 1;", "SIG_VALTYPE_ 2 d : 2;", "SIG_VALTYPE_ 2 d : 7;");
  assert.deepEqual(database.messages.flatMap(({ signals }) => signals.map(({ kind }) => kind)), ["float32", "signed", "float64"]);
  assert.deepEqual(quirks(database), [["floatLength", 8, 1, "M"], ["unknownValueType", 10, 1, "N"]]);
});

test("attributes: CAN FD and J1939 by frame format, by word and by number; relations; long names", () => {
  const database = parse(
    "BU_: A_short B", "BO_ 1 Fd: 8 A_short", signal("s_short"), "BO_ 2566844672 Group: 8 B", "BO_ 2566844673 Transport: 100 B",
    'BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG","r","r","r","r","r","r","r","r","r","r","StandardCAN_FD","ExtendedCAN_FD";', 'BA_DEF_DEF_ "VFrameFormat" "J1939PG";',
    'BA_DEF_ BU_ "SystemNodeLongSymbol" STRING ;', 'BA_DEF_ SG_ "SystemSignalLongSymbol" STRING ;', 'BA_DEF_ BO_ "SystemMessageLongSymbol" STRING ;', 'BA_DEF_REL_ BU_SG_REL_ "Timeout" INT 0 100;', 'BA_DEF_DEF_REL_ "Timeout" 0;',
    'BA_ "VFrameFormat" BO_ 1 14;', 'BA_ "SystemNodeLongSymbol" BU_ A_short "A_with_a_long_name";', 'BA_ "SystemSignalLongSymbol" SG_ 1 s_short "s_with_a_long_name";', 'BA_ "SystemMessageLongSymbol" BO_ 1 "Fd_with_a_long_name";',
    'BA_REL_ "Timeout" BU_SG_REL_ A_short SG_ 1 s_short 50;',
  );
  assert.deepEqual(quirks(database), []);
  assert.deepEqual(database.messages.map(({ name, fd, j1939, sender }) => [name, fd, j1939, sender]), [["Fd_with_a_long_name", true, false, "A_with_a_long_name"], ["Group", false, true, "B"], ["Transport", false, true, "B"]]);
  assert.deepEqual([database.nodes, database.messages[0]!.signals[0]!.name], [["A_with_a_long_name", "B"], "s_with_a_long_name"]);
  assert.deepEqual(database.relationAttributes, [{ name: "Timeout", node: "A_with_a_long_name", messageName: "Fd_with_a_long_name", signalName: "s_short", value: 50 }]);
  assert.equal(only(parse("BU_: A", "BO_ 2566844672 Group: 8 A", 'BA_DEF_ BO_ "VFrameFormat" INT 0 15;', 'BA_ "VFrameFormat" BO_ 2566844672 3;')).j1939, true);
});

test("the bit rate is switched in an FD message unless CANFD_BRS is 0, whatever the attribute's type", () => {
  const switched = (declaration: string): [string, boolean][] => parse("BU_: A", "BO_ 1 Given: 12 A", "BO_ 2 Other: 12 A", "BO_ 3 Classic: 8 A", ...declaration.split("\n")).messages.map(({ name, bitRateSwitch }) => [name, bitRateSwitch]);
  const rows = [
    ["", true, true],
    ['BA_DEF_ BO_ "CANFD_BRS" ENUM "0","1";\nBA_DEF_DEF_ "CANFD_BRS" "1";\nBA_ "CANFD_BRS" BO_ 1 0;', false, true],
    ['BA_DEF_ BO_ "CANFD_BRS" ENUM "0","1";\nBA_DEF_DEF_ "CANFD_BRS" "0";\nBA_ "CANFD_BRS" BO_ 1 1;', true, false],
    ['BA_DEF_ BO_ "CANFD_BRS" INT 0 1;\nBA_DEF_DEF_ "CANFD_BRS" 1;\nBA_ "CANFD_BRS" BO_ 1 0;', false, true],
  ] as const;
  for (const [declaration, given, other] of rows) assert.deepEqual(switched(declaration), [["Given", given], ["Other", other], ["Classic", false]], declaration);
});

test("files that are none are refused with a place and a reason", () => {
  for (const [source, code] of [["", "notADatabase"], ["hello world", "notADatabase"], ["\u0000\u0001\u0002", "notADatabase"], ["FOO ;\nBAR ;", "notADatabase"]] as const) {
    const database = parse(source);
    assert.deepEqual([database.refused, database.messages.length, database.findings.at(-1)!.code, database.findings.at(-1)!.at.line], [true, 0, code, 1]);
  }
  const huge = parseDbc(new Uint8Array(17 * 1024 * 1024), { file: "huge" });
  assert.deepEqual([huge.refused, huge.findings.map(({ code }) => code)], [true, ["fileTooLarge"]]);
});

test("findings are cut off at their limit, and the rest counted", () => {
  const database = parse("BU_: A", ...Array.from({ length: 6000 }, () => "FOO ;"));
  assert.deepEqual([database.findings.length, database.findings.at(-1)!.code, database.findings.at(-1)!.severity, database.findings.at(-1)!.message], [5001, "tooManyFindings", "error", "1000 more findings are not listed"]);
});

test("every finding has a code of the catalogue and a hint", () => {
  for (const finding of lintDatabase(parse("FOO", "BU_: A A", "BO_ 1 M: 9 A", signal("s"), signal("t"), "BO_ 1 M: 8 A"))) {
    assert.ok(Object.hasOwn(findingCatalogue, finding.code) && finding.hint !== "" && finding.message !== "");
  }
});
