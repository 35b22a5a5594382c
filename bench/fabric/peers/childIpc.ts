/** Node's channel between a process and those it has forked, in its faster serialisation. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Endpoint, nothingBetween, type Peer } from "../peer.ts";

const leafProgram = fileURLToPath(new URL("./childIpcLeaf.js", import.meta.url));
let children: ChildProcess[] = [];
let answers: ((value: unknown) => void)[] = [];

/** What goes to a leaf beside the messages of the comparison. */
export interface LeafOrder {
  order: string;
  argument: unknown;
}

export const childIpc: Peer = {
  name: "Node child IPC",
  flow: "window",
  payloadBytesMax: Infinity,
  missing: () => undefined,
  start: () => Promise.resolve(nothingBetween),
  hub({ leaves }, listener): Promise<Endpoint> {
    children = Array.from({ length: leaves }, (_, leaf) => {
      const child = fork(leafProgram, [], { serialization: "advanced" });
      child.on("message", (message: Uint8Array | { answer: unknown }) => {
        if (message instanceof Uint8Array) listener(message, leaf);
        else answers[leaf]?.(message.answer);
      });
      return child;
    });
    return Promise.resolve({
      send(bytes) {
        let room = true;
        for (const child of children) room = child.send(bytes) && room;
        return room;
      },
      drained: () => new Promise((resolve) => setImmediate(resolve)),
      close: () => {
        for (const child of children) child.disconnect();
        return Promise.resolve();
      },
    });
  },
  async askLeaves(name, argument) {
    const all = children.map((child, leaf) => new Promise<unknown>((resolve) => {
      answers[leaf] = resolve;
      child.send({ order: name, argument } satisfies LeafOrder);
    }));
    const values = await Promise.all(all);
    answers = [];
    return values;
  },
};
