/** The plug-ins by the name a checks file uses. A new one: its file here, a line below, its rows in schemas/vectors/e2e-vendor.json. */
import { crc8, sum8, xor8 } from "./byteChecksums.ts";
import type { VendorChecksum } from "./checksum.ts";
import { honda } from "./honda.ts";
import { toyota } from "./toyota.ts";

export type ParameterValue = number | boolean | string;

interface ParameterRule {
  required?: boolean;
  /** What a value must be, in words for the hint. */
  expected: string;
  accepts(value: ParameterValue): boolean;
}

export interface VendorKind {
  parameters: Readonly<Record<string, ParameterRule>>;
  create(parameters: Readonly<Record<string, ParameterValue>>): VendorChecksum;
}

export const vendorKinds: Readonly<Record<string, VendorKind>> = kinds();

/** Makes a plug-in from its name. `parameters` must satisfy the kind's rules. Undefined for an unknown name. */
export function vendorChecksum(name: string, parameters: Readonly<Record<string, ParameterValue>> = {}): VendorChecksum | undefined {
  return Object.hasOwn(vendorKinds, name) ? vendorKinds[name]!.create(parameters) : undefined;
}

function kinds(): Record<string, VendorKind> {
  const isByte = (value: ParameterValue): value is number => typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xff;
  const byte8: ParameterRule = { expected: "a whole number 0…255", accepts: isByte };
  const position: ParameterRule = { expected: "last, or a whole number 0…63", accepts: (value) => value === "last" || (isByte(value) && value < 64) };
  const flag: ParameterRule = { expected: "true or false", accepts: (value) => typeof value === "boolean" };
  return {
    honda: { parameters: {}, create: () => honda },
    toyota: { parameters: {}, create: () => toyota },
    xor8: { parameters: { byte: position }, create: (given) => xor8(given) },
    sum8: { parameters: { byte: position }, create: (given) => sum8(given) },
    crc8: {
      parameters: { polynomial: { ...byte8, required: true }, initial: byte8, finalXor: byte8, reflected: flag, byte: position },
      create: (given) => crc8({ polynomial: 0, ...given }),
    },
  };
}
