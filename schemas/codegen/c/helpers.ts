/** The few static functions that a generated .c may need; only those that are called are written. `@` stands for the prefix. */
import type { RealType } from "./numbers.ts";

/** Rounds to the nearest whole number, halves upwards as JavaScript does: both ends of a wire must agree. The caller has checked that the result fits. */
function rounding(work: string, type: RealType): string {
  const [half, suffix] = type === "float" ? ["0.5f", "f"] : ["0.5", ""];
  return `static ${work}_t @_round_${work}${suffix}(${type} value) {
  ${work}_t whole = (${work}_t)value;
  const ${type} rest = value - (${type})whole;
  if (rest >= ${half}) {
    whole += 1;
  } else if (rest < -${half}) {
    whole -= 1;
  } else {
    /* the nearest already */
  }
  return whole;
}
`;
}

/** distance / factor to the nearest whole number, halves upwards. */
function division(bits: 32 | 64): string {
  return `static int${bits}_t @_divide${bits}(int${bits}_t distance, int${bits}_t factor) {
  int${bits}_t quotient = distance / factor;
  const int${bits}_t twice = 2 * (distance % factor);
  if (factor > 0) {
    if (twice >= factor) {
      quotient += 1;
    } else if (twice < -factor) {
      quotient -= 1;
    } else {
      /* the nearest already */
    }
  } else {
    if (twice <= factor) {
      quotient += 1;
    } else if (twice > -factor) {
      quotient -= 1;
    } else {
      /* the nearest already */
    }
  }
  return quotient;
}
`;
}

function sign(bits: 32 | 64): string {
  return `/* The number whose two's complement is in the low bits; \`sign\` is its highest bit alone. */
static int${bits}_t @_sign${bits}(uint${bits}_t bits, uint${bits}_t sign) {
  const uint${bits}_t low = bits & (sign - 1u);
  return ((bits & sign) != 0u) ? (-(int${bits}_t)((sign - 1u) - low) - 1) : (int${bits}_t)low;
}
`;
}

function finite(bits: 32 | 64): string {
  const [type, shift, mask] = bits === 32 ? ["float", 23, "0xFFu"] : ["double", 52, "0x7FFu"];
  return `/* By the bits: comparisons lose their meaning for NaN under some compiler options. */
static int @_finite${bits}(${type} value) {
  return ((@_bits${bits}(value) >> ${shift}) & ${mask}) != ${mask};
}
`;
}

function bitsOf(bits: 32 | 64): string {
  const type = bits === 32 ? "float" : "double";
  return `static uint${bits}_t @_bits${bits}(${type} value) {
  uint${bits}_t bits = 0u;
  @_copy((uint8_t *)&bits, (const uint8_t *)&value, sizeof bits);
  return bits;
}
`;
}

function realOf(bits: 32 | 64): string {
  const [type, zero] = bits === 32 ? ["float", "0.0f"] : ["double", "0.0"];
  return `static ${type} @_real${bits}(uint${bits}_t bits) {
  ${type} value = ${zero};
  @_copy((uint8_t *)&value, (const uint8_t *)&bits, sizeof value);
  return value;
}
`;
}

function order(bits: 32 | 64): string {
  const sign = bits === 32 ? "0x80000000u" : "UINT64_C(0x8000000000000000)";
  return `/* IEEE floats in the order of their values, as unsigned integers. */
static uint${bits}_t @_order${bits}(uint${bits}_t bits) {
  return ((bits & ${sign}) != 0u) ? (uint${bits}_t)~bits : (bits | ${sign});
}
`;
}

/** In an order in which each comes after those it calls. */
const HELPERS: readonly (readonly [name: string, text: string])[] = [
  ["copy", `static void @_copy(uint8_t *to, const uint8_t *from, size_t bytes) {
  size_t at;
  for (at = 0u; at < bytes; at += 1u) {
    to[at] = from[at];
  }
}
`],
  ["fill", `static void @_fill(uint8_t *to, uint8_t byte, size_t bytes) {
  size_t at;
  for (at = 0u; at < bytes; at += 1u) {
    to[at] = byte;
  }
}
`],
  ["bits32", bitsOf(32)], ["bits64", bitsOf(64)], ["real32", realOf(32)], ["real64", realOf(64)], ["finite32", finite(32)], ["finite64", finite(64)], ["order32", order(32)], ["order64", order(64)],
  ["sign32", sign(32)], ["sign64", sign(64)], ["divide32", division(32)], ["divide64", division(64)],
  ...(["int32", "uint32", "int64"] as const).flatMap((work) => (["double", "float"] as const).map((type) => [`round_${work}${type === "float" ? "f" : ""}`, rounding(work, type)] as const)),
];

export const HELPER_NAMES: readonly string[] = HELPERS.map(([name]) => name);

/** The helpers that `body` calls, and those that they call. */
export function helpersFor(body: string, prefix: string): string {
  const needed: string[] = [];
  let calls = body;
  for (const [name, text] of [...HELPERS].reverse()) {
    if (!calls.includes(`${prefix}_${name}(`)) continue;
    const own = text.replaceAll("@", prefix);
    needed.unshift(own);
    calls += own;
  }
  return needed.join("\n");
}
