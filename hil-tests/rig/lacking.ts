/** Why a behaviour cannot be tried on a machine of this kind, here and now. */
import type { Found, MachineKind } from "./behaviour.ts";

export interface Circumstances {
  kind: MachineKind;
  /** The words of the command line. */
  only: readonly string[];
  /** A robot's configuration. */
  config: string | undefined;
  kernelVersion: string;
  /** The folder of our modules; undefined: they cannot be built for this kernel. */
  ownModules: string | undefined;
  /** Whether it is installed or fetched. */
  udev: boolean;
  /** Whether it is installed. */
  systemd: boolean;
}

export interface Lacking {
  why: string;
  /** This machine lacks something; else nobody has asked for it. */
  isHosts: boolean;
}

/** Undefined: it can be tried. What nobody has asked for is said before what is lacking. */
export function whyNot({ file, behaviour: { onlyWhenNamed, needs: { devices } } }: Found, { kind, only, config, kernelVersion, ownModules, udev, systemd }: Circumstances): Lacking | undefined {
  if (onlyWhenNamed !== undefined && only.length === 0) return { why: `${onlyWhenNamed}: npm run hil -- ${file}`, isHosts: false };
  if (devices.includes("configuration") && config === undefined) return { why: "no configuration of a robot was given: npm run hil -- --config FILE", isHosts: false };
  if (kind === "systemd" && !systemd) return { why: "systemd is not installed here (Debian: systemd systemd-sysv dbus)", isHosts: true };
  if (devices.includes("udev") && !udev) return { why: "udev is neither installed nor fetched: npm run hil -- --fetch", isHosts: true };
  if (ownModules === undefined && devices.some((device) => device === "dcan" || device === "faults")) return { why: `modules of ours can be built only for the kernel of the headers that are installed, not for ${kernelVersion}`, isHosts: true };
  return undefined;
}
