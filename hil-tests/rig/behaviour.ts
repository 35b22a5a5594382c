/** One file below `behaviours/`: what shall be true, on which machine it is tried, and how a person tries it on a real bench. */
import type { Rig } from "./rig.ts";

/** `plain`: one process after the kernel. `systemd`: booted as a robot is. `arm64`: the target's processor. `two`: two plain machines, joined by a network and a CAN link. */
export const machineKinds = ["plain", "systemd", "arm64", "two"] as const;
export type MachineKind = (typeof machineKinds)[number];

/** What a machine has; on a bench the words of the command line say which of it is there. */
export type Device =
  /** Two SJA1000 controllers on one bus (QEMU's kvaser_pci). Their model needs no acknowledgement. On a bench: the two interfaces of `--can`. */
  | "sja1000"
  /** Two controllers of modules/dcan.c on one bus, which really need an acknowledgement. */
  | "dcan"
  /** Two ends of a virtual cable of the kernel, with FD. */
  | "vxcan"
  /** modules/faultcan.c: error states of any controller, from outside. */
  | "faults"
  | "watchdog"
  /** A USB serial adapter that can be pulled out. */
  | "usbSerial"
  /** systemd-udevd, so that devices have units and rules. Where the host has none and none was fetched the behaviour is skipped. */
  | "udev"
  /** A network of its own, into which the host can be let. */
  | "network"
  /** A robot's own configuration, given on the command line. */
  | "configuration"
  /** A disk that keeps what a power cut leaves. */
  | "disk";

export interface Needs {
  machine: MachineKind;
  devices: readonly Device[];
  /** It resets the machine or cuts its power, and leaves it as it is after a start: run after those that do not, and whoever comes next has it. */
  restartsMachine?: boolean;
  /** It leaves a machine that nobody can use any more: run last, and the next one gets a machine that was booted afresh. */
  endsMachine?: boolean;
  /** Other machines that it runs on too, where they are asked for. */
  alsoOn?: readonly MachineKind[];
}

export interface Behaviour {
  /** A sentence. */
  name: string;
  needs: Needs;
  /** How the same is tried on a real bench, in words for a person. */
  bench: string;
  /** This file runs on a bench as it is: it needs no module of ours, no emulator and no fault from outside. */
  runsOnBench?: boolean;
  /** Frames of a full bus are not recorded: recording would be a load of its own. */
  isLoad?: boolean;
  /** Not part of a run of everything, because of this; only whoever names it gets it. */
  onlyWhenNamed?: string;
  /** Until the rig gives up. Default 15 minutes of the host's clock. */
  timeoutMs?: number;
  run(rig: Rig): Promise<void>;
}

/** What is not there was needed: the behaviour, or the step of it, is neither passed nor failed. */
export class Skipped extends Error {
  override name = "Skipped";
}

/** For the compiler alone: a behaviour file's default export. */
export const behaviour = (made: Behaviour): Behaviour => made;

/** A behaviour and the file it stands in, without the ending. */
export interface Found {
  file: string;
  behaviour: Behaviour;
}
