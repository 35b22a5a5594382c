import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "a pair of reflexes without any capability, and ipcnet-purge: motors without power, the helper killed while the robot moves, hung when it is needed",
  needs: { machine: "plain", devices: ["dcan"], alsoOn: ["arm64"] },
  bench: "the arm on a bench bus, set up by the package, its motors' supply on a switch; kill -9 and kill -STOP of ipcnet-purge, supply off",
  timeoutMs: 40 * 60_000,
  async run(rig) {
    const [ours, motors] = await rig.pair("dcan");
    await rig.sh(`ip link set ${ours} down; ip link set ${motors} down; echo 150 >/sys/module/dcan/parameters/frame_us`);
    await rig.ownClock();
    try {
      await rig.tests("purging", { environment: { IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: motors, IPCNET_HIL_LOG: "/tmp/purging.log" } });
    } finally {
      rig.log += (await rig.run("cat /tmp/purging.log", { quiet: true })).out;
    }
  },
});
