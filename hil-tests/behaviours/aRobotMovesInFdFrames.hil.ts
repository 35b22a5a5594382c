import { behaviour } from "../rig/behaviour.ts";

/** What is the same in FD frames and classic ones is shown with those alone. */
const STEPS = "commands pass|owner is killed|lose their power|bus-off";

export default behaviour({
  name: "a robot whose bus is CAN FD, 12 bytes and AUTOSAR's profile 6: commanded by a pair of reflexes, taken over, without power, bus-off",
  needs: { machine: "plain", devices: ["dcan", "faults"], alsoOn: ["arm64"] },
  bench: "the arm on a bench bus of FD nodes (MCP2518FD), its motors' supply on a switch; kill -9 of the owner, supply off, CAN_H and CAN_L shorted",
  timeoutMs: 40 * 60_000,
  async run(rig) {
    const [ours, motors] = await rig.pair("dcan", { dataBitrateBps: 2_000_000 });
    await rig.sh(`ip link set ${ours} down; ip link set ${motors} down; echo 150 >/sys/module/dcan/parameters/frame_us`);
    await rig.ownClock();
    try {
      await rig.tests("reflexes", { only: STEPS, environment: { IPCNET_HIL_FD: "1", IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: motors, IPCNET_HIL_LOG: "/tmp/reflexes.log" } });
    } finally {
      rig.log += (await rig.run("cat /tmp/reflexes.log", { quiet: true })).out;
    }
  },
});
