/** Keeps other processes of the same user out of this one. */
import { hub, SocketError } from "./native.ts";

/**
 * From now on no other process of this user can trace this one, read or write its memory, or take its descriptors, and it leaves no core file. For the whole
 * process, until it ends: debuggers and profilers that attach from outside need root then, and `executable` in a policy no longer fits it unless the gateway
 * may trace. Does not keep the user from killing it: a user of its own does (docs/decisions/0022-identity.md).
 */
export function protectProcess(): void {
  const status = hub().native.protectProcess();
  if (status < 0) throw new SocketError(-status, "cannot protect this process");
}
