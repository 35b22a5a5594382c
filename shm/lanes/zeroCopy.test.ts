import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import { LaneError, LaneWriter } from "./index.ts";
import { bytes, join, mappingCount, small, text, turn } from "./testLane.ts";

const code = (error: unknown): string => (error instanceof LaneError ? error.code : String(error));
const index = JSON.stringify(new URL("index.js", import.meta.url).href);

/** Runs a script with --expose-gc and gives what it printed. */
async function run(source: string): Promise<string> {
  const script = `import { LaneReader, LaneWriter, makeBell } from ${index}; import { readFileSync } from "node:fs"; import { setImmediate as turn } from "node:timers/promises";
    const mappings = () => readFileSync("/proc/self/maps", "latin1").split("\\n").filter((line) => line.includes("memfd:ipcnet")).length;
    const options = { schemaHash: 0n, policy: "queue", slots: 64, inlineBytes: 64, largeBytes: 1 << 20 };
    ${source}`;
  const child = spawn(process.execPath, ["--expose-gc", "--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  let heard = "";
  child.stdout.on("data", (chunk) => (heard += String(chunk)));
  const [exitCode, signal] = (await once(child, "close")) as [number | null, string | null];
  assert.deepEqual([exitCode, signal], [0, null], heard);
  return heard.trim();
}

test("a lease shows the message in place, tells whether it was overwritten, and is empty after its release", async () => {
  const writer = await LaneWriter.create({ ...small, policy: "queue" });
  const { reader } = join(writer);
  assert.equal(reader.lease(), undefined);
  const large = new Uint8Array(100_000).map((_, i) => i * 3);
  writer.publish(large, { kind: 9 });
  const lease = reader.lease()!;
  assert.deepEqual([lease.sequence, lease.kind, Buffer.compare(lease.payload, large)], [1n, 9, 0]);
  assert.throws(() => reader.lease(), (error) => code(error) === "busy");
  // The mapping is private: a stray write ends nobody and reaches nobody.
  lease.payload[0] = 99;
  assert.equal(lease.release(), true);
  assert.equal(lease.payload.length, 0);
  assert.equal(lease.release(), false);
  writer.publish(bytes("small"));
  const second = reader.lease()!;
  assert.equal(text(second.payload), "small");
  for (let i = 0; i < 100; i++) writer.publish(bytes(`over ${i}`));
  assert.equal(second.release(), false);
  writer.publish(new Uint8Array(0));
  const { reader: other } = join(writer, { start: "last" });
  const empty = other.lease()!;
  assert.equal(empty.payload.length, 0);
  assert.equal(empty.release(), true);
  // Closing with a lease that is out takes it back.
  const kept = reader.lease()!;
  assert.ok(kept.payload.length > 0);
  reader.close();
  assert.equal(kept.payload.length, 0);
  other.close();
  writer.close();
  assert.throws(() => reader.lease(), (error) => code(error) === "closed");
});

test("a loan is filled in place and then published, in part or not at all", async () => {
  const writer = await LaneWriter.create({ ...small, policy: "queue" });
  const { reader } = join(writer);
  const loan = writer.loan(200_000);
  assert.ok(loan !== "full");
  assert.throws(() => writer.loan(10), (error) => code(error) === "busy");
  assert.throws(() => writer.publish(bytes("meanwhile")), (error) => code(error) === "busy");
  loan.bytes.fill(5);
  assert.throws(() => loan.commit(200_001), RangeError);
  loan.commit(150_000, { kind: 3 });
  assert.equal(loan.bytes.length, 0);
  assert.throws(() => loan.commit(), (error) => code(error) === "closed");
  const sample = reader.read()!;
  assert.deepEqual([sample.payload.length, sample.kind, sample.payload.every((byte) => byte === 5)], [150_000, 3, true]);
  const second = writer.loan(10);
  assert.ok(second !== "full");
  second.giveUp();
  writer.publish(bytes("after"));
  assert.deepEqual([text(reader.read()!.payload), reader.stats().lost], ["after", 0]);
  assert.throws(() => writer.loan(600_000), RangeError);
  const third = writer.loan(10);
  assert.ok(third !== "full");
  writer.close();
  assert.equal(third.bytes.length, 0);
  reader.close();
});

test("buffers of leases and loans that are sent to another thread stay memory: refused, copied, or moved and vouched for no more", async () => {
  const writer = await LaneWriter.create({ ...small, policy: "queue" });
  const { reader } = join(writer);
  const channel = new MessageChannel();
  // By version of Node it is an error, a copy, or a move. Marking them as untransferable would be none of ours: Node 24 does it by a key without which they cannot be taken back.
  const attempt = (send: () => void): void => {
    try {
      send();
    } catch (error) {
      assert.match(String(error), /DataCloneError/);
    }
  };
  const outcomes = new Set<string>();
  for (let i = 0; i < 4; i++) {
    writer.publish(new Uint8Array(5000).fill(1));
    const lease = reader.lease()!;
    const loan = writer.loan(100);
    assert.ok(loan !== "full");
    assert.deepEqual(structuredClone(lease.payload), lease.payload);
    for (const { buffer } of [lease.payload, loan.bytes]) {
      if (i % 2 === 0) attempt(() => channel.port1.postMessage(buffer, [buffer as ArrayBuffer]));
      else attempt(() => void structuredClone(buffer, { transfer: [buffer as ArrayBuffer] }));
    }
    for (const end of [() => void lease.release(), () => loan.commit()]) {
      try {
        end();
        outcomes.add("ours");
      } catch (error) {
        outcomes.add(code(error));
      }
    }
  }
  assert.ok([...outcomes].every((outcome) => ["ours", "transferred"].includes(outcome)), [...outcomes].join());
  reader.close();
  writer.close();
  // What has arrived on the other side is still memory.
  for (let message = receiveMessageOnPort(channel.port2); message; message = receiveMessageOnPort(channel.port2)) new Uint8Array(message.message as ArrayBuffer).fill(3);
  channel.port1.close();
});

test("a buffer that was moved within the thread (ArrayBuffer.transfer) stays memory, and is vouched for no more", async () => {
  const heard = await run(`
    if (ArrayBuffer.prototype.transfer === undefined) { console.log("absent"); process.exit(); }
    const writer = await LaneWriter.create(options);
    const reader = LaneReader.open(writer.descriptor, undefined, { policy: "queue", start: "next" });
    const codes = [];
    const attempt = (f) => { try { f(); codes.push("none"); } catch (error) { codes.push(error.code); } };
    writer.publish(new Uint8Array(300_000).fill(1));
    const lease = reader.lease();
    const moved = new Uint8Array(lease.payload.buffer.transfer());
    attempt(() => lease.release());
    writer.publish(new Uint8Array(300_000).fill(2));
    const lease2 = reader.lease();
    const moved2 = new Uint8Array(lease2.payload.buffer.transfer());
    const loan = writer.loan(100_000);
    const moved3 = new Uint8Array(loan.bytes.buffer.transfer());
    attempt(() => loan.commit());
    const loan2 = writer.loan(100_000);
    const moved4 = new Uint8Array(loan2.bytes.buffer.transfer());
    reader.close();
    writer.close();
    let sum = 0;
    for (const moved_ of [moved, moved2, moved3, moved4]) { for (let i = 0; i < moved_.length; i += 4096) sum += moved_[i]; moved_.fill(7); }
    console.log(codes.join(), Number.isInteger(sum));`);
  assert.ok(heard === "absent" || heard === "transferred,transferred true", heard);
});

test("writers and readers that were forgotten are collected with their memory, also with leases and loans out", async () => {
  const heard = await run(`
    const before = mappings();
    const views = [];
    const make = async () => {
      const writer = await LaneWriter.create(options);
      const reader = LaneReader.open(writer.descriptor, undefined, { policy: "queue", start: "next" });
      writer.publish(new Uint8Array(10_000));
      // The view alone does not keep its reader: it is empty once that is collected.
      views.push(reader.lease().payload, writer.loan(100).bytes);
    };
    for (let i = 0; i < 20; i++) await make();
    const during = mappings();
    for (let i = 0; i < 200 && mappings() > before; i++) { gc(); await turn(); }
    console.log(during > before + 40, mappings() - before, views.reduce((sum, view) => sum + view.length, 0));`);
  assert.equal(heard, "true 0 0");
});

test("an exit with everything open is clean", async () => {
  const heard = await run(`
    const writer = await LaneWriter.create(options);
    const bell = makeBell();
    const reader = LaneReader.open(writer.descriptor, bell.reader, { policy: "queue", start: "next" });
    writer.addReader(reader.page.dup(), bell.writer, "queue", 0);
    writer.publish(new Uint8Array(10));
    globalThis.kept = [reader.lease(), writer.loan(100)];
    LaneWriter.create(options).then(() => {
      console.log("made");
      setTimeout(() => process.exit(0), 0);
    });`);
  assert.equal(heard, "made");
});

test("leases again and again keep no more than one mapping", async () => {
  const writer = await LaneWriter.create({ ...small, policy: "queue" });
  const { reader } = join(writer);
  writer.publish(new Uint8Array(9000));
  reader.lease()!.release();
  const before = mappingCount();
  for (let i = 0; i < 200; i++) {
    writer.publish(new Uint8Array(9000).fill(i));
    const lease = reader.lease()!;
    assert.equal(lease.payload[8999], i & 0xff);
    lease.release();
    if (i % 50 === 0) await turn();
  }
  assert.equal(mappingCount(), before);
  reader.close();
  writer.close();
});

/** Only glibc gives large pieces back to the kernel at once, and can be told not to, unless its user has. */
const glibc = "glibcVersionRuntime" in (process.report.getReport() as { header: object }).header && !Object.keys(process.env).some((name) => /^(MALLOC_|GLIBC_TUNABLES)/.test(name));

test("large messages, each in memory of its own, do not cost a page fault for every 4 KiB", { skip: glibc ? false : "the C library is not glibc, or was told what to keep" }, async () => {
  const faults = await run(`
    const writer = await LaneWriter.create({ ...options, largeBytes: 1 << 22 });
    const bell = makeBell();
    const reader = LaneReader.open(writer.descriptor, bell.reader, { policy: "queue", start: "next", spinUs: 0 });
    writer.addReader(reader.page.dup(), bell.writer, "queue", 0);
    const payload = new Uint8Array(1 << 20);
    const round = async (messages) => {
      for (let i = 0; i < messages; i++) {
        writer.publish(payload);
        if (reader.read().payload.length !== payload.length) throw new Error("it is not whole");
        if (i % 8 === 0) await turn();
      }
    };
    await round(200);
    const before = process.resourceUsage().minorPageFault;
    await round(400);
    console.log((process.resourceUsage().minorPageFault - before) / 400);
    reader.close();
    writer.close();`);
  // 256 pages each without.
  assert.ok(Number(faults) < 128, `${faults} page faults a message`);
});
