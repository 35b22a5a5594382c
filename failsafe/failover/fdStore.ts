/**
 * systemd's file descriptor store as the second net, for when both instances die: what the standby is handed over is kept there too, and given back at the next start of the same unit.
 *
 * Names: `page`, `listener`, `journal`, and `dN` for descriptor N of the journal. Whatever else comes back is closed. sd_notify(3), FILE_DESCRIPTOR_STORE.
 */
import { readSync } from "node:fs";
import type { PacketSeal } from "../../shm/protocol/packet.ts";
import { closeAll, Descriptor, notifySystemd, SocketError, TwinPage } from "../../shm/sockets/index.ts";
import { Inheritance } from "./inheritance.ts";
import { JournalReader } from "./journalReader.ts";
import type { Heir } from "./keeper.ts";
import { messageInHand } from "./inHand.ts";
import { handlingOf, Word } from "./page.ts";
import { Replica } from "./replica.ts";
import type { Legacy } from "./standby.ts";

/** Where systemd passes descriptors from. */
const FIRST = 3;
/** A unit of two thousand programs with their lanes. */
const STORED_MAX = 65_536;

type Env = Readonly<Record<string, string | undefined>>;

/** Gives descriptors to systemd's store; without one, or when it refuses, nothing happens but a count. */
export class FdStore implements Heir {
  readonly #path: string;
  readonly #stored = new Set<string>();
  /** Datagrams that systemd did not take; only rises. */
  refused = 0;

  constructor(path: string) {
    this.#path = path;
  }

  keep(name: string, descriptor: Descriptor): void {
    if (this.#stored.has(name)) this.forget(name);
    this.#stored.add(name);
    this.#say(`FDSTORE=1\nFDNAME=${name}`, descriptor);
  }

  forget(name: string): void {
    this.#stored.delete(name);
    this.#say(`FDSTOREREMOVE=1\nFDNAME=${name}`);
  }

  /** All that is there, of this instance's time or an earlier one's. */
  forgetAll(names: Iterable<string> = this.#stored): void {
    for (const name of names) this.forget(name);
  }

  /** The names of what the journal numbers. */
  numbered(): string[] {
    return [...this.#stored].filter((name) => name.startsWith("d"));
  }

  journal(descriptor: Descriptor): void {
    this.keep("journal", descriptor);
  }

  handOver(number: number, descriptor: Descriptor): void {
    this.keep(`d${number}`, descriptor);
  }

  dropped(numbers: readonly number[]): void {
    for (const number of numbers) this.forget(`d${number}`);
  }

  #say(text: string, descriptor?: Descriptor): void {
    try {
      notifySystemd(this.#path, text, descriptor);
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      this.refused += 1;
    }
  }
}

/** What systemd has given back, by name; empty when it is not for this process. Unknown names are closed, and told. */
export function storedDescriptors(env: Env, unknown: (name: string) => void): Map<string, Descriptor> {
  const found = new Map<string, Descriptor>();
  const count = Number(env["LISTEN_FDS"] ?? 0);
  if (env["LISTEN_PID"] !== String(process.pid) || !Number.isInteger(count) || count <= 0 || count > STORED_MAX) return found;
  const names = (env["LISTEN_FDNAMES"] ?? "").split(":");
  for (let i = 0; i < count; i++) {
    const name = names[i] ?? "";
    const descriptor = Descriptor.adopt(FIRST + i);
    if (!found.has(name) && /^(page|listener|journal|d\d{1,10})$/.test(name)) found.set(name, descriptor);
    else {
      unknown(name);
      descriptor.close();
    }
  }
  return found;
}

/** What an instance of this name has left there; undefined: nothing whole. `active`: the number that the last active instance gave itself: what another one has left is stale. Takes the descriptors. */
export function storedLegacy(stored: Map<string, Descriptor>, { active, seal, instance, path }: { active: number; seal: PacketSeal; instance: string; path: string }): Legacy | undefined {
  const [page, listener, journal] = ["page", "listener", "journal"].map((name) => stored.get(name));
  const words = page && TwinPage.of(page);
  if (!words || !listener || !journal || words.words[Word.instance] !== active) {
    closeAll([...stored.values()]);
    return undefined;
  }
  stored.delete("listener");
  const descriptors = new Map<number, Descriptor>();
  for (const [name, descriptor] of stored) if (name.startsWith("d")) descriptors.set(Number(name.slice(1)), descriptor);
  const replica = new Replica({ sent: () => undefined, drop: () => {} });
  new JournalReader((chunk, at) => readSync(journal.fd, chunk, 0, chunk.length, at), seal).read(replica);
  page.close();
  journal.close();
  // It was that which was executed: whatever packet was in hand besides had waited.
  const message = messageInHand(words.words);
  const inheritance = new Inheritance({ replica, descriptors, sent: (slot) => words.sent(slot), handling: message ? undefined : handlingOf(words.words) });
  return { inheritance, listener, path, instance, death: "killed", message, epoch: words.words[Word.epoch]! };
}

/** Several heirs at once. */
export function heirs(...all: readonly Heir[]): Heir {
  return {
    journal: (descriptor) => all.forEach((heir) => heir.journal(descriptor)),
    handOver: (number, descriptor) => all.forEach((heir) => heir.handOver(number, descriptor)),
    dropped: (numbers) => all.forEach((heir) => heir.dropped(numbers)),
  };
}
