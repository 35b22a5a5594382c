/**
 * What a CAN driver promises beyond the contract of all drivers, as tests. `testCanDriverContract` runs both.
 * What a link cannot do (FD, echoes, purge) it must say; then the refusal is tested instead.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DriverHarness } from "../contract.ts";
import { soonUs, testDriverContract } from "../contract.ts";
import type { DriverEvent } from "../driver.ts";
import type { CanDriver } from "./driver.ts";
import type { CanFrame, CanFrameBatch } from "./frame.ts";
import { CanFlag, FD_LENGTHS_BYTES } from "./frame.ts";
import { until } from "../../schemas/testing.ts";

export interface CanHarness {
  /** Fresh, not started, on a bus with at least one other node. Its clock is the system's. */
  driver: CanDriver;
  peerSend: (frame: CanFrame) => Promise<void> | void;
  /** All frames that the peer has received so far, in order. */
  peerReceived: () => readonly CanFrame[];
  settle: () => Promise<void>;
  breakLink?: () => Promise<void> | void;
  restoreLink?: () => Promise<void> | void;
  /** Takes all other nodes' power, so that nobody acknowledges; and gives it back. */
  isolate?: () => Promise<void> | void;
  rejoin?: () => Promise<void> | void;
  /** Makes the driver's controller go bus-off. */
  forceBusOff?: () => Promise<void> | void;
  /** Disturbs the next frame on the wire, so that error reports come. */
  disturb?: () => Promise<void> | void;
  /** False for links that cannot carry remote frames. Default true. */
  remote?: boolean;
  /** Of the remote frame that is tried. Default 3; 0 for a controller's model that keeps data of remote frames which have none, and hands over each frame after it one too late. */
  remoteLengthBytes?: number;
  stop: () => Promise<void>;
}

/** Identifier of the contract's frames; the number is in the first byte. */
const NUMBER_ID = 0x155;

/** The peer's version of a frame: another identifier, because two nodes that send one identifier destroy each other's frames. */
const fromPeer = (frame: CanFrame): CanFrame => ({ ...frame, canId: frame.canId ^ 0x400 });

export function numberedFrame(number: number, deadlineUs: number, extra: Partial<CanFrame> = {}): CanFrame {
  return { timeUs: deadlineUs, canId: NUMBER_ID, flags: 0, data: Uint8Array.of(number, 0xa5), token: number + 1, ...extra };
}

function numberedFdFrame(number: number, deadlineUs: number, extra: Partial<CanFrame> = {}): CanFrame {
  const data = new Uint8Array(64).fill(0xa5);
  data[0] = number;
  return numberedFrame(number, deadlineUs, { flags: CanFlag.fd | CanFlag.bitRateSwitch, data, ...extra });
}

/** Copies of the frames in a batch that have one of `flags` set, or, for 0, that are plain frames of others. */
export function framesIn(batch: CanFrameBatch, flags: number): CanFrame[] {
  const special = CanFlag.echo | CanFlag.error;
  return Array.from({ length: batch.count }, (_, index) => batch.get(index)).filter((frame) => (flags === 0 ? (frame.flags & special) === 0 : (frame.flags & flags) !== 0));
}

/** `fdFrames`: the numbered frames are FD frames of 64 bytes with a switch of the bit rate, so that all that goes wrong goes wrong with those. */
export function testCanDriverContract(name: string, makeHarness: () => Promise<CanHarness>, { fdFrames = false }: { fdFrames?: boolean } = {}): void {
  const numbered = fdFrames ? numberedFdFrame : numberedFrame;
  testDriverContract(name, async () => generic(await makeHarness(), numbered));

  const contract = (rule: string, body: (harness: CanHarness, seen: Seen) => Promise<void>): void =>
    void test(`${name}: ${rule}`, async () => {
      const harness = await makeHarness();
      try {
        await body(harness, watch(harness.driver));
      } finally {
        await harness.stop();
      }
    });

  contract("standard and extended, data of each length: what is sent is what arrives", async (harness, { frames }) => {
    const { driver } = harness;
    await driver.start();
    const data = Uint8Array.of(0x00, 0xff, 0x0d, 0x07, 0x3c, 0x3e, 0x80, 0x01);
    const samples: CanFrame[] = Array.from({ length: 9 }, (_, length) => [
      { timeUs: soonUs(), canId: 0x7e0 + length, flags: 0, data: data.slice(0, length) },
      { timeUs: soonUs(), canId: 0x1abc_de00 + length, flags: CanFlag.extended, data: data.slice(8 - length) },
    ]).flat();
    // Small numbers as 29-bit identifiers are another message than the same as 11-bit.
    samples.push({ timeUs: soonUs(), canId: 5, flags: CanFlag.extended, data: data.slice(0, 1) }, { timeUs: soonUs(), canId: 5, flags: 0, data: data.slice(0, 1) });
    for (const frame of samples) await sendWhenRoom(driver, frame);
    for (const frame of samples) await harness.peerSend(fromPeer(frame));
    await until(() => harness.peerReceived().length >= samples.length && frames.length >= samples.length, `${samples.length} frames each way`);
    assert.deepEqual(harness.peerReceived().map(essence), samples.map(essence));
    assert.deepEqual(frames.map(essence), samples.map(fromPeer).map(essence));
    for (const frame of frames) assert.ok(frame.timeUs > 0 && frame.timeUs <= soonUs(0), "received frames carry the time of reception");
  });

  contract("remote frames carry a length and no data", async (harness, { frames }) => {
    const { driver } = harness;
    await driver.start();
    const remote = { timeUs: soonUs(), canId: 0x321, flags: CanFlag.remote, data: new Uint8Array(0), lengthBytes: harness.remoteLengthBytes ?? 3 };
    if (harness.remote === false) {
      assert.equal(driver.send(remote), "unsupported");
      return;
    }
    assert.equal(driver.send(remote), "queued");
    await harness.peerSend(fromPeer(remote));
    await until(() => harness.peerReceived().length === 1 && frames.length === 1, "one remote frame each way");
    assert.deepEqual(essence(harness.peerReceived()[0]!), essence(remote));
    assert.deepEqual(essence(frames[0]!), essence(fromPeer(remote)));
  });

  contract("identifiers and lengths that do not exist are refused", async ({ driver, settle, peerReceived }) => {
    await driver.start();
    const base = { timeUs: soonUs(), flags: 0, data: new Uint8Array(0) };
    assert.equal(driver.send({ ...base, canId: 0x800 }), "unsupported");
    assert.equal(driver.send({ ...base, canId: 0x2000_0000, flags: CanFlag.extended }), "unsupported");
    assert.equal(driver.send({ ...base, canId: 1, data: new Uint8Array(9) }), "badLength");
    assert.equal(driver.send({ ...base, canId: 1, flags: CanFlag.error }), "unsupported");
    await settle();
    assert.equal(peerReceived().length, 0);
  });

  contract("FD frames pass where the link says so, and are refused where it does not", async (harness, { frames }) => {
    const { driver } = harness;
    await driver.start();
    const fd = (length: number): CanFrame => ({ timeUs: soonUs(), canId: 0x111, flags: CanFlag.fd | CanFlag.bitRateSwitch, data: new Uint8Array(length).fill(length) });
    if (!driver.fd) {
      assert.equal(driver.send(fd(8)), "unsupported");
      return;
    }
    assert.equal(driver.send(fd(9)), "badLength");
    for (const length of FD_LENGTHS_BYTES) await sendWhenRoom(driver, fd(length));
    for (const length of FD_LENGTHS_BYTES) await harness.peerSend(fromPeer(fd(length)));
    await until(() => harness.peerReceived().length === 16 && frames.length === 16, "each FD length each way");
    assert.deepEqual(frames.map(essence), FD_LENGTHS_BYTES.map((length) => essence(fromPeer(fd(length)))));
    assert.deepEqual(harness.peerReceived().map(essence), FD_LENGTHS_BYTES.map((length) => essence(fd(length))));
  });

  contract("each frame sent is echoed exactly once, with its token, in order; or the link says that it cannot", async (harness, { echoes, frames }) => {
    const { driver } = harness;
    await driver.start();
    for (let number = 0; number < 40; number++) await sendWhenRoom(driver, numbered(number, soonUs()));
    await until(() => harness.peerReceived().length === 40, "40 frames at the peer");
    if (driver.confirmsTransmission) await until(() => echoes.length >= 40, "40 echoes");
    await harness.settle();
    assert.deepEqual(echoes.map(({ token, data }) => [token, data[0]]), driver.confirmsTransmission ? Array.from({ length: 40 }, (_, number) => [number + 1, number]) : []);
    assert.deepEqual(numbersOf(frames), [], "an echo is no frame of somebody else");
  });

  contract("error reports are delivered as such and counted", async (harness, { errors, events }) => {
    if (!harness.disturb) return;
    await harness.driver.start();
    await harness.disturb();
    await sendWhenRoom(harness.driver, numbered(1, soonUs()));
    await until(() => errors.length > 0, "an error report");
    assert.ok(errors[0]!.canId > 0, "CAN_ERR_ classes");
    assert.ok((harness.driver.health().counters["errorFrames"] ?? 0) > 0);
    assert.ok(events.some(({ code }) => code === "errorFrames"));
    await until(() => harness.peerReceived().length === 1, "the frame itself, sent again by the controller");
  });

  contract("purge: possible or not is known before, and the answer agrees", async ({ driver }) => {
    assert.equal(driver.canPurge(), false, "nothing to purge before start");
    await driver.start();
    const possible = driver.canPurge();
    const verdict = await driver.purge();
    assert.equal(verdict.purged, possible);
    await driver.stop();
    assert.equal((await driver.purge()).purged, false);
    assert.equal(driver.rearm(), false);
  });

  contract("nobody acknowledges: dead, refused, purged; power returns: nothing stale is sent; probe, re-arm, and it works", async (harness, { events }) => {
    const { driver } = harness;
    if (!harness.isolate || !harness.rejoin || !driver.confirmsTransmission) return;
    await driver.start();
    await sendWhenRoom(driver, numbered(1, soonUs()));
    await until(() => harness.peerReceived().length === 1, "frame 1");
    await harness.isolate();
    assert.equal(driver.send(numbered(2, soonUs())), "queued");
    assert.equal(driver.send(numbered(3, soonUs())), "queued");
    await until(() => driver.health().state === "dead", "state dead");
    assert.equal(driver.send(numbered(4, soonUs())), "busDead");
    assert.ok(events.some(({ code }) => code === "busDead"));
    await until(() => events.some(({ code }) => code === "purged"), "event purged");
    assert.equal(driver.rearm(), false, "not before a probe was echoed");
    await harness.rejoin();
    await until(() => driver.rearm(), "re-arm after the probe's echo");
    await sendWhenRoom(driver, numbered(5, soonUs()));
    await until(() => numbersOf(harness.peerReceived()).includes(5), "frame 5");
    assert.deepEqual(numbersOf(harness.peerReceived()), [1, 5], "2 and 3 were purged, 4 refused");
    assert.ok(["up", "degraded"].includes(driver.health().state));
  });

  contract("bus-off: refused, restarted with back-off, proven, re-armed", async (harness, { events }) => {
    const { driver } = harness;
    if (!harness.forceBusOff) return;
    await driver.start();
    await harness.forceBusOff();
    await until(() => driver.health().state === "busOff", "state busOff");
    assert.equal(driver.send(numbered(1, soonUs())), "busOff");
    assert.ok(events.some(({ code }) => code === "busOff"));
    await until(() => events.some(({ code }) => code === "busRecovered"), "event busRecovered");
    await until(() => driver.rearm(), "re-arm");
    await sendWhenRoom(driver, numbered(2, soonUs()));
    await until(() => numbersOf(harness.peerReceived()).includes(2), "frame 2");
    assert.deepEqual(numbersOf(harness.peerReceived()), [2]);
  });

  contract("after a lost link commands are refused until re-armed", async (harness, { frames }) => {
    const { driver } = harness;
    if (!harness.breakLink || !harness.restoreLink) return;
    await driver.start();
    await harness.breakLink();
    await until(() => driver.health().state === "down", "state down");
    assert.equal(driver.rearm(), false);
    await harness.restoreLink();
    await until(() => driver.health().state !== "down", "the link again");
    assert.notEqual(driver.send(numbered(1, soonUs())), "queued");
    if (!driver.confirmsTransmission) {
      // Without echoes a frame of somebody else is the proof of life.
      await harness.peerSend(fromPeer(numbered(50, 0)));
      await until(() => frames.length > 0, "frame 50");
    }
    await until(() => driver.rearm(), "re-arm");
    await sendWhenRoom(driver, numbered(2, soonUs()));
    await until(() => numbersOf(harness.peerReceived()).includes(2), "frame 2");
    assert.deepEqual(numbersOf(harness.peerReceived()), [2]);
  });
}

interface Seen {
  /** Frames of others, echoes, error reports: copies, in order. */
  frames: CanFrame[];
  echoes: CanFrame[];
  errors: CanFrame[];
  events: DriverEvent[];
}

function watch(driver: CanDriver): Seen {
  const seen: Seen = { frames: [], echoes: [], errors: [], events: [] };
  driver.onFrames((batch) => {
    seen.frames.push(...framesIn(batch, 0));
    seen.echoes.push(...framesIn(batch, CanFlag.echo));
    seen.errors.push(...framesIn(batch, CanFlag.error));
  });
  driver.onEvent((event) => void seen.events.push(event));
  return seen;
}

/** The CAN harness as the generic contract wants it. */
function generic(harness: CanHarness, numbered: typeof numberedFrame): DriverHarness<CanFrameBatch, CanFrame> {
  const { breakLink, restoreLink } = harness;
  return {
    driver: harness.driver,
    outgoing: (number, deadlineUs) => numbered(number, deadlineUs),
    tooLong: (deadlineUs) => numbered(0, deadlineUs, { data: new Uint8Array(numbered === numberedFrame ? 9 : 65) }),
    numbers: (batch) => numbersOf(framesIn(batch, 0)),
    peerSend: (number) => harness.peerSend(fromPeer(numbered(number, 0))),
    peerReceived: () => numbersOf(harness.peerReceived()),
    settle: () => harness.settle(),
    ...(breakLink && restoreLink ? { breakLink, restoreLink } : {}),
    stop: () => harness.stop(),
  };
}

/** Numbers of the contract's frames; probes and the like are left out. */
function numbersOf(frames: readonly CanFrame[]): number[] {
  return frames.filter(({ canId }) => canId === NUMBER_ID || canId === (NUMBER_ID ^ 0x400)).map(({ data }) => data[0]!);
}

function essence({ canId, flags, data, lengthBytes }: CanFrame): string {
  const kind = flags & (CanFlag.extended | CanFlag.fd | CanFlag.bitRateSwitch | CanFlag.remote);
  return `${canId.toString(16)} ${kind} ${lengthBytes ?? data.length} ${Buffer.from(data).toString("hex")}`;
}

/** Sends a frame, waiting while the link has no room for it. */
async function sendWhenRoom(driver: CanDriver, frame: CanFrame): Promise<void> {
  await until(() => {
    const verdict = driver.send({ ...frame, timeUs: soonUs() });
    assert.ok(verdict === "queued" || verdict === "queueFull", verdict);
    return verdict === "queued";
  }, "room for a frame");
}
