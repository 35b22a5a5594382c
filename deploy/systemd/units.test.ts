/** The units as shipped: how open each is, and whether systemd understands them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../../gateway/cli/root.ts";
import { allUnits, needsOf, PURGE_START, REFLEX_START } from "../../gateway/setup/needs.ts";
import { sources } from "../package/tree.ts";
import { checkConfig } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";

const folder = join(projectRoot(), "deploy/systemd");
const version = Number(/^systemd (\d+)/.exec(spawnSync("systemd-analyze", ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1] ?? "0");
const skip = version >= 250 ? false : "needs systemd-analyze of systemd 250 or newer";
/** The most exposure that a unit may have; ten times it, as systemd-analyze counts. */
const tenthsMax: Readonly<Record<string, number>> = { "ipcnet-reflex@.service": 11, "ipcnetd@.service": 12, "ipcnet-can@.service": 12, "ipcnet-bus.service": 12, "ipcnet-purge.service": 11 };

test("each unit is at most so open", { skip }, (t) => {
  const at = mkdtempSync(join(tmpdir(), "ipcnet-units-"));
  t.after(() => rmSync(at, { recursive: true }));
  const services = readdirSync(folder).filter((name) => name.endsWith(".service"));
  assert.deepEqual(services.sort(), Object.keys(tenthsMax).sort());
  for (const name of services) {
    writeFileSync(join(at, name), readFileSync(join(folder, name)));
    const { status, stdout, stderr } = spawnSync("systemd-analyze", ["security", "--offline=true", `--threshold=${tenthsMax[name]! + 1}`, "--no-pager", `./${name}`], { encoding: "utf8", cwd: at });
    const score = Number(/: (\d+\.\d+) \w+/.exec(stdout)?.[1] ?? "NaN");
    assert.ok(score <= tenthsMax[name]! / 10, `${name}: exposure ${score} (exit ${String(status)}) ${stderr}`);
    t.diagnostic(`${name}: ${score}`);
  }
});

/** With what setup opens for a configuration; docs/decisions/0043-debian-package.md says what the dearer ones would take. */
const opened: readonly { what: string; unit: "ipcnet-reflex@.service" | "ipcnetd@.service" | "ipcnet-purge.service"; tenthsMax: number; more?: string; watchdog?: "reflex"; alter?: (config: Config) => Config }[] = [
  { what: "the hardware watchdog", unit: "ipcnet-reflex@.service", tenthsMax: 11, watchdog: "reflex" },
  { what: "a power-fail line", unit: "ipcnet-reflex@.service", tenthsMax: 11, alter: (config) => ({ ...config, safePose: { ...config.safePose, powerFail: { chip: "/dev/gpiochip0", line: 17, activeLow: true, debounceUs: 0 } } }) },
  { what: "commands on a real bus", unit: "ipcnet-purge.service", tenthsMax: 11, alter: (config) => ({ ...config, safePose: { ...config.safePose, plan: "arm.plan.yaml" } }) },
  { what: "commands on a real bus, the watchdog", unit: "ipcnet-reflex@.service", tenthsMax: 11, watchdog: "reflex", alter: (config) => ({ ...config, safePose: { ...config.safePose, plan: "arm.plan.yaml" } }) },
  { what: "an MQTT broker here", unit: "ipcnetd@.service", tenthsMax: 15, more: "mqtt: { broker: { listen: { host: 127.0.0.1, port: 1883 } } }" },
  { what: "an MQTT broker elsewhere", unit: "ipcnetd@.service", tenthsMax: 16, more: "mqtt: { clients: [ { name: cloud, url: \"mqtt://192.0.2.7:1883\" } ] }" },
  { what: "serial links", unit: "ipcnetd@.service", tenthsMax: 15, more: "serial: [ { name: hand, port: /dev/ttyACM0, optional: true } ]" },
  { what: "a camera to grant", unit: "ipcnetd@.service", tenthsMax: 14, more: "resources: [ { name: camera, device: /dev/video0, modes: [read] } ]" },
];

test("each unit is at most so open with what setup opens in it", { skip }, (t) => {
  const at = mkdtempSync(join(tmpdir(), "ipcnet-units-"));
  t.after(() => rmSync(at, { recursive: true }));
  for (const { what, unit, tenthsMax: most, more = "", watchdog = "none", alter = (config: Config): Config => config } of opened) {
    const { config, faults } = checkConfig({ text: `version: 1\nrobot: r\nbuses: [ { name: arm, interface: can0, optional: true } ]\nredundancy: { reflex: pair, brains: pair }\n${more}\n`, file: "/etc/ipcnet/ipcnet.yaml", readFile: () => ({ fault: "none" }) });
    assert.ok(config, `${what}: ${faults.map(({ code }) => code).join(" ")}`);
    const dropIn = needsOf(alter(config), { watchdog }).dropIns.get(unit);
    assert.ok(dropIn, `${what} opens nothing`);
    // What comes later in a unit is what a drop-in says.
    writeFileSync(join(at, unit), `${readFileSync(join(folder, unit), "utf8").replace(/\n\[Install\][^]*$/, "\n")}${dropIn}`);
    const { stdout } = spawnSync("systemd-analyze", ["security", "--offline=true", "--no-pager", `./${unit}`], { encoding: "utf8", cwd: at });
    const score = Number(/: (\d+\.\d+) \w+/.exec(stdout)?.[1] ?? "NaN");
    t.diagnostic(`${what}: ${unit} ${score}`);
    assert.ok(score <= most / 10, `${what}: ${unit} ${score}`);
  }
});

test("systemd understands every line", { skip }, (t) => {
  const at = mkdtempSync(join(tmpdir(), "ipcnet-units-"));
  t.after(() => rmSync(at, { recursive: true }));
  // The programs are not installed here: any that is stands for them.
  for (const name of readdirSync(folder).filter((each) => /\.(?:service|socket|target)$/.test(each))) writeFileSync(join(at, name), readFileSync(join(folder, name), "utf8").replaceAll(/^(Exec\w+)=\S+/gm, "$1=/bin/true").replaceAll(/^((?:Socket)?(?:User|Group))=.*/gm, "$1=daemon"));
  for (const name of ["ipcnet-reflex@a.service", "ipcnetd@b.service", "ipcnet-bus.service", "ipcnet-can@can0.service", "ipcnet-purge.service", "ipcnet-purge.socket", "ipcnet.target"]) {
    const { stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", name], { encoding: "utf8", cwd: at, env: { ...process.env, SYSTEMD_UNIT_PATH: `${at}:` } });
    const ours = stderr.split("\n").filter((line) => line.includes("ipcnet") && !/dbus\.socket|network\.target/.test(line));
    assert.deepEqual(ours, [], name);
  }
});

test("every unit that setup decides about is shipped, and belongs to the target", () => {
  for (const unit of allUnits) {
    const text = readFileSync(join(folder, unit.replace(/@[ab]\./, "@.")), "utf8");
    assert.match(text, /^WantedBy=ipcnet\.target$/m, unit);
    assert.match(text, /^PartOf=ipcnet\.target$/m, unit);
  }
  // What a drop-in replaces is what is there.
  assert.ok(readFileSync(join(folder, "ipcnet-reflex@.service"), "utf8").includes(`\n${REFLEX_START} $REFLEX_OPTIONS\n`));
  assert.ok(readFileSync(join(folder, "ipcnet-purge.service"), "utf8").includes(`\n${PURGE_START}\n`));
});

test("the target is stopped last: whoever stops it waits until all is at rest", () => {
  for (const unit of ["ipcnet-bus.service", "ipcnet-purge.service", "ipcnet-reflex@.service", "ipcnetd@.service"]) assert.match(readFileSync(join(folder, unit), "utf8"), /^After=ipcnet\.target\b/m, unit);
});

test("the gateways are stopped one after the other, so that the last one is alone and runs the safe pose", () => {
  assert.match(readFileSync(join(folder, "ipcnetd@b.service.d/10-order.conf"), "utf8"), /^\[Unit\]\nAfter=ipcnetd@a\.service$/m);
  assert.ok(sources.some(([, to]) => to === "usr/lib/systemd/system/ipcnetd@b.service.d/10-order.conf"), "it is in the package");
});

test("who purges is there before the bus processes, and is stopped after them", () => {
  assert.match(readFileSync(join(folder, "ipcnet-purge.service"), "utf8"), /^Before=ipcnet-reflex@a\.service ipcnet-reflex@b\.service$/m);
  assert.match(readFileSync(join(folder, "ipcnet-reflex@.service"), "utf8"), /^After=.* ipcnet-purge\.service /m);
});

test("nothing that may own a bus has a capability", () => {
  for (const unit of ["ipcnet-reflex@.service", "ipcnetd@.service"]) assert.match(readFileSync(join(folder, unit), "utf8"), /^CapabilityBoundingSet=\nAmbientCapabilities=$/m, unit);
  assert.match(readFileSync(join(folder, "ipcnet-purge.socket"), "utf8"), /^SocketUser=ipcnet\nSocketGroup=ipcnet\nSocketMode=0600$/m);
});

test("no socket is made for somebody in a folder that is his: a link in its place would give him what it names", () => {
  const theirs = [...readFileSync(join(folder, "../host/tmpfiles.conf"), "utf8").matchAll(/^d (\S+) \d+ (?!root\b)/gm)].map(([, path]) => path!);
  assert.ok(theirs.includes("/run/ipcnet"));
  for (const name of readdirSync(folder).filter((each) => each.endsWith(".socket"))) {
    const text = readFileSync(join(folder, name), "utf8");
    const [, path] = /^Listen\w+=(\/\S+)$/m.exec(text)!;
    if (/^SocketUser=(?!root$)/m.test(text)) assert.ok(!theirs.some((each) => path!.startsWith(`${each}/`)), `${name}: ${path}`);
    assert.ok(readFileSync(join(folder, "ipcnet-reflex@.service"), "utf8").includes(` --purge ${path} `), "and the bus processes look for it there");
  }
});

test("the gateway's unit shows it other processes, or no client is known by its own", () => assert.doesNotMatch(readFileSync(join(folder, "ipcnetd@.service"), "utf8"), /^ProtectProc=/m));

test("nothing asks for what systemd 249 does not know", () => {
  for (const name of readdirSync(folder).filter((each) => each.endsWith(".service"))) {
    for (const key of ["FileDescriptorStorePreserve", "RestartSteps", "RestartMaxDelaySec", "RestartMode", "OpenFile"]) assert.doesNotMatch(readFileSync(join(folder, name), "utf8"), new RegExp(`^${key}=`, "m"), `${name}: ${key}`);
  }
});
