/**
 * The contract of `Driver`, as tests: written once, run for every driver (`testDriverContract("slcan", makeHarness)` in its test file).
 *
 * A harness builds a driver that is not started, with a peer at the other end of its link. Frames are told apart by small numbers: the
 * harness makes frame number n and reads the numbers back, so the same tests serve CAN, serial and MQTT.
 * Nothing sleeps: tests wait for conditions, with a deadline.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../schemas/clock.ts";
import type { Driver, DriverEvent } from "./driver.ts";
import { DriverError } from "./driver.ts";
import { until } from "../schemas/testing.ts";

export interface DriverHarness<Received, Outgoing> {
  /** Fresh, not started. Its clock is the system's. */
  driver: Driver<Received, Outgoing>;
  /** Frame number `number` (0…255), to be sent before `deadlineUs`. */
  outgoing: (number: number, deadlineUs: number) => Outgoing;
  /** A frame longer than the link can carry; absent where there is no such thing. */
  tooLong?: (deadlineUs: number) => Outgoing;
  /** The numbers of the frames in what a listener was handed, in order; own echoes and reports left out. */
  numbers: (received: Received) => number[];
  /** The peer sends frame number `number`; it need not have arrived when this resolves. */
  peerSend: (number: number) => Promise<void> | void;
  /** Numbers of all frames that the peer has received so far. */
  peerReceived: () => readonly number[];
  /** Resolves when all that is under way has arrived, or would have. */
  settle: () => Promise<void>;
  /** Cuts the link as a pulled cable or a dead server would; absent where that cannot happen. */
  breakLink?: () => Promise<void> | void;
  restoreLink?: () => Promise<void> | void;
  /** Stops the driver if need be, and everything the harness started. */
  stop: () => Promise<void>;
}

/** A deadline far enough away for a slow machine. */
export const soonUs = (ms = 30_000): number => systemClock.nowUs() + ms * 1e3;

export function testDriverContract<Received, Outgoing>(name: string, makeHarness: () => Promise<DriverHarness<Received, Outgoing>>): void {
  type Harness = DriverHarness<Received, Outgoing>;
  const contract = (rule: string, body: (harness: Harness) => Promise<void>): void =>
    void test(`${name}: ${rule}`, async () => {
      const harness = await makeHarness();
      try {
        await body(harness);
      } finally {
        await harness.stop();
      }
    });
  /** Numbers that a listener saw. */
  const listen = ({ driver, numbers }: Harness): number[] => {
    const seen: number[] = [];
    driver.onFrames((received) => void seen.push(...numbers(received)));
    return seen;
  };
  const events = ({ driver }: Harness): DriverEvent[] => {
    const seen: DriverEvent[] = [];
    driver.onEvent((event) => void seen.push(event));
    return seen;
  };
  /** Sends frame `number`, waiting while the link has no room for it. */
  const sendWhenRoom = async ({ driver, outgoing }: Harness, number: number) => {
    await until(() => {
      const verdict = driver.send(outgoing(number, soonUs()));
      assert.ok(verdict === "queued" || verdict === "queueFull", verdict);
      return verdict === "queued";
    }, `room for frame ${number}`);
  };

  contract("before start nothing is sent, and stop is harmless", async ({ driver, outgoing, peerReceived, settle }) => {
    assert.equal(driver.health().state, "stopped");
    assert.equal(driver.send(outgoing(1, soonUs())), "notStarted");
    await driver.stop();
    await settle();
    assert.deepEqual(peerReceived(), []);
  });

  contract("frames arrive in order, both ways, once each", async (harness) => {
    const seen = listen(harness);
    await harness.driver.start();
    const numbers = Array.from({ length: 100 }, (_, index) => index);
    for (const number of numbers) await sendWhenRoom(harness, number);
    for (const number of numbers) await harness.peerSend(number);
    await until(() => harness.peerReceived().length >= 100 && seen.length >= 100, "100 frames each way");
    await harness.settle();
    assert.deepEqual(harness.peerReceived(), numbers);
    assert.deepEqual(seen, numbers);
  });

  contract("a second start is refused, while the first runs and after it", async ({ driver }) => {
    const first = driver.start();
    await assert.rejects(driver.start(), (error) => error instanceof DriverError && error.code === "alreadyStarted" && error.remedy.length > 0);
    await first;
    await assert.rejects(driver.start(), { code: "alreadyStarted" });
    assert.ok(["up", "degraded"].includes(driver.health().state), driver.health().state);
  });

  contract("a frame whose deadline has passed is never sent", async (harness) => {
    const { driver, outgoing } = harness;
    await driver.start();
    assert.equal(driver.send(outgoing(1, systemClock.nowUs() - 1)), "expired");
    assert.equal(driver.send(outgoing(2, 0)), "expired");
    await sendWhenRoom(harness, 3);
    await until(() => harness.peerReceived().length > 0, "frame 3");
    await harness.settle();
    assert.deepEqual(harness.peerReceived(), [3]);
  });

  contract("a frame that is too long is refused, and the next one passes", async (harness) => {
    if (!harness.tooLong) return;
    await harness.driver.start();
    assert.equal(harness.driver.send(harness.tooLong(soonUs())), "badLength");
    await sendWhenRoom(harness, 4);
    await until(() => harness.peerReceived().length > 0, "frame 4");
    assert.deepEqual(harness.peerReceived(), [4]);
  });

  contract("after stop nothing is sent or delivered; stop may be called again", async (harness) => {
    const { driver, outgoing } = harness;
    const seen = listen(harness);
    await driver.start();
    await harness.peerSend(1);
    await until(() => seen.length === 1, "frame 1");
    await harness.peerSend(2);
    await Promise.all([driver.stop(), driver.stop()]);
    const atStop = seen.length;
    assert.equal(driver.health().state, "stopped");
    assert.equal(driver.send(outgoing(9, soonUs())), "notStarted");
    await harness.peerSend(3);
    await harness.settle();
    await driver.stop();
    assert.equal(seen.length, atStop);
    assert.ok(!harness.peerReceived().includes(9));
  });

  contract("stopped while it starts, it ends stopped", async ({ driver }) => {
    const starting = driver.start().then(() => undefined, (error: unknown) => error);
    await driver.stop();
    const error = await starting;
    assert.ok(error === undefined || error instanceof DriverError, String(error));
    assert.equal(driver.health().state, "stopped");
    await driver.start();
    assert.notEqual(driver.health().state, "stopped");
  });

  contract("started anew it works as before, and delivers nothing from the time between", async (harness) => {
    const { driver } = harness;
    const seen = listen(harness);
    for (const round of [1, 2, 3]) {
      await driver.start();
      await sendWhenRoom(harness, round);
      await harness.peerSend(100 + round);
      await until(() => seen.includes(100 + round) && harness.peerReceived().includes(round), `round ${round}`);
      await driver.stop();
      await harness.peerSend(50);
      await harness.settle();
    }
    assert.deepEqual(seen, [101, 102, 103]);
    assert.deepEqual(harness.peerReceived(), [1, 2, 3]);
  });

  contract("listeners are called in the order of registration, each until it is removed", async (harness) => {
    const { driver, numbers } = harness;
    const calls: string[] = [];
    const record = (who: string) => (received: Received) => void calls.push(...numbers(received).map((number) => `${who}${number}`));
    const removeA = driver.onFrames(record("a"));
    driver.onFrames(record("b"));
    await driver.start();
    await harness.peerSend(1);
    await until(() => calls.length === 2, "both listeners");
    removeA();
    removeA();
    driver.onFrames(record("c"));
    await harness.peerSend(2);
    await until(() => calls.length === 4, "b and c");
    assert.deepEqual(calls, ["a1", "b1", "b2", "c2"]);
  });

  contract("a listener that throws is counted; the others and the driver go on", async (harness) => {
    const { driver } = harness;
    driver.onFrames(() => {
      throw new Error("a listener's own fault");
    });
    driver.onEvent(() => {
      throw new Error("a listener's own fault");
    });
    const seen = listen(harness);
    await driver.start();
    await harness.peerSend(1);
    await until(() => seen.length === 1, "frame 1");
    await harness.peerSend(2);
    await until(() => seen.length === 2, "frame 2");
    await sendWhenRoom(harness, 3);
    await until(() => harness.peerReceived().length === 1, "frame 3 at the peer");
    assert.ok((driver.health().counters["listenerErrors"] ?? 0) >= 2, "counter listenerErrors");
  });

  contract("counters only rise, also over a restart, and count what passes", async (harness) => {
    const { driver } = harness;
    const seen = listen(harness);
    let before: Readonly<Record<string, number>> = driver.health().counters;
    const check = () => {
      const now = driver.health().counters;
      for (const [counter, value] of Object.entries(before)) assert.ok((now[counter] ?? -1) >= value, `${counter} fell from ${value} to ${now[counter]}`);
      const rose = Object.entries(now).filter(([counter, value]) => value > (before[counter] ?? 0)).length;
      before = { ...now };
      return rose;
    };
    for (const round of [1, 2]) {
      await driver.start();
      await sendWhenRoom(harness, round);
      await harness.peerSend(round);
      await until(() => seen.length === round && harness.peerReceived().length === round, "one frame each way");
      assert.ok(check() >= 2, "one counter for what was sent, one for what was received");
      await driver.stop();
      check();
    }
  });

  contract("a lost link is an event and a state; nothing is sent meanwhile; what is restored delivers again", async (harness) => {
    const { driver, outgoing } = harness;
    if (!harness.breakLink || !harness.restoreLink) return;
    const seen = listen(harness);
    const happened = events(harness);
    await driver.start();
    await harness.peerSend(1);
    await until(() => seen.length === 1, "frame 1");
    await harness.breakLink();
    await until(() => happened.some(({ code }) => code === "linkLost"), "event linkLost");
    await until(() => driver.health().state === "down", "state down");
    assert.notEqual(driver.health().reason, "");
    assert.ok(happened.some(({ code, state }) => code === "stateChanged" && state === "down"));
    assert.equal(driver.send(outgoing(99, soonUs())), "linkDown");
    const sinceUs = driver.health().sinceUs;
    assert.ok(sinceUs > 0 && sinceUs <= systemClock.nowUs());
    await harness.restoreLink();
    await until(() => happened.some(({ code }) => code === "linkRestored"), "event linkRestored");
    await harness.peerSend(2);
    await until(() => seen.includes(2), "frame 2");
    assert.ok(!harness.peerReceived().includes(99), "refused is refused: not sent when the link comes back");
    for (const { atUs, text, code } of happened) assert.ok(atUs > 0 && (text.length > 0 || code === "stateChanged"), code);
  });

  contract("stopped while the link is lost, it stays stopped when the link returns", async (harness) => {
    const { driver } = harness;
    if (!harness.breakLink || !harness.restoreLink) return;
    const seen = listen(harness);
    await driver.start();
    await harness.breakLink();
    await until(() => driver.health().state === "down", "state down");
    await driver.stop();
    await harness.restoreLink();
    await harness.peerSend(1);
    await harness.settle();
    assert.equal(driver.health().state, "stopped");
    assert.deepEqual(seen, []);
  });
}
