import { checker, type Check } from "./check.ts";
import type { Facts } from "./facts.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, unknown } = checker("permissions");
/** A socket and two shared memories for each of 100 clients, and as many again. */
const openFilesMin = 1024;

export function permissionChecks(machine: Machine, { capabilities, canInterfaces, groupIds }: Facts): Check[] {
  const needed = canInterfaces.length > 0;
  const admin = capabilities.netAdmin
    ? ok("netAdmin", "CAP_NET_ADMIN: a dead bus can be purged, a bus that is off restarted")
    : needed
      ? warning("netAdmin", "no CAP_NET_ADMIN: as this user the gateway can neither purge a dead bus nor restart one that is off", "run the services of the package: sudo ipcnet setup gives them somebody who purges (ipcnet-purge), or the capability where there is no bus process; for a trial: sudo -E npm start")
      : ok("netAdmin", "no CAP_NET_ADMIN; without a CAN interface it is not needed");
  const raw = ok("netRaw", `${capabilities.netRaw ? "CAP_NET_RAW is there" : "no CAP_NET_RAW"}; CAN sockets do not need it`);
  const groupId = groupIds.get("ipcnet");
  const member = machine.uid === 0 || (groupId !== undefined && machine.gids.includes(groupId));
  const group = groupId === undefined
    ? ok("group", "no group ipcnet: gateways started by this user serve this user")
    : member
      ? ok("group", "this user may use the system's gateway (group ipcnet)")
      : warning("group", "this user is not in the group ipcnet and may not use the system's gateway", "sudo usermod -aG ipcnet \"$USER\", then log in again");
  return [admin, raw, group, openFiles(machine)];
}

function openFiles(machine: Machine): Check {
  const text = /^Max open files\s+(\S+)/m.exec(machine.read("/proc/self/limits") ?? "")?.[1];
  if (text === undefined) return unknown("openFiles", "the limits cannot be read (/proc/self/limits)");
  const limit = text === "unlimited" ? Number.POSITIVE_INFINITY : Number(text);
  return limit >= openFilesMin ? ok("openFiles", `${text} open files`) : warning("openFiles", `only ${text} open files are allowed`, `ulimit -n ${openFilesMin}; in a systemd unit: LimitNOFILE=${openFilesMin}`);
}
