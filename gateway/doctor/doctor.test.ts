import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { checkConfig } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import { needsOf } from "../setup/needs.ts";
import type { Check, Group } from "./check.ts";
import { groupNames } from "./check.ts";
import { examine, tally } from "./examine.ts";
import type { GatewayAnswer } from "./gateway.ts";
import { realMachine } from "./machine.ts";
import { canInterface, memoryMachine, wellMachine, type MadeUp } from "./memoryMachine.ts";

const runs: GatewayAnswer = { reached: true, version: "0.1.0", findings: [], reflexes: [] };
const absent: GatewayAnswer = { reached: false, permitted: true, reason: "no gateway answers" };

function look(madeUp: MadeUp, { gateway = runs, only }: { gateway?: GatewayAnswer; only?: Group } = {}): Promise<Check[]> {
  return examine({ machine: memoryMachine(madeUp), addonFolder: "/build/native", version: "0.1.0", askGateway: () => Promise.resolve(gateway), ...(only ? { only } : {}) });
}

function one(checks: readonly Check[], id: string): Check {
  const found = checks.filter((check) => check.id === id);
  assert.equal(found.length, 1, `${id} among ${checks.map((check) => check.id).join(" ")}`);
  return found[0]!;
}

function change(madeUp: MadeUp, files: Record<string, string | undefined>): MadeUp {
  const all = Object.entries({ ...madeUp.files, ...files }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { ...madeUp, files: Object.fromEntries(all) };
}

test("a machine as it should be: nothing to say", async () => {
  const checks = await look(wellMachine(canInterface("can0")));
  assert.deepEqual(checks.filter(({ result }) => result !== "ok"), []);
  assert.equal(tally(checks).worst, "ok");
  assert.deepEqual(new Set(checks.map(({ group }) => group)), new Set(groupNames));
  assert.match(one(checks, "can.can0.bitrate").evidence, /500000 bit\/s/);
});

test("CAN interfaces set up the way people set them up", async () => {
  const checks = await look(wellMachine(
    canInterface("can0", { queue: 1000, restartMs: 100, modes: [] }), canInterface("can1", { up: false }), canInterface("can2", { state: "BUS-OFF" }),
    canInterface("can3", { state: "ERROR-PASSIVE" }), canInterface("can4", { modes: ["LISTEN-ONLY", "BERR-REPORTING"] }), canInterface("vcan0", { kind: "vcan", queue: 1000 }),
    canInterface("can5", { state: "BUS-OFF", restartMs: 100 }), canInterface("can6", { up: false, bitrate: 0 }),
  ));
  assert.deepEqual(one(checks, "can.can0.queue"), { id: "can.can0.queue", group: "can", result: "warning", evidence: "txqueuelen 1000: so many stale commands can wait in the kernel and be sent when the bus comes back", fix: "sudo ip link set can0 txqueuelen 16" });
  assert.equal(one(checks, "can.can0.restart").result, "warning");
  assert.match(one(checks, "can.can0.berr").fix!, /berr-reporting on/);
  assert.equal(one(checks, "can.can1.state").result, "problem");
  assert.equal(one(checks, "can.can1.state").fix, "sudo ip link set can1 up", "its bit rate is set");
  assert.equal(one(checks, "can.can6.state").fix, "sudo ip link set can6 up type can bitrate 500000");
  assert.equal(one(checks, "can.can2.state").result, "problem");
  assert.match(one(checks, "can.can2.state").fix!, /type can restart/);
  assert.match(one(checks, "can.can5.state").fix!, /can5 down && sudo ip link set can5 up$/);
  assert.equal(one(checks, "can.can3.state").result, "warning");
  assert.equal(one(checks, "can.can4.mode").result, "warning");
  assert.deepEqual(checks.filter(({ id }) => id.startsWith("can.vcan0.")).map(({ id, result }) => [id, result]), [["can.vcan0.state", "ok"]]);
});

test("without ip, or with one that has no JSON, what it would tell is unknown, the rest is not", async () => {
  const well = wellMachine(canInterface("can0"));
  for (const answer of [undefined, { code: 1, stderr: "ip: invalid option" }, { stdout: "1: lo: <LOOPBACK>" }]) {
    const commands = { ...well.commands };
    if (answer) commands["ip -details -json link show"] = answer;
    else delete commands["ip -details -json link show"];
    const checks = await look({ ...well, commands }, { only: "can" });
    assert.deepEqual(checks.map(({ id, result }) => [id, result]), [
      ["can.family", "ok"], ["can.interfaces", "ok"], ["can.can0.state", "ok"], ["can.can0.queue", "ok"], ["can.can0.bitrate", "unknown"], ["can.can0.restart", "unknown"], ["can.can0.berr", "unknown"],
    ]);
  }
});

test("no CAN in the kernel, CAN as a module, CAN without interfaces", async () => {
  const none = change(wellMachine(), { "/proc/net/protocols": "protocol\nTCP\n" });
  assert.deepEqual((await look(none, { only: "can" })).map(({ id, result }) => [id, result]), [["can.family", "warning"]]);
  const module = change(none, { "/lib/modules/6.6.31+rpt-rpi-v8-rt/modules.dep": "kernel/net/can/can-raw.ko.xz: kernel/net/can/can.ko.xz\n" });
  assert.deepEqual((await look(module, { only: "can" })).map(({ id, result }) => [id, result]), [["can.family", "ok"], ["can.interfaces", "warning"]]);
});

test("old kernels, old Node, missing or broken C parts", async () => {
  const old = await look({ ...change(wellMachine(), { "/proc/sys/kernel/osrelease": "4.19.0-25\n", "/build/native/ipcnet_can.node": undefined }), nodeVersion: "18.20.0" });
  assert.equal(one(old, "kernel.sealing").result, "problem");
  assert.equal(one(old, "node.version").result, "problem");
  assert.equal(one(old, "node.addons").fix, "npm run build");
  const middle = await look(change(wellMachine(), { "/proc/sys/kernel/osrelease": "6.1.0-13-amd64\n" }));
  assert.deepEqual(middle.filter(({ group, result }) => group === "kernel" && result !== "ok").map(({ id, result }) => [id, result]), [["kernel.memoryExec", "warning"], ["kernel.peerPidfd", "warning"]]);
  const broken = await look({ ...wellMachine(), commands: { node: { code: 1, stderr: "node:internal\n\nError: libfoo.so: cannot open shared object file\n    at" } } });
  assert.match(one(broken, "node.addon.ipcnet_can").evidence, /libfoo\.so: cannot open/);
});

test("permissions: groups, capabilities, serial ports", async () => {
  const bare = { ...change(wellMachine(canInterface("can0")), { "/proc/self/status": "CapEff:\t0000000000000000\n", "/proc/self/limits": "Max open files            256                4096                files\nMax realtime priority     0                    0\nMax locked memory         8388608              8388608              bytes\n" }), gids: [1000], usable: [] };
  const checks = await look(bare);
  for (const id of ["permissions.netAdmin", "permissions.group", "permissions.openFiles", "realtime.priority", "realtime.memory"]) assert.equal(one(checks, id).result, "warning", id);
  assert.equal(one(checks, "permissions.netRaw").result, "ok");
  assert.match(one(checks, "serial.port.usb-hand").fix!, /usermod -aG dialout/);
  const noCan = await look({ ...bare, files: Object.fromEntries(Object.entries(bare.files!).filter(([path]) => !path.includes("can0"))) });
  assert.equal(one(noCan, "permissions.netAdmin").result, "ok");
});

test("the MQTT port: free, taken by a stranger, held by our own gateway", async () => {
  const taken = change(wellMachine(), { "/proc/net/tcp6": "  sl  local_address\n   0: 00000000000000000000000000000000:075B 00000000000000000000000000000000:0000 0A 0\n" });
  assert.equal(one(await look(wellMachine()), "mqtt.port").result, "ok");
  assert.equal(one(await look(taken, { gateway: absent }), "mqtt.port").result, "warning");
  assert.equal(one(await look(taken), "mqtt.port").result, "ok");
});

test("watchdog, clock, governor, preemption", async () => {
  const slow = change(wellMachine(), {
    "/sys/class/watchdog/watchdog0/timeout": "600\n", "/sys/class/watchdog/watchdog0/state": "inactive\n", "/sys/class/watchdog/watchdog0/bootstatus": "32\n", "/proc/version": "Linux version 6.1.0 #1 SMP PREEMPT_DYNAMIC\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n", "/sys/devices/system/clocksource/clocksource0/available_clocksource": "hpet acpi_pm tsc\n", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
  });
  const checks = await look(slow);
  for (const id of ["watchdog.watchdog0.use", "watchdog.watchdog0.timeout", "watchdog.watchdog0.lastStart", "realtime.preemption", "realtime.clock", "realtime.governor"]) assert.equal(one(checks, id).result, "warning", id);
  assert.match(one(checks, "realtime.clock").fix!, /echo tsc/);
});

test("the running gateway: absent, forbidden, older, ill", async () => {
  assert.deepEqual((await look(wellMachine(), { gateway: absent, only: "gateway" })).map(({ id, result }) => [id, result]), [["gateway.running", "warning"], ["gateway.health", "unknown"]]);
  assert.equal((await look(wellMachine(), { gateway: { ...absent, permitted: false }, only: "gateway" }))[0]!.result, "problem");
  const ill = await look(wellMachine(), { gateway: { reached: true, version: "0.0.9", reflexes: [], findings: [{ severity: "bad", text: "can arm is dead" }] }, only: "gateway" });
  assert.deepEqual(ill.map(({ id, result }) => [id, result]), [["gateway.running", "ok"], ["gateway.version", "warning"], ["gateway.health", "problem"]]);
});

test("whatever is missing or strange: unique ids, evidence always, a fix wherever something is wrong, no contradiction", async () => {
  const well = wellMachine(canInterface("can0"), canInterface("vcan0", { kind: "vcan" }));
  const paths = Object.keys(well.files!);
  const oddities = fc.constantFrom(undefined, "", "garbage", "-1", "99999999999", "\u0000\u0001", "280");
  const edits = fc.array(fc.tuple(fc.constantFrom(...paths), oddities), { maxLength: 12 });
  const commands = fc.subarray(Object.keys(well.commands!));
  await fc.assert(fc.asyncProperty(edits, commands, fc.constantFrom(runs, absent), async (changes, kept, gateway) => {
    const machine = { ...change(well, Object.fromEntries(changes)), commands: Object.fromEntries(kept.map((name) => [name, well.commands![name]!])) };
    const checks = await look(machine, { gateway });
    assert.equal(new Set(checks.map(({ id }) => id)).size, checks.length, "an id twice");
    for (const check of checks) {
      assert.notEqual(check.evidence, "");
      assert.ok(check.id.startsWith(`${check.group}.`));
      if (check.result === "warning" || check.result === "problem") assert.ok(check.fix, check.id);
    }
    const family = one(checks, "can.family");
    const ofInterfaces = checks.filter(({ id }) => /^can\.v?can0\./.test(id));
    assert.ok(family.result === "ok" || ofInterfaces.length === 0, "interfaces without CAN");
    assert.ok(gateway.reached || one(checks, "gateway.health").result === "unknown", "a gateway that is not there is judged");
  }), { numRuns: 300 });
});

test("this machine, for real: every group answers", async () => {
  const checks = await examine({ machine: realMachine, addonFolder: "/nowhere", version: "0.1.0", askGateway: () => Promise.resolve(absent) });
  assert.deepEqual(new Set(checks.map(({ group }) => group)), new Set(groupNames));
  assert.equal(one(checks, "kernel.version").result, "ok");
});

test("bus processes: the program, their folders, and what each was granted", async () => {
  const reflex = { instance: "a" as const, there: true, reason: "", role: "owner", epoch: 3, pid: 9, uptimeMs: 1, tableIsOurs: true, healthy: true, realtime: false, watchdog: false, twinSeenMsAgo: 1, lateTurns: 0, turnMsMax: 1, takeovers: 0, plansRun: 0, plansResumed: 0, sentFrames: 0, refused: {} };
  const machine = wellMachine();
  const checks = await look({ ...machine, usable: [] }, { only: "reflex", gateway: { ...runs, reflexes: [reflex, { ...reflex, instance: "b", there: false, reason: "nobody listens", role: "" }] } });
  assert.deepEqual(checks.map(({ id, result }) => [id, result]), [
    ["reflex.program", "ok"], ["reflex.state", "warning"], ["reflex.lock", "warning"], ["reflex.a.realtime", "warning"], ["reflex.a.watchdog", "warning"], ["reflex.b.realtime", "problem"], ["reflex.b.watchdog", "ok"],
  ]);
  assert.equal(one(await look(change(machine, { "/build/native/ipcnet-reflex": undefined }), { only: "reflex" }), "reflex.program").result, "problem");
});

test("a configuration that was changed behind setup's back", async () => {
  const wants = (...units: string[]): Record<string, string> => Object.fromEntries(units.map((unit) => [`/etc/systemd/system/ipcnet.target.wants/${unit}`, ""]));
  const all = ["ipcnet-reflex@a.service", "ipcnet-reflex@b.service", "ipcnetd@a.service", "ipcnetd@b.service"];
  const robot = (redundancy: string, more = ""): string => `version: 1\nrobot: r\nbuses: [ { name: arm, interface: can0, optional: true } ]\nredundancy: { ${redundancy} }\n${more}`;
  const installed = { "/usr/lib/systemd/system/ipcnet.target": "" };
  const reflexDropIn = "/etc/systemd/system/ipcnet-reflex@.service.d/50-ipcnet-setup.conf";
  const brainDropIn = "/etc/systemd/system/ipcnetd@.service.d/50-ipcnet-setup.conf";
  const at = async (files: Record<string, string>): Promise<[string, string][]> => (await look(change(wellMachine(), files), { only: "units" })).filter(({ result }) => result !== "ok").map(({ id, result }) => [id, result]);
  assert.deepEqual(await at({}), []);
  assert.deepEqual(await at(installed), [["units.installed", "warning"]]);
  const config = "/etc/ipcnet/ipcnet.yaml";
  const well = { ...installed, ...wants(...all), [config]: robot("reflex: pair, brains: pair") };
  assert.deepEqual(await at(well), []);
  assert.deepEqual(await at({ ...installed, ...wants(...all) }), [["units.configuration", "unknown"]]);
  assert.deepEqual(await at({ ...well, [config]: "version: 1\nbusses: []\n" }), [["units.configuration", "problem"]]);
  // The gateway itself would have to open the bus, and may not; the bus processes still start.
  assert.deepEqual(await at({ ...well, [config]: robot("reflex: none, brains: pair") }), [["units.ipcnetd@.service", "problem"], ["units.enabled", "problem"]]);
  assert.deepEqual(await at({ ...well, ...wants("ipcnet-bus.service") }), [["units.enabled", "problem"]]);
  assert.deepEqual(await at({ ...well, [config]: robot("reflex: pair, brains: pair", "serial: [ { name: hand, port: /dev/ttyACM0, optional: true } ]\n") }), [["units.ipcnetd@.service", "problem"]]);
  assert.deepEqual(await at({ ...well, [brainDropIn]: "# Written by ipcnet setup\n[Service]\nSupplementaryGroups=dialout\n" }), [["units.ipcnetd@.service", "warning"]]);
  // Who feeds the watchdog is setup's to know: it is kept.
  const fed = needsOf(configOfText(robot("reflex: pair, brains: pair")), { watchdog: "reflex" }).dropIns.get("ipcnet-reflex@.service")!;
  assert.deepEqual(await at({ ...well, [reflexDropIn]: fed }), []);
  const checks = await look(change(wellMachine(), { ...well, [reflexDropIn]: fed, ...wants("ipcnet-bus.service") }), { only: "units" });
  assert.equal(one(checks, "units.enabled").fix, "sudo ipcnet setup --yes --config /etc/ipcnet/ipcnet.yaml --watchdog reflex");
});

function configOfText(text: string): Config {
  const { config } = checkConfig({ text, file: "/etc/ipcnet/ipcnet.yaml", readFile: () => ({ fault: "none" }) });
  assert.ok(config);
  return config;
}
