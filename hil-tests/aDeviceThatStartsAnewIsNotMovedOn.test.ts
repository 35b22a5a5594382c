/** A serial device that starts anew while it is commanded: what waits for it is dropped, what is armed ends in the safe pose, and it gets no command before somebody arms again. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { openPty } from "../drivers/pty/index.ts";
import { createSerialDriver, type SerialDriver } from "../drivers/serial/driver.ts";
import { streamPort } from "../drivers/serial/streamPort.ts";
import type { BytePort } from "../drivers/serial/port.ts";
import { systemClock } from "../schemas/clock.ts";
import { GripperRig } from "./boards/gripper.ts";
import { testFolder } from "./daemon.ts";
import { eventually } from "./waiting.ts";

const DATA_ID = 0x4752_4950;
const STATE_BYTES = 20;
const MOVE = 2;
const GO = 1;

/** Reports that it stands still at 0, and notes the modes it is commanded. */
async function device(t: TestContext, port: BytePort): Promise<{ driver: SerialDriver; modes: number[] }> {
  const driver = createSerialDriver({ name: "gripper", port, role: "device", dataId: DATA_ID, baudBps: 115_200, silenceTimeoutMs: 20_000, optional: true });
  const modes: number[] = [];
  driver.onFrames(({ id, body }) => void (id === MOVE && modes.push(body[0]!)));
  await driver.start();
  const timer = setInterval(() => void driver.send({ id: 1, body: new Uint8Array(STATE_BYTES), deadlineUs: systemClock.nowUs() + 1e6 }), 20);
  t.after(async () => {
    clearInterval(timer);
    await driver.stop();
  });
  return { driver, modes };
}

test("a device that begins a new session while it is commanded is not moved on", async (t) => {
  const folder = testFolder();
  const pty = await openPty();
  t.after(() => pty.close());
  const first = await device(t, streamPort("gripper", pty.stream));
  const rig = await GripperRig.start(folder.path, pty.path, { patient: true });
  t.after(async () => {
    await rig.stop();
    folder.remove();
  });
  await rig.arm();
  rig.move(1, 0.1);
  await eventually("it is commanded", () => first.modes.includes(GO), { timeoutMs: 60_000 });
  await first.driver.stop();
  const second = await device(t, streamPort("gripper", pty.stream));
  const status = await rig.until("the pose", ({ state }) => state === "posed" || state === "fault");
  assert.match(status.stateReason, /node gripper is bootUp|safe pose/);
  assert.ok((await rig.status()).links[0]!.counters["peerRestarts"]! >= 1);
  await rig.until("it is there again", ({ nodes }) => nodes[0]!.state === "operational");
  const refused = rig.refused;
  await eventually("the program's commands are refused", () => rig.refused > refused + 20, { timeoutMs: 60_000 });
  // The pose held it; nobody told it to go.
  assert.deepEqual([...new Set(second.modes)].filter((mode) => mode === GO), []);
  await rig.arm(true);
  await eventually("it is commanded again", () => second.modes.includes(GO), { timeoutMs: 60_000 });
});
