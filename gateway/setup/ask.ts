/** What the gateway of the package's services answers about itself and its reflexes. */
import { Status, type IpcnetError } from "../../schemas/status.ts";
import type { GatewayAnswer } from "./health.ts";

/** As the configuration that the package brings has it, and as setup writes it. */
const SOCKET = "/run/ipcnet/ipcnet.sock";

/** The part of a client that is needed here. */
export interface AskingClient {
  request(service: string, body?: unknown, options?: { timeoutMs?: number }): Promise<unknown>;
  close(): Promise<void>;
}

export type Connect = (options: { name: string; timeoutMs: number; socketPath: string }) => Promise<AskingClient>;

/** Undefined: nobody answers, yet. What a gateway has no use for (a pair, reflexes) is missing in it. */
export async function askGateway(connect: Connect): Promise<GatewayAnswer | undefined> {
  let client: AskingClient;
  try {
    client = await connect({ name: "ipcnet", timeoutMs: 2_000, socketPath: SOCKET });
  } catch {
    return undefined; // it has not opened its socket yet, or is gone
  }
  try {
    return await answerOf(client);
  } catch {
    return undefined; // it ended meanwhile: another one is about to answer
  } finally {
    await client.close();
  }
}

async function answerOf(client: AskingClient): Promise<GatewayAnswer> {
  const ask = async (service: string): Promise<unknown> => {
    try {
      return await client.request(service, {}, { timeoutMs: 5_000 });
    } catch (error) {
      // It runs alone, or opens the buses itself.
      if ((error as Partial<IpcnetError>).status !== Status.preconditionFailed) throw error;
      return undefined;
    }
  };
  const { state } = (await ask("gateway/status")) as { state?: string };
  const { hash } = (await ask("gateway/config")) as { hash?: string };
  const { active, standby } = ((await ask("gateway/failover")) ?? {}) as Pick<GatewayAnswer, "active" | "standby">;
  const reflexes = await ask("gateway/reflex");
  return { state, hash, active, standby, ...(Array.isArray(reflexes) ? { reflexes: reflexes as NonNullable<GatewayAnswer["reflexes"]> } : {}) };
}
