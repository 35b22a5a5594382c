/** The leaf of `childIpc`. */
import { LeafRole } from "../leafRole.ts";
import type { LeafOrder } from "./childIpc.ts";

const role = new LeafRole();
role.attach({ send: (bytes) => process.send!(bytes), drained: () => Promise.resolve(), close: () => Promise.resolve() });
process.on("message", (message: Uint8Array | LeafOrder) => {
  if (message instanceof Uint8Array) return role.take(message);
  if (message.order === "begin") {
    role.begin(message.argument as Parameters<LeafRole["begin"]>[0]);
    process.send!({ answer: true });
  } else process.send!({ answer: role.counts() });
});
process.on("disconnect", () => process.exit(0));
