/** Programs of every language announce themselves, take a resource, and are told that the gateway goes: it waits for those that ask for more time until they are ready. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startDaemon, testFolder } from "../daemon.ts";
import { casesFile, languageNames, languages, missing, Peer, peerCommand } from "./languages.ts";

test("announced, granted, found, and told of the end, in every language", { timeout: 180_000 }, async (t) => {
  const present = languages.filter((language) => missing(language) === undefined);
  for (const language of languages) if (missing(language) !== undefined) t.diagnostic(missing(language)!);
  for (const language of present) peerCommand(language);
  const folder = testFolder();
  const notes = join(folder.path, "notes.txt");
  writeFileSync(notes, "for guests");
  const daemon = await startDaemon(folder.path, `version: 1\nrobot: host\nresources: [{ name: notes, file: "${notes}", modes: [read] }]\n`);
  t.after(async () => {
    daemon.process.kill("SIGKILL");
    await daemon.ended;
    folder.remove();
  });
  const guests = new Map(present.map((language) => [language, new Peer(language, ["guest", daemon.socketPath, casesFile, language, "-"])]));
  for (const guest of guests.values()) t.after(() => guest.stop());
  await Promise.all([...guests.values()].map((guest) => guest.said("guest")));
  const { code } = await daemon.stop();
  for (const [language, guest] of guests) {
    await guest.said("ready");
    const [first, told] = guest.lines as [Record<string, unknown>, { told: number; given: number }];
    assert.deepEqual(first, { guest: true, granted: "for guests", announced: { version: "1.2" } }, languageNames[language]);
    assert.ok(told.given > told.told, `${languageNames[language]}: ${JSON.stringify(told)}`);
  }
  assert.equal(code, 0, daemon.log());
  assert.doesNotMatch(daemon.log(), /not prepared in time/);
});
