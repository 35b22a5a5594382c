/** The matrix in TypeScript: `peer.js write SOCKET CASES NAME READERS`, `peer.js read SOCKET CASES NAME WRITER` `peer.js plain SOCKET CASES NAME -` or `peer.js guest SOCKET CASES NAME -`. README.md says what each does; JSON lines on stdout. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { IpcnetError, mediaCodec, openSealed, sealBytes, sealedFilePayload, fileContent, type AdvertiseOptions, type Call, type Client, type Message, type Tensor, type TopicWriter, type VideoFrame, connect } from "../../shm/client/index.ts";
import { type Cases, messageCount, patternBytes, readCases, type TopicCase } from "./cases.ts";

const [role = "", socketPath = "", casesFile = "", name = "", other = ""] = process.argv.slice(2);
const cases = readCases(casesFile);
const say = (line: object): boolean => process.stdout.write(`${JSON.stringify(line, (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value))}\n`);
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const client = await connect({ socketPath, name: `${name}-${role}`, timeoutMs: 20_000 });
// Whoever started this program may end it by closing its input.
process.stdin.resume().on("end", () => process.exit());
await (role === "write" ? write(client, cases, Number(other)) : role === "plain" ? plainWriter(client) : role === "guest" ? guest(client) : read(client, cases, other));

async function plainWriter(client: Client): Promise<void> {
  await client.advertise(`matrix/plain/${name}`);
  say({ advertised: 1 });
}

async function guest(client: Client): Promise<void> {
  client.onLeaving(async ({ deadlineMs, moreTime, ready }) => {
    say({ told: deadlineMs, given: await moreTime(deadlineMs + 2_000) });
    await ready();
    say({ ready: true });
  });
  await client.announce({ version: "1.2" });
  const notes = await client.grant("notes", "read");
  const found = await client.find("components");
  say({ guest: true, granted: readFileSync(notes.fd, "utf8"), announced: found.find((entry) => entry["name"] === `${name}-guest`)?.["announced"] });
  notes.close();
}

async function write(client: Client, cases: Cases, readers: number): Promise<void> {
  await offerAll(client, cases);
  const inputs: Message[] = [];
  await client.subscribe("matrix/input", { policy: { queue: 64 }, lastValue: false }, (message) => inputs.push(message));
  const writers = await Promise.all(cases.topics.map((topic) => client.advertise(`matrix/${name}/${topic.name}`, adverts(topic))));
  say({ advertised: writers.length });
  await until(() => writers.every((writer) => writer.readers >= readers));
  for (const [i, topic] of cases.topics.entries()) await publishAll(topic, writers[i]!, inputs);
  say({ published: true });
}

function adverts({ encoding, fields, jsonSchema, queue, policy, payloadBytesMax }: TopicCase): AdvertiseOptions {
  return {
    encoding, queue, policy: policy ?? "queue", ...(fields && { layout: fields }), ...(jsonSchema && { jsonSchema }), ...(payloadBytesMax === undefined ? {} : { payloadBytesMax }),
    ...(policy === "lossless" ? { deadlineMs: 20_000 } : {}),
  };
}

async function publishAll({ values, patterns, tensors, frames, inputs, burst, options }: TopicCase, writer: TopicWriter, received: readonly Message[]): Promise<void> {
  for (const value of values ?? []) writer.publish(value, options);
  for (const pattern of patterns ?? []) writer.publish(patternBytes(pattern));
  for (const { dtype, shape, strides, seed, dataBytes } of tensors ?? []) writer.publish({ dtype, shape, strides, data: patternBytes({ seed, length: dataBytes }) });
  for (const { fourcc, width, height, ptsNs, seed, dataBytes } of frames ?? []) writer.publish({ fourcc, width, height, ptsNs: BigInt(ptsNs), data: patternBytes({ seed, length: dataBytes }) });
  if (inputs !== undefined) {
    await until(() => received.length >= inputs);
    for (const message of received) writer.publish({ from: message.value }, { lineage: [message] });
  }
  for (let seed = 1; seed <= (burst?.count ?? 0); seed++) {
    while (!writer.publish(patternBytes({ seed, length: burst!.length }))) await writer.space();
  }
}

async function offerAll(client: Client, { refusal, stream, groups, handed }: Cases): Promise<void> {
  /** By the caller's process. */
  const cancelled = new Map<number, number>();
  const at = (service: string): string => `matrix/${name}/${service}`;
  const onCancel = ({ signal, caller: { pid } }: Call): Promise<void> => new Promise((resolve) => signal.addEventListener("abort", () => {
    cancelled.set(pid, (cancelled.get(pid) ?? 0) + 1);
    resolve();
  }, { once: true }));
  const capacity = 8;
  await client.offer(at("echo"), { capacity }, (body) => body);
  await client.offer(at("refuse"), { capacity }, () => {
    throw new IpcnetError(refusal.status, refusal.text);
  });
  await client.offer(at("count"), { capacity }, async function* () {
    for (let i = 0; i < stream.count; i++) yield { i, square: i * i };
  });
  for (const group of groups) await client.offer(at("which"), { capacity, group }, () => group);
  await client.offer(at("handed"), { capacity }, async (_body, call) => {
    for (const [i, pattern] of handed.entries()) {
      const sealed = sealBytes(patternBytes(pattern));
      await call.item(i, [sealed]);
      sealed.close();
    }
  });
  await client.offer(at("endless"), { capacity }, async (_body, call) => {
    void onCancel(call);
    for (let i = 0; ; i++) await call.item(i);
  });
  await client.offer(at("never"), { capacity }, (_body, call) => onCancel(call));
  await client.offer(at("cancelled"), { capacity }, (_body, { caller }) => cancelled.get(caller.pid) ?? 0);
  await client.offer(at("file"), { capacity }, (body, call) => {
    const file = mediaCodec("file").decode(body as Uint8Array);
    const content = file.ok ? fileContent(file.value, call.descriptors[0]) : undefined;
    if (!file.ok || !content) throw new IpcnetError(307, "this is not the file that its header names");
    const turned = content.map((byte) => byte ^ 0xff);
    const sealed = sealBytes(turned);
    call.reply(sealedFilePayload(`turned ${file.value.name}`, file.value.type, turned), [sealed]);
    sealed.close();
  });
}

async function read(client: Client, cases: Cases, writer: string): Promise<void> {
  const receiving = await Promise.all(cases.topics.map((topic) => receive(client, writer, topic)));
  say({ subscribed: true });
  for (const { done } of receiving) await done;
  for (const topic of cases.topics) await advertised({ case: topic.name }, client.advertise(`matrix/${writer}/${topic.name}`, adverts(topic)));
  for (const { topic, encoding, fields } of cases.mismatches) await advertised({ mismatch: topic }, client.advertise(`matrix/${writer}/${topic}`, { encoding, ...(fields && { layout: fields }) }));
  await callAll(client, cases, `matrix/${writer}/`);
  say({ end: true });
  await client.close();
  process.exit();
}

async function advertised(what: object, writing: Promise<TopicWriter>): Promise<void> {
  try {
    const writer = await writing;
    say({ ...what, advertised: 100 });
    await writer.close();
  } catch (error) {
    if (!(error instanceof IpcnetError)) throw error;
    say({ ...what, advertised: error.status, text: error.message });
  }
}

/** Resolves when the subscription holds; `done` when all of the topic's messages have come. */
async function receive(client: Client, writer: string, topic: TopicCase): Promise<{ done: Promise<void> }> {
  const total = messageCount(topic);
  const sequences: number[] = [];
  const all = createHash("sha256");
  let lost = 0;
  let finish = (): void => {};
  const done = new Promise<void>((resolve) => (finish = resolve));
  await client.subscribe(`matrix/${writer}/${topic.name}`, { policy: topic.policy === "lossless" ? "lossless" : { queue: 4096 } }, (message) => {
    lost += message.lostBefore;
    sequences.push(message.sequence);
    if (topic.burst) all.update(message.bytes);
    else say({ case: topic.name, ...report(message) });
    if (message.sequence < total) return;
    if (topic.burst) say({ case: topic.name, sequences, lost, sha: all.digest("hex") });
    finish();
  });
  return { done };
}

function report(message: Message): object {
  const { sequence, lostBefore, origin, quality, ttlMs, keyFrame, lineage, bytes, timeUs, wallTimeNs, value } = message;
  return {
    sequence, lost: lostBefore, origin, quality, ttlMs: ttlMs ?? 0, keyFrame, bytes: bytes.length, sha: sha(bytes), ageMs: monotonicMs() - timeUs / 1e3,
    wallAgeMs: Date.now() - Number(wallTimeNs / 1_000_000n), lineage: lineage.map((entry) => [hex(entry.origin), hex(entry.topic), Number(entry.sequence)]), value: plain(value),
  };
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function hex(id: bigint): string {
  return id.toString(16).padStart(16, "0");
}

/** Media as what describes them and the hash of their data. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return null;
  if (typeof value === "object" && value !== null && "dtype" in value) {
    const { type, shape, strides, bytes } = value as Tensor;
    return { type: [type.code, type.bits, type.lanes], shape, strides, sha: sha(bytes) };
  }
  if (typeof value === "object" && value !== null && "fourcc" in value) {
    const { fourcc, width, height, ptsNs, planes, data } = value as VideoFrame;
    return { fourcc, width, height, ptsNs: Number(ptsNs), planes: planes.map(({ offsetBytes, strideBytes, rowBytes, rows }) => [offsetBytes, strideBytes, rowBytes, rows]), sha: sha(data) };
  }
  return value;
}

async function callAll(client: Client, { echoes, bytes, stream, groups, handed, cancelAfter, deadlineMs, file }: Cases, at: string): Promise<void> {
  for (const [index, body] of echoes.entries()) await answered(`echo ${index}`, client.request(`${at}echo`, body ?? undefined));
  await answered("bytes", client.request(`${at}echo`, patternBytes(bytes)).then((body) => sha(body as Uint8Array)));
  await answered("refuse", client.request(`${at}refuse`));
  const items: unknown[] = [];
  await answered("count", (async () => {
    for await (const item of client.stream(`${at}count`, undefined, { credit: stream.credit })) items.push(item);
    return items;
  })());
  for (const group of [...groups, "nobody"]) await answered(`which ${group}`, client.request(`${at}which`, undefined, { group }));
  const files: unknown[] = [];
  await answered("handed", (async () => {
    for await (const { body, descriptors: [descriptor] } of client.streamFull(`${at}handed`, undefined, { credit: handed.length })) {
      files.push({ i: body, sha: sha(openSealed(descriptor!).read()) });
      descriptor!.close();
    }
    return files;
  })());
  const first: unknown[] = [];
  await answered("endless", (async () => {
    for await (const item of client.stream(`${at}endless`, undefined, { credit: 4 })) if (first.push(item) === cancelAfter) return first;
    return "it ended";
  })());
  await answered("never", client.request(`${at}never`, undefined, { timeoutMs: deadlineMs }));
  await until(async () => ((await client.request(`${at}cancelled`)) as number) === 2);
  say({ call: "cancelled", status: 100, body: true });
  const content = patternBytes(file);
  const sealed = sealBytes(content);
  await answered("file", client.requestFull(`${at}file`, sealedFilePayload(file.name, file.type, content), { descriptors: [sealed] }).then(({ body, descriptors }) => {
    const answer = mediaCodec("file").decode(body as Uint8Array);
    const got = answer.ok ? fileContent(answer.value, descriptors[0]) : undefined;
    const { sizeBytes } = openSealed(descriptors[0]!);
    for (const descriptor of descriptors) descriptor.close();
    return answer.ok && got && { name: answer.value.name, type: answer.value.type, size: sizeBytes, sha: sha(got) };
  }));
  sealed.close();
}

async function answered(call: string, answer: Promise<unknown>): Promise<void> {
  await answer.then((body) => say({ call, status: 100, body: body ?? null }), (error: unknown) => {
    if (!(error instanceof IpcnetError)) throw error;
    say({ call, status: error.status, text: error.message });
  });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}
