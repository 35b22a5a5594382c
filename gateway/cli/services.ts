/** What the verbs need from outside, as interfaces: the connection to a gateway, the clock, the machine, the emulated bus. */
import type { AttachOptions } from "../../drivers/can/emulator/client.ts";
import type { NodePort } from "../../drivers/can/emulator/port.ts";
import { systemClock, type Clock } from "../../schemas/clock.ts";
import { realMachine, type Machine } from "../doctor/machine.ts";
import type { Client, ConnectOptions } from "./client.ts";

export interface CliServices {
  connect(options: ConnectOptions): Promise<Client>;
  clock: Clock;
  machine(): Machine;
  attachNode(socketPath: string, options: AttachOptions): Promise<NodePort>;
}

/** The real services, with the ones handed in laid over them. Nothing is loaded before it is used. */
export function services(handedIn: Partial<CliServices> | undefined): CliServices {
  return {
    connect: async (options) => {
      const { connect } = (await import("../../shm/client/index.ts")) as unknown as { connect: CliServices["connect"] };
      return connect(options);
    },
    clock: systemClock,
    machine: () => realMachine,
    attachNode: async (socketPath, options) => (await import("../../drivers/can/emulator/client.ts")).attachNode(socketPath, options),
    ...handedIn,
  };
}
