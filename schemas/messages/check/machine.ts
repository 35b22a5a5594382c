/** What only this machine can say: notes, never faults, because a configuration is often checked elsewhere than where it runs. */
import { isSameRate } from "../../bitrate.ts";
import type { Config, Principal, Resource } from "../config.ts";
import type { Path } from "../fault.ts";
import type { CheckContext, MachineProbe } from "./context.ts";

export function checkMachine(context: CheckContext, probe: MachineProbe): void {
  const { config } = context;
  for (const [bus, path] of context.items(config.buses, ["buses"])) {
    const at: Path = [...path, "interface"];
    switch (bus.driver) {
      case "socketcan": case "npm-socketcan": checkInterface(context, bus, at, probe); break;
      case "emulator": case "slcan": checkPath(context, bus.interface, at, { probe, optional: bus.optional }); break;
      case "socketcand": context.note("notTried", at, `whether ${bus.interface} answers`); break;
      default: bus.driver satisfies never;
    }
  }
  for (const [port, path] of context.items(config.serial, ["serial"])) checkPath(context, port.port, [...path, "port"], { probe, optional: port.optional });
  for (const [resource, path] of context.items(config.resources, ["resources"])) checkResource(context, resource, path, probe);
  for (const [principal, path] of principalsOf(context)) checkPrincipal(context, principal, path, probe);
  if (config.socket.group !== undefined && probe.groupExists(config.socket.group) === false) {
    context.note("unknownHere", ["socket", "group"], `there is no group "${config.socket.group}" on this machine`, { blocksStart: true });
  }
}

function checkInterface(context: CheckContext, bus: Config["buses"][number], path: Path, probe: MachineProbe): void {
  const found = probe.canInterface(bus.interface);
  if (!found) context.note("unknownHere", path, `whether there is an interface ${bus.interface}: this machine does not tell`);
  else if (!found.present) context.note("unknownHere", path, `there is no interface ${bus.interface} on this machine${bus.optional ? "; it is optional" : ""}`, { blocksStart: !bus.optional });
  else if (found.can === false) context.note("unknownHere", path, `${bus.interface} is no CAN interface on this machine`, { blocksStart: !bus.optional });
  else {
    // A passing state: a purge takes the interface down for a moment, and a reload must not be refused for that. At start the driver refuses it, with the remedy.
    if (found.up === false) context.note("interfaceDown", path, `${bus.interface} is down${bus.optional ? "; it is optional" : "; the gateway does not start until it is up"}`);
    if (bus.fd && found.fd === false) context.note("noFdHere", path, `${bus.interface} carries no FD frames as it is set up here: sudo systemctl restart ipcnet-can@${bus.interface}, or ip link set ${bus.interface} type can … dbitrate … fd on; a controller without CAN FD needs fd: false`, { blocksStart: !bus.optional });
    for (const key of ["bitrateBps", "dataBitrateBps"] as const) {
      const wanted = bus[key];
      const actual = found[key];
      if (wanted === undefined) continue;
      if (actual === undefined) context.note("notCompared", path, `whether ${bus.interface} runs at ${wanted} bit/s`);
      else if (!isSameRate(actual, wanted)) context.note("bitrateDiffers", path, `${bus.interface} runs at ${actual} bit/s here, the file says ${wanted}`, { blocksStart: true });
    }
  }
}

function checkPath(context: CheckContext, device: string, path: Path, { probe, optional }: { probe: MachineProbe; optional: boolean }): void {
  const exists = probe.pathExists(device);
  if (exists === undefined) context.note("unknownHere", path, `whether there is ${device}: this machine does not tell`);
  else if (!exists) context.note("unknownHere", path, `there is no ${device} on this machine${optional ? "; it is optional" : ""}`, { blocksStart: !optional });
}

/** Looked at when it is granted: no reason not to start. */
function checkResource(context: CheckContext, resource: Resource, path: Path, probe: MachineProbe): void {
  if ("connect" in resource) return context.note("notTried", [...path, "connect"], `whether ${resource.connect} answers`);
  const [key, place] = "device" in resource ? (["device", resource.device] as const) : "directory" in resource ? (["directory", resource.directory] as const) : (["file", resource.file] as const);
  checkPath(context, place, [...path, key], { probe, optional: true });
}

function principalsOf(context: CheckContext): [Principal, Path][] {
  const { config } = context;
  return [
    ...context.items(config.readers, ["readers"]),
    ...context.items(config.operators, ["operators"]),
    ...context.items(config.topics, ["topics"]).flatMap(([topic, path]) => context.items(topic.writers, [...path, "writers"])),
    ...context.items(config.commands, ["commands"]).flatMap(([command, path]) => context.items(command.writers, [...path, "writers"])),
  ];
}

function checkPrincipal(context: CheckContext, principal: Principal, path: Path, probe: MachineProbe): void {
  const [kind, name, exists] = "user" in principal ? (["user", principal.user, probe.userExists(principal.user)] as const) : (["group", principal.group, probe.groupExists(principal.group)] as const);
  // A name that does not exist permits nobody: safe, so no reason not to start.
  if (exists === false) context.note("unknownHere", path, `there is no ${kind} "${name}" on this machine: it permits nobody`);
}
