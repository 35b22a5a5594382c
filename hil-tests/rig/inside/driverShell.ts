/**
 * In the machine: one CAN driver, moved from outside by lines of JSON on standard input. So behaviours can be written as one story on the rig's side, although what they are about happens here.
 * {n, do, …} is answered by {n, answer} or {n, error}; {event} comes by itself. See ../remoteDriver.ts.
 */
import { createInterface } from "node:readline";
import { parseCandumpLine, formatCandumpFrame } from "../../../drivers/can/candump.ts";
import { CanFlag } from "../../../drivers/can/frame.ts";
import { createNativeCan, type NativeCanDriver, type NativeCanOptions } from "../../../drivers/can/nativeDriver.ts";
import { DriverError } from "../../../drivers/driver.ts";
import { systemClock } from "../../../schemas/clock.ts";
import type { Flooded, Order, Seen } from "../remoteDriver.ts";

/** Kept as texts; beyond this they are counted. */
const KEPT_FRAMES_MAX = 4_000;
const DEFAULT_LIFE_MS = 60_000;

let driver: NativeCanDriver | undefined;
let seen: Seen = emptySeen();
let nextNumber: number | undefined;

function emptySeen(): Seen {
  return { received: 0, echoes: 0, errors: 0, lostBefore: 0, outOfOrder: 0, frames: [], echoFrames: [], errorFrames: [] };
}

const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`);

function begin(options: NativeCanOptions): NativeCanDriver {
  const made = createNativeCan(options);
  made.onEvent((event) => say({ event }));
  made.onFrames((batch) => {
    for (let index = 0; index < batch.count; index++) {
      const flags = batch.flags(index);
      const isEcho = (flags & CanFlag.echo) !== 0;
      const isError = (flags & CanFlag.error) !== 0;
      const kept = isEcho ? seen.echoFrames : isError ? seen.errorFrames : seen.frames;
      seen[isEcho ? "echoes" : isError ? "errors" : "received"] += 1;
      seen.lostBefore += batch.lostBefore(index);
      if (!isEcho && !isError && batch.lengthBytes(index) >= 4) order(batch.view.getUint32(batch.dataOffset(index), true));
      if (kept.length < KEPT_FRAMES_MAX) kept.push({ text: formatCandumpFrame(batch.get(index)), timeUs: batch.timeUs(index), readUs: systemClock.nowUs(), token: batch.token(index) });
    }
  });
  return made;
}

/** Numbered frames rise by one; what arrives behind a later one is out of order. */
function order(number: number): void {
  if (nextNumber !== undefined && number < nextNumber) seen.outOfOrder += 1;
  nextNumber = Math.max(nextNumber ?? 0, number + 1);
}

function existing(): NativeCanDriver {
  if (!driver) throw new Error("not started");
  return driver;
}

function send(text: string, token: number, lifeMs = DEFAULT_LIFE_MS): string {
  const parsed = parseCandumpLine(`(0.0) x ${text}`);
  if (!parsed.ok) throw new Error(parsed.text);
  return existing().send({ ...parsed.frame, timeUs: systemClock.nowUs() + lifeMs * 1e3, token });
}

/** Numbered frames, as fast as they are taken. */
async function flood(canId: number, count: number, lengthBytes: number): Promise<Flooded> {
  const beganUs = systemClock.nowUs();
  const data = new Uint8Array(lengthBytes);
  const view = new DataView(data.buffer);
  const result: Flooded = { queued: 0, refused: {}, tookUs: 0 };
  for (let number = 0; number < count; number++) {
    view.setUint32(0, number, true);
    for (;;) {
      const verdict = existing().send({ canId, flags: 0, data, timeUs: systemClock.nowUs() + DEFAULT_LIFE_MS * 1e3, token: number + 1 });
      if (verdict === "queued") {
        result.queued += 1;
        break;
      }
      result.refused[verdict] = (result.refused[verdict] ?? 0) + 1;
      if (verdict !== "queueFull") break;
      // Echoes make room.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  result.tookUs = systemClock.nowUs() - beganUs;
  return result;
}

async function obey(asked: Order): Promise<unknown> {
  switch (asked.do) {
    case "start":
      driver ??= begin(asked.options);
      await driver.start();
      return { bitrateBps: driver.bitrateBps ?? null, confirms: driver.confirmsTransmission, canPurge: driver.canPurge(), link: driver.link() ?? null };
    case "stop": return existing().stop();
    case "send": return send(asked.frame, asked.token ?? 1, asked.lifeMs);
    case "burst": return Array.from({ length: asked.count }, (_, index) => send(`${asked.id}#${(index & 0xff).toString(16).padStart(2, "0")}`, index + 1));
    case "flood": return flood(asked.canId, asked.count, asked.lengthBytes ?? 8);
    case "rearm": return existing().rearm();
    case "purge": return existing().purge();
    case "health": return { ...existing().health(), link: existing().link() ?? null, nowUs: systemClock.nowUs() };
    case "seen": return seen;
    case "clear":
      seen = emptySeen();
      nextNumber = undefined;
      return true;
    case "stall": {
      // As a long garbage collection: this thread does nothing else.
      const endUs = systemClock.nowUs() + asked.ms * 1e3;
      while (systemClock.nowUs() < endUs) continue;
      return true;
    }
  }
}

function complaint(error: unknown): object {
  return error instanceof DriverError ? { code: error.code, text: error.message, remedy: error.remedy } : { code: "error", text: error instanceof Error ? error.message : String(error), remedy: "" };
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const { n, ...asked } = JSON.parse(line) as Order & { n: number };
  obey(asked as Order).then((answer) => say({ n, answer: answer ?? null }), (error: unknown) => say({ n, error: complaint(error) }));
}).on("close", () => process.exit(0));
say({ ready: true });
