/** `ipcnet node image` and the forms of `ipcnet nodes`; a whole update is hil-tests/aNodeIsKnownAndGetsNewFirmware.test.ts. */
import assert from "node:assert/strict";
import { generateKeyPairSync, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { decodeImage, encodeImage } from "../../drivers/nodekit/image.ts";
import type { NodeReport } from "../../schemas/messages/statusReport.ts";
import { sampleReport } from "../view/sampleReport.ts";
import { runCli } from "./main.ts";
import { MemoryClient, memoryContext } from "./memory.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-nodes-cli-"));
after(() => rmSync(folder, { recursive: true }));
const program = join(folder, "program.bin");
writeFileSync(program, Uint8Array.from({ length: 1_000 }, (_, i) => i & 0xff));

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const context = memoryContext();
  const code = await runCli(["node", "image", ...argv], context);
  return { code, out: context.stdout.lines.join("\n"), err: context.stderr.lines.join("\n") };
}

test("an image is made, signed, and says what it holds", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const key = join(folder, "key.pem");
  writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }));
  const out = join(folder, "elbow.img");
  const made = await run(program, "--vendor", "0x1234", "--product", "7", "--fw-version", "2.1.300", "--security", "3", "--key", key, "--out", out);
  assert.deepEqual([made.code, made.err], [0, ""]);
  assert.match(made.out, /version 2\.1\.300 for vendor 0x1234, product 0x7; 1000 bytes, security counter 3, signed/);
  const bytes = readFileSync(out);
  const decoded = decodeImage(bytes);
  assert.ok(!("fault" in decoded));
  assert.deepEqual([decoded.version, Buffer.from(decoded.program).equals(readFileSync(program))], [0x0201_012c, true]);
  assert.ok(verify(null, bytes.subarray(0, 64), publicKey, decoded.signature));
  const shown = JSON.parse((await run(out, "--json")).out) as { version: string; signed: boolean; sha256: string };
  assert.deepEqual([shown.version, shown.signed, shown.sha256], ["2.1.300", true, Buffer.from(decoded.sha256).toString("hex")]);
});

test("what cannot be made or read is told with a remedy", async () => {
  const out = join(folder, "none.img");
  const whom = await run(program, "--out", out);
  assert.deepEqual([whom.code, /--vendor, --product and --fw-version/.test(whom.err)], [2, true]);
  assert.equal((await run(program, "--vendor", "1", "--product", "7", "--fw-version", "1.2", "--out", out)).code, 2);
  const plain = await run(program);
  assert.deepEqual([plain.code, /no image: notAnImage/.test(plain.err)], [1, true]);
  const key = join(folder, "rsa.pem");
  writeFileSync(key, generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" }));
  assert.match((await run(program, "--vendor", "1", "--product", "7", "--fw-version", "1.2.3", "--key", key, "--out", out)).err, /type rsa/);
});

test("nodes: who they are, what they complain of; exit code 1 when one is not as it should be", async () => {
  const well: NodeReport = { name: "base", link: "arm", state: "operational", required: true, lastSeenMsAgo: 4, rateHz: 10 };
  const hot: NodeReport = {
    ...well, name: "elbow", identity: { state: "mismatch", vendor: 0x1234, product: 7, serial: 99, name: "elbow joint", firmware: "2.0.3", slot: 1, onProbation: true, mismatch: ["serial 0x63, not 0x7"] },
    errors: [{ code: 0x4210, text: "temperature of the device", msAgo: 50, count: 3 }], errorRegister: ["generic", "temperature"], updateProgress: 0.5,
  };
  const list = async (nodes: NodeReport[], ...argv: string[]): Promise<[number, string[]]> => {
    const client = new MemoryClient();
    client.services.set("gateway/status", () => sampleReport({ nodes }));
    const context = memoryContext({ services: { connect: client.connect } });
    return [await runCli(["nodes", ...argv], context), context.stdout.lines];
  };
  assert.deepEqual(await list([well, hot]), [1, [
    "● base   arm  operational  required", "● elbow  arm  operational  required  elbow joint, firmware 2.0.3 on probation, 0x1234/0x7 serial 99", "    firmware is being replaced: 50 %", "    not the configured one: serial 0x63, not 0x7",
    "    error 0x4210: temperature of the device (3 times)", "    error register: generic, temperature",
  ]]);
  assert.equal((await list([well]))[0], 0);
  const [code, [line]] = await list([well, hot], "elbow", "--json");
  assert.deepEqual([code, (JSON.parse(line!) as NodeReport).identity?.firmware], [1, "2.0.3"]);
  assert.equal((await list([well], "nobody"))[0], 1);
});

test("an update: the image goes in pieces, what comes of it is the exit code; what is no image is not sent", async () => {
  const image = join(folder, "long.img");
  writeFileSync(image, encodeImage({ vendor: 1, product: 2, version: 3, securityCounter: 0 }, new Uint8Array(40_000)));
  const update = async (file: string, told: object[]): Promise<{ code: number; out: string[]; err: string; asked: Record<string, unknown>[] }> => {
    const client = new MemoryClient();
    const asked: Record<string, unknown>[] = [];
    client.services.set("gateway/node-update", (body) => {
      asked.push(body as Record<string, unknown>);
      const { action } = body as { action: string };
      return action === "begin" ? { id: 4 } : action === "status" ? (told.length > 1 ? told.shift() : told[0]) : {};
    });
    const context = memoryContext({ services: { connect: client.connect } });
    return { code: await runCli(["node", "update", "elbow", file, "--json"], context), out: context.stdout.lines, err: context.stderr.text, asked };
  };
  const done = await update(image, [{ node: "elbow", state: "running", progress: 0.5 }, { node: "elbow", state: "done", version: "0.0.3", slot: 1, sha256: "" }]);
  assert.deepEqual([done.code, done.out.length], [0, 2]);
  const pieces = done.asked.filter(({ action }) => action === "data");
  assert.deepEqual(pieces.map(({ offset }) => offset), [0, 16_384, 32_768]);
  assert.ok(Buffer.concat(pieces.map(({ data }) => Buffer.from(data as string, "base64"))).equals(readFileSync(image)));
  const failed = await update(image, [{ node: "elbow", state: "failed", code: "unsteady", text: "it returns" }]);
  assert.deepEqual([failed.code, JSON.parse(failed.out.at(-1)!)], [1, { node: "elbow", state: "failed", code: "unsteady", text: "it returns" }]);
  const none = await update(program, []);
  assert.deepEqual([none.code, none.asked.length], [2, 0]);
});
