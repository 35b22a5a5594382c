/** A joint on a bus with CLAIM frames, and on one without. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { CanFrame } from "../../drivers/can/frame.ts";
import { encodeClaim } from "../../drivers/nodekit/claimFrame.ts";
import { NOBODY } from "../../drivers/nodekit/nodeRules.ts";
import { applyTemplate, compileMessage, parseDbc } from "../../schemas/dbc/index.ts";
import { loadChecks } from "../../schemas/e2e/index.ts";
import { projectRoot } from "../../schemas/testData.ts";
import { checkedMessage } from "../../schemas/messages/check/databases.ts";
import { DEAD_MAN_MS, Joint } from "./joint.ts";
import { jointCodecs } from "./messages.ts";

const folder = join(projectRoot(), "examples/arm");
const CLAIM_ID = 0x10;

/** The other end: commands of one owner. */
function commander(): (epoch: number, owner: number) => CanFrame {
  const { messages } = applyTemplate(parseDbc(readFileSync(join(folder, "arm.dbc")), { file: "arm.dbc" }), { id: "node_id << 5 | message_id", nodes: { base: 1 } });
  const message = messages.find((one) => one.name === "base_Command")!;
  const checks = loadChecks(readFileSync(join(folder, "arm.checks.yaml"), "utf8"), { file: "arm.checks.yaml" });
  assert.ok(checks.ok);
  const [codec, protector] = [compileMessage(message), checks.checks.protectorFor(checkedMessage(message))!];
  return (epoch, owner) => {
    const encoded = codec.encode({ crc: 0, counter: 0, epoch: epoch & 0xff, owner, mode: "Move", targetPosition: 1, velocityLimit: 1 });
    assert.ok(encoded.ok);
    protector.protect(encoded.data, 0, encoded.data.length, message.canId);
    return { timeUs: 0, canId: message.canId, flags: 0, data: encoded.data };
  };
}

let claimCounter = 0;
const claim = (epoch: number, owner: number): CanFrame => ({ timeUs: 0, canId: CLAIM_ID | owner, flags: 0, data: encodeClaim({ kind: "claim", epoch, owner, last: 0, counter: claimCounter++ & 0xff }) });
const isMoving = (joint: Joint): boolean => joint.mode === "Move";

test("a joint that follows claims obeys nobody, then the newest owner alone, and says so at once", () => {
  const joint = new Joint({ nodeId: 1, codecs: jointCodecs(folder).base, claimId: CLAIM_ID });
  const command = commander();
  assert.deepEqual([joint.receive(command(0, 0), 0), isMoving(joint), joint.follows], [[], false, { epoch: 0, owner: NOBODY }]);

  const [witness] = joint.receive(claim(17, 0), 1_000);
  const { witness: codec } = jointCodecs(folder).base;
  assert.equal(witness?.canId, codec.message.canId);
  const reported = codec.decode(witness!.data, 0, witness!.data.length);
  assert.ok(reported.ok);
  assert.deepEqual([reported.signals["epoch"], reported.signals["owner"]], [17, 0]);

  joint.receive(command(17, 0), 2_000);
  assert.equal(isMoving(joint), true);
  joint.receive(claim(18, 1), 3_000);
  joint.tick(4_000);
  assert.deepEqual([joint.mode, joint.fault], ["Hold", "None"]);
  joint.receive(command(17, 0), 5_000);
  assert.equal(isMoving(joint), false);
  joint.receive(commander()(18, 1), 6_000);
  assert.equal(isMoving(joint), true);
  joint.tick(6_000 + DEAD_MAN_MS * 1e3);
  assert.deepEqual([joint.mode, joint.fault, joint.counters.deadManStops], ["Hold", "CommandLost", 1]);
});

test("a joint that follows claims reports whom it follows every 10 ms; one that does not never", () => {
  const witnessesOf = (claimId: number | undefined): number => {
    const joint = new Joint({ nodeId: 1, codecs: jointCodecs(folder).base, claimId });
    let witnesses = 0;
    for (let nowUs = 0; nowUs < 100_000; nowUs = joint.nextDeadlineUs()) witnesses += joint.tick(nowUs).filter(({ canId }) => canId === ((1 << 5) | 4)).length;
    return witnesses;
  };
  assert.deepEqual([witnessesOf(CLAIM_ID), witnessesOf(undefined)], [10, 0]);
});

test("without a claim id a joint obeys every valid command", () => {
  const joint = new Joint({ nodeId: 1, codecs: jointCodecs(folder).base });
  assert.deepEqual(joint.receive(claim(17, 0), 0), []);
  joint.receive(commander()(0, 0), 1_000);
  assert.equal(isMoving(joint), true);
});
