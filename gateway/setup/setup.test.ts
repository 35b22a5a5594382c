import assert from "node:assert/strict";
import { test } from "node:test";
import { gatherFacts } from "../doctor/facts.ts";
import { canInterface, memoryMachine, wellMachine } from "../doctor/memoryMachine.ts";
import { checkConfig } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import { judgeReflex } from "../build/reflex/judge.ts";
import { complete, isAsked, loadAnswers, missingLinks, parseBuses, parseSerial, questions, saveAnswers, showBuses, type Answers } from "./answers.ts";
import { changesOf, differenceOf } from "./changes.ts";
import { configurationText } from "./configuration.ts";
import { boardKind, hardwareOf, type Hardware } from "./hardware.ts";
import { missingOf, toBeInForce, type GatewayAnswer, type ReflexAnswer } from "./health.ts";
import { MARK, needsOf } from "./needs.ts";

const nothing: Hardware = { board: undefined, can: [], serial: [], watchdog: undefined, preemptRt: false, systemd: false };
const answers: Answers = { robot: "my-arm", buses: [], serial: [], watchdog: "none", start: true };

function configOf(text: string): Config {
  const { result } = judgeReflex(checkConfig({ text, file: "/etc/ipcnet/ipcnet.yaml", readFile: () => ({ fault: "there are no files here" }) }), "/etc/ipcnet/ipcnet.yaml");
  assert.ok(result.config, result.faults.map(({ code, path }) => `${code} ${JSON.stringify(path)}`).join(", "));
  return result.config;
}

test("the machine as it is: board, CAN, serial ports by their stable names, watchdog", async () => {
  const well = wellMachine(canInterface("can0"), canInterface("vcan0", { kind: "vcan" }));
  const machine = memoryMachine({ ...well, files: { ...well.files, "/proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0", "/run/systemd/system/x": "" } });
  const hardware = hardwareOf(machine, await gatherFacts(machine));
  assert.deepEqual(hardware, {
    board: "Raspberry Pi 5 Model B Rev 1.0", can: [{ name: "can0", bitrateBps: 500_000, virtual: false }, { name: "vcan0", bitrateBps: undefined, virtual: true }],
    serial: ["/dev/serial/by-id/usb-hand"], watchdog: { device: "/dev/watchdog0", timeoutS: 15 }, preemptRt: true, systemd: true,
  });
  assert.equal(boardKind(hardware.board), "raspberryPi");
  assert.equal(boardKind("NVIDIA Jetson Orin Nano Developer Kit"), "jetson");
  assert.equal(boardKind(undefined), "other");
  const bare = memoryMachine({});
  assert.deepEqual(hardwareOf(bare, await gatherFacts(bare)), nothing);
});

test("a word for a bus is read as it is written, and refused with a reason", () => {
  assert.deepEqual(parseBuses("arm=can0@500000, can1@250000,vcan0"), { value: [{ name: "arm", interface: "can0", bitrateBps: 500_000 }, { name: "can1", interface: "can1", bitrateBps: 250_000 }, { name: "vcan0", interface: "vcan0", bitrateBps: undefined }] });
  assert.deepEqual(parseBuses("arm=can0@500000/2000000"), { value: [{ name: "arm", interface: "can0", bitrateBps: 500_000, dataBitrateBps: 2_000_000 }] });
  assert.deepEqual(parseBuses("none"), { value: [] });
  for (const wrong of ["", "arm=", "can0@5", "can0@2000000", "a=can0,b=can0", "a=can0,a=can1", "9=can0", "can0@500k", "arm=can0@500000@1", "can0/2000000", "can0@500000/", "can0@500000/250000", "can0@500000/30000000"]) assert.equal(typeof parseBuses(wrong), "string", wrong);
  assert.equal(showBuses([]), "none");
});

test("what is not there is named: it may be mistyped", () => {
  const hardware: Hardware = { ...nothing, can: [{ name: "can0", bitrateBps: undefined, virtual: false }], serial: ["/dev/serial/by-id/usb-hand"] };
  const bus = (name: string): Answers["buses"][number] => ({ name, interface: name, bitrateBps: 500_000 });
  assert.deepEqual(missingLinks({ buses: [bus("can0"), bus("can9")], serial: [{ name: "hand", port: "/dev/serial/by-id/usb-hand" }, { name: "foot", port: "/dev/serial/by-id/usb-foot" }, { name: "old", port: "/dev/ttyACM0" }] }, hardware), ["can9", "/dev/serial/by-id/usb-foot"]);
});

test("what is shown of a proposal is a valid answer, and means the proposal", () => {
  const hardware: Hardware = { ...nothing, can: [{ name: "can0", bitrateBps: undefined, virtual: false }], watchdog: { device: "/dev/watchdog0", timeoutS: 15 }, systemd: true };
  const fd: Hardware = { ...hardware, can: [{ name: "can0", bitrateBps: 500_000, dataBitrateBps: 2_000_000, virtual: false }] };
  assert.match(questions(fd, "x").find(({ key }) => key === "buses")!.shown, /^can0@500000\/2000000$/);
  for (const each of [nothing, hardware, fd]) {
    for (const { key, shown, proposal, parse } of questions(each, "Robot One!")) assert.deepEqual(parse(shown), { value: proposal }, key);
  }
  assert.equal(questions(nothing, "Robot One!")[0]!.proposal, "robot-one");
  assert.equal(questions(nothing, "…")[0]!.proposal, "my-robot");
  assert.ok(!isAsked(questions(nothing, "x").find(({ key }) => key === "watchdog")!, nothing));
});

test("answers are kept as they were given, whatever they are cut off at", () => {
  const asked = questions(nothing, "x");
  const given = new Map([["robot", "arm-7"], ["buses", "arm=can0@125000"]] as const);
  const text = saveAnswers(given);
  assert.deepEqual(loadAnswers(text, asked), given);
  for (let length = 0; length < text.length - 1; length++) {
    for (const [key, value] of loadAnswers(text.slice(0, length), asked)) assert.equal(value, given.get(key as "robot"));
  }
  // What has become invalid is asked again, and so is what is no answer at all.
  assert.deepEqual(loadAnswers("{\"robot\":\"No Name\",\"start\":true,\"other\":\"x\"}", asked), new Map());
  assert.deepEqual(complete(given, asked), { robot: "arm-7", buses: [{ name: "arm", interface: "can0", bitrateBps: 125_000 }], serial: [], watchdog: "none", start: true });
});

test("whatever is answered, the configuration is one that the gateway takes", () => {
  for (const robot of ["a", "my-arm", "007"]) {
    for (const buses of [[], [{ name: "arm", interface: "can0", bitrateBps: 500_000 }], [{ name: "arm", interface: "can0", bitrateBps: undefined }, { name: "base", interface: "can1", bitrateBps: 250_000, dataBitrateBps: 1_000_000 }]]) {
      for (const serial of [[], [{ name: "hand", port: "/dev/serial/by-id/usb-hand" }]]) {
        const config = configOf(configurationText({ robot, buses, serial }));
        assert.equal(config.robot, robot);
        assert.equal(config.buses.length, Math.max(1, buses.length));
        assert.deepEqual(config.buses.filter(({ fd }) => fd).map(({ dataBitrateBps }) => dataBitrateBps), buses.flatMap((each) => ("dataBitrateBps" in each ? [each.dataBitrateBps] : [])));
        assert.equal(config.serial.length, serial.length);
        assert.equal(config.commands.length, 0);
        assert.ok(config.buses.every(({ listenOnly }) => listenOnly), "a bus that setup writes only listens");
      }
    }
  }
  assert.deepEqual(parseSerial("hand=/dev/ttyACM0"), { value: [{ name: "hand", port: "/dev/ttyACM0" }] });
  for (const wrong of ["hand", "hand=ttyACM0", "hand=/dev/a,hand=/dev/b"]) assert.equal(typeof parseSerial(wrong), "string", wrong);
});

test("a configuration without hardware opens nothing", () => {
  const { dropIns, units, reasons } = needsOf(configOf(configurationText(answers)), answers);
  assert.deepEqual([...dropIns], []);
  assert.deepEqual(reasons, []);
  assert.deepEqual(units, ["ipcnet-bus.service", "ipcnet-reflex@a.service", "ipcnet-reflex@b.service", "ipcnetd@a.service", "ipcnetd@b.service"]);
});

const withLinks = (more: string): Config => configOf(`version: 1\nrobot: r\nbuses: [ { name: arm, interface: can0, optional: true } ]\n${more}\n`);

test("what the configuration names is opened for the service that needs it, and for no other", () => {
  const of = (more: string, watchdog: Answers["watchdog"] = "none"): { reflex: string; brain: string; units: readonly string[] } => {
    const { dropIns, units } = needsOf(withLinks(more), { watchdog });
    return { reflex: dropIns.get("ipcnet-reflex@.service") ?? "", brain: dropIns.get("ipcnetd@.service") ?? "", units };
  };
  const pair = "redundancy: { reflex: pair, brains: pair }";
  assert.deepEqual(of(pair), { reflex: "", brain: "", units: ["ipcnet-reflex@a.service", "ipcnet-reflex@b.service", "ipcnetd@a.service", "ipcnetd@b.service"] });
  // The watchdog: the device and the argument, in the reflex alone.
  const fed = of(pair, "reflex");
  assert.match(fed.reflex, /^BindPaths=-\/dev\/watchdog0\nDeviceAllow=char-watchdog rw$/m);
  const plain = withLinks(pair);
  const powerFail = { chip: "/dev/gpiochip4", line: 17, activeLow: true, debounceUs: 0 };
  assert.match(needsOf({ ...plain, safePose: { ...plain.safePose, powerFail } }, { watchdog: "none" }).dropIns.get("ipcnet-reflex@.service")!, /^BindPaths=-\/dev\/gpiochip4\nDeviceAllow=char-gpiochip rw$/m);
  assert.match(fed.reflex, /^ExecStart=\nExecStart=.*--watchdog \/dev\/watchdog0 \$REFLEX_OPTIONS$/m);
  assert.equal(fed.brain, "");
  assert.equal(of(pair, "systemd").reflex, "");
  // A gateway that opens the bus itself; one that must not be able to.
  assert.match(of("").brain, /^RestrictAddressFamilies=AF_UNIX AF_CAN AF_NETLINK$/m);
  assert.deepEqual(of("").units, ["ipcnetd@a.service"]);
  assert.doesNotMatch(of(pair).brain, /AF_CAN/);
  assert.match(of("redundancy: { reflex: single }").reflex, /--alone/);
  // Networks: local brokers leave the packet filter closed.
  const local = of(`${pair}\nmqtt: { broker: { listen: { host: 127.0.0.1, port: 1883 } } }`);
  assert.match(local.brain, /^RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6$/m);
  assert.doesNotMatch(local.brain, /IPAddressDeny/);
  assert.match(of(`${pair}\nmqtt: { clients: [ { name: cloud, url: "mqtt://192.0.2.7:1883" } ] }`).brain, /^IPAddressDeny=$/m);
  // Devices.
  assert.match(of(`${pair}\nserial: [ { name: hand, port: /dev/ttyACM0, optional: true } ]`).brain, /^SupplementaryGroups=dialout$/m);
  const granted = of(`${pair}\nresources: [ { name: camera, device: /dev/video0, modes: [read] } ]`).brain;
  assert.match(granted, /^DeviceAllow=\/dev\/video0 rw$/m);
  assert.doesNotMatch(granted, /dialout/);
  // The client socket for another group than the service's own.
  assert.equal(of(`${pair}\nsocket: { mode: "0660", group: ipcnet }`).brain, "");
  assert.match(of(`${pair}\nsocket: { mode: "0660", group: operators }`).brain, /^SupplementaryGroups=operators\nSystemCallFilter=@chown$/m);
  for (const { reflex, brain } of [fed, local]) for (const text of [reflex, brain]) assert.ok(text === "" || text.startsWith(`${MARK}\n[Service]\n`));
});

test("for a reflex that may send somebody purges its own interfaces, and it has no capability itself; one that listens needs nobody", () => {
  const text = (more: string): string => `version: 1\nrobot: r\nbuses: [ { name: arm, interface: can0, optional: true } ]\nredundancy: { reflex: pair }\n${more}\n`;
  const config = configOf(text(""));
  assert.equal(needsOf(config, { watchdog: "none" }).dropIns.size, 0);
  const sends: Config = { ...config, safePose: { ...config.safePose, plan: "arm.plan.yaml" } };
  const purge = (buses: readonly Partial<Config["buses"][number]>[]): { text: string | undefined; units: readonly string[]; leftOut: readonly string[] } => {
    const needs = needsOf({ ...sends, buses: buses.map((each) => ({ ...config.buses[0]!, ...each })) }, { watchdog: "none" });
    assert.equal(needs.dropIns.get("ipcnet-reflex@.service"), undefined);
    return { text: needs.dropIns.get("ipcnet-purge.service"), units: needs.units, leftOut: needs.leftOut };
  };
  assert.match(purge([{}]).text!, /^ExecStart=\nExecStart=\/usr\/lib\/ipcnet\/dist\/native\/ipcnet-purge --peer ipcnet can0$/m);
  assert.deepEqual(purge([{}]).units.slice(0, 2), ["ipcnet-purge.service", "ipcnet-reflex@a.service"]);
  // Its own, and no other; never a name that would mean something else in a unit.
  const mixed = purge([{}, { interface: "can1", listenOnly: true }, { interface: "/run/ipcnet/demo-bus.sock", driver: "emulator" }, { interface: "base-can.2" }, { interface: "--peer" }, { interface: "can%n" }, { interface: "can$A" }, { interface: "a\nUser=root" }, { interface: "a name" }]);
  assert.match(mixed.text!, /--peer ipcnet can0 base-can\.2$/m);
  assert.doesNotMatch(mixed.text!, /User=/);
  assert.deepEqual(mixed.leftOut.map((each) => each.slice(0, each.indexOf(": "))), ['"--peer"', '"can%n"', '"can$A"', '"a\\nUser=root"', '"a name"'], "and those are told");
  assert.deepEqual(purge([{}, { interface: "can%n", listenOnly: true }]).leftOut, []);
  assert.equal(purge([{ listenOnly: true }]).text, undefined);
  assert.ok(!purge([{ listenOnly: true }]).units.includes("ipcnet-purge.service"));
  assert.equal(needsOf({ ...sends, redundancy: { ...sends.redundancy, reflex: "none" } }, { watchdog: "none" }).dropIns.get("ipcnet-purge.service"), undefined);
});

test("running means that each one has its other one", () => {
  const units = ["ipcnet-reflex@a.service", "ipcnet-reflex@b.service", "ipcnetd@a.service", "ipcnetd@b.service"];
  const reflex = (instance: string, role: string): ReflexAnswer => ({ instance, there: true, healthy: true, tableIsOurs: true, role, twinSeenMsAgo: 1 });
  const well = { active: "a", standby: { instance: "b", ready: true }, reflexes: [reflex("a", "owner"), reflex("b", "standby")] };
  assert.equal(missingOf(well, units), undefined);
  assert.equal(missingOf({}, ["ipcnetd@a.service"]), undefined);
  const wrong: [GatewayAnswer | undefined, RegExp][] = [
    [undefined, /does not answer/], [{ ...well, standby: undefined }, /second gateway/], [{ ...well, standby: { instance: "b", ready: false } }, /second gateway/],
    [{ ...well, reflexes: [well.reflexes[0]!] }, /missing/], [{ ...well, reflexes: well.reflexes.map((each) => ({ ...each, twinSeenMsAgo: undefined })) }, /a does not see its twin/],
    [{ ...well, reflexes: well.reflexes.map((each) => ({ ...each, role: "standby" })) }, /owns/], [{ ...well, reflexes: [reflex("a", "owner"), { instance: "b", there: false }] }, /b does not answer/],
    [{ ...well, reflexes: [reflex("a", "owner"), { ...reflex("b", "standby"), tableIsOurs: false }] }, /b is not ready/],
  ];
  for (const [answer, what] of wrong) assert.match(missingOf(answer, units) ?? "", what);
});

test("what runs is stopped first where another configuration is to be in force, but never while the robot is armed", () => {
  const well = { runs: true, written: false, answer: { state: "disarmed", hash: "old" }, hash: "old" };
  assert.equal(toBeInForce(well), "start");
  assert.equal(toBeInForce({ ...well, hash: "new" }), "restart", "a person has changed the file itself");
  assert.equal(toBeInForce({ ...well, written: true }), "restart");
  assert.equal(toBeInForce({ ...well, written: true, answer: { state: "posed", hash: "old" } }), "restart");
  assert.deepEqual(toBeInForce({ ...well, hash: "new", answer: { state: "armed", hash: "old" } }), { not: "the gateway is armed" });
  assert.deepEqual(toBeInForce({ ...well, written: true, answer: undefined }), { not: "the gateway does not answer" });
  // Nothing to put in force, and nobody answers: what is missing is started.
  assert.equal(toBeInForce({ ...well, answer: undefined }), "start");
  assert.equal(toBeInForce({ runs: false, written: true, answer: undefined, hash: "new" }), "start");
});

test("a file of a person's is kept before it is replaced, each time under a new name, and never removed", () => {
  const there = new Map([["/a", "mine\n"], ["/a.before-setup-1", "older\n"], ["/own", `${MARK}\nx\n`], ["/same", "s"], ["/foreign", "f"]]);
  const changes = changesOf({ wanted: new Map([["/a", "new\n"], ["/own", undefined], ["/same", "s"], ["/foreign", undefined], ["/fresh", "n"], ["/none", undefined]]), read: (path) => there.get(path), isOwn: (text) => text.startsWith(MARK) });
  assert.deepEqual(changes.map(({ path, backup, after }) => [path, backup, after]), [["/a", "/a.before-setup-2", "new\n"], ["/own", undefined, undefined], ["/fresh", undefined, "n"]]);
});

test("the difference of two files, and nothing but", () => {
  assert.deepEqual(differenceOf("a\nb\nc\n", "a\nB\nc\n"), ["  a", "- b", "+ B", "  c"]);
  assert.deepEqual(differenceOf(undefined, "a\nb\n"), ["+ a", "+ b"]);
  assert.deepEqual(differenceOf("a\n", undefined), ["- a"]);
  assert.deepEqual(differenceOf("same\n", "same\n"), []);
  const long = Array.from({ length: 40 }, (_each, at) => `line ${at}`);
  const changed = long.with(20, "other");
  assert.deepEqual(differenceOf(long.join("\n"), changed.join("\n")), ["…", "  line 17", "  line 18", "  line 19", "- line 20", "+ other", "  line 21", "  line 22", "  line 23", "…"]);
});
