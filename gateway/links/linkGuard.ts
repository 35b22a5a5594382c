/**
 * Keeps out the message of a link over whose handling a predecessor died (failsafe/failover/quarantine.ts): a bus repeats it, and it would end the successor too. Of all that comes from links,
 * what is in hand stands in the handover page; the node behind a message that is kept out falls silent for this gateway, with all that follows from a silent node.
 */
import { InHand, type MessageInHand } from "../../failsafe/failover/inHand.ts";
import type { Death, QuarantineEntry } from "../../failsafe/failover/quarantine.ts";
import type { QuarantineFile } from "../../failsafe/failover/quarantineFile.ts";
import type { MessageWatch } from "../pipeline/messageWatch.ts";

export interface LinkGuardOptions {
  /** Of the own handover page. */
  words: Uint32Array;
  file: QuarantineFile;
  wallTime(): string;
  quarantined(entry: QuarantineEntry): void;
  /** For tests: looks at what is in hand. */
  failpoint?: ((bytes: Uint8Array, at: number, lengthBytes: number) => void) | undefined;
}

/** What people call a message of a link, from its key and its first bytes. */
export type NameOfMessage = (message: Pick<MessageInHand, "key" | "data">) => string;

/** Asked for once for each link, in the order of the configuration. */
export type WatchLink = (link: string, nameOf: NameOfMessage) => MessageWatch;

export class LinkGuard {
  readonly #options: LinkGuardOptions;
  readonly #inHand: InHand;
  readonly #links: { link: string; nameOf: NameOfMessage }[] = [];
  /** A predecessor died over it, for a reason that may have come from outside: forgiven when it has been handled. */
  #suspect: { link: number; key: number; isInHand: boolean } | undefined;

  constructor(options: LinkGuardOptions) {
    this.#options = options;
    this.#inHand = new InHand(options.words);
  }

  /** For one link; both instances ask in the order of the configuration, by which a link is known to the other. */
  watch(link: string, nameOf: NameOfMessage): MessageWatch {
    const number = this.#links.push({ link, nameOf }) - 1;
    const { file: { quarantine }, failpoint } = this.#options;
    return {
      begins: (key, bytes, at, lengthBytes) => {
        if (this.#suspect !== undefined) this.#next(number, key);
        if (quarantine.hasMessages && quarantine.knowsMessage(link, key)) return false;
        this.#inHand.begin(number, key, bytes, at, lengthBytes);
        failpoint?.(bytes, at, lengthBytes);
        return true;
      },
      ends: () => {
        this.#inHand.end();
        if (this.#suspect !== undefined) this.#next(-1, 0);
      },
    };
  }

  /** A predecessor died over this one. Before links are opened. */
  judge(message: MessageInHand, death: Death): void {
    const { file, wallTime, quarantined } = this.#options;
    const found = this.#links[message.link];
    // The other instance has another configuration: whatever it was, it has no name here.
    if (!found) return;
    const entry = file.quarantine.judgeMessage({ link: found.link, key: message.key, name: found.nameOf(message), sample: message.data, lengthBytes: message.lengthBytes }, death, wallTime());
    // Written down before it can come again.
    file.save();
    if (entry) quarantined(entry);
    else if (death !== "handover") this.#suspect = { link: message.link, key: message.key, isInHand: false };
  }

  /** Another message is in hand now, or none. */
  #next(link: number, key: number): void {
    const suspect = this.#suspect!;
    if (suspect.isInHand) {
      this.#suspect = undefined;
      this.#options.file.quarantine.acquitMessage(this.#links[suspect.link]!.link, suspect.key);
      this.#options.file.save();
    } else if (suspect.link === link && suspect.key === key) {
      suspect.isInHand = true;
    }
  }
}
