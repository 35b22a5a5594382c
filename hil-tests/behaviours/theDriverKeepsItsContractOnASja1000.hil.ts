import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "the driver keeps its contract on the SJA1000, its peer being Python's CAN socket",
  needs: { machine: "plain", devices: ["sja1000", "faults"], alsoOn: ["arm64"] },
  bench: "the same test with two real controllers; bus-off by shorting CAN_H and CAN_L",
  timeoutMs: 40 * 60_000,
  async run(rig) {
    const [ours, peers] = await rig.pair("sja1000");
    await rig.modules();
    await rig.ownClock();
    await rig.tests("contract", { environment: { IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: peers, IPCNET_HIL_KIND: "sja1000", IPCNET_HIL_MODEL: "1" }, known: [
      { pattern: /bus-off/, why: "the emulated SJA1000 is not really off the bus, frames of before may still leave" },
    ] });
  },
});
