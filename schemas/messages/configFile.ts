/** The edge of the configuration: reads files and looks at this machine for `checkConfig`. */
import { existsSync, fstatSync, openSync, closeSync, readFileSync, readSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { checkConfig } from "./checkConfig.ts";
import type { CanInterfaceAnswer, CheckResult, FileAnswer, MachineProbe } from "./checkConfig.ts";

/** Larger files than any database or schema seen; a device or a log named by mistake is not read into memory. */
const fileBytesMax = 16 * 1024 * 1024;

export type ConfigFileResult = { readable: true; text: string; result: CheckResult } | { readable: false; why: string };

/** Reads and checks a configuration as the gateway's start and reload do. `machine: false` leaves this machine out of it. */
export function checkConfigFile(file: string, { machine = true }: { machine?: boolean } = {}): ConfigFileResult {
  const answer = readWhole(file);
  if ("fault" in answer) return { readable: false, why: answer.fault };
  const text = new TextDecoder("utf-8").decode(answer.bytes);
  const folder = dirname(resolve(file));
  const result = checkConfig({ text, file, readFile: (path) => readWhole(resolve(folder, path)), ...(machine ? { machine: thisMachine() } : {}) });
  return { readable: true, text, result };
}

/** A regular file's bytes and permissions, both of the same open file. */
export function readWhole(path: string): FileAnswer {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const { size, mode } = fstatSync(file);
    // S_IFREG among the type bits of st_mode (inode(7)).
    if ((mode & 0o170000) !== 0o100000) return { fault: "it is no regular file" };
    if (size > fileBytesMax) return { fault: `it has ${size} bytes, at most ${fileBytesMax} are read` };
    const bytes = new Uint8Array(size);
    let length = 0;
    while (length < size) {
      const count = readSync(file, bytes, length, size - length, length);
      if (count === 0) break;
      length += count;
    }
    return { bytes: bytes.subarray(0, length), mode: mode & 0o7777 };
  } catch (error) {
    return { fault: whyUnreadable(error) };
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

const reasons: Readonly<Record<string, string>> = { ENOENT: "it does not exist", EACCES: "permission denied", EISDIR: "it is a directory", ENOTDIR: "a part of the path is no directory", ELOOP: "too many symbolic links" };

/** The end of the sentence "cannot read FILE: …". */
export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return reasons[code] ?? (error instanceof Error ? error.message : "unknown reason");
}

/** Users and groups are those of the local files; others (LDAP …) are reported as not known, not as missing. */
export function thisMachine(): MachineProbe {
  const users = namesIn("/etc/passwd");
  const groups = namesIn("/etc/group");
  const local = onlyLocal();
  const exists = (names: ReadonlySet<string> | undefined, name: string) => (names === undefined || /^\d+$/.test(name) ? undefined : names.has(name) ? true : local ? false : undefined);
  return {
    canInterface: (name) => (existsSync("/sys/class/net") ? canInterface(name) : undefined),
    pathExists: (path) => existsSync(path),
    userExists: (name) => exists(users, name),
    groupExists: (name) => exists(groups, name),
  };
}

/** ARPHRD_CAN (linux/if_arp.h), IFF_UP (linux/if.h), CANFD_MTU (linux/can.h). */
const arphrdCan = 280;
const flagUp = 1;
const fdMtu = 72;

/** From sysfs. The bit rate is behind netlink; the driver compares it when it opens the interface. */
function canInterface(name: string): CanInterfaceAnswer {
  const folder = join("/sys/class/net", name);
  const number = (file: string) => Number(readFileSync(join(folder, file), "utf8"));
  try {
    return { present: true, can: number("type") === arphrdCan, up: (number("flags") & flagUp) !== 0, fd: number("mtu") >= fdMtu };
  } catch {
    return { present: existsSync(folder) }; // no such interface, or it went away just now
  }
}

function namesIn(file: string): ReadonlySet<string> | undefined {
  if (!existsSync(file)) return undefined;
  return new Set(readFileSync(file, "utf8").split("\n").map((line) => line.split(":")[0]!).filter((name) => name !== ""));
}

/** Whether users and groups come from /etc alone (nsswitch.conf(5)). */
function onlyLocal(): boolean {
  const file = "/etc/nsswitch.conf";
  if (!existsSync(file)) return true;
  const sources = readFileSync(file, "utf8").split("\n").filter((line) => /^(passwd|group):/.test(line)).flatMap((line) => line.replace(/#.*/, "").split(/\s+/).slice(1));
  return sources.every((source) => source === "" || source === "files" || source === "compat" || source === "systemd");
}
