/** What a package has to know of a compiled file: for which machine it is, and which C library it needs. Pure; understands 64-bit little-endian ELF, which is all there is here. */

const MAGIC = 0x464c457f;

/** e_machine, or undefined for what is no ELF file. */
export function elfMachine(bytes: Uint8Array): number | undefined {
  if (bytes.length < 20) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.getUint32(0, true) === MAGIC ? view.getUint16(18, true) : undefined;
}

/** The newest symbol version of that kind in the file's string tables: "GLIBC" → [2, 34]. Over-estimates at worst (a text that only looks like one), never under. */
export function newestVersion(bytes: Uint8Array, kind: "GLIBC" | "GLIBCXX"): readonly number[] | undefined {
  let newest: readonly number[] | undefined;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  for (const [, version] of text.matchAll(new RegExp(`\\0${kind}_(\\d+(?:\\.\\d+)+)(?=\\0)`, "g"))) {
    const numbers = version!.split(".").map(Number);
    if (newest === undefined || compareVersions(numbers, newest) > 0) newest = numbers;
  }
  return newest;
}

/** As numbers, place by place: 2.9 is below 2.34. */
export function compareVersions(a: readonly number[], b: readonly number[]): number {
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
