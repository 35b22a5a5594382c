/** `ipcnet trace`: the chain of what a message was made from, as far as it is kept, and no further than anybody reads. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../schemas/clock.ts";
import { nameHash } from "../../schemas/topics/schemaHash.ts";
import type { Message } from "./client.ts";
import { runCli } from "./main.ts";
import { MemoryClient, memoryContext, memoryMessage } from "./memory.ts";

const of = ({ origin, topic, sequence }: Message): { origin: bigint; topic: bigint; sequence: bigint } => ({ origin: nameHash(origin), topic: nameHash(topic), sequence: BigInt(sequence) });
const made = (topic: string, sequence: number, timeMs: number, lineage: readonly Message[] = []): Message =>
  memoryMessage(topic, {}, { sequence, timeUs: timeMs * 1e3, origin: `${topic.split("/")[0]!}/-/1/0`, lineage: lineage.map(of) });

const camera = [7, 8, 9].map((sequence) => made("camera/front", sequence, sequence));
const boxes = made("vision/boxes", 4, 10, [camera[1]!]);
const lost = made("camera/front", 3, 3);
const shown = made("display/shown", 2, 12, [boxes, camera[1]!, lost, memoryMessage("secret/topic", {}, { sequence: 5 })]);

async function trace(argv: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const client = new MemoryClient();
  const clock = new ManualClock();
  clock.advanceMs(20);
  for (const name of ["camera/front", "vision/boxes", "display/shown", "silent"]) client.descriptions.push({ name, encoding: "cbor" });
  client.histories.set("camera/front", camera);
  client.lastValues.set("vision/boxes", boxes);
  client.lastValues.set("display/shown", shown);
  const context = memoryContext({ services: { connect: client.connect, clock } });
  const code = await runCli(["trace", ...argv], context);
  return { code, out: context.stdout.text, err: context.stderr.text };
}

test("the chain with origins, numbers and ages; what is not kept, or not to be seen, is named only", async () => {
  const { code, out } = await trace(["display/shown"]);
  assert.equal(code, 0);
  const age = /, (\S+) ms ago/.exec(out)?.[1];
  assert.ok(age !== undefined);
  const id = (name: string): string => nameHash(name).toString(16).padStart(16, "0");
  assert.deepEqual(out.trimEnd().split("\n"), [
    `display/shown #2 by display/-/1/0, ${age} ms ago`,
    "  ← vision/boxes #4 by vision/-/1/0, 2.00 ms earlier",
    "    ← camera/front #8 by camera/-/1/0, 4.00 ms earlier",
    "  ← camera/front #8 by camera/-/1/0, 4.00 ms earlier",
    `  ← camera/front #3 by origin ${id("camera/-/1/0")}, not kept any more`,
    `  ← topic ${id("secret/topic")} #5 by origin ${id("test")}, not kept any more`,
  ]);
});

test("as JSON, for programs", async () => {
  const { code, out } = await trace(["display/shown", "--json"]);
  const tree = JSON.parse(out) as { topic: string; ageMs: number; inputs: { topic?: string; sequence: number; inputs: { topic: string; sequence: number }[] }[] };
  assert.equal(code, 0);
  assert.deepEqual([tree.topic, tree.inputs.map(({ topic, sequence }) => [topic, sequence])], ["display/shown", [["vision/boxes", 4], ["camera/front", 8], ["camera/front", 3], [undefined, 5]]]);
  assert.deepEqual(tree.inputs[0]!.inputs.map(({ topic, sequence }) => [topic, sequence]), [["camera/front", 8]]);
});

test("nothing received yet is exit code 1, with what to do", async () => {
  const { code, err } = await trace(["silent"]);
  assert.equal(code, 1);
  assert.match(err, /nothing has been received on 'silent' yet/);
});

test("a ring of messages that name each other ends", async () => {
  const client = new MemoryClient();
  const ring: Message = { ...made("a", 1, 1), lineage: [of(made("a", 1, 1)), of(made("a", 1, 1))] };
  client.descriptions.push({ name: "a", encoding: "cbor" });
  client.lastValues.set("a", ring);
  const context = memoryContext({ services: { connect: client.connect, clock: new ManualClock() } });
  assert.equal(await runCli(["trace", "a"], context), 0);
  assert.ok(context.stdout.lines.length <= 201);
});
