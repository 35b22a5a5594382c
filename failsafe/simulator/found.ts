/** Schedules that once violated an invariant, cut down to what mattered: what the simulator has found stays found. */
import type { Fault, FaultKind } from "./faults.ts";

export interface Found {
  name: string;
  seed: number;
  hosts: 1 | 2;
  joints: number;
  resumeArmed: boolean;
  faults: readonly Fault[];
}

const fault = (atUs: number, kind: FaultKind, which: number, forUs = 0, much = 0): Fault => ({ atUs, kind, which, forUs, much });

export const found: readonly Found[] = [
  {
    name: "killed between latching a trigger and its plan: the successor must not go on armed", seed: 55, hosts: 1, joints: 3, resumeArmed: true,
    faults: [fault(136_058, "allNodesPower", 30, 87_331), fault(139_420, "killInside", 51, 0, 9)],
  },
  {
    name: "frames that waited when the standby opened the bus are not stale when it takes over long after", seed: 114, hosts: 1, joints: 3, resumeArmed: true,
    faults: [fault(485_216, "allNodesPower", 45, 113_899), fault(1_319_997, "stall", 33, 20_003)],
  },
  {
    name: "a bus that the predecessor was about to empty is emptied, or joints that were off follow the dead one's frames", seed: 448, hosts: 1, joints: 2, resumeArmed: false,
    faults: [fault(1_086_175, "stallInside", 25, 37_698, 8), fault(1_087_176, "request", 43), fault(1_204_971, "allNodesPower", 40, 134_544), fault(1_209_840, "stallInside", 20, 12_276, 4)],
  },
];
