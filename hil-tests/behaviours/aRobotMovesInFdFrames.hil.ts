import { behaviour } from "../rig/behaviour.ts";
import { testsOnACable } from "../rig/pairOnACable.ts";

/** What is the same in FD frames and classic ones is shown with those alone. */
const STEPS = "commands pass|owner is killed|lose their power|bus-off";

export default behaviour({
  name: "a robot whose bus is CAN FD, 12 bytes and AUTOSAR's profile 6: commanded by a pair of reflexes, taken over, without power, bus-off",
  needs: { machine: "plain", devices: ["dcan", "faults"], alsoOn: ["arm64"] },
  bench: "the arm on a bench bus of FD nodes (MCP2518FD), its motors' supply on a switch; kill -9 of the owner, supply off, CAN_H and CAN_L shorted",
  timeoutMs: 40 * 60_000,
  run: (rig) => testsOnACable(rig, "reflexes", { fd: true, only: STEPS }),
});
