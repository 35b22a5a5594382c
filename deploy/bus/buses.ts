/** Which emulated buses are served at which socket. Pure. */
import { dirname, resolve } from "node:path";
import type { Bus } from "../../schemas/messages/config.ts";

/** Several buses may share one socket; relative paths count from the configuration's folder. */
export function busesBySocket<Each extends Pick<Bus, "driver" | "interface">>(buses: readonly Each[], configFile: string): ReadonlyMap<string, readonly Each[]> {
  const found = new Map<string, Each[]>();
  for (const bus of buses) {
    if (bus.driver !== "emulator") continue;
    const path = resolve(dirname(configFile), bus.interface);
    found.set(path, [...(found.get(path) ?? []), bus]);
  }
  return found;
}
