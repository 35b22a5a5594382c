/** What becomes of a command between its sender and the bus: too old, too often, out of range, or overtaken by a newer one, it is not sent, and the sender is told. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../schemas/clock.ts";
import { type IpcnetError, Status } from "../shm/client/index.ts";
import { ArmRig, commandId, moveTo, patient, refusal } from "./armRig.ts";
import { eventually, standsStill } from "./waiting.ts";

/** `base` may be commanded twice a second and a command lives for at most 100 ms: one that is held back expires before its turn comes. */
const BASE = { ttlMsMax: 100, rateHzMax: 2 };
/** Long enough for a held command to wait for its turn, and for a machine that stands still meanwhile. */
const PATIENT_MS = 60_000;
const ELBOW = { ttlMsMax: PATIENT_MS, rateHzMax: 4 };
const SHOULDER = { ttlMsMax: PATIENT_MS, rateHzMax: 50 };

describe("on the way of commands", () => {
  let rig: ArmRig;
  const targets = (joint: "base" | "shoulder" | "elbow", from = 0): number[] => rig.commandsSeen(from).filter(({ canId }) => canId === commandId(joint)).map(({ data }) => new DataView(data.buffer, data.byteOffset).getInt16(4, true) / 1e4);
  const refused = async (code: string): Promise<number> => (await rig.status()).commands.refused[code] ?? 0;

  before(async () => {
    rig = await ArmRig.start({ joints: ["base", "shoulder", "elbow"], configure: ({ commands }) => {
      Object.assign(commands[0]!, BASE);
      Object.assign(commands[1]!, SHOULDER);
      Object.assign(commands[2]!, ELBOW);
    } });
    await rig.arm();
  });
  after(() => rig.stop());

  /** What becomes of a command for the base. On its way to the gateway a busy machine may let it grow too old. */
  async function fateOf(target: number, ttlMs: number): Promise<"sent" | "expired" | "refused"> {
    const [from, expired] = [rig.seen.length, await refused("expired")];
    const isSent = (): boolean => targets("base", from).includes(target);
    try {
      await rig.command("base", moveTo(target), { ttlMs });
    } catch (error) {
      assert.equal((error as IpcnetError).status, Status.gone, String(error));
      return "refused";
    }
    await eventually(`${target} sent or expired`, async () => isSent() || (await refused("expired")) > expired, { timeoutMs: PATIENT_MS });
    return isSent() ? "sent" : "expired";
  }

  test("one whose time to live ends while it waits is never sent, and a longer life than allowed is cut", async () => {
    const before = rig.seen.length;
    for (const [target, ttlMs] of [[0.2, 50], [0.3, 60_000]] as const) {
      const fates: string[] = [];
      // Behind one that was just sent it has to wait for longer than it lives. (A busy machine may take so long that its turn has come, and it is sent with good reason: then once more.)
      await eventually(`${target} waits, and expires`, async () => {
        if ((await fateOf(0.1, 100)) !== "sent") return false;
        fates.push(await fateOf(target, ttlMs));
        return fates.at(-1) === "expired";
      }, { timeoutMs: PATIENT_MS, last: () => fates });
      assert.equal(targets("base", before).filter((each) => each === target).length, fates.filter((fate) => fate === "sent").length);
    }
  });

  test("one that never had any time to live is refused", async () => {
    assert.equal((await refusal(rig.client.publish("cmd/arm/base_Command", moveTo(0.1), { ttlMs: 0 }))).status, Status.gone);
  });

  test("of many that wait, the newest alone is sent", async () => {
    const before = rig.seen.length;
    const supersededBefore = await refused("superseded");
    // In one go: all but the first must wait for their turn.
    await Promise.all([0.1, 0.2, 0.3, 0.4, 0.5, 0.6].map((target) => rig.command("elbow", moveTo(target), { ttlMs: PATIENT_MS })));
    await eventually("the newest on the bus", () => targets("elbow", before).includes(0.6), { timeoutMs: PATIENT_MS });
    const seen = targets("elbow", before);
    assert.deepEqual([seen[0], seen.at(-1)], [0.1, 0.6]);
    // Those between were overtaken; one whose turn came, because the gateway had to wait for a processor before it had read the next, is older than what came after it.
    assert.deepEqual(seen, seen.toSorted((a, b) => a - b));
    assert.ok(seen.length < 6, seen.join(", "));
    assert.equal(await refused("superseded"), supersededBefore + 6 - seen.length);
  });

  test("no more go out than the rate allows, and each that goes out is the newest", async () => {
    const before = rig.seen.length;
    const sent: number[] = [];
    // From before the first is handed over until after the last was seen: the sender's own intervals lie within it, however late the frames are seen here.
    const startedUs = systemClock.nowUs();
    for (let index = 0; index < 400; index++) {
      sent.push(Math.round(index * 50) / 1e4);
      await rig.command("shoulder", moveTo(sent.at(-1)!), { ttlMs: PATIENT_MS });
    }
    await eventually("the last on the bus", () => targets("shoulder", before).at(-1) === sent.at(-1), { timeoutMs: PATIENT_MS });
    const seconds = (systemClock.nowUs() - startedUs) / 1e6;
    const frames = rig.commandsSeen(before).length;
    assert.ok(frames <= seconds * SHOULDER.rateHzMax + 2, `${frames} frames in ${seconds} s`);
    const seen = targets("shoulder", before);
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
  });

  test("what does not fit its description is refused with the reason, and nothing is sent", async () => {
    const before = rig.seen.length;
    const cases: [string, unknown, number, RegExp][] = [
      ["cmd/arm/shoulder_Command", moveTo(3.5), Status.unprocessableContent, /targetPosition/],
      ["cmd/arm/shoulder_Command", { mode: "Dance", targetPosition: 0, velocityLimit: 1 }, Status.unprocessableContent, /mode/],
      ["cmd/arm/shoulder_Command", { ...moveTo(0.1), torque: 5 }, Status.unprocessableContent, /torque/],
      ["cmd/arm/shoulder_Command", { mode: "Move" }, Status.unprocessableContent, /targetPosition/],
      ["cmd/arm/shoulder_Command", { ...moveTo(0.1), targetPosition: Number.NaN }, Status.unprocessableContent, /targetPosition/],
      ["cmd/arm/shoulder_Command", [1, 2, 3], Status.unprocessableContent, /object/],
      ["cmd/arm/forearm_Command", moveTo(0.1), Status.forbidden, /forearm_Command/],
      ["cmd/leg/shoulder_Command", moveTo(0.1), Status.forbidden, /leg/],
    ];
    for (const [topic, value, status, words] of cases) {
      const error = await refusal(rig.client.publish(topic, value));
      assert.equal(error.status, status, `${topic} ${JSON.stringify(value)}: ${error.message}`);
      assert.match(error.message, words);
    }
    const error = await refusal(rig.client.publish("can/arm/shoulder_State", {}));
    assert.ok([Status.forbidden, Status.notFound].includes(error.status as 202), "a measurement is nobody's to write");
    await rig.command("shoulder", moveTo(0.25));
    await eventually("the next right one on the bus", () => targets("shoulder", before).length > 0);
    assert.deepEqual(targets("shoulder", before), [0.25]);
  });

  test("a flood from one client delays no command of another", async (t) => {
    const flooder = await rig.daemon.connect("flooder");
    let flooding = true;
    t.after(async () => {
      flooding = false;
      await flooder.close();
    });
    let floods = 0;
    const flood = (): void => {
      if (!flooding) return;
      for (let index = 0; index < 100; index++) void flooder.publish("cmd/arm/base_Command", moveTo((floods++ % 1000) / 1e3), { ttlMs: 100, acknowledge: false }).catch(() => undefined);
      setTimeout(flood, 5);
    };
    const startedUs = systemClock.nowUs();
    flood();
    const before = rig.seen.length;
    const wanted = Array.from({ length: 30 }, (_, index) => (index + 1) / 100);
    for (const target of wanted) {
      await rig.command("shoulder", moveTo(target), { ttlMs: PATIENT_MS });
      // Within its life, or it would never be seen.
      await eventually(`${target} on the bus`, () => targets("shoulder", before).at(-1) === target, { timeoutMs: PATIENT_MS });
    }
    flooding = false;
    assert.deepEqual(targets("shoulder", before), wanted);
    assert.ok(floods > 1_000);
    const baseFrames = rig.commandsSeen(before).filter(({ canId }) => canId === commandId("base")).length;
    assert.ok(baseFrames <= (systemClock.nowUs() - startedUs) / 1e6 * BASE.rateHzMax + 2, "and gets no more than its own rate");
  });
});

test("one that waited in the gateway's socket until its time was over is refused, however the gateway was kept from reading it", async (t) => {
  const rig = await ArmRig.start({ joints: ["base"], configure: (configuration) => {
    patient(configuration);
    configuration.commands[0]!["ttlMsMax"] = PATIENT_MS;
  } });
  t.after(() => rig.stop());
  await rig.arm();
  const seen = rig.seen.length;
  // Once asked, a topic is known: an unacknowledged publish needs no answer then.
  await rig.client.topics("cmd/#");
  rig.daemon.process.kill("SIGSTOP");
  await standsStill(rig.daemon.process.pid!);
  const [late, unacknowledged] = [refusal(rig.command("base", moveTo(0.4), { ttlMs: 50 })), rig.client.publish("cmd/arm/base_Command", moveTo(0.5), { ttlMs: 50, acknowledge: false })];
  const inTime = rig.command("base", moveTo(0.6), { ttlMs: PATIENT_MS });
  await unacknowledged;
  await new Promise((resolve) => setTimeout(resolve, 60));
  rig.daemon.process.kill("SIGCONT");
  const { status, message } = await late;
  assert.equal(status, Status.gone, message);
  assert.match(message, /time to live of 50 ms had passed/);
  await inTime;
  await rig.command("base", moveTo(0.7));
  const targets = await eventually("the last on the bus", () => {
    const found = rig.commandsSeen(seen).map(({ data }) => new DataView(data.buffer, data.byteOffset).getInt16(4, true) / 1e4);
    return found.at(-1) === 0.7 && found;
  }, { timeoutMs: PATIENT_MS });
  assert.deepEqual(targets.filter((target) => target < 0.6), []);
  assert.equal((await rig.status()).commands.refused["expired"]! >= 2, true);
});
