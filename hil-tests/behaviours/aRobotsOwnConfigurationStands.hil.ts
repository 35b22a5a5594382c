import assert from "node:assert/strict";
import type { Config } from "../../schemas/messages/config.ts";
import { checkConfigFile } from "../../schemas/messages/configFile.ts";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS } from "../rig/package.ts";
import type { Rig } from "../rig/rig.ts";

export default behaviour({
  name: "a robot's own configuration: it is accepted, set up and healthy; each of its processes is killed and comes back; stopped, it ends in order",
  needs: { machine: "systemd", devices: ["vxcan", "configuration"] },
  bench: "ipcnet setup --config robot.yaml; kill -9 of each unit's main process; ipcnet status; systemctl stop ipcnet.target",
  timeoutMs: 3 * SLOW_MS,
  async run(rig) {
    const file = rig.place.configuration!;
    const read = checkConfigFile(file, { machine: false });
    assert.ok(read.readable, `${file}: ${"why" in read ? read.why : ""}`);
    const { config, faults } = read.result;
    assert.ok(config, `${file} is refused:\n${faults.map((fault) => JSON.stringify(fault)).join("\n")}\nipcnet config check says it line by line`);

    const installed = await InstalledPackage.in(rig);
    try {
      await stands(rig, installed, { file, config });
    } finally {
      await installed.purged();
      await rig.run("rmmod vxcan", { quiet: true });
    }
  },
});

async function stands(rig: Rig, installed: InstalledPackage, { file, config }: { file: string; config: Config }): Promise<void> {
  await rig.step("its buses, on virtual cables, and its users and groups are there", async () => {
    const cables = config.buses.filter(({ driver }) => driver === "socketcan").flatMap(({ interface: name }, at) => [`ip link add ${name} type vxcan peer name rig${at}`, `ip link set rig${at} up`, `ip link set ${name} up`]);
    const groups = [...named(config, "group")].map((name) => `getent group ${name} || groupadd ${name}`);
    // -N: a group of a user's name may be among those.
    const users = [...named(config, "user")].map((name) => `getent passwd ${name} || useradd -M -N ${name}`);
    await rig.sh(["modprobe vxcan", ...cables, ...groups, ...users].join("\n"), { quiet: true });
  });
  await rig.step("ipcnet setup: healthy", async () => {
    // It waits until all is healthy, and fails if that does not come.
    rig.figure("ipcnet setup --config to healthy, s of the machine", (await installed.timed(`ipcnet setup --yes --config '/host${file}' --watchdog none --start`)).toFixed(1));
  });
  const units = await processesOf(rig, installed);
  rig.figure("its services", units.join(", "));
  const [gateways, reflexes] = ["ipcnetd@", "ipcnet-reflex@"].map((kind) => units.filter((unit) => unit.startsWith(kind))) as [string[], string[]];
  const whole = (): Promise<void> => installed.whole({ gateways: gateways.length, reflexes: reflexes.length });
  await whole();
  for (const unit of units) {
    await rig.step(`${unit} is killed and comes back, and all is healthy again`, async () => {
      const pid = await installed.mainPid(unit);
      await rig.sh(`kill -9 ${pid}`);
      await installed.startedAgain(unit, pid);
      await whole();
      assert.deepEqual(await processesOf(rig, installed), units, "and the others are there still");
    });
  }
  await rig.step("what ipcnet status says: without its nodes it is not armed", async () => {
    const { state } = await installed.ask<{ state: string }>("gateway/status");
    assert.equal(state, "disarmed");
    rig.log += (await rig.run("ipcnet status", { quiet: true, timeoutMs: SLOW_MS })).out;
  });
  await rig.step("stopped, each ends by itself, the gateways before the bus processes; a gateway without nodes says that no pose was measured", async () => {
    await installed.timed("systemctl stop ipcnet.target");
    for (const unit of [...gateways, ...reflexes]) {
      const result = await installed.show(unit, "Result");
      const isUnmeasured = unit.startsWith("ipcnetd@") && result === "exit-code" && (await installed.show(unit, "ExecMainStatus")) === "1";
      assert.ok(result === "success" || isUnmeasured, `${unit}: ${result}`);
    }
    for (const unit of units) assert.equal(await installed.isActive(unit), false, unit);
    const ended = (those: readonly string[]): Promise<number[]> => Promise.all(those.map(async (unit) => Number(await installed.show(unit, "InactiveEnterTimestampMonotonic"))));
    const [gatewaysUs, reflexesUs] = [await ended(gateways), await ended(reflexes)];
    assert.ok(reflexes.length === 0 || Math.max(...gatewaysUs) < Math.min(...reflexesUs), `gateways ${gatewaysUs.join(" ")}, bus processes ${reflexesUs.join(" ")}`);
  });
}

/** Services of the package that are on and have a process. */
async function processesOf(rig: Rig, installed: InstalledPackage): Promise<string[]> {
  const active = (await rig.sh("systemctl list-units --plain --no-legend --state=active 'ipcnet*.service' | cut -d' ' -f1", { quiet: true })).split("\n").filter((unit) => unit !== "" && !unit.startsWith("ipcnet-rig"));
  const pids = await Promise.all(active.map((unit) => installed.mainPid(unit)));
  return active.filter((_, index) => pids[index] !== 0).sort();
}

/** All names that a configuration gives under this word, wherever; numbers aside. They are put into scripts: what is no name of Debian's is left out. */
function named(value: unknown, word: "user" | "group"): Set<string> {
  if (typeof value !== "object" || value === null) return new Set();
  const own = word in value ? (value as Record<string, unknown>)[word] : undefined;
  return new Set([...(typeof own === "string" && /^[a-z_][a-z0-9_-]*$/.test(own) ? [own] : []), ...Object.values(value).flatMap((each) => [...named(each, word)])]);
}
