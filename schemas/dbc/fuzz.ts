/** What a long fuzz run feeds: `run` takes any bytes and throws only on a bug. */
import { layoutFromJson, layoutToJson } from "../records/json.ts";
import { readRecord } from "../records/layout.ts";
import { compileMessage } from "./codec.ts";
import { parseExpression } from "./expression.ts";
import { DBC_LIMITS } from "./limits.ts";
import { lintDatabase } from "./lint.ts";
import type { Database } from "./model.ts";
import { parseDbc } from "./parse.ts";
import { drawFrom, randomDatabaseText } from "./random.ts";

const sample = `VERSION "1"
NS_ :
	CM_
	VAL_
BS_:
BU_: A B
BO_ 100 M: 8 A
 SG_ m M : 0|4@1+ (1,0) [0|0] "" A
 SG_ a m1 : 8|16@0- (0.1,-40) [-100|100] "deg" A,B
 SG_ b m2M : 8|8@1+ (1,0) [0|0] "" Vector__XXX
 SG_ f : 32|32@1- (1,0) [0|0] "" A
BO_ 2566844672 N: 64 B
 SG_ x : 7|64@0+ (1,0) [0|1.8E+19] "" A
CM_ SG_ 100 a "an angle";
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 1000;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ 100 10;
VAL_ 100 m 1 "one" 2 "two" ;
SIG_VALTYPE_ 100 f : 1;
SG_MUL_VAL_ 100 b m 2-3, 5-5;
SIG_GROUP_ 100 G 1 : a b;
BO_TX_BU_ 100 : A,B;
`;

function fail(text: string): never {
  throw new Error(text);
}

/** What holds for every database, however it came about. */
function judge(database: Database): void {
  if (database.findings.length > DBC_LIMITS.findings + 1) fail("too many findings");
  for (const finding of lintDatabase(database)) if (!(finding.at.line >= 1 && finding.at.column >= 1)) fail(`a finding without a place: ${finding.code}`);
  for (const message of database.messages.slice(0, 20)) {
    const codec = compileMessage(message, { allowLonger: true });
    const bytes = new Uint8Array(message.lengthBytes);
    const record = new Uint8Array(codec.layout.sizeBytes);
    const view = new DataView(record.buffer);
    codec.decode(bytes, 0, bytes.length);
    if (codec.decodeInto(bytes, view, 0, bytes.length, record, view, 0) === 0) codec.encodeInto(view, 0, new Uint8Array(codec.wireLengthBytes), 0);
  }
}

export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds?: Uint8Array[] }[] = [
  {
    name: "dbc-text",
    run: (input) => judge(parseDbc(input, { file: "fuzz.dbc" })),
    seeds: [Buffer.from(sample), ...sample.split("\n").map((line) => Buffer.from(`${line}\n`))],
  },
  {
    // The input's first bytes choose a message, the rest is the frame.
    name: "dbc-frames",
    run: (input) => {
      const seed = (input[0] ?? 0) | ((input[1] ?? 0) << 8);
      const [message] = parseDbc(randomDatabaseText(drawFrom(seed)), { file: "fuzz.dbc" }).messages;
      const codec = compileMessage(message!, { checkRanges: false });
      const bytes = new Uint8Array(message!.lengthBytes);
      bytes.set(input.subarray(2, 2 + bytes.length));
      const decoded = codec.decode(bytes, 0, bytes.length);
      const record = new Uint8Array(codec.layout.sizeBytes);
      const view = new DataView(record.buffer);
      const code = codec.decodeInto(bytes, view, 0, bytes.length, record, view, 0);
      if (decoded.ok !== (code === 0)) fail(`decode and decodeInto disagree: ${decoded.ok ? "ok" : decoded.code}, ${code}`);
      if (!decoded.ok) return;
      const read = readRecord(codec.layout, view);
      for (const [name, value] of Object.entries(decoded.signals)) {
        const other = read[name];
        // A scaled 64-bit integer is computed in doubles for the record, and exactly for the object.
        const near = typeof value === "bigint" && Math.abs(Number(other) - Number(value)) <= Math.abs(Number(value)) * 2 ** -50;
        if (!Object.is(other, value) && !near) fail(`${name}: ${String(value)} and ${String(other)}`);
      }
      const encoded = codec.encode(decoded.raw, { raw: true });
      if (!encoded.ok) {
        if (encoded.code !== "notANumber" && encoded.code !== "outOfRange") fail(`what was decoded is refused: ${encoded.text}`);
        return;
      }
      const again = codec.decode(encoded.data, 0, encoded.data.length);
      if (!again.ok || Object.entries(decoded.raw).some(([name, value]) => !Object.is(again.raw[name], value))) fail("encode and decode disagree");
    },
  },
  { name: "template-expression", run: (input) => void parseExpression(Buffer.from(input).toString("latin1"), ["node_id", "message_id"]), seeds: [Buffer.from("node_id << 5 | (message_id & 0x1f) * 2")] },
  {
    name: "record-layout-json",
    run: (input) => {
      let json: unknown;
      try {
        json = JSON.parse(Buffer.from(input).toString("utf8"));
      } catch (error) {
        if (error instanceof SyntaxError) return;
        throw error;
      }
      const layout = layoutFromJson(json);
      if (layout === undefined) return;
      readRecord(layout, new DataView(new ArrayBuffer(layout.sizeBytes)));
      if (layoutFromJson(layoutToJson(layout)) === undefined) fail("a layout does not survive its JSON form");
    },
    seeds: [Buffer.from(JSON.stringify(layoutToJson(compileMessage(parseDbc(sample, { file: "fuzz.dbc" }).messages[0]!).layout)))],
  },
];
