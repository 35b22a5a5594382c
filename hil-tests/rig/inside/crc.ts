/**
 * In the machine: protected frames over a link that loses, alters, doubles and delays them (netem on the peer's end). What our end accepts is compared, byte for byte, with what was sent.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, test } from "node:test";
import { formatCandumpFrame } from "../../../drivers/can/candump.ts";
import { framesIn } from "../../../drivers/can/contract.ts";
import { createNativeCan } from "../../../drivers/can/nativeDriver.ts";
import { systemClock } from "../../../schemas/clock.ts";
import { checkResultName, e2eCodec, FrameCheck, isAccepted } from "../../../schemas/e2e/index.ts";
import { until } from "../../../schemas/testing.ts";

const [ours, peers] = [process.env["IPCNET_HIL_OURS"]!, process.env["IPCNET_HIL_PEERS"]!];
const FRAMES = 1_500;
const CAN_ID = 0x155;
const END_ID = 0x7fe;
const config = { profile: "P05", dataId: 0x1d5a, lengthBytes: 8, maxDeltaCounter: 40 } as const;
const peer = spawn("/usr/bin/python3", [join(import.meta.dirname, "../../../../../hil-tests/rig/inside/peer.py"), peers], { stdio: ["pipe", "pipe", "inherit"] });
after(() => void peer.stdin.end());

/** CRC 2 bytes, counter 1, the frame's number 4, one that follows from it. */
function sent(number: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(3, number, true);
  bytes[7] = (number * 7) & 0xff;
  e2eCodec(config).protect(bytes, 0, 8, CAN_ID, number & 0xff);
  return bytes;
}

test("nothing that was altered is accepted, nothing twice, nothing behind what came later", async (context) => {
  await once(peer.stdout, "data");
  peer.stdout.resume();
  const driver = createNativeCan({ name: "bus", kind: "socketcan", interface: ours, fd: true, receiveBufferBytes: 4 << 20 });
  const check = new FrameCheck(e2eCodec(config), config);
  const accepted: number[] = [];
  const results = new Map<string, number>();
  const numbers = new Set<number>();
  let [arrived, altered, doubled, ended] = [0, 0, 0, false];
  driver.onFrames((batch) => {
    for (const { canId, flags, data } of framesIn(batch, 0)) {
      ended ||= canId === END_ID;
      // netem may alter the identifier as well: then it is another message, or none.
      if (canId !== CAN_ID || flags !== 0) continue;
      arrived += 1;
      const result = check.check(data, 0, data.length, canId, systemClock.nowUs());
      results.set(checkResultName(result), (results.get(checkResultName(result)) ?? 0) + 1);
      const number = data.length === 8 ? new DataView(data.buffer, data.byteOffset).getUint32(3, true) : -1;
      const isTrue = number >= 0 && number < FRAMES && Buffer.compare(data, sent(number)) === 0;
      if (!isTrue) altered += 1;
      else if (numbers.has(number)) doubled += 1;
      else numbers.add(number);
      if (!isAccepted(result)) continue;
      assert.ok(isTrue, `accepted although altered: ${Buffer.from(data).toString("hex")}`);
      accepted.push(number);
    }
  });
  await driver.start();
  for (let number = 0; number < FRAMES; number++) peer.stdin.write(`s ${formatCandumpFrame({ timeUs: 0, canId: CAN_ID, flags: 0, data: sent(number) })}\n`);
  // The end may be lost or altered too.
  const again = setInterval(() => peer.stdin.write(`s ${END_ID.toString(16).toUpperCase()}#\n`), 100);
  await until(() => ended, "the end");
  clearInterval(again);
  await driver.stop();
  context.diagnostic(JSON.stringify({ sent: FRAMES, arrived, altered, doubled, neverArrived: FRAMES - numbers.size, accepted: accepted.length, ...Object.fromEntries(results) }));
  assert.deepEqual(accepted.filter((number, index) => index > 0 && number <= accepted[index - 1]!), [], "accepted in order, each once");
  assert.ok(altered > 0 && doubled > 0 && numbers.size < FRAMES, "the link really did all of it");
  assert.ok(accepted.length > FRAMES / 3, "and the rest still passes");
});
