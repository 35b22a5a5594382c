import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS } from "../rig/package.ts";

const CTRL_C = "\u0003";

export default behaviour({
  name: "ipcnet setup asks a person at a terminal: what is no answer is asked again, Ctrl-C writes nothing, the next run goes on where it was, and nothing starts that was not asked for",
  needs: { machine: "systemd", devices: ["watchdog"] },
  bench: "sudo ipcnet setup: a wrong answer, a right one, Ctrl-C; sudo ipcnet setup again",
  timeoutMs: 2 * SLOW_MS,
  async run(rig) {
    const installed = await InstalledPackage.in(rig);
    await rig.sh("systemctl stop ipcnet.target; rm -f /var/lib/ipcnet/setup.json; cp /etc/ipcnet/ipcnet.yaml /tmp/before.yaml", { timeoutMs: SLOW_MS });
    const person = async (steps: [sees: string, types: string][]): Promise<{ code: number | null; out: string }> =>
      rig.run(`/usr/bin/python3 ${rig.file("hil-tests/rig/inside/terminal.py")} '${JSON.stringify(steps)}' ipcnet setup --serial none`, { timeoutMs: SLOW_MS });
    await rig.step("a name that is none is asked for again; Ctrl-C at the next question writes nothing", async () => {
      const { code, out } = await person([["Name of the robot", "My Robot!\n"], ["Name of the robot", "my-arm\n"], ["CAN buses", CTRL_C]]);
      assert.equal(code, 1, out);
      assert.match(out, /interrupted: nothing was written/);
      await rig.sh("cmp /etc/ipcnet/ipcnet.yaml /tmp/before.yaml");
    });
    await rig.step("the next run goes on there, and writes what was agreed to", async () => {
      const { code, out } = await person([
        ["CAN buses", "arm=can0@5\n"], ["CAN buses", "none\n"], ["Who feeds the hardware watchdog", "the dog\n"], ["Who feeds the hardware watchdog", "none\n"],
        ["Start now", "no\n"], ["Write this?", "maybe\n"], ["Write this?", "yes\n"],
      ]);
      assert.equal(code, 0, out);
      assert.match(out, /Kept from the run before: robot my-arm/);
      assert.match(out, /CAN has 5000 to 1000000/);
      assert.doesNotMatch(out, /Name of the robot/);
      await rig.sh("grep -qx 'robot: my-arm' /etc/ipcnet/ipcnet.yaml && test ! -e /var/lib/ipcnet/setup.json");
      assert.equal((await rig.run("systemctl is-active ipcnet.target", { quiet: true })).out.trim(), "inactive");
    });
    assert.equal((await installed.isActive("ipcnetd@a.service")), false);
  },
});
