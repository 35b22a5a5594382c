/** From a configuration to its codec. */
import type { FrameCodec } from "./codec.ts";
import { validateE2eConfig } from "./config.ts";
import type { ConfigFault, E2eConfig } from "./config.ts";
import { P01Codec } from "./p01.ts";
import { P02Codec } from "./p02.ts";
import { P04Codec, P07Codec, P08Codec } from "./p04.ts";
import { P05Codec, P06Codec } from "./p05.ts";

/** Thrown for a configuration that `validateE2eConfig` finds faults in. */
export class E2eConfigError extends Error {
  readonly faults: readonly ConfigFault[];
  constructor(faults: readonly ConfigFault[]) {
    super(faults.map((fault) => `${fault.message} (${fault.hint})`).join("; "));
    this.name = "E2eConfigError";
    this.faults = faults;
  }
}

/** Compiles a configuration. Throws E2eConfigError with all its faults; check first with `validateE2eConfig` where it comes from outside. */
export function e2eCodec(config: E2eConfig): FrameCodec {
  const faults = validateE2eConfig(config);
  if (faults.length > 0) throw new E2eConfigError(faults);
  switch (config.profile) {
    case "P01":
    case "P11":
      return new P01Codec(config);
    case "P02":
    case "P22":
      return new P02Codec(config);
    case "P04":
      return new P04Codec(config);
    case "P05":
      return new P05Codec(config);
    case "P06":
      return new P06Codec(config);
    case "P07":
      return new P07Codec(config);
    case "P08":
      return new P08Codec(config);
  }
}
