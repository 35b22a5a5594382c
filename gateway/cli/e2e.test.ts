import assert from "node:assert/strict";
import { test } from "node:test";
import type { E2eConfig } from "../../schemas/e2e/index.ts";
import { vectors } from "../../schemas/testData.ts";
import { runCli } from "./main.ts";
import { memoryContext, type MemoryContext } from "./memory.ts";

async function run(argv: readonly string[], stdin?: string): Promise<MemoryContext & { code: number }> {
  const context = memoryContext();
  context.stdin.end(stdin ?? "");
  const code = await runCli(["e2e", ...argv], context);
  return Object.assign(context, { code });
}

function rowsOf(context: MemoryContext): Record<string, unknown>[] {
  return context.stdout.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

function flags(config: E2eConfig): string[] {
  return Object.entries(config).flatMap(([key, value]) => [`--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, String(value)]);
}

const published = (vectors("e2e-profiles.json") as { rows: { name: string; config: E2eConfig; counter: number; input: string; frame: string }[] }).rows;

test("all published examples come out of protect and pass check", async () => {
  for (const { name, config, counter, input, frame } of published) {
    const made = await run(["protect", ...flags(config), "--counter", String(counter), input]);
    assert.equal(made.stdout.text, `${frame}\n`, `${name}: ${made.stderr.text}`);
    const seen = await run(["check", ...flags(config), "--json", frame.toUpperCase()]);
    assert.equal(seen.code, 0);
    const [row] = rowsOf(seen);
    assert.deepEqual([row!.crcOk, row!.counter, row!.status, row!.dataHex], [true, counter, "ok", frame], name);
  }
});

test("consecutive frames get consecutive counters, from arguments or standard input", async () => {
  const zeros = "00".repeat(8);
  const args = await run(["protect", "--profile", "P05", "--data-id", "0x1234", zeros, zeros]);
  assert.deepEqual(args.stdout.lines, ["1cca000000000000", "cf8d010000000000"]);
  const lines = await run(["protect", "--profile", "P05", "--data-id", "4660", "--counter", "255", "--json"], `# two frames\n\n00 00 00 00.00.00:00:00\n0x${zeros}\n`);
  assert.deepEqual(rowsOf(lines).map((row) => [row.counter, row.crcOk, row.payloadHex]), [[255, true, "0000000000"], [0, true, "0000000000"]]);
  const p02 = await run(["protect", "--profile", "P02", "--data-id-list", Array(16).fill(0).join(","), zeros]);
  assert.equal(p02.stdout.text, "4501000000000000\n", "the first frame of P02 carries counter 1");
});

test("check judges the sequence across the frames; any refused frame is exit code 1", async () => {
  const made = await run(["protect", "--profile", "P08", "--data-id", "7", ...Array<string>(12).fill("00".repeat(20))]);
  const all = made.stdout.lines;
  const flipped = all[4]!.replace(/.$/, "1");
  const seen = await run(["check", "--profile", "P08", "--data-id", "7", "--json", all[0]!, all[1]!, all[3]!, all[3]!, flipped, all[9]!, all[4]!.slice(0, 20)]);
  assert.equal(seen.code, 1);
  assert.deepEqual(
    rowsOf(seen).map((row) => [row.status, row.crcOk, row.counter, row.lost, row.autosarStatus]),
    [["ok", true, 0, 0, 0x00], ["ok", true, 1, 0, 0x00], ["okSomeLost", true, 3, 1, 0x20], ["repeated", true, 3, 0, 0x08], ["crcMismatch", false, 4, 0, 0x07], ["wrongSequence", true, 9, 0, 0x40], ["badLength", false, null, 0, 0x07]],
  );
  const other = await run(["check", "--profile", "P08", "--data-id", "8", "--json", all[0]!]);
  assert.deepEqual([other.code, rowsOf(other)[0]!.status, rowsOf(other)[0]!.crcOk], [1, "wrongDataId", true]);
  assert.equal((await run(["check", "--profile", "P08", "--data-id", "7", "--counter", "1", all[1]!])).code, 0);
  assert.equal((await run(["check", "--profile", "P08", "--data-id", "7", "--counter", "5", all[1]!])).code, 1);
  const words = await run(["check", "--profile", "P08", "--data-id", "7", all[0]!, all[2]!]);
  assert.match(words.stdout.text, /^ok +counter 0 [0-9a-f]{40}\nokSomeLost +counter 2 [0-9a-f]{40} \(1 lost before it\)\n$/);
});

test("wrong usage says what and how", async () => {
  for (const [argv, pattern] of [
    [["check", "--profile", "P5", "00"], /P5/],
    [["check", "--data-id", "1", "00"], /--profile/],
    [["check", "--profile", "P05", "00"], /--data-id: P05 needs a dataId/],
    [["check", "--profile", "P02", "--data-id-list", "1,2", "00"], /16 numbers/],
    [["protect", "--profile", "P05", "--data-id", "1", "00"], /a frame of 1 bytes cannot be protected: its length must be a whole number 3…4096/],
    [["protect", "--profile", "P05", "--data-id", "1", "0g"], /'0g' is no frame/],
    [["protect", "--profile", "P05", "--data-id", "1", "--counter", "256", "0000000000"], /P05 counts 0…255/],
    [["protect", "--profile", "P01", "--data-id", "1", "--data-id-mode", "nib", "0000"], /nib/],
  ] as const) {
    const context = await run(argv);
    assert.equal(context.code, 2, argv.join(" "));
    assert.match(context.stderr.text, pattern);
  }
});
