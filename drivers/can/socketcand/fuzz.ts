/** Any bytes, from either side: no exception, no growth beyond one message, and what is read can be written. */
import { clientMessages, encodeReceived, encodeSend, serverMessages } from "./protocol.ts";

const fromServer = serverMessages();
const fromClient = clientMessages();

export const fuzzTargets: { name: string; run(input: Uint8Array): void }[] = [
  {
    name: "socketcand server messages",
    run(input) {
      for (const message of fromServer.push(input)) {
        if (message.type === "frame" && encodeReceived(message.frame, message.wallTimeUs) === undefined) throw new Error("a frame was read that cannot be written");
      }
    },
  },
  {
    name: "socketcand client messages",
    run(input) {
      for (const message of fromClient.push(input)) {
        if (message.type === "send" && encodeSend(message.frame) === undefined) throw new Error("a frame was read that cannot be written");
      }
    },
  },
];
