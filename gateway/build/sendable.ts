/** What may be sent over a link: its commands, and what only the safe pose sends. */
import type { Config } from "../../schemas/messages/config.ts";

export interface Sendable {
  message: string;
  ttlMsMax: number;
  rateHzMax: number;
  poseOnly: boolean;
}

/** Each message once. Rates and times of life mean nothing for what only the safe pose sends: it brings its own. */
export function sendableOf(config: Config, kind: "bus" | "serial", link: string): Sendable[] {
  const commands = config.commands.filter((command) => (kind === "bus" ? "bus" in command && command.bus === link : "serial" in command && command.serial === link));
  const found = new Map(commands.map(({ message, ttlMsMax, rateHzMax }) => [message, { message, ttlMsMax, rateHzMax, poseOnly: false }]));
  for (const step of config.safePose.steps) {
    for (const send of step.send) {
      const here = kind === "bus" ? "bus" in send && send.bus === link : "serial" in send && send.serial === link;
      if (here && !found.has(send.message)) found.set(send.message, { message: send.message, ttlMsMax: 1_000, rateHzMax: 1_000, poseOnly: true });
    }
  }
  return [...found.values()];
}
