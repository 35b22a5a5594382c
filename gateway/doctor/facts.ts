/** What several checks need, read once. */
import { versionPair } from "./check.ts";
import type { Machine } from "./machine.ts";

/** ARPHRD_CAN, linux/if_arp.h. */
const arphrdCan = "280";
/** Bits of /proc/self/status CapEff, linux/capability.h. */
const capabilityBits = { netAdmin: 12n, netRaw: 13n, ipcLock: 14n, sysNice: 23n } as const;

export interface CanInterface {
  name: string;
  up: boolean;
  txQueueFrames: number | undefined;
  /** From `ip`; undefined when that is not installed or does not know the interface. */
  details: CanDetails | undefined;
}

export interface CanDetails {
  kind: string;
  state: string | undefined;
  bitrateBps: number | undefined;
  dataBitrateBps: number | undefined;
  restartMs: number | undefined;
  controlModes: readonly string[];
}

export interface Facts {
  kernelRelease: string;
  kernelVersion: readonly [number, number] | undefined;
  canInterfaces: readonly CanInterface[];
  capabilities: Readonly<Record<keyof typeof capabilityBits, boolean>>;
  /** Groups of /etc/group by name. */
  groupIds: ReadonlyMap<string, number>;
}

export async function gatherFacts(machine: Machine): Promise<Facts> {
  const kernelRelease = machine.read("/proc/sys/kernel/osrelease")?.trim() ?? "";
  const effective = /^CapEff:\s*([0-9a-f]+)$/im.exec(machine.read("/proc/self/status") ?? "")?.[1];
  const bits = BigInt(`0x${effective ?? "0"}`);
  const has = (name: keyof typeof capabilityBits): boolean => ((bits >> capabilityBits[name]) & 1n) === 1n;
  const groupLines = (machine.read("/etc/group") ?? "").split("\n").map((line) => line.split(":"));
  return {
    kernelRelease, kernelVersion: versionPair(kernelRelease), canInterfaces: await canInterfaces(machine),
    capabilities: { netAdmin: has("netAdmin"), netRaw: has("netRaw"), ipcLock: has("ipcLock"), sysNice: has("sysNice") },
    groupIds: new Map(groupLines.filter((fields) => fields.length >= 3).map((fields) => [fields[0]!, Number(fields[2])])),
  };
}

async function canInterfaces(machine: Machine): Promise<CanInterface[]> {
  const names = (machine.list("/sys/class/net") ?? []).filter((name) => machine.read(`/sys/class/net/${name}/type`)?.trim() === arphrdCan);
  if (names.length === 0) return [];
  const details = await linkDetails(machine);
  return names.map((name) => {
    const queue = Number(machine.read(`/sys/class/net/${name}/tx_queue_len`)?.trim() || "NaN");
    const flags = Number(machine.read(`/sys/class/net/${name}/flags`)?.trim() || "0");
    return { name, up: (flags & 1) !== 0, txQueueFrames: Number.isNaN(queue) ? undefined : queue, details: details.get(name) };
  });
}

interface IpLink {
  ifname?: string;
  linkinfo?: {
    info_kind?: string;
    info_data?: { state?: string; restart_ms?: number; bittiming?: { bitrate?: number }; data_bittiming?: { bitrate?: number }; ctrlmode?: string[] };
  };
}

/** `ip -details -json link show`, by interface. Empty when there is no `ip`, or it is one without JSON (busybox). */
async function linkDetails(machine: Machine): Promise<Map<string, CanDetails>> {
  const found = new Map<string, CanDetails>();
  const answer = await machine.run(["ip", "-details", "-json", "link", "show"]);
  if (answer?.code !== 0) return found;
  for (const { ifname, linkinfo } of parseLinks(answer.stdout)) {
    if (ifname === undefined || linkinfo?.info_kind === undefined) continue;
    const data = linkinfo.info_data;
    found.set(ifname, {
      kind: linkinfo.info_kind, state: data?.state, bitrateBps: data?.bittiming?.bitrate, dataBitrateBps: data?.data_bittiming?.bitrate,
      restartMs: data?.restart_ms, controlModes: data?.ctrlmode ?? [],
    });
  }
  return found;
}

function parseLinks(text: string): readonly IpLink[] {
  try {
    const links: unknown = JSON.parse(text);
    return Array.isArray(links) ? (links as IpLink[]) : [];
  } catch {
    return []; // an `ip` without JSON: its details are unknown, as without `ip`
  }
}
