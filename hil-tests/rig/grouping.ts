/** Which behaviours share a machine, and in which order: as few boots as possible. */
import { type Found, type MachineKind, machineKinds } from "./behaviour.ts";

/** Those that end their machine come last, those that restart it before them. */
const rank = ({ behaviour: { needs } }: Found): number => (needs.endsMachine === true ? 2 : needs.restartsMachine === true ? 1 : 0);

/** Behaviours for one kind of machine. Each boot serves all up to and including the next that ends it. */
export interface Group {
  machine: MachineKind;
  boots: Found[][];
  /** Those of the boots among which the same behaviours are dealt out: whichever machine has none left takes of the others' (`nextOf`). */
  dealt: readonly Found[][];
}

/** Whether one of `only` is in its file's name or in its sentence, capitals aside. No words: all. */
export function isMeant({ file, behaviour }: Found, only: readonly string[]): boolean {
  const text = `${file} ${behaviour.name}`.toLowerCase();
  return only.length === 0 || only.some((word) => text.includes(word.toLowerCase()));
}

/** Plain machines start in seconds: where several may be on, this many behaviours are worth a second one. The package takes longer to install than most of its behaviours. */
const WORTH_TWO = 12;

/**
 * `apart`: several machines may be on. Those that restart their machine get one of their own, so that it can be on beside the other; many that leave a plain one as it is are dealt out to two, which come last: what is left then is shared.
 */
export function groupsOf(found: readonly Found[], kinds: readonly MachineKind[] = machineKinds, apart = false): Group[] {
  return kinds.flatMap((machine) => {
    const here = found.filter(({ behaviour: { needs } }) => needs.machine === machine || needs.alsoOn?.includes(machine)).sort((a, b) => rank(a) - rank(b) || (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
    if (here.length === 0) return [];
    const calm = here.filter((each) => rank(each) === 0);
    const isDealt = apart && machine === "plain" && calm.length >= WORTH_TWO;
    const dealt = isDealt ? [calm.filter((_, index) => index % 2 === 0), calm.filter((_, index) => index % 2 === 1)] : [];
    const boots: Found[][] = [[]];
    for (const each of isDealt ? here.slice(calm.length) : here) {
      if (apart && machine !== "two" && rank(each) > 0 && boots.at(-1)!.some((other) => rank(other) === 0)) boots.push([]);
      boots.at(-1)!.push(each);
      if (each.behaviour.needs.endsMachine === true) boots.push([]);
    }
    return [{ machine, boots: boots.filter((boot) => boot.length > 0).concat(dealt), dealt }];
  });
}

/** What a machine tries next: the first of its own. With none left it takes one of whoever has most waiting behind the one that he is at, the last, so that both have done at about the same time. */
export function nextOf(own: Found[], others: readonly Found[][]): Found | undefined {
  if (own.length === 0) {
    const most = others.reduce<Found[]>((before, each) => (each.length > before.length ? each : before), []);
    if (most.length > 1) own.push(most.pop()!);
  }
  return own[0];
}
