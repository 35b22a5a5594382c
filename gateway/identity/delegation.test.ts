/** A real process in real cgroups: whoever owns the part below a unit may sort its processes there, and stays what it is. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, chownSync, constants, existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readFacts, thisSystem } from "./process.ts";

const OWNER = 65_411;
/** systemd's own hierarchy of the older kind, or the unified one. */
const root = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"].find((folder) => existsSync(join(folder, "cgroup.procs")));

function skipped(): string | false {
  if (process.getuid?.() !== 0) return "needs root to make cgroups";
  if (thisSystem().systemd) return "systemd runs here: its cgroups are left alone";
  if (root === undefined) return "no hierarchy of cgroups is mounted";
  try {
    accessSync(join(root, "cgroup.procs"), constants.W_OK);
    const probe = join(root, `ipcnet-probe-${process.pid}.slice`);
    mkdirSync(probe);
    rmdirSync(probe);
    return false;
  } catch {
    return "cgroups cannot be made here";
  }
}

test("a delegated cgroup cannot leave its unit, whatever it calls what is below", { skip: skipped() }, async () => {
  const slice = `ipcnet-test-${process.pid}.slice`;
  const [evil, planner] = ["evil.service", "planner.service"].map((unit) => join(root!, slice, unit)) as [string, string];
  const below = join(evil, "planner.service");
  mkdirSync(evil, { recursive: true });
  mkdirSync(planner);
  // Delegate=yes with User=: the unit's own cgroup belongs to the user.
  for (const path of [evil, join(evil, "cgroup.procs")]) chownSync(path, OWNER, OWNER);
  const child = spawn(process.execPath, ["--eval", `const fs = require("node:fs");
    const tried = (path) => { try { fs.writeFileSync(path + "/cgroup.procs", String(process.pid)); return "moved"; } catch (error) { return error.code; } };
    process.stdin.once("data", () => { fs.mkdirSync(${JSON.stringify(below)}); process.stdout.write(JSON.stringify([tried(${JSON.stringify(below)}), tried(${JSON.stringify(planner)}), tried(${JSON.stringify(root)})])); });`], { stdio: ["pipe", "pipe", "inherit"], uid: OWNER, gid: OWNER, cwd: "/" });
  const source = { ...thisSystem(), systemd: true };
  try {
    await once(child, "spawn");
    writeFileSync(join(evil, "cgroup.procs"), String(child.pid));
    assert.equal(readFacts(child.pid!, source).unit, "evil.service");
    child.stdin.write("now");
    assert.deepEqual(JSON.parse(String((await once(child.stdout, "data"))[0])), ["moved", "EACCES", "EACCES"]);
    const { cgroup, unit } = readFacts(child.pid!, source);
    assert.deepEqual([cgroup, unit], [`/${slice}/evil.service/planner.service`, "evil.service"]);
    assert.equal(readFacts(child.pid!, thisSystem()).unit, undefined, "and nothing is believed without systemd");
  } finally {
    child.kill("SIGKILL");
    await once(child, "close");
    for (const path of [below, evil, planner, join(root!, slice)]) if (existsSync(path)) rmdirSync(path);
  }
});
