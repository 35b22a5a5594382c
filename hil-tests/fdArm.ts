/**
 * The demonstration's arm as it would be on CAN FD: every message but the heartbeat in FD frames of 12 bytes, protected by AUTOSAR's profile 6
 * (CRC, length, counter: five bytes, of which the profile 5 of the classic arm has three). The witness goes without a switch of the bit rate.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Signals that follow the header lie this far behind where the classic arm has them. */
const SHIFT_BITS = 16;
/** Where the classic arm's header ends. */
const HEADER_BITS = 24;
export const FD_SHIFT_BYTES = SHIFT_BITS / 8;
export const FD_RATES = { bitrateBps: 500_000, dataBitrateBps: 2_000_000 } as const;

const ATTRIBUTES = ['BA_DEF_ BO_ "CANFD_BRS" ENUM "0","1";', 'BA_DEF_DEF_ "CANFD_BRS" "1";', 'BA_ "CANFD_BRS" BO_ 4 0;'].join("\n");

/** Writes arm.dbc and arm.checks.yaml of `source` (examples/arm) into `folder`, changed. */
export function writeFdArm(source: string, folder: string): void {
  const dbc = readFileSync(join(source, "arm.dbc"), "utf8")
    .replaceAll(/^(BO_ \d+ \w+): \d+ /gm, "$1: 12 ")
    .replaceAll(/^ SG_ (\w+) : (\d+)\|(\d+)@1/gm, (_all, name: string, start: string, length: string) => ` SG_ ${name} : ${placed(name, Number(start))}${length}@${name === "crc" ? 0 : 1}`)
    .replace(/^BA_DEF_ /m, `${ATTRIBUTES}\nBA_DEF_ `);
  writeFileSync(join(folder, "arm.dbc"), dbc);
  writeFileSync(join(folder, "arm.checks.yaml"), readFileSync(join(source, "arm.checks.yaml"), "utf8").replaceAll("P05", "P06"));
}

/** Profile 6 writes its CRC high byte first, and two bytes of length before the counter. */
function placed(name: string, start: number): string {
  if (name === "crc") return "7|";
  return `${name === "counter" || start >= HEADER_BITS ? start + SHIFT_BITS : start}|`;
}
