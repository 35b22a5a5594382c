/** A CANopen client that is none of ours against the C node kit on the emulated bus: heartbeat, NMT, SDO of all kinds that the kit has, EMCY, and a whole firmware update by its own block transfer. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { BusHost } from "../drivers/can/emulator/host.ts";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import { CanFlag } from "../drivers/can/frame.ts";
import { encodeImage } from "../drivers/nodekit/image.ts";
import { SIM_NODE } from "../drivers/nodekit/simNode.ts";
import { projectRoot } from "../schemas/testData.ts";
import { testFolder } from "./daemon.ts";
import { NodeProcess } from "./nodeProcess.ts";

/** An interpreter that has the package: a virtual environment's, for one. */
const python = process.env["IPCNET_CANOPEN_PYTHON"] ?? "python3";
const hasCanopen = spawnSync(python, ["-c", "import canopen, can"]).status === 0;
const info = { vendor: 0x1234, product: 0x5678, version: 0x0100_0000, securityCounter: 1 };

test("the package canopen of PyPI works with the node kit", { timeout: 300_000, skip: hasCanopen ? false : "no Python package canopen (pip install canopen; IPCNET_CANOPEN_PYTHON names the interpreter)" }, async (t) => {
  const folder = testFolder();
  t.after(() => folder.remove());
  const image = join(folder.path, "new.img");
  // Not a multiple of seven: the last segment of a block is the one that clients get wrong.
  writeFileSync(image, encodeImage({ ...info, version: 0x0200_0000 }, new Uint8Array(1_001).fill(7)));
  const host = new BusHost({ name: "bus", bitrateBps: 500_000 });
  const node = new NodeProcess(host);
  t.after(() => node.end());
  const { port } = attachInProcess(host, { name: "client" });
  const client = spawn(python, [join(projectRoot(), "hil-tests/foreignCanopen.py"), String(SIM_NODE), image], { stdio: ["pipe", "pipe", "pipe"] });
  t.after(() => client.kill("SIGKILL"));
  client.stdin.on("error", () => client.stdin.destroy());
  port.onFrame(({ canId, flags, data }) => {
    if ((flags & (CanFlag.remote | CanFlag.error | CanFlag.echo)) === 0 && client.stdin.writable) client.stdin.write(`${canId.toString(16)} ${Buffer.from(data).toString("hex")}\n`);
  });
  createInterface({ input: client.stdout }).on("line", (line) => {
    const [id, hex] = line.split(" ") as [string, string];
    port.send({ timeUs: 0, canId: Number.parseInt(id, 16), flags: 0, data: Uint8Array.from(Buffer.from(hex, "hex")) });
  });
  const found: Record<string, unknown> = {};
  const errors: string[] = [];
  createInterface({ input: client.stderr }).on("line", (line) => {
    if (!line.startsWith("{")) return void errors.push(line);
    const { what, value } = JSON.parse(line) as { what: string; value: unknown };
    found[what] = value;
  });
  const ended = new Promise((resolve) => client.on("close", resolve));
  await node.begin(encodeImage(info, new Uint8Array(500).fill(1)));
  assert.equal(await ended, 0, errors.join("\n"));
  const { transferred, ...rest } = found;
  t.diagnostic(`firmware went ${String(transferred)}`);
  assert.deepEqual(rest, {
    heartbeat: "OPERATIONAL", identity: [0x1234, 0x5678, 0x0001_0002, 0xcafe], texts: ["elbow joint", "1.2.3"], abort: [0x0601_0002, 0x0602_0000], "pre-operational": "PRE-OPERATIONAL", operational: "OPERATIONAL",
    emcy: [0x8150, found["emcy"] instanceof Array ? (found["emcy"] as number[])[1] : 0], "on probation": [1, 1, 0x0200_0000], confirmed: [1, 0, 1],
  });
});
