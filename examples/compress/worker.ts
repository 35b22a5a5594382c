/** Compresses files for whoever asks: a sealed file comes, a sealed file goes. Any number of workers share the work, in any language (worker.py). `worker.js [NAME]` */
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { connect, fileContent, IpcnetError, mediaCodec, sealBytes, sealedFilePayload, Status } from "../../shm/client/index.ts";

const name = process.argv[2] ?? `worker ${process.pid}`;
const client = await connect({ name });
// Two at once: one is compressed while the next is on its way.
await client.offer("compress", { capacity: 2, group: "workers", description: "file → file.gz" }, async (body, call) => {
  const header = mediaCodec("file").decode(body as Uint8Array);
  if (!header.ok) throw new IpcnetError(Status.unprocessableContent, header.text);
  // Size and SHA-256 were checked; nobody can change what is sealed.
  const content = fileContent(header.value, call.descriptors[0]);
  if (!content) throw new IpcnetError(Status.integrityFailure, `${header.value.name} is not what its header says`);
  const small = await promisify(gzip)(content);
  const sealed = sealBytes(small);
  call.reply({ file: sealedFilePayload(`${header.value.name}.gz`, "application/gzip", small), worker: name }, [sealed]);
  sealed.close();
});
process.stdout.write(`${name} works\n`);
client.onClose(() => process.exit());
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void client.close());
