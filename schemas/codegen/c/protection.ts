/** End-to-end protection of a message, from the checks file: what the generated code hands to ipcnet_e2e. */
import type { Message } from "../../dbc/model.ts";
import type { CheckSet } from "../../e2e/checks.ts";
import { headerBytesOf, layoutOf, profileFacts, type E2eConfig, type Layout, type ProfileName } from "../../e2e/config.ts";
import { maxDeltaCounterDefault, RESYNC_FRAMES_DEFAULT } from "../../e2e/counter.ts";
import { layoutFromMessage } from "../../records/layout.ts";
import { remark, type Remark } from "../generated.ts";
import type { SelectedMessage } from "../select.ts";

export interface Protection {
  config: E2eConfig;
  layout: Layout;
  /** The part of the C functions' names: P11 is p01, P22 is p02. */
  functions: "p01" | "p02" | "p04" | "p05" | "p06" | "p07" | "p08";
  firstCounter: 0 | 1;
  maxDelta: number;
  resyncFrames: number;
}

/** Of each message that an AUTOSAR profile protects. `verify` of the checks has found nothing. */
export function protectionsOf(selected: readonly SelectedMessage[], checks: CheckSet | undefined, frameBytesOf: (message: Message) => number): { protections: Map<Message, Protection>; remarks: Remark[] } {
  const protections = new Map<Message, Protection>();
  const remarks: Remark[] = [];
  if (checks === undefined) return { protections, remarks };
  for (const { message } of selected) {
    const { name, at, canId, extended, lengthBytes } = message;
    const found = checks.protectionOf({ name, canId, extended, lengthBytes, layoutHash: layoutFromMessage(message).hash });
    if (found === undefined) remarks.push(remark("noCheck", `message ${name} has no entry in the checks file`, { at }));
    else if (found.kind === "vendor") remarks.push(remark("vendorChecksum", `message ${name}: its checksum is a manufacturer's own`, { at }));
    else if (found.kind === "e2e") {
      const layout = layoutOf(found.config);
      const frameBytes = frameBytesOf(message);
      if (frameBytes < layout.minLengthBytes || frameBytes > layout.maxLengthBytes) remarks.push(remark("protectionDoesNotFit", `message ${name}: its frames have ${frameBytes} bytes, its protection ${layout.minLengthBytes} to ${layout.maxLengthBytes}`, { at }));
      else protections.set(message, protectionOf(found.config, layout));
    }
  }
  return { protections, remarks };
}

function protectionOf(config: E2eConfig, layout: Layout): Protection {
  const functions: Record<ProfileName, Protection["functions"]> = { P01: "p01", P11: "p01", P02: "p02", P22: "p02", P04: "p04", P05: "p05", P06: "p06", P07: "p07", P08: "p08" };
  return {
    config, layout, functions: functions[config.profile], firstCounter: functions[config.profile] === "p02" ? 1 : 0,
    maxDelta: config.maxDeltaCounter ?? maxDeltaCounterDefault(profileFacts[config.profile].counterCount), resyncFrames: config.resyncFrames ?? RESYNC_FRAMES_DEFAULT,
  };
}

/** The bits of a frame that the protection writes, bit n of byte k at k*8+n. */
export function headerMask(config: E2eConfig): bigint {
  const { offsetBytes, crcOffsetBits, counterOffsetBits, dataIdNibbleOffsetBits } = layoutOf(config);
  const field = (bits: number, at: number): bigint => ((1n << BigInt(bits)) - 1n) << BigInt(at);
  switch (config.profile) {
    case "P01":
    case "P11":
      return field(8, crcOffsetBits) | field(4, counterOffsetBits) | (config.dataIdMode === "nibble" ? field(4, dataIdNibbleOffsetBits) : 0n);
    case "P02":
    case "P22":
      return field(12, offsetBytes * 8);
    case "P04":
    case "P05":
    case "P06":
    case "P07":
    case "P08":
      return headerBytesOf(config).reduce((mask, byte) => mask | field(8, byte * 8), 0n);
    default:
      return config.profile satisfies never;
  }
}
