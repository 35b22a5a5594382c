/** Every pair of languages, writer × reader: topics, services, tensors, files and video come through as they were, and other schemas are refused. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Client } from "../../shm/client/index.ts";
import { type Daemon, startDaemon, testFolder } from "../daemon.ts";
import { areas } from "./judge.ts";
import { languageNames, languages, missing, peerCommand } from "./languages.ts";
import { Matrix } from "./matrix.ts";

describe("the languages understand each other", () => {
  const folder = testFolder();
  const present = languages.filter((language) => missing(language) === undefined);
  let daemon: Daemon;
  let client: Client;
  let matrix: Matrix;

  before(async () => {
    for (const language of present) peerCommand(language);
    daemon = await startDaemon(folder.path, "version: 1\nrobot: babel\n");
    client = await daemon.connect("matrix");
    matrix = new Matrix(daemon.socketPath, client);
  });
  after(async () => {
    await matrix.stop();
    await client.close();
    await daemon.stop();
    folder.remove();
  });

  for (const writer of languages) {
    test(`${languageNames[writer]} writes, all read`, { skip: missing(writer) ?? false, timeout: 120_000 }, async (t) => {
      for (const language of languages) if (missing(language) !== undefined) t.diagnostic(missing(language)!);
      const verdicts = await matrix.row(writer, present);
      const faults = [...verdicts].flatMap(([reader, verdict]) => areas.flatMap((area) => verdict[area].map((fault) => `${languageNames[writer]} → ${languageNames[reader]}, ${area}: ${fault}`)));
      assert.deepEqual(faults, []);
    });
  }
});
