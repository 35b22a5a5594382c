/**
 * How many owners in a row the epoch field of a command tells apart, and whether that is enough. A node compares the field with the lowest bits of the epoch that it keeps
 * (docs/specs/claim.md): with n bits a command that is 2^n takeovers old looks like a new one.
 */
import type { Config } from "../../../schemas/messages/config.ts";
import { isReflexBus } from "../../../schemas/messages/check/redundancy.ts";
import type { CheckedParts } from "../../../schemas/messages/checkConfig.ts";
import { pathText, type Fault, type Path } from "../../../schemas/messages/fault.ts";
import { sendableOf } from "../sendable.ts";

/**
 * A command lives 60 s at most (`ttlMsMax`). Whatever keeps the reflexes running starts one again after 20 ms, then later and later, up to 2 s: in a crash loop 7 soon starts and then one every 2 s, 35 in 60 s.
 * Four of them, two on each of two hosts: 140 owners in a row, each with an epoch of its own. So 2^n > 140: 8 bits. At that pace 4 bits are used up within half a second.
 */
export const EPOCH_BITS_MIN = 8;
/** Takeovers in 60 s, as computed above. */
const OWNERS_IN_A_LIFE = 140;

/** One sentence; undefined: the field is wide enough, or there is none. */
export function epochTrouble(bits: number): string | undefined {
  if (bits === 0 || bits >= EPOCH_BITS_MIN) return undefined;
  return `its epoch field has ${bits} ${bits === 1 ? "bit" : "bits"}: after ${2 ** bits} takeovers a command of an old owner looks like one of the present owner, and up to ${OWNERS_IN_A_LIFE} are possible within a command's longest life`;
}

/** A warning for each listed command whose epoch field wraps early; a file that says nothing of claims has none. */
export function epochWarnings(config: Config, parts: CheckedParts, file: string): Fault[] {
  if (config.redundancy.reflex === "none") return [];
  return config.buses.filter((bus) => isReflexBus(bus) && bus.claimId !== undefined).flatMap((bus) => sendableOf(config, "bus", bus.name).flatMap(({ message: name }): Fault[] => {
    const entry = parts.messages.of(bus.name).get(name);
    const field = entry?.message.signals.find((signal) => signal.name === entry.checks?.claims.epoch);
    const trouble = epochTrouble(field?.lengthBits ?? 0);
    if (trouble === undefined) return [];
    const index = config.commands.findIndex((command) => "bus" in command && command.bus === bus.name && command.message === name);
    const path: Path = index < 0 ? ["redundancy", "reflex"] : ["commands", index, "message"];
    return [{ code: "epochWrapsEarly", severity: "warning", file, ...parts.locate(path), path: pathText(path), message: `${bus.name}/${name}: ${trouble}`, expected: `at least ${EPOCH_BITS_MIN} bits (docs/specs/claim.md)`, hint: `widen ${field!.name} in the database, and in the nodes` }];
  }));
}
