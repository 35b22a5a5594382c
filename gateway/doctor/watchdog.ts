import { checker, type Check } from "./check.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, unknown } = checker("watchdog");
const secondsMax = 60;
/** WDIOF_CARDRESET, linux/watchdog.h: the last start came from the watchdog. */
const cardReset = 0x20;

export function watchdogChecks(machine: Machine): Check[] {
  const devices = (machine.list("/dev") ?? []).filter((name) => /^watchdog\d+$/.test(name));
  if (devices.length === 0) {
    return [warning("device", "no hardware watchdog (/dev/watchdog0): a hung kernel stays hung", "Raspberry Pi: dtparam=watchdog=on in /boot/firmware/config.txt; PC: enable it in the firmware, or sudo modprobe softdog for tests")];
  }
  return devices.flatMap((device) => {
    const value = (name: string): string | undefined => machine.read(`/sys/class/watchdog/${device}/${name}`)?.trim();
    const seconds = Number(value("timeout") ?? "NaN");
    const active = value("state") === "active";
    const identity = value("identity") ?? "of unknown make";
    const use = active
      ? ok(`${device}.use`, `${device} (${identity}) is being fed`)
      : machine.mayUse(`/dev/${device}`)
        ? ok(`${device}.use`, `${device} (${identity}) is free and may be opened`)
        : warning(`${device}.use`, `${device} (${identity}) is not in use and this user may not open it`, "let systemd feed it: RuntimeWatchdogSec=15 in /etc/systemd/system.conf, then sudo systemctl daemon-reexec");
    const timeout = Number.isNaN(seconds)
      ? unknown(`${device}.timeout`, `the kernel does not say ${device}'s time-out`)
      : seconds <= secondsMax
        ? ok(`${device}.timeout`, `${seconds} s`)
        : warning(`${device}.timeout`, `${seconds} s pass before ${device} resets a hung machine`, "RuntimeWatchdogSec=15 in /etc/systemd/system.conf, then sudo systemctl daemon-reexec");
    const lastStart = (Number(value("bootstatus") ?? "0") & cardReset) !== 0
      ? [warning(`${device}.lastStart`, `the machine was last started by ${device}: it had hung`, "journalctl -b -1 -e shows what happened before")]
      : [];
    return [use, timeout, ...lastStart];
  });
}
