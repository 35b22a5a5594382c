/** Random messages as DBC text, for property tests and fuzzing: any byte order, length, scaling, floats and multiplexing, without overlaps. */
import { seededRandom } from "../random.ts";
import { bitMask, fits, type BitField } from "./bits.ts";

/** Numbers from 0 up to `below`, exclusive. */
export type Draw = (below: number) => number;

const FACTORS = ["1", "1", "1", "0.5", "0.1", "-2", "0.01", "3", "1E-05"];
const OFFSETS = ["0", "0", "0", "-40", "1.5", "1000"];

/** Draws of `seededRandom`, for callers without a generator of their own. */
export function drawFrom(seed: number): Draw {
  const random = seededRandom(seed);
  return (below) => (random() * 2 ** 32) % below;
}

/** The text of a database with one message, named M. */
export function randomDatabaseText(draw: Draw): string {
  const lengthBytes = draw(4) === 0 ? [12, 16, 24, 64][draw(4)]! : draw(9);
  const lines = ["BU_: A", `BO_ 100 M: ${lengthBytes} A`];
  const floats: string[] = [];
  let taken = 0n;
  const place = (token: string, name: string, lengths: readonly number[], base: bigint): bigint | undefined => {
    for (let attempt = 0; attempt < 6; attempt++) {
      const field: BitField = { startBit: draw(Math.max(1, lengthBytes * 8)), lengthBits: lengths[draw(lengths.length)]!, byteOrder: draw(2) === 0 ? "little" : "big" };
      if (!fits(field, lengthBytes)) continue;
      const mask = bitMask(field);
      if ((base & mask) !== 0n) continue;
      const isFloat = token !== "M" && (field.lengthBits === 32 || field.lengthBits === 64) && draw(3) === 0;
      const scaled = token !== "M" && draw(2) === 0;
      const sign = token === "M" ? "+" : draw(2) === 0 ? "-" : "+";
      lines.push(` SG_ ${name} ${token === "" ? "" : `${token} `}: ${field.startBit}|${field.lengthBits}@${field.byteOrder === "little" ? 1 : 0}${sign} (${scaled ? FACTORS[draw(FACTORS.length)] : "1"},${scaled ? OFFSETS[draw(OFFSETS.length)] : "0"}) [0|0] "" A`);
      if (isFloat) floats.push(`SIG_VALTYPE_ 100 ${name} : ${field.lengthBits / 32};`);
      return mask;
    }
    return undefined;
  };
  const some = Array.from({ length: 40 }, (_, bit) => bit + 1);
  const any = [...some, 8, 8, 16, 16, 32, 32, 48, 53, 54, 63, 64, 64];
  const multiplexor = draw(2) === 0 ? place("M", "m", [1, 2, 3, 4, 8], taken) : undefined;
  taken |= multiplexor ?? 0n;
  for (let index = draw(8); index > 0; index--) taken |= place("", `s${index}`, any, taken) ?? 0n;
  for (let branch = multiplexor === undefined ? 0 : draw(4); branch > 0; branch--) {
    let own = taken;
    for (let index = draw(4); index > 0; index--) own |= place(`m${branch}`, `b${branch}_${index}`, any, own) ?? 0n;
  }
  return [...lines, ...floats, ""].join("\n");
}
