import assert from "node:assert/strict";
import { test } from "node:test";
import { type Death, ENTRIES_MAX, Quarantine, SAMPLE_BYTES_MAX } from "./quarantine.ts";

const suspect = { component: "planner", pid: 7, uid: 1000, startTime: 99 };
const packet = (text: string, counter = 0): Uint8Array => new Uint8Array(Buffer.concat([Buffer.alloc(20, counter), Buffer.from(text)]));

test("a fault, a hang, or memory that ran out over a packet is enough; a hand-over is none", () => {
  for (const death of ["fault", "hung", "outOfMemory"] as Death[]) assert.ok(new Quarantine().judge(packet("x"), suspect, death, "now"), death);
  const quarantine = new Quarantine();
  for (let i = 0; i < 3; i++) assert.equal(quarantine.judge(packet("x"), suspect, "handover", "now"), undefined);
});

test("a kill that nobody explains is forgiven once; the same packet in hand again is not, whatever its counter", () => {
  const quarantine = new Quarantine();
  assert.equal(quarantine.judge(packet("x", 1), suspect, "killed", "now"), undefined);
  assert.equal(quarantine.judge(packet("y", 2), suspect, "killed", "now"), undefined);
  // By another instance, which has only what was written down.
  const next = new Quarantine();
  next.restore(structuredClone(quarantine.state()));
  assert.equal(next.judge(packet("x", 3), suspect, "killed", "now")?.why, "two deaths over the same packet");
});

test("a packet that was handled after all is forgiven for good", () => {
  const quarantine = new Quarantine();
  quarantine.judge(packet("x"), suspect, "killed", "now");
  assert.equal(quarantine.acquit(), true);
  assert.equal(quarantine.acquit(), false);
  assert.equal(quarantine.judge(packet("x"), suspect, "killed", "now"), undefined);
});

test("kept out are the process, a component with a name, and the bytes; not everybody of a user", () => {
  const quarantine = new Quarantine();
  quarantine.judge(packet("x"), suspect, "fault", "now");
  assert.ok(quarantine.keepsOut({ ...suspect, component: "other" }));
  assert.ok(quarantine.keepsOut({ ...suspect, pid: 8 }));
  assert.equal(quarantine.keepsOut({ component: "other", pid: 7, uid: 1000, startTime: 100 }), undefined);
  assert.ok(quarantine.knows(packet("x", 200)));
  assert.equal(quarantine.knows(packet("z")), undefined);
  const nameless = new Quarantine();
  nameless.judge(packet("x"), { ...suspect, component: "uid:1000" }, "fault", "now");
  assert.equal(nameless.keepsOut({ component: "uid:1000", pid: 8, uid: 1000, startTime: 99 }), undefined);
});

test("release by name or component; what is kept is bounded", () => {
  const quarantine = new Quarantine();
  for (let i = 0; i < ENTRIES_MAX + 3; i++) quarantine.judge(packet(`${i}`.repeat(2_000)), suspect, "fault", "now");
  assert.equal(quarantine.list().length, ENTRIES_MAX);
  assert.ok(quarantine.list().every(({ sample }) => sample.length <= SAMPLE_BYTES_MAX));
  assert.equal(quarantine.release("q1"), 0);
  assert.equal(quarantine.release("q9"), 1);
  assert.equal(quarantine.release("planner"), ENTRIES_MAX - 1);
  assert.ok(quarantine.isEmpty);
});

const frame = { link: "arm", key: 0x181, name: "181", lengthBytes: 8, sample: Uint8Array.of(1, 2, 3) };

test("of a link, the message with that number is kept out: at once after a fault or a hang, else when it was in hand twice", () => {
  for (const death of ["fault", "hung"] as Death[]) {
    const quarantine = new Quarantine();
    assert.equal(quarantine.hasMessages, false);
    const entry = quarantine.judgeMessage(frame, death, "now");
    assert.deepEqual([entry?.name, entry?.component, entry?.pid, quarantine.hasMessages], ["q1", "arm/181", 0, true], death);
    assert.deepEqual([quarantine.knowsMessage("arm", 0x181), quarantine.knowsMessage("arm", 0x182), quarantine.knowsMessage("leg", 0x181)], [true, false, false]);
    // Nobody is it, and no packet.
    assert.equal(quarantine.keepsOut({ component: "arm/181", pid: 0, uid: 0 }), undefined);
    assert.equal(quarantine.knows(new Uint8Array(8)), undefined);
    assert.equal(quarantine.release("arm/181"), 1);
    assert.equal(quarantine.hasMessages, false);
  }
  for (const death of ["killed", "outOfMemory"] as Death[]) {
    const quarantine = new Quarantine();
    assert.equal(quarantine.judgeMessage(frame, "handover", "now"), undefined);
    assert.equal(quarantine.judgeMessage(frame, death, "now"), undefined);
    assert.equal(quarantine.judgeMessage({ ...frame, key: 0x182 }, death, "now"), undefined);
    const next = new Quarantine();
    next.restore(structuredClone(quarantine.state()));
    next.acquitMessage("arm", 0x182);
    assert.equal(next.judgeMessage({ ...frame, key: 0x182 }, death, "now"), undefined, "it was handled after all");
    assert.ok(next.judgeMessage(frame, death, "now"));
    const last = new Quarantine();
    last.restore(structuredClone(next.state()));
    assert.equal(last.knowsMessage("arm", 0x181), true);
  }
});
