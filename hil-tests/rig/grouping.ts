/** Which behaviours share a machine, and in which order: as few boots as possible. */
import { type Found, type MachineKind, machineKinds } from "./behaviour.ts";

/** Behaviours for one kind of machine, those that end it last. Each boot serves all up to and including the next that ends it. */
export interface Group {
  machine: MachineKind;
  boots: Found[][];
}

/** Whether one of `only` is in its file's name or in its sentence, capitals aside. No words: all. */
export function isMeant({ file, behaviour }: Found, only: readonly string[]): boolean {
  const text = `${file} ${behaviour.name}`.toLowerCase();
  return only.length === 0 || only.some((word) => text.includes(word.toLowerCase()));
}

export function groupsOf(found: readonly Found[]): Group[] {
  return machineKinds.flatMap((machine) => {
    const here = found.filter(({ behaviour }) => behaviour.needs.machine === machine).sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
    if (here.length === 0) return [];
    const boots: Found[][] = [[]];
    for (const each of [...here.filter(({ behaviour }) => behaviour.needs.endsMachine !== true), ...here.filter(({ behaviour }) => behaviour.needs.endsMachine === true)]) {
      boots.at(-1)!.push(each);
      if (each.behaviour.needs.endsMachine === true) boots.push([]);
    }
    return [{ machine, boots: boots.filter((boot) => boot.length > 0) }];
  });
}
