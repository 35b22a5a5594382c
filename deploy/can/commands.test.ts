import assert from "node:assert/strict";
import { test } from "node:test";
import { bringUp, interfaceNow, type InterfaceNow } from "./commands.ts";

const bus = { interface: "can0", bitrateBps: 500_000, dataBitrateBps: undefined, fd: false, listenOnly: false, txQueueFrames: 16 };
const down: InterfaceNow = { up: false, kind: "can", bitrateBps: undefined, dataBitrateBps: undefined, restartMs: 0, listenOnly: false };
const text = (attempt: ReturnType<typeof bringUp>[number] | undefined): string[] => (attempt?.commands ?? []).map((words) => words.join(" "));

test("an interface that is down gets its rate, no automatic restart, and a short queue; less where its driver refuses", () => {
  const [best, ...others] = bringUp(bus, down);
  assert.deepEqual(text(best), ["link set can0 down", "link set can0 type can bitrate 500000 restart-ms 0 berr-reporting on", "link set can0 up txqueuelen 16"]);
  assert.equal(best?.without, undefined);
  assert.deepEqual(others.map((each) => text(each)[1]), ["link set can0 type can bitrate 500000 restart-ms 0", "link set can0 type can bitrate 500000"]);
  assert.ok(others.every(({ without }) => without !== undefined));
});

test("one that is as it should be is left alone: frames may be on their way", () => {
  assert.deepEqual(bringUp(bus, { ...down, up: true, bitrateBps: 500_000 }), []);
  for (const wrong of [{ bitrateBps: 250_000 }, { restartMs: 100 }, { listenOnly: true }, { up: false }]) assert.notEqual(bringUp(bus, { ...down, up: true, bitrateBps: 500_000, ...wrong }).length, 0, JSON.stringify(wrong));
});

test("CAN FD and listening", () => {
  assert.match(text(bringUp({ ...bus, fd: true, dataBitrateBps: 2_000_000 }, down)[0])[1]!, /bitrate 500000 dbitrate 2000000 fd on restart-ms 0/);
  assert.match(text(bringUp({ ...bus, listenOnly: true }, down)[0])[1]!, /listen-only on/);
});

test("virtual interfaces, and those without a rate in the configuration, are only set up", () => {
  assert.deepEqual(bringUp(bus, { ...down, kind: "vcan" }).map((each) => text(each)), [["link set can0 up"]]);
  assert.deepEqual(bringUp(bus, { ...down, kind: "vcan", up: true }), []);
  assert.deepEqual(bringUp({ ...bus, bitrateBps: undefined }, down).map((each) => text(each)), [["link set can0 up txqueuelen 16"]]);
});

test("what ip says is read, and what it does not say is unknown", () => {
  const said = JSON.stringify([{ ifname: "can0", flags: ["NOARP", "UP"], linkinfo: { info_kind: "can", info_data: { restart_ms: 100, bittiming: { bitrate: 250_000 }, ctrlmode: ["LISTEN-ONLY"] } } }]);
  assert.deepEqual(interfaceNow(said), { up: true, kind: "can", bitrateBps: 250_000, dataBitrateBps: undefined, restartMs: 100, listenOnly: true });
  assert.deepEqual(interfaceNow("busybox"), { up: false, kind: undefined, bitrateBps: undefined, dataBitrateBps: undefined, restartMs: undefined, listenOnly: false });
  assert.equal(interfaceNow("[]").kind, undefined);
});
