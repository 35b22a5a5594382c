import { behaviour } from "../rig/behaviour.ts";
import { testsOnACable } from "../rig/pairOnACable.ts";

export default behaviour({
  name: "a pair of reflexes on the kernel's CAN: commands, takeover, interface down and up, motors without power, bus-off, no right to purge",
  needs: { machine: "plain", devices: ["dcan", "faults"], alsoOn: ["arm64"] },
  bench: "the arm on a bench bus, its motors' supply on a switch; kill -9 of the owner, ip link set can0 down, supply off, CAN_H and CAN_L shorted",
  timeoutMs: 40 * 60_000,
  run: (rig) => testsOnACable(rig, "reflexes"),
});
