import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Found } from "../behaviour.ts";
import { exitCodes, RunRecord } from "./record.ts";
import type { Report, Verdict } from "./result.ts";

const found = (file: string): Found => ({ file, behaviour: { name: `sentence of ${file}`, bench: "by hand", needs: { machine: "plain", devices: [] }, run: () => Promise.resolve() } });

function recorded(body: (made: { record: RunRecord; said: string[]; out: string; json: string[] }) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-record-"));
  const [said, json]: [string[], string[]] = [[], []];
  const out = join(folder, "deep/report");
  try {
    body({ record: new RunRecord({ out, say: (text) => void said.push(text), json: (text) => void json.push(text), now: () => 1_000 }), said, out, json });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const add = (record: RunRecord, verdict: Verdict): void =>
  record.add({ file: "f", name: "n", machine: "plain", verdict, why: "w", atMs: 0, ms: 1, bench: "b", steps: [], figures: [], entries: [], frames: { total: 0, shown: 0 }, log: "" });

test("the exit code says what it came to, and the report is there in three forms whatever that is", () => {
  const rows: [string, (record: RunRecord) => void, { code?: number; isRequired?: boolean }, number][] = [
    ["all passed", (record) => add(record, "passed"), { isRequired: true }, exitCodes.fine],
    ["one failed", (record) => (add(record, "passed"), add(record, "failed")), {}, exitCodes.failed],
    ["one failed, and something is lacking", (record) => (add(record, "failed"), record.lacks("QEMU")), { isRequired: true }, exitCodes.failed],
    ["nothing ran", (record) => record.skipAll([found("a")], "plain", "no QEMU", { isHosts: true }), {}, exitCodes.fine],
    ["nothing ran, and that is no success", (record) => record.skipAll([found("a")], "plain", "no QEMU", { isHosts: true }), { isRequired: true }, exitCodes.lacking],
    ["nothing was asked for that could run", (record) => record.skip(found("a"), "plain", "only when it is named"), { isRequired: true }, exitCodes.lacking],
    ["some ran, something is lacking", (record) => (add(record, "passed"), record.skip(found("a"), "plain", "no ssh server", { isHosts: true })), { isRequired: true }, exitCodes.lacking],
    ["some ran, nobody asked for the rest", (record) => (add(record, "passed"), record.skip(found("a"), "plain", "only when it is named")), { isRequired: true }, exitCodes.fine],
    ["ended by a signal", (record) => add(record, "failed"), { code: 130 }, 130],
  ];
  for (const [name, body, end, code] of rows) {
    recorded(({ record, out, json }) => {
      body(record);
      assert.equal(record.finish(end), code, name);
      assert.deepEqual(readdirSync(out).sort(), ["junit.xml", "report.html", "results.json"], name);
      assert.deepEqual(JSON.parse(json.join("")), JSON.parse(readFileSync(join(out, "results.json"), "utf8")), name);
    });
  }
});

test("those without a verdict of their own stand in the report one by one, in one line of what is said", () => {
  recorded(({ record, said, out }) => {
    record.skipAll([found("a"), found("b")], "two", "one processor");
    record.skipAll([], "arm64", "nothing of that");
    assert.deepEqual(said, ["skip   2 of kind two: one processor"]);
    record.finish();
    const { results } = JSON.parse(readFileSync(join(out, "results.json"), "utf8")) as Report;
    assert.deepEqual(results.map(({ file, machine, verdict, why }) => [file, machine, verdict, why]), [["a", "two", "skipped", "one processor"], ["b", "two", "skipped", "one processor"]]);
  });
});

test("a report without a place is refused before anything runs", () => {
  recorded(({ out }) => {
    writeFileSync(join(out, "file"), "");
    assert.throws(() => new RunRecord({ out: join(out, "file/report"), say: () => undefined, json: undefined, now: () => 0 }), /ENOTDIR/);
  });
});
