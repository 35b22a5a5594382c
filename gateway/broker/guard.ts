/** Keeps out who killed a predecessor (failsafe/failover/quarantine.ts): at the door by who it is, and by what it says. */
import { Status } from "../../schemas/status.ts";
import type { HandedConnection } from "../../failsafe/failover/handedConnection.ts";
import type { Keeper } from "../../failsafe/failover/keeper.ts";
import type { Death, QuarantineEntry } from "../../failsafe/failover/quarantine.ts";
import type { QuarantineFile } from "../../failsafe/failover/quarantineFile.ts";
import type { Peer } from "./ports.ts";
import type { Session } from "./session.ts";

export interface GuardOptions {
  file: QuarantineFile;
  keeper: Pick<Keeper, "afterCommit">;
  /** How the predecessor died. */
  death: Death;
  wallTime(): string;
  quarantined(entry: QuarantineEntry): void;
}

export class Guard {
  readonly #options: GuardOptions;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** Why this peer may not connect; undefined: it may. */
  refusal(peer: Peer): string | undefined {
    const entry = this.#options.file.quarantine.keepsOut(peer);
    return entry && words(entry);
  }

  /** Looks at what comes from a client before it is handled. `suspect`: the counter of the packet that a predecessor died over. */
  watch(session: Pick<Session, "peer" | "leave">, connection: Pick<HandedConnection, "guard">, suspect?: number): void {
    const { file: { quarantine }, death } = this.#options;
    // The one before had kept it out, and died before it had said so.
    const kept = this.refusal(session.peer);
    if (kept !== undefined) session.leave(Status.forbidden, kept);
    connection.guard = {
      suspect, isNeeded: () => !quarantine.isEmpty,
      stops: (packet, isSuspect) => {
        const entry = (isSuspect ? this.#judge(packet, session.peer, death) : quarantine.isStruck(packet) ? this.#judge(packet, session.peer, "killed") : undefined) ?? quarantine.knows(packet);
        if (entry) session.leave(Status.forbidden, words(entry));
        return entry !== undefined;
      },
    };
  }

  #judge(packet: Uint8Array, { component, pid, uid, startTime }: Peer, death: Death): QuarantineEntry | undefined {
    const { file, keeper, wallTime, quarantined } = this.#options;
    const entry = file.quarantine.judge(packet, { component, pid, uid, startTime }, death, wallTime());
    // Before it is handled again: if that kills us too, whoever comes next knows.
    file.save();
    if (entry) quarantined(entry);
    else keeper.afterCommit(() => (file.quarantine.acquit() ? file.save() : undefined));
    return entry;
  }
}

function words({ name, why }: QuarantineEntry): string {
  return `quarantined as ${name}: ${why}; ipcnet quarantine release ${name} lets it in again`;
}
