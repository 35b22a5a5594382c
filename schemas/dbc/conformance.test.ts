/** The reference vectors (6,443 frames decoded by an independent implementation) and the 122 files of the field, both beside the project. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readRecord } from "../records/layout.ts";
import { compileMessage, lintDatabase, loadDbcFile, type Database, type MessageCodec } from "./index.ts";
import { referenceFiles, referenceFolder, referenceFrames, referenceValues } from "./referenceData.ts";

const folder = referenceFolder() ?? "";
const skip = folder === "" ? "the folder ../shared/data is not beside the project" : false;

test("every reference frame decodes to the reference's values, and encodes to the same bits", { skip }, () => {
  const databases = new Map<string, Database>();
  const codecs = new Map<string, { codec: MessageCodec; ones: MessageCodec }>();
  const vectors = referenceFrames(folder);
  let wholly = 0;
  for (const vector of vectors) {
    const told = `${vector.f} ${vector.msg} ${vector.data}`;
    let database = databases.get(vector.f);
    if (database === undefined) databases.set(vector.f, (database = loadDbcFile(join(folder, vector.f))));
    const key = `${vector.f} ${vector.id} ${vector.ext} ${vector.msg}`;
    let pair = codecs.get(key);
    if (pair === undefined) {
      const message = database.messages.find(({ canId, extended, name }) => canId === vector.id && extended === vector.ext && name === vector.msg);
      assert.ok(message, `${told}: no such message`);
      pair = { codec: compileMessage(message, { checkRanges: false }), ones: compileMessage(message, { checkRanges: false, unusedBits: 0xff }) };
      codecs.set(key, pair);
    }
    const { codec, ones } = pair;
    const data = Buffer.from(vector.data, "hex");
    const decoded = codec.decode(data, 0, data.length);
    assert.ok(decoded.ok, told);
    assert.deepEqual(decoded.raw, referenceValues(vector.raw), told);
    assert.deepEqual(decoded.signals, referenceValues(vector.phy), told);

    const encoded = codec.encode(decoded.signals);
    const filled = ones.encode(decoded.signals);
    assert.ok(encoded.ok && filled.ok, told);
    // A bit that differs between the two paddings is unused; all others must be the frame's.
    const used = encoded.data.map((byte, at) => ~(byte ^ filled.data[at]!) & 0xff);
    assert.deepEqual([...encoded.data], [...data].map((byte, at) => byte & used[at]!), told);
    if (used.every((bits) => bits === 0xff)) wholly += 1;

    // The hot path agrees with the plain one, both ways.
    const record = new Uint8Array(codec.layout.sizeBytes);
    const view = new DataView(record.buffer);
    assert.equal(codec.decodeInto(data, new DataView(data.buffer), 0, data.length, record, view, 0), 0, told);
    assert.deepEqual(readRecord(codec.layout, view), decoded.signals, told);
    const again = new Uint8Array(codec.wireLengthBytes);
    assert.equal(codec.encodeInto(view, 0, again, 0), 0, told);
    assert.deepEqual(again, encoded.data, told);
  }
  assert.ok(vectors.length >= 6443 && wholly > 100, `${vectors.length} frames, ${wholly} without unused bits`);
});

test("every file of the field loads, and what was mended is told with its line", { skip }, () => {
  const files = referenceFiles(folder);
  assert.ok(files.length >= 122);
  for (const file of files) {
    const database = loadDbcFile(join(folder, file));
    const lines = readFileSync(join(folder, file), "latin1").split("\n").length;
    assert.equal(database.refused, false, file);
    for (const finding of lintDatabase(database)) assert.ok(finding.at.line >= 1 && finding.at.line <= lines && finding.at.column >= 1 && finding.hint !== "", `${file}: ${JSON.stringify(finding)}`);
    for (const message of database.messages) compileMessage(message);
  }
});
