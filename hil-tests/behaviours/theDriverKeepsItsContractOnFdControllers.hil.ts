import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "the driver keeps its contract with FD frames of 64 bytes on controllers that need an acknowledgement: power loss, bus-off, error reports, cable out and in",
  needs: { machine: "plain", devices: ["dcan", "faults"], alsoOn: ["arm64"] },
  bench: "on two FD controllers at 500 kbit/s and 2 Mbit/s: pull the peer's power for isolation, short CAN_H and CAN_L for bus-off",
  timeoutMs: 40 * 60_000,
  async run(rig) {
    const [ours, peers] = await rig.pair("dcan", { dataBitrateBps: 2_000_000 });
    await rig.ownClock();
    await rig.tests("contract", { environment: { IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: peers, IPCNET_HIL_KIND: "dcan", IPCNET_HIL_FD: "1" } });
  },
});
