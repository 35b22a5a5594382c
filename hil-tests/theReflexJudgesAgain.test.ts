/** Whatever a brain hands over, the reflex judges by itself: every reason has its refusal, and nothing that is refused reaches the bus. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ReflexClient } from "../failsafe/reflex/client/client.ts";
import { LaneWriter } from "../shm/lanes/index.ts";
import { commandStruct, encodeCommand, type CommandRecord } from "../failsafe/reflex/client/records.ts";
import { shortHash } from "../failsafe/reflex/table/compile.ts";
import { ReflexEnd } from "../failsafe/reflex/client/end.ts";
import { loadConfiguration } from "../gateway/build/configuration.ts";
import { systemClock } from "../schemas/clock.ts";
import { ArmRig, LIFE_MS, PROBE_ID } from "./armRig.ts";
import { eventually } from "./waiting.ts";

const TARGET_AT = 4;

test("each reason has its refusal, and nothing refused is sent", async (t) => {
  const rig = await ArmRig.start({ reflex: "single" });
  t.after(() => rig.stop());
  const loaded = loadConfiguration(join(rig.folder.path, "ipcnet.yaml"));
  assert.ok(loaded.ok);
  const table = loaded.accepted.reflexTable!;
  // A lane of our own, beside the gateway's: so that what no gateway would send can be sent.
  const lane = await LaneWriter.create({ schemaHash: 0n, policy: "queue", slots: 64, inlineBytes: 192, largeBytes: 0 });
  // Of the gateway itself: an older one would be refused for that alone.
  const { epoch: brainEpoch } = await rig.status();
  const reasons = new Map<number, string>();
  const echoed: number[] = [];
  const end = new ReflexEnd({
    instance: "a", path: join(rig.folder.path, "reflex-a.sock"), clock: systemClock, brainEpoch: () => brainEpoch, isActive: () => true, bootId: new Uint8Array(16), table: () => table, commandLane: lane,
    ports: { connectionChanged: () => {}, statusChanged: () => {}, records: () => {}, trouble: (_end, code, text) => assert.fail(`${code}: ${text}`) },
  });
  t.after(() => {
    end.stop();
    lane.close();
  });
  // Who is told what became of them is everybody who reads the frames.
  const listener = await ReflexClient.create({ runFolder: rig.folder.path, instances: ["a"], clock: systemClock, brainEpoch: () => brainEpoch, isActive: () => true, bootId: new Uint8Array(16), table, brainTimeoutMs: 5_000, event: () => {} });
  t.after(() => listener.stop());
  listener.onReport(({ report }) => {
    if (report.kind === "refused") reasons.set(report.token, report.reason);
  });
  listener.onFrames(0, (batch) => {
    for (let i = 0; i < batch.count; i++) if (batch.token(i) !== 0) echoed.push(batch.token(i));
  });
  listener.start();
  end.start();
  await eventually("both connected", () => listener.takesCommands && end.takesCommands && listener.owner !== undefined);

  const base = table.messageRows.get("arm/base_Command")!;
  const payload = table.rows.sends.find(({ message }) => message === base)!;
  const data = new Uint8Array(64);
  data.set(table.rows.bytes.subarray(payload.payload, payload.payload + payload.lengthBytes));
  let token = 1_000_000;
  const record = (change: Partial<CommandRecord> = {}): CommandRecord => ({
    deadlineUs: Math.floor(systemClock.nowUs() + LIFE_MS * 1e3), sequence: Math.floor(systemClock.nowUs()), brainEpoch, token: ++token, tableHash: shortHash(table.hash), message: base, lengthBytes: payload.lengthBytes, data, ...change,
  });
  const refusedAs = async (change: Partial<CommandRecord>): Promise<string> => {
    const command = record(change);
    assert.equal(lane.publish(encodeCommand(command)), "published");
    return eventually(`the refusal of ${JSON.stringify(change, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value))}`, () => reasons.get(command.token), { last: () => [...reasons], timeoutMs: 60_000 });
  };

  assert.equal(await refusedAs({}), "notArmed");
  await rig.arm();
  const tooFar = data.slice();
  new DataView(tooFar.buffer).setInt16(TARGET_AT, 32_000, true);
  assert.equal(await refusedAs({ message: 400 }), "unknownCommand");
  assert.equal(await refusedAs({ tableHash: 1n }), "otherTable");
  assert.equal(await refusedAs({ lengthBytes: 7 }), "badLength");
  assert.equal(await refusedAs({ data: tooFar }), "outOfRange");
  assert.equal(await refusedAs({ deadlineUs: Math.floor(systemClock.nowUs()) - 1 }), "expired");
  assert.equal(await refusedAs({ brainEpoch: 0 }), "oldBrain");
  assert.deepEqual(rig.commandsSeen().filter(({ canId }) => canId !== PROBE_ID), [], "none of them was on the bus");

  const good = record();
  lane.publish(encodeCommand(good));
  await eventually("a good one echoed", () => echoed.includes(good.token), { last: () => [...reasons] });
  assert.equal(await refusedAs({ sequence: good.sequence }), "repeated");
  // Bytes that are no command at all hurt nobody.
  lane.publish(new Uint8Array(commandStruct.sizeBytes - 1));
  const again = record();
  lane.publish(encodeCommand(again));
  await eventually("the next good one echoed", () => echoed.includes(again.token), { last: () => [...reasons] });
  // (One that stood still itself follows nobody until it has heard a claim again.)
  assert.deepEqual([...rig.joint("base").joint.refusals].filter((why) => why !== "notFollowing"), []);
});
