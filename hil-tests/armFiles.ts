/**
 * The definitions of the demonstration's arm, for a test's folder: as they are, or as they would be on CAN FD: every message but the heartbeat in FD frames of 12 bytes, protected by
 * AUTOSAR's profile 6 (CRC, length, counter: five bytes, of which the profile 5 of the classic arm has three). The witness goes without a switch of the bit rate there.
 */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CanFlag } from "../drivers/can/frame.ts";

/** Where they lie. */
export const ARM_FOLDER = join(import.meta.dirname, "../../../examples/arm");
const [DBC, CHECKS] = ["arm.dbc", "arm.checks.yaml"];

/** Signals that follow the header lie this far behind where the classic arm has them. */
const SHIFT_BITS = 16;
/** Where the classic arm's header ends. */
const HEADER_BITS = 24;
export const FD_SHIFT_BYTES = SHIFT_BITS / 8;
/** Of its bus, as a configuration has them. */
export const FD_BUS = { fd: true, bitrateBps: 500_000, dataBitrateBps: 2_000_000 } as const;
/** What tells an FD frame, and its kind, among a frame's flags. */
export const FD_FLAGS = CanFlag.fd | CanFlag.bitRateSwitch;

const ATTRIBUTES = ['BA_DEF_ BO_ "CANFD_BRS" ENUM "0","1";', 'BA_DEF_DEF_ "CANFD_BRS" "1";', 'BA_ "CANFD_BRS" BO_ 4 0;'].join("\n");

/** Writes arm.dbc and arm.checks.yaml into `folder`. */
export function writeArmFiles(folder: string, { fd = false }: { fd?: boolean } = {}): void {
  if (!fd) {
    for (const name of [DBC, CHECKS]) copyFileSync(join(ARM_FOLDER, name), join(folder, name));
    return;
  }
  const dbc = readFileSync(join(ARM_FOLDER, DBC), "utf8")
    .replaceAll(/^(BO_ \d+ \w+): \d+ /gm, "$1: 12 ")
    .replaceAll(/^ SG_ (\w+) : (\d+)\|(\d+)@1/gm, (_all, name: string, start: string, length: string) => ` SG_ ${name} : ${startBit(name, Number(start))}|${length}@${name === "crc" ? 0 : 1}`)
    .replace(/^BA_DEF_ /m, `${ATTRIBUTES}\nBA_DEF_ `);
  writeFileSync(join(folder, DBC), dbc);
  writeFileSync(join(folder, CHECKS), readFileSync(join(ARM_FOLDER, CHECKS), "utf8").replaceAll("P05", "P06"));
}

/** Profile 6 writes its CRC high byte first, and two bytes of length before the counter. */
function startBit(name: string, classic: number): number {
  if (name === "crc") return 7;
  return name === "counter" || classic >= HEADER_BITS ? classic + SHIFT_BITS : classic;
}
