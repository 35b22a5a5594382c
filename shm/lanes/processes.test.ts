import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { after, test } from "node:test";
import { LaneReader, LaneWriter, makeBell } from "./index.ts";
import { bytes, join, mappingCount, Program, small, text, until } from "./testLane.ts";
import { noMoreDescriptorsThan, openDescriptors } from "../../schemas/testing.ts";

const folder = mkdtempSync(joinPath(tmpdir(), "ipcnet-lanes-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let sockets = 0;
const path = (): string => joinPath(folder, `${(sockets += 1)}.sock`);

/** Opens the lane we send, with the reader's end of a bell, and answers with its page. */
const reading = (options: string): string => `
  const { descriptors: [lane, bell] } = await next();
  const reader = LaneReader.open(lane, bell, ${options});
  lane.close();
  say({ page: true }, [reader.page]);`;

/** Hands our lane to a program that runs `reading`, and takes its page. */
async function give(program: Program, writer: LaneWriter, policy: "latest" | "queue" | "lossless", deadlineMs = 60_000): Promise<number> {
  const bell = makeBell();
  program.tell({ lane: true }, [writer.descriptor, bell.reader]);
  bell.reader.close();
  const { descriptors } = await program.next();
  return writer.addReader(descriptors[0]!, bell.writer, policy, deadlineMs);
}

test("two programs answer each other over two lanes passed by descriptor", async () => {
  const program = await Program.start(path(), `
    ${reading(`{ policy: "queue", start: "oldest" }`)}
    const writer = await LaneWriter.create({ schemaHash: 9n, policy: "queue", slots: 64, inlineBytes: 64, largeBytes: 0 });
    say({ lane: true }, [writer.descriptor]);
    const { descriptors: [page, theirBell] } = await next();
    writer.addReader(page, theirBell, "queue", 0);
    reader.onMessages((batch) => { for (let i = 0; i < batch.count; i++) writer.publish(batch.payload(i)); });
    reader.onEnd((why) => { writer.close(); reader.close(); connection.close(); process.exitCode = why === "closed" ? 0 : 5; });`);
  const writer = await LaneWriter.create(small);
  await give(program, writer, "queue");
  const { descriptors } = await program.next();
  const bell = makeBell();
  const reader = LaneReader.open(descriptors[0]!, bell.reader, { policy: "queue", start: "oldest", schemaHash: 9n });
  descriptors[0]!.close();
  program.tell({ page: true }, [reader.page, bell.writer]);
  bell.writer.close();
  const heard: string[] = [];
  reader.onMessages((batch) => {
    for (let i = 0; i < batch.count; i++) {
      heard.push(text(batch.payload(i)));
      if (heard.length < 500) writer.publish(bytes(`ping ${heard.length}`));
    }
  });
  writer.publish(bytes("ping 0"));
  await until(() => heard.length === 500);
  assert.deepEqual(heard, Array.from({ length: 500 }, (_, i) => `ping ${i}`));
  const ended = new Promise((resolve) => reader.onEnd(resolve));
  // It may be gone before its end is heard here.
  const exited = once(program.child, "exit");
  writer.close();
  assert.equal(await ended, "closed");
  const [exitCode] = await exited;
  assert.equal(exitCode, 0);
  reader.close();
  await program.kill();
});

test("a writer that is killed: its readers read to the end, then hear that it is gone", async () => {
  const program = await Program.start(path(), `
    const writer = await LaneWriter.create({ schemaHash: 9n, policy: "queue", slots: 1024, inlineBytes: 64, largeBytes: 0 });
    say({ lane: true }, [writer.descriptor]);
    const { descriptors: [page, bell] } = await next();
    writer.addReader(page, bell, "queue", 0);
    for (let i = 0; i < 500; i++) writer.publish(Uint8Array.of(i));
    say({ published: true });`);
  const { descriptors } = await program.next();
  const bell = makeBell();
  const reader = LaneReader.open(descriptors[0]!, bell.reader, { policy: "queue", start: "oldest" });
  descriptors[0]!.close();
  program.tell({ page: true }, [reader.page, bell.writer]);
  bell.writer.close();
  await program.next();
  await program.kill();
  let count = 0;
  const ended = new Promise((resolve) => reader.onEnd(resolve));
  reader.onMessages((batch) => (count += batch.count));
  assert.equal(await ended, "gone");
  assert.equal(count, 500);
  assert.equal(reader.history(1)[0]!.sequence, 500n);
  reader.close();
});

test("readers that are killed or stopped cost the writer and the others nothing; a stopped one is told what it lost", async () => {
  const source = `${reading(`{ policy: "queue", start: "oldest" }`)}
    let read = 0, lost = 0;
    reader.onMessages((batch) => { for (let i = 0; i < batch.count; i++) { lost += batch.lostBefore(i); read += 1; if (batch.payloadBytes(i) === 3) say({ read, lost }); } });`;
  const [stopped, killed] = [await Program.start(path(), source), await Program.start(path(), source)];
  const writer = await LaneWriter.create({ ...small, policy: "queue" });
  await give(stopped, writer, "queue");
  await give(killed, writer, "queue");
  const { reader: local } = join(writer, { start: "oldest" });
  let count = 0;
  local.onMessages((batch) => (count += batch.count));
  writer.publish(bytes("end"));
  await stopped.next();
  await killed.next();
  stopped.child.kill("SIGSTOP");
  await until(() => readFileSync(`/proc/${stopped.child.pid}/stat`, "latin1").includes(") T "));
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 30; i++) writer.publish(bytes("x"));
    if (round === 20) await killed.kill();
    await until(() => count === 1 + 30 * (round + 1));
  }
  assert.equal(local.stats().lost, 0);
  // One ring for the sleep in which it was stopped, however much was published: the local reader takes 50, the killed one at most 30 a round while it lived, every message would be 1500 more.
  assert.ok(writer.stats().rings < 750, `${writer.stats().rings} rings`);
  stopped.child.kill("SIGCONT");
  writer.publish(bytes("end"));
  const { message } = await stopped.next();
  assert.equal(Number(message["read"]) + Number(message["lost"]), 1502);
  assert.ok(Number(message["lost"]) >= 1500 - 64 - 1);
  await stopped.kill();
  local.close();
  writer.close();
});

test("a stopped lossless reader holds the writer until its deadline and no longer; a killed one not even that", async () => {
  const source = `${reading(`{ policy: "lossless", start: "oldest" }`)} reader.onMessages(() => {}); say({ up: true });`;
  for (const signal of ["SIGSTOP", "SIGKILL"] as const) {
    const program = await Program.start(path(), source);
    const writer = await LaneWriter.create(small);
    await give(program, writer, "lossless", signal === "SIGSTOP" ? 50 : 600_000);
    await program.next();
    let space = 0;
    writer.onSpace(() => (space += 1));
    program.child.kill("SIGSTOP");
    await until(() => readFileSync(`/proc/${program.child.pid}/stat`, "latin1").includes(") T "));
    while (writer.publish(bytes("x")) === "published");
    assert.equal(space, 0);
    if (signal === "SIGKILL") await program.kill();
    await until(() => space > 0);
    assert.equal(writer.publish(bytes("x")), "published");
    assert.equal(writer.stats().demoted, signal === "SIGSTOP" ? 1 : 0);
    writer.close();
    await program.kill();
  }
});

test("workers: lanes between threads, and a thread that ends with everything open leaves nothing", async () => {
  const source = `
    import { LaneReader, LaneWriter, makeBell } from ${JSON.stringify(new URL("index.js", import.meta.url).href)};
    import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
    import { readdirSync, readFileSync } from "node:fs";
    const count = () => [readdirSync("/proc/self/fd").length, readFileSync("/proc/self/maps", "latin1").split("\\n").filter((line) => line.includes("memfd:ipcnet")).length];
    const inWorker = async () => {
      const writer = await LaneWriter.create({ schemaHash: 0n, policy: "lossless", slots: 64, inlineBytes: 64, largeBytes: 1 << 20 });
      const bell = makeBell();
      const reader = LaneReader.open(writer.descriptor, bell.reader, { policy: "lossless", start: "next" });
      writer.addReader(reader.page.dup(), bell.writer, "lossless", 1000);
      writer.onSpace(() => {});
      const leased = LaneReader.open(writer.descriptor, undefined, { policy: "queue", start: "next" });
      for (let i = 0; i < 10; i++) writer.publish(new Uint8Array(30_000 * (i % 2)));
      globalThis.kept = [leased.lease(), writer.loan(10_000), writer, reader, leased];
      void LaneWriter.create({ schemaHash: 0n, policy: "queue", slots: 64, inlineBytes: 64, largeBytes: 1 << 24 });
      let seen = 0;
      reader.onMessages((batch) => { seen += batch.count; if (seen === 10) { parentPort.postMessage("all"); if (workerData === "exit") process.exit(); if (workerData === "throw") throw new Error("thrown"); } });
    };
    if (!isMainThread) await inWorker();
    else {
      const run = async (how) => {
        const worker = new Worker(new URL(import.meta.url), { workerData: how });
        worker.on("error", () => {});
        const exited = new Promise((resolve) => worker.once("exit", resolve));
        await new Promise((resolve) => worker.once("message", resolve));
        if (how === "terminate") await worker.terminate();
        await exited;
      };
      await run("exit");
      // What the first one has left is closed by another thread: counted too early it is more, never less.
      const before = count();
      const isClean = () => count().every((each, i) => each <= before[i]);
      for (const how of ["terminate", "exit", "throw", "terminate", "exit", "throw"]) await run(how);
      for (let i = 0; i < 6000 && !isClean(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
      console.log(isClean() ? "clean" : before + " then " + count());
    }`;
  const file = joinPath(folder, "workers.mjs");
  writeFileSync(file, source);
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  let heard = "";
  child.stdout.on("data", (chunk) => (heard += String(chunk)));
  const [exitCode, signal] = await once(child, "close");
  assert.deepEqual([heard, exitCode, signal], ["clean\n", 0, null]);
});

test("what was killed or closed has left nothing here", async () => {
  const round = async (): Promise<void> => {
    const program = await Program.start(path(), `${reading(`{ policy: "queue", start: "oldest" }`)} reader.onMessages(() => {}); say({ up: true });`);
    const writer = await LaneWriter.create(small);
    await give(program, writer, "queue");
    await program.next();
    await program.kill();
    writer.publish(bytes("x"));
    writer.close();
  };
  await round();
  const before = { descriptors: openDescriptors(), mappings: mappingCount() };
  for (let i = 0; i < 2; i++) await round();
  await noMoreDescriptorsThan(before.descriptors);
  await until(() => mappingCount() <= before.mappings);
});
