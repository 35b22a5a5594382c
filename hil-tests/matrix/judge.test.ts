/** The judge itself: what is right passes, and every single thing that is wrong is found. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { mediaCodec } from "../../schemas/media/index.ts";
import { patternBytes, readCases, type Cases } from "./cases.ts";
import { areas, judge, type Line } from "./judge.ts";
import { casesFile } from "./languages.ts";

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const all = readCases(casesFile);
const pick = (name: string): Cases["topics"][number] => all.topics.find((topic) => topic.name === name)!;
// Short ones: everything is judged anew for each fault.
const patterns = pick("bytes").patterns!.slice(0, 4);
const tensors = pick("tensor").tensors!.slice(1);
const cases: Cases = { ...all, topics: [pick("cbor"), { ...pick("bytes"), patterns }, { ...pick("tensor"), tensors }, pick("burst")], mismatches: [], echoes: [], bytes: { seed: 1, length: 1 }, file: { ...all.file, length: 1 } };
const faultsOf = (lines: readonly Line[]): string[] => {
  const verdict = judge(lines, { cases, input: { origin: "o", sequences: [] } });
  // The calls are not looked at here.
  return areas.filter((area) => area === "topics" || area === "tensors").flatMap((area) => verdict[area]);
};

function good(): Line[] {
  const message = (name: string, i: number, rest: object): Line => ({ case: name, sequence: i + 1, lost: 0, origin: "w", quality: "good", ttlMs: 0, keyFrame: false, ageMs: 1, wallAgeMs: 1, lineage: [], ...rest });
  const values = pick("cbor").values!;
  const burst = createHash("sha256");
  for (const seed of [1, 3, 1000]) burst.update(patternBytes({ seed, length: 64 }));
  return [
    ...values.map((value, i) => message("cbor", i, { value, sha: "", bytes: 1 })),
    ...patterns.map((pattern, i) => message("bytes", i, { value: null, sha: sha(patternBytes(pattern)), bytes: pattern.length })),
    ...tensors.map(({ dtype, type, shape, strides, seed, dataBytes }, i) => {
      const data = patternBytes({ seed, length: dataBytes });
      const payload = mediaCodec("tensor").encode({ dtype, shape, strides, data });
      assert.ok(payload.ok);
      return message("tensor", i, { value: { type, shape, strides, sha: sha(data) }, sha: sha(payload.value), bytes: payload.value.length });
    }),
    { case: "burst", sequences: [1, 3, 1000], lost: 997, sha: burst.digest("hex") },
    ...cases.topics.map(({ name }) => ({ case: name, advertised: 100 })),
  ];
}

test("what is right passes", () => {
  assert.deepEqual(faultsOf(good()), []);
});

test("each thing that is wrong is found", () => {
  const wrongs: Record<string, unknown> = { sequence: 77, lost: 1, origin: "x", quality: "bad", ttlMs: 1, keyFrame: true, ageMs: -10, wallAgeMs: 1e9, lineage: [["a", "b", 1]], value: "x", sha: "x", bytes: -1, advertised: 206, sequences: [1, 2, 1000] };
  for (const [at, line] of good().entries()) {
    for (const key of Object.keys(line).filter((name) => name in wrongs)) {
      // What a value's encoding looks like is compared between the readers.
      if (line["case"] === "cbor" && (key === "sha" || key === "bytes")) continue;
      if (line["case"] === "bytes" && key === "value") continue;
      const lines = good();
      lines[at] = { ...line, [key]: wrongs[key] };
      assert.notDeepEqual(faultsOf(lines), [], `${String(line["case"])} ${at}: ${key}`);
    }
    assert.notDeepEqual(faultsOf(good().toSpliced(at, 1)), [], `line ${at} left out`);
  }
});
