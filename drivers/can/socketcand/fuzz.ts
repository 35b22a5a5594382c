/** Any bytes, from either side: no exception, no growth beyond one message, and what is read can be written. */
import { clientMessages, encodeReceived, encodeSend, serverMessages } from "./protocol.ts";

const fromServer = serverMessages();
const fromClient = clientMessages();

const texts = (...messages: string[]) => messages.map((message) => Buffer.from(message, "latin1"));

/** `run` throws only on a bug; inputs are best made by mutating `seeds`. */
export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = [
  {
    name: "socketcand server messages",
    seeds: texts("< hi >< ok >< echo >", "< frame 123 23.424242 11 22 33 44 >", "< frame 1AAAAAAA 23.424242 11223344 >", "< fdframe 123 01 1.000000 000102030405060708090A0B >", "< rtr 123 1.5 4 >< error 004 1.0 >"),
    run(input) {
      for (const message of fromServer.push(input)) {
        if (message.type === "frame" && encodeReceived(message.frame, message.wallTimeUs) === undefined) throw new Error("a frame was read that cannot be written");
      }
    },
  },
  {
    name: "socketcand client messages",
    seeds: texts("< open can0 >< rawmode >< echo >", "< send 123 2 1 F1 >", "< send 1AAAAAAA 8 1 2 3 4 5 6 7 8 >", "< sendrtr 123 4 >", "< fdsend 123 1 12 0 1 2 3 4 5 6 7 8 9 a B >"),
    run(input) {
      for (const message of fromClient.push(input)) {
        if (message.type === "send" && encodeSend(message.frame) === undefined) throw new Error("a frame was read that cannot be written");
      }
    },
  },
];
