/** CAN: is there SocketCAN, which interfaces, and would each of them behave as a gateway needs it to. */
import { checker, type Check } from "./check.ts";
import type { CanInterface, Facts } from "./facts.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, problem, unknown } = checker("can");

/** A frame of 8 bytes takes 0.25 ms at 500 kbit/s: 50 queued ones are 12 ms of motion that is stale before it is sent. */
const txQueueFramesMax = 50;

export function canChecks(machine: Machine, facts: Facts): Check[] {
  const family = canFamily(machine, facts);
  if (family.result !== "ok") return [family];
  if (facts.canInterfaces.length === 0) {
    return [family, warning("interfaces", "no CAN interface", "connect an adapter; to try without: sudo modprobe vcan && sudo ip link add vcan0 type vcan && sudo ip link set vcan0 up; or use the driver emulator")];
  }
  return [family, ok("interfaces", facts.canInterfaces.map(({ name }) => name).join(", ")), ...facts.canInterfaces.flatMap(interfaceChecks)];
}

function canFamily(machine: Machine, { canInterfaces, kernelRelease }: Facts): Check {
  const loaded = /^(CAN|CAN_RAW)\s/m.test(machine.read("/proc/net/protocols") ?? "");
  if (loaded) return ok("family", "the kernel speaks CAN");
  if (canInterfaces.length > 0) return ok("family", `the kernel speaks CAN: ${canInterfaces[0]!.name} is there`);
  const modules = ["dep", "builtin"].map((name) => machine.read(`/lib/modules/${kernelRelease}/modules.${name}`) ?? "").join("\n");
  if (/\/net\/can\/can-raw\.ko/.test(modules)) return ok("family", "the kernel has CAN as a module and loads it when it is used");
  return warning("family", "this kernel has no CAN (no CAN in /proc/net/protocols, no module can-raw)", "sudo apt-get install -y linux-modules-extra-$(uname -r) on Ubuntu; or use the drivers slcan, socketcand or emulator, which do not need it");
}

function interfaceChecks(link: CanInterface): Check[] {
  const virtual = link.details !== undefined && ["vcan", "vxcan"].includes(link.details.kind);
  // Nothing waits in front of a virtual interface, whatever its txqueuelen says.
  if (virtual) return [linkState(link)];
  return [linkState(link), queueCheck(link), ...(link.details ? controllerChecks(link.name, link.details) : withoutIp(link.name))];
}

function linkState({ name, up, details }: CanInterface): Check {
  const subject = `${name}.state`;
  // A bit rate that is set stays: setting it again would lose a chosen sample point.
  const type = details && (details.kind !== "can" || details.bitrateBps) ? "" : " type can bitrate 500000";
  if (!up) return problem(subject, `${name} is down`, `sudo ip link set ${name} up${type}`);
  switch (details?.state) {
    case "BUS-OFF": {
      // The kernel refuses `restart` where restart-ms is set.
      const restart = details?.restartMs ? `sudo ip link set ${name} down && sudo ip link set ${name} up` : `sudo ip link set ${name} type can restart`;
      return problem(subject, `${name} is bus-off: its controller gave up after too many errors (wiring, bit rate)`, `check the wiring and the bit rate, then: ${restart}`);
    }
    case "ERROR-PASSIVE":
      return warning(subject, `${name} is error-passive: nobody acknowledges, or the bus is disturbed`, "switch the other nodes on; check termination (60 Ω between CAN-H and CAN-L) and bit rate");
    case "ERROR-WARNING":
      return warning(subject, `${name} counts many errors (error-warning)`, "check termination (60 Ω between CAN-H and CAN-L), wiring and bit rate");
    case "STOPPED":
    case "SLEEPING":
      return problem(subject, `${name} is up but its controller is ${details.state.toLowerCase()}`, `sudo ip link set ${name} down && sudo ip link set ${name} up`);
    case undefined:
      return ok(subject, `${name} is up`);
    default:
      return ok(subject, `${name} is up, ${details!.state!.toLowerCase()}`);
  }
}

function queueCheck({ name, txQueueFrames }: CanInterface): Check {
  const subject = `${name}.queue`;
  if (txQueueFrames === undefined) return unknown(subject, `the length of ${name}'s transmit queue cannot be read`);
  if (txQueueFrames <= txQueueFramesMax) return ok(subject, `txqueuelen ${txQueueFrames}`);
  return warning(subject, `txqueuelen ${txQueueFrames}: so many stale commands can wait in the kernel and be sent when the bus comes back`, `sudo ip link set ${name} txqueuelen 16`);
}

function controllerChecks(name: string, details: NonNullable<CanInterface["details"]>): Check[] {
  const again = (setting: string): string => `sudo ip link set ${name} down && sudo ip link set ${name} type can ${setting} && sudo ip link set ${name} up`;
  const rate = details.bitrateBps
    ? ok(`${name}.bitrate`, `${details.bitrateBps} bit/s${details.dataBitrateBps ? `, data phase ${details.dataBitrateBps} bit/s` : ""}`)
    : problem(`${name}.bitrate`, `${name} has no bit rate`, again("bitrate 500000"));
  const restart = details.restartMs === undefined
    ? unknown(`${name}.restart`, `ip does not say ${name}'s restart-ms`)
    : details.restartMs === 0
      ? ok(`${name}.restart`, "restart-ms 0: the gateway itself restarts the bus, after purging what is queued")
      : warning(`${name}.restart`, `restart-ms ${details.restartMs}: the kernel restarts the bus by itself and sends what was queued before`, again("restart-ms 0"));
  const berr = details.controlModes.includes("BERR-REPORTING")
    ? ok(`${name}.berr`, "each bus error is reported")
    : warning(`${name}.berr`, "bus errors are not reported one by one: why a frame failed stays unknown (a dead bus is noticed all the same)", again("berr-reporting on"));
  const listen = details.controlModes.includes("LISTEN-ONLY")
    ? [warning(`${name}.mode`, `${name} listens only: nothing can be sent or acknowledged`, again("listen-only off"))]
    : [];
  return [rate, restart, berr, ...listen];
}

function withoutIp(name: string): Check[] {
  return ["bitrate", "restart", "berr"].map((subject) => unknown(`${name}.${subject}`, "ip does not tell, or is not installed", "sudo apt-get install -y iproute2"));
}
