import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "a pair of reflexes on the kernel's CAN: commands, takeover, interface down and up, motors without power, bus-off, no right to purge",
  needs: { machine: "plain", devices: ["dcan", "faults"], alsoOn: ["arm64"] },
  bench: "the arm on a bench bus, its motors' supply on a switch; kill -9 of the owner, ip link set can0 down, supply off, CAN_H and CAN_L shorted",
  timeoutMs: 40 * 60_000,
  async run(rig) {
    const [ours, motors] = await rig.pair("dcan");
    await rig.sh(`ip link set ${ours} down; ip link set ${motors} down; echo 150 >/sys/module/dcan/parameters/frame_us`);
    await rig.ownClock();
    try {
      await rig.tests("reflexes", { environment: { IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: motors, IPCNET_HIL_LOG: "/tmp/reflexes.log" } });
    } finally {
      rig.log += (await rig.run("cat /tmp/reflexes.log", { quiet: true })).out;
    }
  },
});
