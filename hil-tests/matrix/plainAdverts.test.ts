/** A topic advertised with nothing but its name is the same in every language: encoding, policy and the lane's size as docs/specs/lanes.md says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { describeLane } from "../../shm/lanes/index.ts";
import { RawClient } from "../attacks/control/raw.ts";
import { startDaemon, testFolder } from "../daemon.ts";
import { casesFile, languageNames, languages, missing, Peer } from "./languages.ts";

for (const language of languages) {
  test(`${languageNames[language]}: what is advertised without options`, { skip: missing(language) ?? false, timeout: 120_000 }, async (t) => {
    const folder = testFolder();
    const daemon = await startDaemon(folder.path, "version: 1\nrobot: babel\n");
    t.after(async () => {
      await daemon.stop();
      folder.remove();
    });
    const peer = new Peer(language, ["plain", daemon.socketPath, casesFile, language, "-"]);
    t.after(() => peer.stop());
    await peer.said("advertised");
    const client = await RawClient.open(daemon.socketPath);
    t.after(() => client.close());
    await client.ask({ op: "subscribe", pattern: "matrix/plain/#", policy: { queueSamples: 1 }, lanes: true });
    const heard = await client.hears(({ op }) => op === "lane");
    const announced = await client.hears(({ op }) => op === "announce");
    assert.ok(heard && announced?.op === "announce");
    const { slots, inlineBytes, largeBytes, policy } = describeLane(heard.descriptors[0]!)!;
    assert.deepEqual({ encoding: announced.topics[0]!.encoding, policy, slots, inlineBytes, largeBytes }, { encoding: "cbor", policy: "queue", slots: 256, inlineBytes: 192, largeBytes: 266_240 });
  });
}
