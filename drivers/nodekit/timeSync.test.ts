/** The gateway's side of time, against the C kit as a process. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SIM_NODE, SimNode } from "./simNode.ts";
import { decodeTime, encodeTime, TIME_ID_DEFAULT, TimeSync } from "./timeSync.ts";
import { encodeImage } from "./image.ts";
import { toHex } from "../../schemas/testData.ts";

test("a SYNC each period, a FOLLOW_UP for each that was confirmed, none when the upper half changed between", () => {
  const sync = new TimeSync({ owner: 1, periodUs: 100_000 }, 0);
  assert.equal(sync.confirmed(5), undefined);
  const first = sync.poll(0);
  assert.deepEqual([first?.id, first && decodeTime(first.data)], [TIME_ID_DEFAULT, { kind: "sync", owner: 1, word: 0, counter: 1 }]);
  assert.equal(sync.poll(99_999), undefined);
  const followUp = sync.confirmed(340.7);
  assert.deepEqual(followUp && decodeTime(followUp.data), { kind: "followUp", owner: 1, word: 340, counter: 1 });
  assert.equal(sync.confirmed(341), undefined);
  assert.equal(sync.deadlineUs, 100_000);
  assert.ok(sync.poll(100_000));
  assert.ok(sync.poll(1_000_000), "the one before was never confirmed");
  assert.equal(sync.poll(1_000_000), undefined);
  const later = new TimeSync({ owner: 0, periodUs: 100_000 }, 0);
  const high = later.poll(3 * 2 ** 32 - 5);
  assert.equal(high && decodeTime(high.data)?.word, 2);
  assert.equal(later.confirmed(3 * 2 ** 32 + 300), undefined);
});

test("a time frame of another version is not read", () => {
  assert.equal(decodeTime(encodeTime({ kind: "sync", owner: 0, word: 1, counter: 0 }).slice(0, 7)), undefined);
});

test("the C node keeps the gateway's time with an oscillator that is 80 ppm off", async () => {
  const node = new SimNode();
  await node.do(`image 0 ${toHex(encodeImage({ vendor: 0x1234, product: 0x5678, version: 1, securityCounter: 0 }, new Uint8Array(16)))}`);
  const local = (gatewayUs: number): number => Math.floor((gatewayUs - 1e9) * (1 - 80e-6) + 4_294_900_000) % 2 ** 32;
  let nowUs = 2 ** 32 - 1_000_000; // the lower half wraps after ten pairs
  await node.do(`power ${local(nowUs)}`);
  await node.poll(local(nowUs));
  const sync = new TimeSync({ owner: 0, periodUs: 100_000 }, nowUs);
  assert.deepEqual(await node.do(`time ${local(nowUs)}`), ["time none"]);
  for (let i = 0; i < 200; i++) {
    const frame = sync.poll(nowUs);
    assert.ok(frame);
    await node.frame(frame, local(nowUs + 220));
    const followUp = sync.confirmed(nowUs + 220);
    if (followUp) await node.frame(followUp, local(nowUs + 700));
    nowUs += 100_000;
    await node.poll(local(nowUs));
    if (i < 5) continue;
    const [answer] = await node.do(`time ${local(nowUs)}`);
    assert.ok(Math.abs(Number(answer!.slice(5)) - nowUs) <= 4, `${answer}, not ${nowUs}`);
  }
  assert.ok(node.sent.every(({ id }) => id === 0x700 + SIM_NODE));
  assert.equal(await node.end(), 0);
});
