/** Three workers, sixty files, and one worker that is killed in the middle of it: see README.md. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { connect, fileContent, mediaCodec, sealBytes, sealedFilePayload, type Client } from "../../shm/client/index.ts";
import { root, Stage } from "../stage.ts";

const FILES = 60;
const FILE_BYTES = 512 * 1024;
/** Calls that are open at once: more than the workers take. */
const AT_ONCE = 10;

interface Job {
  name: string;
  content: Uint8Array;
}

interface Done {
  worker: string;
  bytes: number;
  intact: boolean;
}

/** Half of it noise, half of it text, no two alike. */
function madeUp(i: number): Job {
  return { name: `log ${i}.txt`, content: Buffer.concat([randomBytes(FILE_BYTES / 2), Buffer.alloc(FILE_BYTES / 2, `line ${i}: nothing happened\n`)]) };
}

async function compress(client: Client, { name, content }: Job): Promise<Done> {
  const sealed = sealBytes(content);
  try {
    // Doing it twice hurts nobody: if a worker dies with it, another one is asked.
    const { body, descriptors } = await client.requestFull("compress", sealedFilePayload(name, "", content), { descriptors: [sealed], timeoutMs: 60_000, idempotent: true });
    const { file, worker } = body as { file: Uint8Array; worker: string };
    const header = mediaCodec("file").decode(file);
    const small = header.ok ? fileContent(header.value, descriptors[0]) : undefined;
    for (const descriptor of descriptors) descriptor.close();
    return { worker, bytes: small?.length ?? 0, intact: small !== undefined && sha(gunzipSync(small)) === sha(content) };
  } finally {
    sealed.close();
  }
}

function sha(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const given = process.argv.slice(2);
const jobs = given.length > 0 ? given.map((path): Job => ({ name: basename(path), content: readFileSync(path) })) : Array.from({ length: FILES }, (_, i) => madeUp(i));
const stage = await Stage.open("compress");
process.env["IPCNET_SOCKET"] = stage.socketPath;
process.once("SIGINT", () => void stage.close().finally(() => process.exit(130)));
try {
  const typescript = join(root, "dist/ts/examples/compress/worker.js");
  const [victim, ...others] = [
    stage.start("Ada", [process.execPath, typescript, "Ada"], "pipe"), stage.start("Grace", [process.execPath, typescript, "Grace"], "pipe"),
    stage.start("Guido", ["python3", join(root, "examples/compress/worker.py"), "Guido"], "pipe"),
  ];
  // Each says a line when it is ready.
  await Promise.all([victim!, ...others].map((worker) => once(worker.stdout!, "data")));
  const client = await connect({ name: "client" });
  const done: Done[] = [];
  const left = [...jobs];
  const killAt = Math.floor(jobs.length / 3);
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let job = left.shift(); job; job = left.shift()) {
      done.push(await compress(client, job));
      if (done.length === killAt) {
        victim!.kill("SIGKILL");
        process.stdout.write(`${done.length} files are done: Ada is killed\n`);
      }
    }
  }));
  const seconds = (performance.now() - startedMs) / 1e3;
  const byWorker = new Map<string, number>();
  for (const { worker } of done) byWorker.set(worker, (byWorker.get(worker) ?? 0) + 1);
  const sum = (bytes: number[]): number => bytes.reduce((a, b) => a + b, 0);
  const intact = done.filter((one) => one.intact).length;
  process.stdout.write(`${[...byWorker].map(([worker, files]) => `${worker}: ${files} files`).join(", ")}\n`);
  process.stdout.write(`${intact} of ${jobs.length} files came back whole, ${sum(jobs.map(({ content }) => content.length))} → ${sum(done.map(({ bytes }) => bytes))} bytes in ${seconds.toFixed(1)} s\n`);
  process.exitCode = intact === jobs.length ? 0 : 1;
  await client.close();
} finally {
  await stage.close();
}
process.exit();
