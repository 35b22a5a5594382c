/** What may reach the motors, asked of a running gateway: nothing before it is armed, then what is listed and no more, whatever is on the bus. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CanFlag, type CanFrame } from "../drivers/can/frame.ts";
import { attachInProcess } from "../drivers/can/emulator/inProcess.ts";
import type { NodePort } from "../drivers/can/emulator/port.ts";
import { IpcnetError, Status } from "../shm/client/index.ts";
import { ArmRig, commandId, moveTo, refusal } from "./armRig.ts";
import { eventually } from "./waiting.ts";

const STANDARD_IDS = 0x800;
/** All of one bit, none, all, and neighbours of what is commanded. */
const EXTENDED_IDS = [0, ...Array.from({ length: 29 }, (_, bit) => 2 ** bit), 0x1fff_ffff, 0x22 << 18, 0x42 << 18, (0x42 << 18) | 0x42];

/** A command as its receiver would want it, but for counter and checksum: hold, at 0, at no speed. */
const HOLD = Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0);

/** Every identifier of 11 bits, some of 29, some remote frames. */
function everyFrame(): CanFrame[] {
  const frame = (canId: number, flags: number, data = HOLD): CanFrame => ({ timeUs: 0, canId, flags, data });
  return [
    ...Array.from({ length: STANDARD_IDS }, (_, canId) => frame(canId, 0)),
    ...EXTENDED_IDS.map((canId) => frame(canId, CanFlag.extended)),
    ...[0, 0x21, 0x22, 0x42, 0x7ff].map((canId) => frame(canId, CanFlag.remote, new Uint8Array(0))),
  ];
}

/** What the two joints send themselves: a second sender of one identifier takes a bus down, which is another test's matter. */
const ofJoints = new Set([1, 2].flatMap((node) => [(node << 5) | 1, (node << 5) | 3, 0x700 + node]));
const everyForeignFrame = (): CanFrame[] => everyFrame().filter(({ canId, flags }) => (flags & CanFlag.extended) !== 0 || !ofJoints.has(canId));

/** Sends the frames as another node, as fast as the bus takes them, until each was on it. */
async function sendAll(port: NodePort, frames: readonly CanFrame[]): Promise<void> {
  let sent = 0;
  let confirmed = 0;
  const turn = (): void => {
    while (sent < frames.length && port.send(frames[sent]!) === "queued") sent += 1;
  };
  const leave = port.onEcho(() => {
    confirmed += 1;
    turn();
  });
  turn();
  await eventually("the sweep", () => confirmed === frames.length, { timeoutMs: 120_000, last: () => ({ sent, confirmed, of: frames.length, next: frames[sent]?.canId, state: port.state, tec: port.tec, inFlight: port.inFlight, linkUp: port.linkUp }) });
  leave();
}

describe("nothing moves before it is armed", () => {
  let rig: ArmRig;
  let intruder: NodePort;
  const allowed = new Set([commandId("base"), commandId("shoulder")]);

  before(async () => {
    rig = await ArmRig.start({ configure: (configuration) => void (configuration.safePose["steps"] = [{ name: "hold", deadlineMs: 30_000,
      send: ["base", "shoulder"].map((joint) => ({ bus: "arm", message: `${joint}_Command`, values: { mode: "Hold", targetPosition: 0, velocityLimit: 0 } })),
      until: ["base", "shoulder"].map((joint) => ({ topic: `can/arm/${joint}_State`, signal: "velocity", absMax: 0.02, ageMsMax: 500 })) }]) });
    intruder = attachInProcess(rig.host, { name: "intruder", queueFrames: 64 }).port;
  });
  after(() => rig.stop());

  /** Every identifier as a raw frame of a client; returns those that were accepted. */
  async function tryEveryId(): Promise<number[]> {
    const accepted: number[] = [];
    const frames = everyFrame();
    for (let at = 0; at < frames.length; at += 32) {
      await Promise.all(frames.slice(at, at + 32).map(async ({ canId, flags, data }) => {
        try {
          await rig.client.publish("cmd/arm/raw", { canId, flags, data });
          accepted.push(canId);
        } catch (error) {
          if (!(error instanceof IpcnetError)) throw error;
        }
      }));
    }
    return accepted;
  }

  /** Every identifier, first as frames on the bus, then from a client: what was accepted, and how much the gateway sent. */
  async function sweep(): Promise<{ accepted: number[]; sent: number }> {
    // What was handed over before (the safe pose's last frames) goes out first: two senders of one identifier at a time would take the bus down.
    await eventually("an empty queue", async () => (await rig.status()).links[0]!.counters["sentFrames"] === rig.gatewayNode.statistics.sentFrames);
    const before = rig.gatewayNode.statistics.sentFrames;
    await sendAll(intruder, everyForeignFrame());
    return { accepted: await tryEveryId(), sent: rig.gatewayNode.statistics.sentFrames - before };
  }

  test("a command is refused with 207 and says that the gateway is not armed", async () => {
    const error = await refusal(rig.command("base", moveTo(0.5)));
    assert.equal(error.status, Status.preconditionFailed);
    assert.match(error.message, /not armed/);
    const status = await rig.status();
    assert.equal(status.state, "disarmed");
    assert.ok(status.commands.refused["notArmed"]! >= 1);
    assert.equal(rig.gatewayNode.statistics.sentFrames, 0);
  });

  test("disarmed, no identifier from the bus and none from a client makes it send", async () => {
    await rig.until("both nodes seen", ({ missingForArming }) => missingForArming.length === 0);
    assert.deepEqual(await sweep(), { accepted: [], sent: 0 });
    assert.equal(rig.gatewayNode.statistics.sentFrames, 0);
    await rig.until("identifiers of nobody are counted, and somebody else who sends our commands is noticed", ({ rejects }) => {
      const count = (reason: string): number => rejects.find((reject) => reject.reason === reason)?.count ?? 0;
      return count("unknownId") > 1_900 && count("notPermitted") >= allowed.size;
    });
  });

  test("armed, what is listed passes and nothing else", async () => {
    await rig.arm();
    const before = rig.gatewayNode.statistics.sentFrames;
    // The sweep from the bus moves nothing, armed or not. Our own commands from somebody else are the next test's.
    await sendAll(intruder, everyForeignFrame().filter(({ canId, flags }) => (flags & CanFlag.extended) !== 0 || !allowed.has(canId)));
    assert.equal(rig.gatewayNode.statistics.sentFrames, before);
    const seenBefore = rig.seen.length;
    assert.deepEqual(new Set(await tryEveryId()), allowed);
    await eventually("both commands on the bus", () => rig.commandsSeen(seenBefore).length >= allowed.size);
    assert.deepEqual(new Set(rig.commandsSeen(seenBefore).map(({ canId }) => canId)), allowed);
  });

  test("somebody else who sends our commands is a second master: the safe pose, and no arming while it goes on", async () => {
    await rig.until("armed", ({ state }) => state === "armed");
    await sendAll(intruder, everyForeignFrame().filter(({ canId, flags }) => (flags & CanFlag.extended) === 0 && canId === commandId("base")));
    const { stateReason } = await rig.until("posed", ({ state }) => state === "posed");
    assert.match(stateReason, /safe pose/);
    await rig.client.request("gateway/reset");
    // It goes on, however long the machine takes for the rest.
    const again = everyForeignFrame().filter(({ canId, flags }) => (flags & CanFlag.extended) === 0 && canId === commandId("base"));
    const error = await eventually("a refusal for it", async () => {
      await sendAll(intruder, again);
      return rig.client.request("gateway/arm").then(() => assert.fail("armed beside a second master"), (refused: IpcnetError) => /second master/.test(refused.message) && refused);
    });
    assert.equal(error.status, Status.preconditionFailed);
  });

  test("in the safe pose and after it, commands and identifiers are refused", async () => {
    const verdict = (await rig.client.request("gateway/safe-pose", { why: "test" }, { timeoutMs: 60_000 })) as { verdict: string };
    assert.equal(verdict.verdict, "posed");
    assert.equal((await rig.status()).state, "posed");
    assert.equal((await refusal(rig.command("base", moveTo(0.5)))).status, Status.preconditionFailed);
    assert.deepEqual(await sweep(), { accepted: [], sent: 0 });
    const error = await refusal(rig.client.request("gateway/arm"));
    assert.equal(error.status, Status.preconditionFailed);
    assert.match(error.message, /reset/);
    await rig.client.request("gateway/reset");
    assert.equal((await rig.status()).state, "disarmed");
    assert.equal((await refusal(rig.command("base", moveTo(0.5)))).status, Status.preconditionFailed);
  });
});

test("arming is refused with everything that is missing, and granted when all is there", async (t) => {
  const rig = await ArmRig.start({ joints: ["base", "shoulder"] });
  t.after(() => rig.stop());
  rig.setPower(false);
  await rig.until("both nodes lost", ({ nodes }) => nodes.every(({ state }) => state === "lost" || state === "unknown"));
  rig.host.setLink(rig.gatewayNode, false);
  await rig.until("the bus down", ({ links }) => links[0]!.state === "down");
  const error = await refusal(rig.client.request("gateway/arm"));
  assert.equal(error.status, Status.preconditionFailed);
  for (const what of [/node base on arm/, /node shoulder on arm/, /bus arm is down/]) assert.match(error.message, what);
  rig.host.setLink(rig.gatewayNode, true);
  rig.setPower(true);
  await rig.until("nodes there", ({ nodes }) => nodes.every(({ state }) => state === "operational"));
  // The link was lost: it must prove itself, and an explicit arm opens it.
  await eventually("armed", () => rig.client.request("gateway/arm").then(() => true, () => false));
  assert.equal((await rig.status()).state, "armed");
  const seenBefore = rig.seen.length;
  await rig.command("base", moveTo(0.1));
  await eventually("the command on the bus", () => rig.commandsSeen(seenBefore).some(({ canId }) => canId === commandId("base")));
});
