import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "the driver keeps its contract with FD frames of every length",
  needs: { machine: "plain", devices: ["vxcan"], alsoOn: ["arm64"] },
  bench: "two FD controllers on one bus, 500 kbit/s and 2 Mbit/s",
  timeoutMs: 40 * 60_000,
  async run(rig) {
    const [ours, peers] = await rig.pair("vxcan");
    await rig.ownClock();
    await rig.tests("contract", { environment: { IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: peers, IPCNET_HIL_KIND: "vxcan" } });
  },
});
