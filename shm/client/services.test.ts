import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallExtras, Link, Post, Reply } from "./link.ts";
import { Services } from "./services.ts";

test("credit that finds no room is given when there is room again: the stream goes on", async () => {
  let extras: CallExtras = {};
  let finish = (_reply: Reply): void => {};
  let asked: { stream?: number | undefined } = {};
  const posted: Post[] = [];
  let full = 2;
  const item = (body: number): void => extras.onItem!(body, []);
  const link = {
    start: (call: { stream?: number }, _timeoutMs: number, given: CallExtras) => {
      asked = call;
      extras = given;
      return { seq: 1, reply: new Promise<Reply>((resolve) => (finish = resolve)) };
    },
    post: (message: Post) => {
      if (full > 0) return "full";
      posted.push(message);
      // The provider's next items come with the credit.
      item(2);
      finish({ op: "reply", seq: 1, status: 100, text: "", body: undefined });
      return "sent";
    },
    room: async () => void (full -= 1),
    restart: () => {}, forget: () => {},
  };
  const services = new Services({ link: () => link as unknown as Link, notify: (error) => assert.fail(String(error)) });
  const items: unknown[] = [];
  const taking = (async () => {
    // Less than one item of credit would never give any.
    for await (const each of services.stream("s", undefined, { credit: 0 })) items.push(each);
  })();
  await Promise.resolve();
  item(1);
  await taking;
  assert.deepEqual([asked.stream, items, posted], [1, [1, 2], [{ op: "credit", request: 1, items: 1 }]]);
});
