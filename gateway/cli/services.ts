/** What the verbs need from outside, as interfaces: the connection to a gateway, the clock, the machine, the emulated bus. */
import { systemClock, type Clock } from "../../schemas/clock.ts";
import { realMachine, type Machine } from "../doctor/machine.ts";
import type { Client, ConnectOptions } from "./client.ts";

export interface CliServices {
  connect(options: ConnectOptions): Promise<Client>;
  clock: Clock;
  machine(): Machine;
}

/** The real services, with the ones handed in laid over them. Nothing is loaded before it is used. */
export function services(handedIn: Partial<CliServices> | undefined): CliServices {
  return {
    connect: async (options) => {
      const specifier = "../../shm/client/index.js";
      const { connect } = (await import(specifier)) as { connect: CliServices["connect"] };
      return connect(options);
    },
    clock: systemClock,
    machine: () => realMachine,
    ...handedIn,
  };
}
