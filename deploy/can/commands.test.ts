import assert from "node:assert/strict";
import { test } from "node:test";
import { bringUp, impossible, interfaceNow, type InterfaceNow, type WantedBus } from "./commands.ts";

const bus: WantedBus = { interface: "can0", bitrateBps: 500_000, fd: false, listenOnly: false, txQueueFrames: 16 };
const down: InterfaceNow = { up: false, kind: "can", bitrateBps: undefined, dataBitrateBps: undefined, fd: false, fdCapable: true, samplePoint: undefined, dataSamplePoint: undefined, restartMs: 0, listenOnly: false };
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
  assert.deepEqual(bringUp(bus, { ...down, up: true, bitrateBps: 499_001 }), [], "its clock does not divide");
  for (const wrong of [{ bitrateBps: 250_000 }, { restartMs: 100 }, { listenOnly: true }, { up: false }]) assert.notEqual(bringUp(bus, { ...down, up: true, bitrateBps: 500_000, ...wrong }).length, 0, JSON.stringify(wrong));
});

test("CAN FD and listening", () => {
  const fd = { ...bus, fd: true, dataBitrateBps: 2_000_000 };
  const settings = (wanted: WantedBus, now: InterfaceNow): string | undefined => text(bringUp(wanted, now)[0])[1];
  assert.match(settings(fd, down)!, /bitrate 500000 dbitrate 2000000 fd on restart-ms 0/);
  // Without a rate of the data phase the kernel answers "Operation not supported".
  assert.match(settings({ ...bus, fd: true }, down)!, /bitrate 500000 dbitrate 500000 fd on/);
  assert.match(settings({ ...fd, samplePointPercent: 80, dataSamplePointPercent: 66.6 }, down)!, /bitrate 500000 sample-point 0.800 dbitrate 2000000 dsample-point 0.666 fd on/);
  assert.match(settings({ ...bus, listenOnly: true }, down)!, /listen-only on/);
  // The kernel keeps a mode that nobody mentions.
  assert.match(settings(bus, { ...down, listenOnly: true })!, /listen-only off/);

  const right = { ...down, up: true, bitrateBps: 500_000, fd: true, dataBitrateBps: 2_000_000, samplePoint: 0.875, dataSamplePoint: 0.75 };
  assert.deepEqual(bringUp(fd, right), []);
  assert.deepEqual(bringUp({ ...fd, samplePointPercent: 87, dataSamplePointPercent: 75 }, right), []);
  assert.deepEqual(bringUp(bus, right), [], "FD mode passes classic frames");
  for (const wrong of [{ fd: false }, { dataBitrateBps: 4_000_000 }]) assert.match(settings(fd, { ...right, ...wrong })!, /dbitrate 2000000 fd on/, JSON.stringify(wrong));
  assert.match(settings({ ...bus, fd: true }, { ...right, fd: false })!, /fd on/);
  assert.match(settings({ ...fd, samplePointPercent: 80 }, right)!, /sample-point 0.800/);
  assert.match(settings({ ...fd, dataSamplePointPercent: 80 }, right)!, /dsample-point 0.800/);
});

test("a controller without CAN FD is left as it is, and why is said with the remedy", () => {
  const fd = { ...bus, fd: true };
  assert.match(impossible(fd, { ...down, fdCapable: false })!, /no CAN FD.*fd: true[^]*remedy: fd: false/);
  assert.equal(impossible(fd, down), undefined);
  assert.equal(impossible(fd, { ...down, fdCapable: undefined }), undefined);
  assert.equal(impossible(bus, { ...down, fdCapable: false }), undefined);
});

test("virtual interfaces, and those without a rate in the configuration, are only set up", () => {
  assert.deepEqual(bringUp(bus, { ...down, kind: "vcan" }).map((each) => text(each)), [["link set can0 up"]]);
  assert.deepEqual(bringUp(bus, { ...down, kind: "vcan", up: true }), []);
  assert.deepEqual(bringUp({ ...bus, fd: true }, { ...down, kind: "vxcan", up: true }).map((each) => text(each)), [["link set can0 down", "link set can0 mtu 72", "link set can0 up"]]);
  assert.deepEqual(bringUp({ ...bus, fd: true }, { ...down, kind: "vxcan", up: true, fd: true }), []);
  assert.deepEqual(bringUp({ ...bus, bitrateBps: undefined }, down).map((each) => text(each)), [["link set can0 up txqueuelen 16"]]);
});

test("what ip says is read, and what it does not say is unknown", () => {
  const said = JSON.stringify([{ ifname: "can0", flags: ["NOARP", "UP"], linkinfo: { info_kind: "can", info_data: { restart_ms: 100, bittiming: { bitrate: 250_000 }, ctrlmode: ["LISTEN-ONLY"] } } }]);
  const unknown = { ...down, kind: undefined, fdCapable: undefined, restartMs: undefined };
  assert.deepEqual(interfaceNow(said), { ...unknown, up: true, kind: "can", bitrateBps: 250_000, restartMs: 100, listenOnly: true });
  assert.deepEqual(interfaceNow("busybox"), unknown);
  const controller = (data: object): string => JSON.stringify([{ mtu: 72, flags: ["UP"], linkinfo: { info_kind: "can", info_data: { bittiming: { bitrate: 500_000, sample_point: "0.875" }, bittiming_const: {}, ...data } } }]);
  assert.deepEqual(interfaceNow(controller({ data_bittiming: { bitrate: 2_000_000, sample_point: "0.750" }, data_bittiming_const: {}, ctrlmode: ["FD"] })),
    { ...unknown, up: true, kind: "can", bitrateBps: 500_000, dataBitrateBps: 2_000_000, fd: true, fdCapable: true, samplePoint: 0.875, dataSamplePoint: 0.75 });
  assert.equal(interfaceNow(controller({})).fdCapable, false);
  assert.equal(interfaceNow(controller({ data_bitrate_const: [1_000_000] })).fdCapable, true);
  assert.equal(interfaceNow("[]").kind, undefined);
});
