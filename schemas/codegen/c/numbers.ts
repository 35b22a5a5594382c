/** C types of integers, and numbers as C text: exact, of the right type, free of implicit conversions. */

export type IntegerType = "uint8_t" | "int8_t" | "uint16_t" | "int16_t" | "uint32_t" | "int32_t" | "uint64_t" | "int64_t";
export type RealType = "double" | "float";

const SIZES_BITS = [8, 16, 32, 64] as const;

export interface Range {
  least: bigint;
  greatest: bigint;
}

export function typeRange(type: IntegerType): Range {
  const bits = BigInt(typeBits(type));
  return type.startsWith("u") ? { least: 0n, greatest: (1n << bits) - 1n } : { least: -(1n << (bits - 1n)), greatest: (1n << (bits - 1n)) - 1n };
}

export function typeBits(type: IntegerType): number {
  return Number(/\d+/.exec(type)![0]);
}

/** The smallest type that holds both; unsigned where nothing is negative. Undefined beyond 64 bits. */
export function integerTypeFor({ least, greatest }: Range): IntegerType | undefined {
  const types = SIZES_BITS.map((bits): IntegerType => (least >= 0n ? `uint${bits}_t` : `int${bits}_t`));
  return types.find((type) => least >= typeRange(type).least && greatest <= typeRange(type).greatest);
}

/** An integer constant that has, or is silently promoted to, the given type. The smallest number of a signed type is written as a difference: `-2147483648` would be the negation of what does not fit. */
export function integer(value: bigint | number, type: IntegerType): string {
  const whole = BigInt(value);
  const { least } = typeRange(type);
  if (type === "uint64_t") return whole <= 0xffff_ffffn ? `UINT64_C(${whole})` : `UINT64_C(0x${whole.toString(16).toUpperCase()})`;
  if (type === "int64_t") return whole === least ? `(-INT64_C(${-(whole + 1n)}) - INT64_C(1))` : whole < 0n ? `(-INT64_C(${-whole}))` : `INT64_C(${whole})`;
  if (type.startsWith("u")) return `${whole}u`;
  if (type === "int32_t" && whole === least) return "(-2147483647 - 1)";
  return whole < 0n ? `(${whole})` : String(whole);
}

/** Hexadecimal, for identifiers and masks of up to 32 bits. */
export function hex(value: number | bigint, digits = 0): string {
  return `0x${value.toString(16).toUpperCase().padStart(digits, "0")}u`;
}

/** A floating-point constant: the shortest decimal that gives this number back. Throws for what is not finite. */
export function real(value: number, type: RealType): string {
  if (!Number.isFinite(value)) throw new RangeError(`${value} in generated code`);
  const digits = String(value);
  const text = `${/[.e]/.test(digits) ? digits : `${digits}.0`}${type === "float" ? "f" : ""}`;
  return digits.startsWith("-") ? `(${text})` : text;
}

/** A string constant. Bytes beyond ASCII and control characters are octal escapes, which end by themselves after three digits. */
export function text(value: string): string {
  return `"${[...Buffer.from(value)].map((byte) => (byte === 0x22 || byte === 0x5c ? `\\${String.fromCharCode(byte)}` : byte === 0x3f || byte < 0x20 || byte > 0x7e ? `\\${byte.toString(8).padStart(3, "0")}` : String.fromCharCode(byte))).join("")}"`;
}
