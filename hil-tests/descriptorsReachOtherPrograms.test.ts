/** Files, resources of the configuration and whole connections go from program to program as descriptors, with a policy in between. */
import assert from "node:assert/strict";
import { readdirSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Descriptor } from "../shm/client/index.ts";
import { startDaemon, testFolder } from "./daemon.ts";
import { Program } from "./program.ts";
import { eventually } from "./waiting.ts";

test("a program reads the file that another one hands it, and hands one back", async (t) => {
  const folder = testFolder();
  const notes = join(folder.path, "notes");
  writeFileSync(notes, "what the camera saw");
  writeFileSync(join(folder.path, "calibration"), "focal length 3.6");
  const daemon = await startDaemon(folder.path, `version: 1\nrobot: descriptors\nresources:\n  - { name: calibration, file: "${join(folder.path, "calibration")}", modes: [read] }\n  - { name: nothing, device: /dev/null, modes: [write] }\n`);
  t.after(async () => {
    await daemon.stop();
    folder.remove();
  });
  const provider = new Program(t, daemon.socketPath, `
    const { readFileSync, readSync } = await import("node:fs");
    await client.offer("read", { capacity: 4 }, async (_body, call) => {
      const content = Buffer.alloc(100);
      const length = readSync(call.descriptors[0].fd, content, 0, 100, 0);
      const granted = await client.grant("calibration");
      call.reply({ content: content.subarray(0, length).toString() }, [granted]);
      granted.close();
    });
    say({ ready: true });`, { options: { name: "provider" } });
  await provider.hears("the provider", ({ ready }: { ready?: boolean }) => ready === true);
  const client = await daemon.connect("caller");
  t.after(() => client.close());
  const held = readdirSync(`/proc/${daemon.process.pid}/fd`).length;
  const file = Descriptor.open(notes, 0);
  for (let round = 0; round < 50; round++) {
    const { body, descriptors } = await client.requestFull("read", undefined, { descriptors: [file], timeoutMs: 60_000 });
    assert.deepEqual(body, { content: "what the camera saw" });
    const content = Buffer.alloc(16);
    readSync(descriptors[0]!.fd, content, 0, 16, 0);
    assert.equal(content.toString(), "focal length 3.6");
    descriptors[0]!.close();
  }
  await assert.rejects(client.grant("nothing", "read"), /209/);
  const sink = await client.grant("nothing");
  sink.close();
  file.close();
  await eventually("the gateway keeps none of them", () => readdirSync(`/proc/${daemon.process.pid}/fd`).length <= held);
});
