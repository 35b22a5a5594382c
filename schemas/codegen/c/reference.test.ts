/** The reference frames through generated C, for a sample of the databases; `npm run gen:all` does it for all. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { referenceFiles, referenceFolder } from "../../dbc/referenceData.ts";
import { framesByFile, runReference } from "./reference.ts";

const reference = referenceFolder();
const skip = reference === undefined ? "the folder ../shared/data is not beside the project" : false;
const folder = mkdtempSync(join(tmpdir(), "ipcnet-gen-reference-"));
after(() => rmSync(folder, { recursive: true }));

/** What DBC has, each somewhere: floats, cascaded and ranged multiplexing, 64 bits, big-endian, CAN FD, J1939, overlaps, names beginning with digits. */
const SAMPLE = ["foobar.dbc", "issue_184_extended_mux_cascaded.dbc", "issue_184_extended_mux_multiple_values_dumped.dbc", "multiplex_2.dbc", "big_numbers.dbc", "signed.dbc", "abs.dbc", "fd_test.dbc", "is_in_phys_range.dbc", "emc32.dbc", "comma_body.dbc", "tesla_powertrain.dbc"];

test("reference frames decode to the reference's values and pack to the same bits", { skip }, () => {
  const files = referenceFiles(reference!);
  const vectors = framesByFile(reference!);
  let frames = 0;
  let used = 0;
  for (const name of SAMPLE) {
    const file = files.find((candidate) => candidate.endsWith(`/${name}`));
    const own = file === undefined ? undefined : vectors.get(file);
    if (file === undefined || own === undefined) continue;
    frames += runReference(reference!, file, own, { folder: join(folder, String(used)) });
    used += 1;
  }
  assert.ok(used === SAMPLE.length && frames > 200, `${frames} frames of ${used} files`);
});
