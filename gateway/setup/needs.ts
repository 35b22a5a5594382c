/**
 * What the services must be allowed beyond what their units allow as shipped, from the configuration: as drop-ins, each key with its reason; and which services run. Pure.
 * The units are closed: no network, no device, no capability. What the configuration does not name stays closed.
 */
import type { Config } from "../../schemas/messages/config.ts";
import type { Answers } from "./answers.ts";

export interface Needs {
  /** By unit (without an instance's letter): the text of its drop-in; absent: as shipped. */
  dropIns: ReadonlyMap<string, string>;
  /** Units that run, in the order of their start. */
  units: readonly string[];
  /** For people: what was opened and why. */
  reasons: readonly string[];
  /** For people: what the configuration asks for and no unit can say. */
  leftOut: readonly string[];
}

/** So that postrm, and whoever looks, knows whose they are. */
export const MARK = "# Written by ipcnet setup from the configuration; it is written anew by the next run.";
export const DROP_IN = "50-ipcnet-setup.conf";
/** As in deploy/systemd/ipcnet-reflex@.service; a test compares them. */
export const REFLEX_START = "ExecStart=/usr/lib/ipcnet/dist/native/ipcnet-reflex --instance %i --run /run/ipcnet --state /var/lib/ipcnet --purge /run/ipcnet-purge/purge.sock";
/** As in deploy/systemd/ipcnet-purge.service; a test compares them. */
export const PURGE_START = "ExecStart=/usr/lib/ipcnet/dist/native/ipcnet-purge --peer ipcnet";
/** Names that mean themselves in a unit. The kernel takes others too: such an interface cannot be purged, and the bus process says so when it is to be armed. */
const INTERFACE = /^[A-Za-z0-9_.][A-Za-z0-9_.@+-]{0,14}$/;

export function needsOf(config: Config, { watchdog }: Pick<Answers, "watchdog">): Needs {
  const { reflex, brains } = config.redundancy;
  const reasons: string[] = [];
  const purgeLines: string[] = [];
  const reflexLines: string[] = [];
  const brainLines: string[] = [];
  const open = (lines: string[], reason: string, keys: readonly string[]): void => {
    reasons.push(reason);
    lines.push(`# ${reason}`, ...keys);
  };
  const sends = config.commands.length > 0 || config.safePose.plan !== undefined || config.safePose.steps.length > 0;

  const commanded = reflex !== "none" && sends ? config.buses.filter(({ driver, listenOnly }) => driver === "socketcan" && !listenOnly).map(({ interface: of }) => of) : [];
  const purged = commanded.filter((of) => INTERFACE.test(of));
  const leftOut = commanded.filter((of) => !INTERFACE.test(of)).map((of) => `${JSON.stringify(of)}: such a name cannot be put into a unit, so nothing that waits there in a dead bus is purged, and the robot is not armed with it: give the interface a name of letters, digits and . _ - (a .link file of systemd does that)`);
  // Not the capability for the bus process itself: its unit would be at 1.5.
  if (purged.length > 0) open(purgeLines, `Commands on ${purged.join(", ")}: what waits in a dead bus is purged, never sent late; these interfaces are taken down and up for the bus process`, ["ExecStart=", `${PURGE_START} ${purged.join(" ")}`]);
  const devices = [
    ...(reflex !== "none" && watchdog === "reflex" ? [{ path: "/dev/watchdog0", group: "char-watchdog" }] : []),
    ...(reflex !== "none" && config.safePose.powerFail !== undefined ? [{ path: config.safePose.powerFail.chip, group: "char-gpiochip" }] : []),
  ];
  if (devices.length > 0) {
    // One device beside the few that everybody has, not the whole of /dev (PrivateDevices=no). "-": a machine without it still starts, and the bus process says what it misses.
    open(reflexLines, `Devices of the bus process: ${devices.map(({ path }) => path).join(", ")}`, devices.flatMap(({ path, group }) => [`BindPaths=-${path}`, `DeviceAllow=${group} rw`]));
  }
  // /dev/watchdog0, not /dev/watchdog: the class that DeviceAllow= names has the numbered devices.
  const more = [...(reflex !== "none" && watchdog === "reflex" ? ["--watchdog /dev/watchdog0"] : []), ...(reflex === "single" ? ["--alone"] : [])];
  if (more.length > 0) {
    open(reflexLines, more.map((each) => (each === "--alone" ? "No twin is expected" : "The bus process feeds the hardware watchdog, only while it is healthy or the robot is at rest")).join("; "), ["ExecStart=", `${REFLEX_START} ${more.join(" ")} $REFLEX_OPTIONS`]);
  }

  const speaksIp = config.mqtt.broker !== undefined || config.mqtt.clients.length > 0 || config.buses.some(({ driver }) => driver === "socketcand") || config.resources.some((each) => "connect" in each && !each.connect.startsWith("unix:"));
  // With a reflex the gateway must not be able to open a bus that the reflex owns: that is a part of the fence.
  const ownCan = config.buses.some(({ driver }) => (driver === "socketcan" && reflex === "none") || driver === "npm-socketcan");
  const families = ["AF_UNIX", ...(speaksIp ? ["AF_INET", "AF_INET6"] : []), ...(ownCan ? ["AF_CAN", "AF_NETLINK"] : [])];
  if (families.length > 1) open(brainLines, `Links of the configuration: ${[speaksIp ? "MQTT, socketcand or connections to hand out" : "", ownCan ? "CAN interfaces without a bus process" : ""].filter(Boolean).join("; ")}`, [`RestrictAddressFamilies=${families.join(" ")}`]);
  if (ownCan && sends) open(brainLines, "Commands on a CAN interface: what waits in a dead bus is purged", ["AmbientCapabilities=CAP_NET_ADMIN", "CapabilityBoundingSet=CAP_NET_ADMIN"]);
  if (speaksIp && !isLocal(config)) open(brainLines, "Brokers and programs on other machines (name their addresses in IPAddressAllow= of a drop-in of your own to close the rest)", ["IPAddressDeny=", "IPAddressAllow="]);
  const serialDevices = config.serial.length > 0 || config.buses.some(({ driver }) => driver === "slcan");
  const granted = config.resources.filter((each) => "device" in each).map((each) => each.device);
  if (serialDevices || granted.length > 0) {
    open(brainLines, `Devices of the gateway: ${[serialDevices ? "serial ports" : "", ...granted].filter(Boolean).join(", ")}`, [
      "PrivateDevices=no", "DevicePolicy=closed",
      // By class: a device that is plugged in later has no number yet.
      ...(serialDevices ? ["SupplementaryGroups=dialout", ...["char-ttyUSB", "char-ttyACM", "char-ttyAMA", "char-ttyTHS", "char-ttyS", "char-pts"].map((each) => `DeviceAllow=${each} rw`)] : []), ...granted.map((each) => `DeviceAllow=${each} rw`),
    ]);
  }
  if (config.socket.group !== undefined && config.socket.group !== SERVICE_GROUP) {
    // chown to a group that one belongs to takes no capability, but the call itself.
    open(brainLines, `The client socket belongs to the group ${config.socket.group}`, [`SupplementaryGroups=${config.socket.group}`, "SystemCallFilter=@chown"]);
  }

  const text = (lines: readonly string[]): string => `${MARK}\n[Service]\n${lines.join("\n")}\n`;
  return {
    dropIns: new Map([...(reflexLines.length > 0 ? [["ipcnet-reflex@.service", text(reflexLines)] as const] : []), ...(brainLines.length > 0 ? [["ipcnetd@.service", text(brainLines)] as const] : []), ...(purgeLines.length > 0 ? [["ipcnet-purge.service", text(purgeLines)] as const] : [])]),
    units: [
      ...(config.buses.some(({ driver }) => driver === "emulator") ? ["ipcnet-bus.service"] : []),
      ...(purged.length > 0 ? ["ipcnet-purge.service"] : []),
      ...(reflex === "none" ? [] : ["ipcnet-reflex@a.service"]), ...(reflex === "pair" ? ["ipcnet-reflex@b.service"] : []),
      "ipcnetd@a.service", ...(brains === "pair" ? ["ipcnetd@b.service"] : []),
    ],
    reasons, leftOut,
  };
}

/** Of ipcnetd@.service. */
const SERVICE_GROUP = "ipcnet";

/** All units that setup decides about. */
export const allUnits = ["ipcnet-bus.service", "ipcnet-purge.service", "ipcnet-reflex@a.service", "ipcnet-reflex@b.service", "ipcnetd@a.service", "ipcnetd@b.service"] as const;

function isLocal({ mqtt, buses, resources }: Config): boolean {
  const isLoopback = (host: string): boolean => /^(?:127\.|localhost$|\[?::1\]?$)/.test(host);
  const hosts = [
    ...(mqtt.broker ? [mqtt.broker.listen.host] : []), ...mqtt.clients.map(({ url }) => new URL(url).hostname), ...buses.filter(({ driver }) => driver === "socketcand").map(({ interface: of }) => of.replace(/:\d+\/.*$/, "")),
    ...resources.flatMap((each) => ("connect" in each && each.connect.startsWith("tcp://") ? [new URL(each.connect.replace("tcp:", "http:")).hostname] : [])),
  ];
  return hosts.every(isLoopback);
}
