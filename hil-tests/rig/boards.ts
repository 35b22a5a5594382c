/** What behaviours run on: a machine of QEMU, two of them, or a bench. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent } from "./agent.ts";
import type { MachineKind } from "./behaviour.ts";
import type { Kernel } from "./kernel.ts";
import { type Cable, Machine } from "./machine.ts";
import { Clocks } from "./timeline.ts";

export interface Board {
  agent: () => Agent;
  machine: Machine | undefined;
  clocks: Clocks;
  /** Of two: which one. */
  who: string | undefined;
}
export type VirtualBoard = Board & { machine: Machine };

/** Of two: by which the timeline tells them apart. */
const NAMES_OF_TWO = ["first", "second"] as const;

const foldersInUse = new Set<string>();

const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-hil-"));
  foldersInUse.add(folder);
  return folder;
};

/** Not switched on yet. */
export function boardsOf(kind: MachineKind, kernel: Kernel): VirtualBoard[] {
  return kind === "two" ? twoBoards(kernel) : [oneBoard(kernel, kind === "systemd" ? "systemd" : "plain")];
}

function oneBoard(kernel: Kernel, boot: "plain" | "systemd", folder = newFolder(), more: { cable?: Cable; who?: string } = {}): VirtualBoard {
  const machine = new Machine({ kernel, boot, folder, ...(more.cable ? { cable: more.cable } : {}) });
  const clocks = new Clocks();
  machine.onClock = (machineS) => clocks.add(machineS, performance.now());
  return { agent: () => machine.agent, machine, clocks, who: more.who };
}

/** Plain ones, with a network cable between them. */
function twoBoards(kernel: Kernel): VirtualBoard[] {
  const folders = NAMES_OF_TWO.map(newFolder);
  const end = (index: number): string => join(folders[index]!, "cable");
  // A locally administered address (IEEE 802), its last byte 1 or 2.
  return NAMES_OF_TWO.map((who, index) => oneBoard(kernel, "plain", folders[index], { who, cable: { here: end(index), there: end(1 - index), mac: `52:54:00:00:00:0${index + 1}` } }));
}

/** Its power is cut; its folder goes, unless somebody wants to see it. */
export async function discard({ machine }: VirtualBoard, { keep }: { keep: boolean }): Promise<void> {
  await machine.cutPower();
  if (!keep) rmSync(machine.folder, { recursive: true, force: true });
  foldersInUse.delete(machine.folder);
}

/** When the rig ends, however: no machine's folder is left that nobody wants to see. */
export function removeFolders(): void {
  for (const folder of foldersInUse) rmSync(folder, { recursive: true, force: true });
}
