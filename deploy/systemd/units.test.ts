/** The units as shipped: how open each is, and whether systemd understands them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../../gateway/cli/root.ts";
import { allUnits, REFLEX_START } from "../../gateway/setup/needs.ts";

const folder = join(projectRoot(), "deploy/systemd");
const version = Number(/^systemd (\d+)/.exec(spawnSync("systemd-analyze", ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1] ?? "0");
const skip = version >= 250 ? false : "needs systemd-analyze of systemd 250 or newer";
/** The most exposure that a unit may have; ten times it, as systemd-analyze counts. */
const tenthsMax: Readonly<Record<string, number>> = { "ipcnet-reflex@.service": 11, "ipcnetd@.service": 12, "ipcnet-can@.service": 12, "ipcnet-bus.service": 12 };

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

test("systemd understands every line", { skip }, (t) => {
  const at = mkdtempSync(join(tmpdir(), "ipcnet-units-"));
  t.after(() => rmSync(at, { recursive: true }));
  // The programs are not installed here: any that is stands for them.
  for (const name of readdirSync(folder).filter((each) => /\.(?:service|target)$/.test(each))) writeFileSync(join(at, name), readFileSync(join(folder, name), "utf8").replaceAll(/^(Exec\w+)=\S+/gm, "$1=/bin/true").replaceAll(/^(User|Group)=.*/gm, "$1=daemon"));
  for (const name of ["ipcnet-reflex@a.service", "ipcnetd@b.service", "ipcnet-bus.service", "ipcnet-can@can0.service", "ipcnet.target"]) {
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
});

test("nothing asks for what systemd 249 does not know", () => {
  for (const name of readdirSync(folder).filter((each) => each.endsWith(".service"))) {
    for (const key of ["FileDescriptorStorePreserve", "RestartSteps", "RestartMaxDelaySec", "RestartMode", "OpenFile"]) assert.doesNotMatch(readFileSync(join(folder, name), "utf8"), new RegExp(`^${key}=`, "m"), `${name}: ${key}`);
  }
});
