/** What this machine has that a configuration can use. Reads, and changes nothing. */
import type { Facts } from "../doctor/facts.ts";
import type { Machine } from "../doctor/machine.ts";

export interface Hardware {
  /** "Raspberry Pi 5 Model B Rev 1.0"; undefined where the firmware does not say. */
  board: string | undefined;
  can: readonly { name: string; bitrateBps: number | undefined; dataBitrateBps?: number; virtual: boolean }[];
  /** Stable paths first: by serial number, by socket, then the plain device. */
  serial: readonly string[];
  /** The hardware watchdog and its time-out; undefined: there is none. */
  watchdog: { device: string; timeoutS: number | undefined } | undefined;
  /** Fully preemptible kernel. */
  preemptRt: boolean;
  systemd: boolean;
}

export function hardwareOf(machine: Machine, { canInterfaces }: Pick<Facts, "canInterfaces">): Hardware {
  const text = (path: string): string | undefined => machine.read(path)?.replaceAll("\0", "").trim() || undefined;
  const watchdog = (machine.list("/sys/class/watchdog") ?? []).find((name) => /^watchdog\d+$/.test(name));
  const timeout = watchdog === undefined ? undefined : Number(text(`/sys/class/watchdog/${watchdog}/timeout`) ?? "NaN");
  return {
    // The device tree of boards; the DMI tables of PCs.
    board: text("/proc/device-tree/model") ?? text("/sys/class/dmi/id/product_name"),
    can: canInterfaces.map(({ name, details }) => ({ name, bitrateBps: details?.bitrateBps, ...(details?.dataBitrateBps === undefined ? {} : { dataBitrateBps: details.dataBitrateBps }), virtual: details !== undefined && details.kind !== "can" })),
    serial: serialDevices(machine),
    watchdog: watchdog === undefined ? undefined : { device: `/dev/${watchdog}`, timeoutS: timeout === undefined || Number.isNaN(timeout) ? undefined : timeout },
    preemptRt: text("/sys/kernel/realtime") === "1" || /PREEMPT_RT/.test(machine.read("/proc/version") ?? ""),
    systemd: machine.list("/run/systemd/system") !== undefined,
  };
}

function serialDevices(machine: Machine): readonly string[] {
  const in_ = (folder: string): string[] => (machine.list(folder) ?? []).map((name) => `${folder}/${name}`);
  const stable = in_("/dev/serial/by-id");
  if (stable.length > 0) return stable;
  const byPath = in_("/dev/serial/by-path");
  return byPath.length > 0 ? byPath : (machine.list("/dev") ?? []).filter((name) => /^tty(USB|ACM|AMA|THS)\d+$/.test(name)).map((name) => `/dev/${name}`);
}

export function boardKind(board: string | undefined): "raspberryPi" | "jetson" | "other" {
  if (/raspberry pi/i.test(board ?? "")) return "raspberryPi";
  return /jetson|tegra/i.test(board ?? "") ? "jetson" : "other";
}
