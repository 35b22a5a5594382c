/**
 * Names of a DBC as C identifiers: lower case with underscores, capitals for constants. What is no identifier is made one, what is a word of C or C++ gets an
 * underscore, and of names that come out the same all are told apart by something that is their own (an identifier, a start bit), so that adding
 * one message never gives another one a name that had a different meaning before.
 */

/** Words of C99 and C++20, and macros that old compilers define in lower case. */
const RESERVED = new Set(
  ("alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl concept const consteval constexpr constinit const_cast continue co_await co_return co_yield " +
  "decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected " +
  "public register reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename typeof union unsigned " +
  "using virtual void volatile wchar_t while xor xor_eq far near huge interrupt unix linux i386 mips sparc sun vax m68k vector pixel errno assert").split(" "),
);

/** `TargetPosition`, `STEER_ANGLE`, `HVBatt` → `target_position`, `steer_angle`, `hv_batt`. May be empty or begin with a digit. */
export function snakeCase(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/[^A-Za-z0-9_]+/g, "_")
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1_$2")
    .replace(/(\d)([A-Z][a-z])/g, "$1_$2")
    .toLowerCase()
    .replace(/__+/g, "_")
    .replace(/^_+|_+$/g, "");
}

/** A name for a struct's field. */
export function fieldName(name: string): string {
  const plain = snakeCase(name) || "signal";
  if (/^\d/.test(plain)) return `x${plain}`;
  return RESERVED.has(plain) ? `${plain}_` : plain;
}

/** Whether it can begin every name of a generated file. `ipcnet` is taken by the libraries that the code calls. */
export function isPrefix(text: string): boolean {
  return /^[a-z][a-z0-9_]*$/.test(text) && text.length <= 40 && !RESERVED.has(text) && !text.endsWith("_") && text !== "ipcnet" && !text.startsWith("ipcnet_");
}

/** A prefix made of a file's name. */
export function prefixOf(file: string): string {
  const base = file.replace(/^.*[/\\]/, "").replace(/\.[^.]*$/, "");
  const plain = snakeCase(base).slice(0, 40).replace(/_+$/, "");
  return isPrefix(plain) ? plain : isPrefix(`dbc_${plain}`.slice(0, 40)) ? `dbc_${plain}`.slice(0, 40) : "dbc";
}

/** Names already given, in one name space. */
export class Names {
  readonly #taken = new Set<string>();

  /** The first of the candidates that is free, else the last one with a number. */
  take(...candidates: readonly [string, ...string[]]): string {
    const free = candidates.find((candidate) => !this.#taken.has(candidate)) ?? this.#numbered(candidates.at(-1)!);
    this.#taken.add(free);
    return free;
  }

  /** Takes `base` with every ending at once, so that none of them collides with anything: the base that was free. */
  takeAll(bases: readonly [string, ...string[]], endings: readonly string[]): string {
    const isFree = (base: string): boolean => endings.every((ending) => !this.#taken.has(base + ending));
    let base = bases.find(isFree);
    for (let count = 2; base === undefined; count++) if (isFree(`${bases.at(-1)!}_${count}`)) base = `${bases.at(-1)!}_${count}`;
    for (const ending of endings) this.#taken.add(base + ending);
    return base;
  }

  #numbered(name: string): string {
    for (let count = 2; ; count++) if (!this.#taken.has(`${name}_${count}`)) return `${name}_${count}`;
  }
}

/** One name for each thing, in order; those whose plain names are the same get what `apart` says behind it. */
export function tellApart<Thing>(things: readonly Thing[], plain: (thing: Thing) => string, apart: (thing: Thing) => string): Map<Thing, string> {
  const counts = new Map<string, number>();
  for (const thing of things) counts.set(plain(thing), (counts.get(plain(thing)) ?? 0) + 1);
  return new Map(things.map((thing) => [thing, counts.get(plain(thing))! > 1 ? `${plain(thing)}_${apart(thing)}` : plain(thing)]));
}
