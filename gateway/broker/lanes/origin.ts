/** What an origin is called: "component/version/instance/boot". Instance is the process, boot the machine's: the name outlives the gateway, and no two processes share it. */
import { readFileSync } from "node:fs";
import type { Peer } from "../ports.ts";

/** Eight digits of it tell one boot from the next. */
let boot: string | undefined;

function machineBoot(): string {
  boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
  return boot;
}

/** The version is nothing that the kernel knows: "-". */
export function originOf({ component, pid }: Peer): string {
  return `${component}/-/${pid}/${machineBoot()}`;
}
