/** Numbers for the names of origins, so that a sample carries four bytes instead of a sentence. Shared by all clients; a client is told a name when it first meets the number. */

/** Origins are links, programs and users: tens. Beyond this bound (somebody makes up names) further ones share a number. */
const ORIGINS_MAX = 65_535;

export class OriginTable {
  readonly #ids = new Map<string, number>();
  readonly #onNew: (id: number, name: string) => void;
  readonly #names: string[] = ["(other)"];

  /** `onNew`: a name has got its number. */
  constructor(onNew: (id: number, name: string) => void = () => {}) {
    this.#onNew = onNew;
  }

  /** As a predecessor numbered it. */
  restore(id: number, name: string): void {
    this.#ids.set(name, id);
    while (this.#names.length < id) this.#names.push("(other)");
    this.#names[id] = name;
  }

  /** From 1; 0 = one of too many. */
  idOf(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    if (this.#names.length > ORIGINS_MAX) return 0;
    const id = this.#names.length;
    this.#ids.set(name, id);
    this.#names.push(name);
    this.#onNew(id, name);
    return id;
  }

  nameOf(id: number): string {
    return this.#names[id] ?? this.#names[0]!;
  }
}
