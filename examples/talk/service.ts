// Adds two numbers for whoever asks. The other end: caller.ts, or the one in another language.
import { connect, IpcnetError, Status } from "../../shm/client/index.ts"; // elsewhere: from "ipcnet"

const client = await connect({ name: "adder", reconnect: true });
await client.offer("talk/add", {}, (body) => {
  const { a, b } = (body ?? {}) as { a?: unknown; b?: unknown };
  if (typeof a !== "number" || typeof b !== "number") throw new IpcnetError(Status.unprocessableContent, "a and b must be numbers");
  return { sum: a + b };
});
