import { behaviour } from "../rig/behaviour.ts";
import { testsOnACable } from "../rig/pairOnACable.ts";

export default behaviour({
  name: "a pair of reflexes without any capability, and ipcnet-purge: motors without power, the helper killed while the robot moves, hung when it is needed",
  needs: { machine: "plain", devices: ["dcan"], alsoOn: ["arm64"] },
  bench: "the arm on a bench bus, set up by the package, its motors' supply on a switch; kill -9 and kill -STOP of ipcnet-purge, supply off",
  timeoutMs: 40 * 60_000,
  run: (rig) => testsOnACable(rig, "purging"),
});
