/** Participants that share a controller: what each of them sees of the others and of the bus. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ManualClock } from "../../../schemas/clock.ts";
import { until } from "../../../schemas/testing.ts";
import type { CanFrame } from "../frame.ts";
import { CanFlag } from "../frame.ts";
import { attachNode } from "./client.ts";
import { BusHost, type BusHostOptions, CONTROLLERS_MAX } from "./host.ts";
import { attachInProcess } from "./inProcess.ts";
import type { NodePort } from "./port.ts";
import { DropReason } from "./protocol.ts";
import { serveBuses } from "./server.ts";
import { frame } from "./testBus.ts";

const CONTROLLER = 7;

interface Seen {
  port: NodePort;
  frames: CanFrame[];
  echoes: CanFrame[];
  errors: CanFrame[];
  dropped: { token: number; reason: number }[];
  links: boolean[];
}

function watched(port: NodePort): Seen {
  const seen: Seen = { port, frames: [], echoes: [], errors: [], dropped: [], links: [] };
  port.onFrame((received) => void seen.frames.push(received));
  port.onEcho((echo) => void seen.echoes.push(echo));
  port.onError((error) => void seen.errors.push(error));
  port.onDropped((dropped) => void seen.dropped.push(dropped));
  port.onChange(() => void seen.links.push(port.linkUp));
  return seen;
}

/** A bus by hand: `after` lets time pass. */
function rig(t: TestContext, options: Partial<BusHostOptions> = {}) {
  const clock = new ManualClock();
  const host = new BusHost({ name: "arm", bitrateBps: 500_000, fd: true, clock, ...options });
  t.after(() => host.close());
  return {
    host,
    join: (more: { fd?: boolean; echoes?: boolean; controller?: number; listenOnly?: boolean } = {}) => watched(attachInProcess(host, { controller: CONTROLLER, fd: true, ...more }).port),
    async after(ms: number) {
      // What was sent in this turn leaves its port at the end of it.
      await new Promise(setImmediate);
      for (let passed = 0; passed < ms; passed += 1) {
        clock.advanceMs(1);
        host.run();
      }
    },
  };
}

const ids = (frames: CanFrame[]): number[] => frames.map(({ canId }) => canId);

test("what one sends, the other receives with the time of the echo; a third node receives it once", async (t) => {
  const { host, join, after } = rig(t);
  const [a, b, other] = [join(), join(), join({ controller: 0 })];
  await after(10);
  a.port.send(frame(0x100, [1, 2], 41));
  b.port.send(frame(0x101, [3], 42));
  await after(10);
  assert.deepEqual([ids(a.echoes), ids(b.echoes)], [[0x100], [0x101]]);
  assert.deepEqual([ids(a.frames), ids(b.frames), ids(other.frames)], [[0x101], [0x100], [0x100, 0x101]]);
  const [looped, echo] = [b.frames[0]!, a.echoes[0]!];
  assert.deepEqual([looped.timeUs, looped.token, looped.flags, [...looped.data]], [echo.timeUs, 0, 0, [1, 2]]);
  assert.deepEqual([echo.token, a.port.inFlight, b.port.inFlight], [41, 0, 0]);
  assert.equal(host.bus.nodes.length, 2, "one controller for both, one for the third");
});

test("they do not acknowledge each other: without another controller nothing is taken, whoever sends, and both see the error state", async (t) => {
  const { host, join, after } = rig(t);
  const [a, b] = [join(), join()];
  await after(10);
  a.port.send(frame(0x100, [1], 1));
  b.port.send(frame(0x101, [1], 2));
  await after(200);
  assert.deepEqual([a.echoes, b.echoes, a.frames, b.frames].map(({ length }) => length), [0, 0, 0, 0]);
  assert.deepEqual([a.port.state, b.port.state, host.bus.statistics.frames], ["passive", "passive", 0]);
  assert.ok(a.errors.length > 0 && a.errors.length === b.errors.length);
  assert.ok(host.bus.statistics.unacknowledged > 100);
  // Somebody with power comes: both frames leave, each echoed to its own sender.
  const other = join({ controller: 0 });
  await after(20);
  assert.deepEqual([ids(other.frames), ids(a.echoes), ids(b.echoes)], [[0x100, 0x101], [0x100], [0x101]]);
});

test("one queue: its places are everybody's, and a purge by one empties it for all and shows the others the interface going down and up", async (t) => {
  const { host, join, after } = rig(t, { queueFrames: 4 });
  const [a, b] = [join(), join()];
  await after(10);
  for (const token of [1, 2, 3]) a.port.send(frame(0x100 + token, [], token));
  await after(1);
  for (const token of [11, 12]) b.port.send(frame(0x200 + token, [], token));
  await after(1);
  assert.deepEqual(b.dropped, [{ token: 12, reason: DropReason.queueFull }]);
  b.port.control("purge");
  await after(1);
  assert.deepEqual(a.dropped.map(({ token, reason }) => [token, reason]), [1, 2, 3].map((token) => [token, DropReason.purge]));
  assert.deepEqual(b.dropped.slice(1), [{ token: 11, reason: DropReason.purge }]);
  assert.deepEqual([a.links.slice(-2), b.links.filter((up) => !up)], [[false, true], []]);
  const other = join({ controller: 0 });
  await after(50);
  assert.deepEqual([other.frames, a.port.inFlight, b.port.inFlight, host.bus.statistics.frames], [[], 0, 0, 0]);
});

test("bus-off is everybody's, and a restart by one brings both back", async (t) => {
  const { host, join, after } = rig(t);
  const [a, b] = [join(), join()];
  const other = join({ controller: 0 });
  await after(10);
  host.setCounters(host.controllers.get(CONTROLLER)!.node, 256, 0);
  await after(1);
  assert.deepEqual([a.port.state, b.port.state, other.port.state], ["busOff", "busOff", "errorActive"]);
  a.port.control("restart");
  await after(50);
  assert.deepEqual([a.port.state, b.port.state], ["errorActive", "errorActive"]);
  b.port.send(frame(0x100, [], 5));
  await after(5);
  assert.deepEqual([ids(a.frames), ids(b.echoes), ids(other.frames)], [[0x100], [0x100], [0x100]]);
});

test("a sender that goes leaves its frames in the queue, as a kernel keeps those of a closed socket; whoever opens next is told how many wait", async (t) => {
  const { host, join, after } = rig(t);
  const a = join();
  await after(10);
  for (const token of [1, 2, 3]) a.port.send(frame(0x100 + token, [], token));
  await after(1);
  await a.port.close();
  assert.equal(host.controllers.get(CONTROLLER)!.participants, 0);
  assert.equal(host.controllers.get(CONTROLLER)!.node.queuedFrames, 3);
  const b = join();
  b.port.send(frame(0x110, [], 9));
  await after(1);
  const other = join({ controller: 0 });
  await after(20);
  assert.deepEqual(ids(other.frames), [0x101, 0x102, 0x103, 0x110]);
  assert.deepEqual([ids(b.frames), ids(b.echoes), b.port.inFlight], [[0x101, 0x102, 0x103], [0x110], 0], "theirs are received, its own is echoed");
});

test("a controller without participants still acknowledges, as an interface that is up does", async (t) => {
  const { join, after } = rig(t);
  const [a, other] = [join(), join({ controller: 0 })];
  await a.port.close();
  await after(10);
  other.port.send(frame(0x300, [], 1));
  await after(10);
  assert.equal(other.echoes.length, 1);
});

test("FD and echoes are each participant's own wish", async (t) => {
  const { join, after } = rig(t);
  const [fd, classic, deaf] = [join(), join({ fd: false }), join({ echoes: false })];
  const other = join({ controller: 0 });
  await after(10);
  fd.port.send(frame(0x100, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 1, CanFlag.fd));
  deaf.port.send(frame(0x101, [1], 2));
  await after(10);
  classic.port.send(frame(0x102, [1], 3, CanFlag.fd));
  await after(10);
  assert.deepEqual([ids(classic.frames), ids(fd.frames), ids(deaf.frames), ids(deaf.echoes), ids(other.frames)], [[0x101], [0x101], [0x100], [], [0x100, 0x101]]);
  assert.deepEqual(classic.dropped, [{ token: 3, reason: DropReason.refused }]);
});

test("a participant that wants a controller of another kind, or one too many of them, is refused", (t) => {
  const { host, join } = rig(t);
  join();
  assert.match(host.open({ controller: CONTROLLER, listenOnly: true }, () => undefined) as string, /does not only listen/);
  for (let number = 100; host.controllers.size < CONTROLLERS_MAX; number++) host.open({ controller: number }, () => undefined);
  assert.match(host.open({ controller: 99 }, () => undefined) as string, /64 controllers/);
});

test("over the socket: two clients with one controller, and the state of it in the welcome", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-bus-"));
  const host = new BusHost({ name: "arm", bitrateBps: 500_000 });
  const path = join(folder, "bus.sock");
  const server = await serveBuses({ socketPath: path, buses: [host] });
  t.after(async () => {
    await server.close();
    host.close();
    rmSync(folder, { recursive: true });
  });
  const a = watched(await attachNode(path, { bus: "arm", name: "a", controller: CONTROLLER }));
  assert.deepEqual([a.port.linkUp, a.port.state], [true, "errorActive"]);
  a.port.send(frame(0x100, [1], 1));
  await until(() => a.port.state === "passive", "an error-passive controller");
  const b = watched(await attachNode(path, { bus: "arm", name: "b", controller: CONTROLLER }));
  assert.deepEqual([b.port.state, b.port.tec, host.bus.nodes.length], ["passive", 128, 1]);
  attachInProcess(host, { name: "other" });
  await until(() => b.frames.length === 1 && a.echoes.length === 1, "the frame at the other, the echo at its sender");
  host.setPower(host.controllers.get(CONTROLLER)!.node, false);
  await until(() => !a.port.linkUp && !b.port.linkUp, "both without link");
  const c = await attachNode(path, { bus: "arm", name: "c", controller: CONTROLLER });
  assert.equal(c.linkUp, false);
  await Promise.all([a.port.close(), b.port.close(), c.close()]);
});
