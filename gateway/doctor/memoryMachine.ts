/** Machines made of text, for tests. */
import type { CommandResult, Machine } from "./machine.ts";

export interface MadeUp {
  files?: Readonly<Record<string, string>>;
  /** By the whole command line, or by the program's name. */
  commands?: Readonly<Record<string, Partial<CommandResult>>>;
  usable?: readonly string[];
  nodeVersion?: string;
  arch?: string;
  uid?: number;
  gids?: readonly number[];
}

export function memoryMachine({ files = {}, commands = {}, usable = [], nodeVersion = "22.12.0", arch = "arm64", uid = 1000, gids = [1000] }: MadeUp): Machine {
  return {
    read: (path) => files[path],
    list: (path) => {
      const inside = Object.keys(files).filter((name) => name.startsWith(`${path}/`)).map((name) => name.slice(path.length + 1).split("/")[0]!);
      return inside.length === 0 ? undefined : [...new Set(inside)].sort();
    },
    run: (command) => {
      const answer = commands[command.join(" ")] ?? commands[command[0]!];
      return Promise.resolve(answer && { code: 0, stdout: "", stderr: "", ...answer });
    },
    mayUse: (path) => usable.includes(path),
    nodeVersion, arch, nodePath: "node", uid, gids,
  };
}

/** A CAN interface as the kernel and `ip` show it. */
export function canInterface(name: string, { up = true, queue = 10, kind = "can", state = "ERROR-ACTIVE", restartMs = 0, modes = ["BERR-REPORTING"], bitrate = 500_000 } = {}): { files: Record<string, string>; link: unknown } {
  const folder = `/sys/class/net/${name}`;
  return {
    files: { [`${folder}/type`]: "280\n", [`${folder}/tx_queue_len`]: `${queue}\n`, [`${folder}/flags`]: up ? "0x40081\n" : "0x40080\n" },
    link: { ifname: name, linkinfo: { info_kind: kind, ...(kind === "can" ? { info_data: { state, restart_ms: restartMs, bittiming: { bitrate }, ctrlmode: modes, berr_counter: { tx: 0, rx: 0 } } } : {}) } },
  };
}

/** A Raspberry Pi as it should be, with the CAN interfaces given. */
export function wellMachine(...interfaces: readonly ReturnType<typeof canInterface>[]): MadeUp {
  return {
    files: {
      "/proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-v8-rt\n", "/proc/version": "Linux version 6.6.31 #1 SMP PREEMPT_RT Debian\n", "/proc/net/protocols": "protocol  size sockets\nCAN_RAW   1024  0\n",
      "/proc/self/status": "Name:\tnode\nCapEff:\t0000000000803000\n", "/proc/self/limits": "Max open files            65536                65536                files\nMax realtime priority     50                   50\nMax locked memory         unlimited            unlimited            bytes\n",
      "/proc/net/tcp": "  sl  local_address rem_address   st\n   0: 0100007F:0016 00000000:0000 0A\n", "/etc/group": "root:x:0:\ndialout:x:20:robot\nipcnet:x:990:robot\n",
      "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n", "/sys/devices/system/clocksource/clocksource0/current_clocksource": "arch_sys_counter\n",
      "/dev/watchdog0": "", "/sys/class/watchdog/watchdog0/timeout": "15\n", "/sys/class/watchdog/watchdog0/state": "active\n", "/sys/class/watchdog/watchdog0/identity": "Broadcom BCM2835 Watchdog timer\n",
      "/dev/serial/by-id/usb-hand": "", "/build/native/ipcnet_can.node": "", "/build/native/ipcnet-reflex": "", "/var/lib/ipcnet/a/epoch": "", "/run/ipcnet/reflex.lock": "",
      ...Object.assign({}, ...interfaces.map(({ files }) => files)) as Record<string, string>,
    },
    commands: {
      gcc: { stdout: "gcc (Debian 12.2.0) 12.2.0\n" }, node: {}, "timedatectl show --property=NTPSynchronized --value": { stdout: "yes\n" },
      "ip -details -json link show": { stdout: JSON.stringify(interfaces.map(({ link }) => link)) },
    },
    usable: ["/dev/serial/by-id/usb-hand", "/var/lib/ipcnet", "/run/ipcnet"], gids: [1000, 20, 990],
  };
}
