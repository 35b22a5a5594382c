import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";

const UNIT = `[Unit]
Description=A reflex alone, started by hand
[Service]
Type=notify
NotifyAccess=main
ExecStart=REFLEX --instance a --run /run/rig-reflex --state /var/lib/rig-reflex --alone --no-realtime
RuntimeDirectory=rig-reflex
StateDirectory=rig-reflex
WatchdogSec=8
Restart=on-failure
RestartSec=100ms
`;

export default behaviour({
  name: "systemd as process 1: a reflex says READY, is started again when it is killed and when it stands still, and stops in order",
  needs: { machine: "systemd", devices: [] },
  bench: "systemctl start, kill -9, kill -STOP, stop of the installed unit; journalctl beside it",
  timeoutMs: 30 * 60_000,
  async run(rig) {
    const property = async (name: string): Promise<string> => (await rig.sh(`systemctl show -P ${name} ipcnet-by-hand`, { quiet: true })).trim();
    await rig.sh(`cat >/etc/systemd/system/ipcnet-by-hand.service <<'END'\n${UNIT.replace("REFLEX", rig.file("dist/native/ipcnet-reflex"))}END\nsystemctl daemon-reload`);
    await rig.step("READY", async () => {
      await rig.sh("systemctl start ipcnet-by-hand");
      assert.equal(await property("ActiveState"), "active");
      rig.figure("the system", (await rig.run("systemctl is-system-running")).out.trim());
    });
    await rig.step("killed: started again", async () => {
      const pid = await property("MainPID");
      await rig.sh(`kill -9 ${pid}`);
      await rig.eventually("another process", async () => (await property("ActiveState")) === "active" && ![pid, "0"].includes(await property("MainPID")));
      assert.equal(await property("NRestarts"), "1");
    });
    await rig.step("standing still: systemd's watchdog kills it, and it is started again", async () => {
      const pid = await property("MainPID");
      await rig.sh(`kill -STOP ${pid}`);
      await rig.eventually("another process", async () => (await property("ActiveState")) === "active" && ![pid, "0"].includes(await property("MainPID")));
      assert.equal(await property("NRestarts"), "2");
      assert.match(await rig.sh("journalctl -u ipcnet-by-hand --no-pager"), /[Ww]atchdog timeout/);
    });
    await rig.step("stopped in order", async () => {
      await rig.sh("systemctl stop ipcnet-by-hand", { timeoutMs: 120_000 });
      assert.deepEqual([await property("ActiveState"), await property("Result")], ["inactive", "success"]);
    });
    await rig.sh("rm /etc/systemd/system/ipcnet-by-hand.service; systemctl daemon-reload", { quiet: true });
  },
});
