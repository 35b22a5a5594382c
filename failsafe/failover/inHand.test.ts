import assert from "node:assert/strict";
import { test } from "node:test";
import { IN_HAND_BYTES_MAX, InHand, messageInHand } from "./inHand.ts";
import { handlingOf, Word } from "./page.ts";

test("what is in hand stands in the words until it is done, with a number of its own", () => {
  const words = new Uint32Array(256);
  const inHand = new InHand(words);
  assert.equal(messageInHand(words), undefined);
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
  inHand.begin(0, 0x123, bytes, 10, 8);
  const first = messageInHand(words);
  assert.deepEqual(first, { link: 0, key: 0x123, count: 1, lengthBytes: 8, data: bytes.slice(10, 18) });
  inHand.begin(3, 0x123, bytes, 10, 8);
  assert.deepEqual([messageInHand(words)?.link, messageInHand(words)?.count], [3, 2]);
  inHand.end();
  assert.equal(messageInHand(words), undefined);
  assert.equal(first?.data[0], 10, "a copy: the words go on");
});

test("of a long one the beginning; the words for packets are left alone", () => {
  const words = new Uint32Array(256);
  words[Word.connection] = 7;
  new InHand(words).begin(1, 2, new Uint8Array(1000).fill(0xff), 0, 1000);
  assert.deepEqual([messageInHand(words)?.lengthBytes, messageInHand(words)?.data.length], [1000, IN_HAND_BYTES_MAX]);
  assert.equal(handlingOf(words)?.connection, 7);
  assert.ok(words.subarray(Word.messageData + IN_HAND_BYTES_MAX / 4).every((word) => word === 0));
});
