/** The text files of a Debian package. Pure. */
import type { Target } from "./target.ts";

export interface ControlFacts {
  version: string;
  target: Target;
  installedKiB: number;
  /** Newest symbol version of the C library that anything in the package asks for. */
  libc: readonly number[];
}

export function control({ version, target, installedKiB, libc }: ControlFacts): string {
  return fields({
    Package: "ipcnet",
    Version: version,
    Architecture: target.arch,
    Maintainer: "IPCNet <ipcnet@ipcnet.example>",
    "Installed-Size": String(installedKiB),
    // systemd: sysusers and tmpfiles at installation, the units, and its newest key used is one of 249. iproute2: sets CAN interfaces up.
    Depends: [`libc6 (>= ${libc.join(".")})`, "libgcc-s1", "libstdc++6 (>= 9)", "systemd (>= 249)", "iproute2 (>= 5.10)"].join(", "),
    // udev: without it nobody asks for the set-up of a CAN interface that appears; setup still does it for those that are there.
    // polkit: without it logind lets nobody but root delay the end of the system, and the pose has only the order of the units.
    Recommends: "udev, python3 (>= 3.9), dbus, polkitd | policykit-1",
    Suggests: "can-utils, mosquitto-clients",
    Section: "net",
    Priority: "optional",
    Homepage: "https://ipcnet.example/",
    Description: [
      "fault-tolerant gateway between a robot's programs and its microcontrollers",
      " Lets the processes and microcontrollers of one robot share data and offer",
      " services to each other over shared memory, CAN, serial lines and MQTT, checks",
      " every message, and brings the robot into its safe pose when a part of it fails.",
      " .",
      " Two bus processes and two gateways, of which one of each stands by. It brings",
      " its own Node.js runtime, the C library libipcnet and the Python package.",
    ].join("\n"),
  });
}

function fields(all: Readonly<Record<string, string>>): string {
  return Object.entries(all).map(([name, value]) => `${name}: ${value}\n`).join("");
}

/** Files that are a person's once installed: dpkg asks before it replaces one that was changed. */
export function conffiles(paths: readonly string[]): string {
  return paths.filter((path) => path.startsWith("etc/")).sort().map((path) => `/${path}\n`).join("");
}

/** What depends on libipcnet.so.0, for dpkg-shlibdeps of other packages. */
export function shlibs(version: string): string {
  return `libipcnet 0 ipcnet (>= ${version})\n`;
}

export const triggers = "activate-noawait ldconfig\n";

/** `wallTimeS`: when the source was made. */
export function changelog(version: string, wallTimeS: number): string {
  return `ipcnet (${version}) unstable; urgency=medium\n\n  * Built from the repository as it stood at that time.\n\n -- IPCNet <ipcnet@ipcnet.example>  ${rfc5322(wallTimeS)}\n`;
}

function rfc5322(wallTimeS: number): string {
  return new Date(wallTimeS * 1e3).toUTCString().replace("GMT", "+0000");
}

export interface Licence {
  /** Where it lies in the package. */
  files: string;
  name: string;
  text: string;
}

/** Debian brings the text of the Apache licence; its policy wants it named, not repeated. */
function commonLicence(name: string, text: string): string {
  return name === "Apache-2.0" || /Apache License\s+Version 2\.0/.test(text) ? "On Debian systems the whole text of the Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0." : text;
}

/** /usr/share/doc/ipcnet/copyright: our own words, then each third party's. */
export function copyright(licences: readonly Licence[]): string {
  const head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: IPCNet\n\nFiles: *\nCopyright: the authors of IPCNet\nLicense: IPCNet\n Not published; all rights are with its authors.\n";
  const parts = licences.map(({ files, name, text }) => {
    const said = commonLicence(name, text);
    const holder = text.split("\n").map((line) => line.trim()).find((line) => /^copyright\b/i.test(line)) ?? "see the licence below";
    return `\nFiles: ${files}\nCopyright: ${holder.replace(/^copyright:?\s*/i, "")}\nLicense: ${name}\n${said.trim().split("\n").map((line) => (line.trim() === "" ? " ." : ` ${line.trimEnd()}`)).join("\n")}\n`;
  });
  return head + parts.join("");
}
