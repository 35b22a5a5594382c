/** The gateway's side of the reflex, built: its client, the buses that it owns, the supervisor that obeys it. */
import { readFileSync } from "node:fs";
import { ReflexBus } from "../../../failsafe/reflex/client/bus.ts";
import { ReflexClient } from "../../../failsafe/reflex/client/client.ts";
import type { CompiledTable } from "../../../failsafe/reflex/table/compile.ts";
import type { Clock } from "../../../schemas/clock.ts";
import type { Bus, Config } from "../../../schemas/messages/config.ts";
import { isReflexBus } from "../../../schemas/messages/check/redundancy.ts";
import type { EventInput } from "../../observe/events.ts";
import { reflexRunFolder } from "./folders.ts";

export interface ReflexParts {
  client: ReflexClient;
  /** The bus's row in the table; undefined: the gateway itself opens it. */
  busRow(bus: string): number | undefined;
  driver(bus: Bus, row: number, onRefused: (token: number, reason: string) => void): ReflexBus;
}

export async function buildReflexParts({ config, configFile, table, clock, event, epoch, outdated }: { config: Config; configFile: string; table: CompiledTable; clock: Clock; event: (input: EventInput) => void; epoch: () => number; outdated: (epoch: number) => void }): Promise<ReflexParts> {
  const { reflex, brainTimeoutMs } = config.redundancy;
  const client = await ReflexClient.create({
    runFolder: reflexRunFolder(config, configFile), instances: reflex === "pair" ? ["a", "b"] : ["a"], clock, table, brainTimeoutMs, bootId: bootId(),
    brainEpoch: epoch, isActive: () => epoch() > 0, outdated, event,
  });
  const rows = new Map(config.buses.filter(isReflexBus).map(({ name }, row) => [name, row]));
  return {
    client, busRow: (name) => rows.get(name),
    driver: ({ name, bitrateBps, fd }, bus, onRefused) => new ReflexBus({ client, bus, name, bitrateBps, fd, clock, onRefused }),
  };
}

/** Of the kernel: changes with each boot. Zeros where it does not tell. */
function bootId(): Uint8Array {
  try {
    return Uint8Array.from(Buffer.from(readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim().replaceAll("-", ""), "hex"));
  } catch {
    // Without /proc: then it tells two boots apart for nobody.
    return new Uint8Array(16);
  }
}
