/** Runs every pair of languages against one gateway: each language writes once, with a reader of each language at a time. */
import type { Client } from "../../shm/client/index.ts";
import { readCases } from "./cases.ts";
import { judge, type Known, unequalPayloads, type Verdict } from "./judge.ts";
import { casesFile, type Language, Peer } from "./languages.ts";

const INPUTS = 3;

export class Matrix {
  readonly #socketPath: string;
  readonly #client: Client;
  readonly #cases = readCases(casesFile);
  readonly #peers: Peer[] = [];

  constructor(socketPath: string, client: Client) {
    this.#socketPath = socketPath;
    this.#client = client;
  }

  /** One writer with all readers at once; rejects when a program fails, resolves with what was wrong with what it said. */
  async row(writer: Language, readers: readonly Language[]): Promise<Map<Language, Verdict>> {
    const input = await this.#client.advertise("matrix/input");
    const heard: Known["input"] = { origin: "", sequences: [] };
    const listening = await this.#client.subscribe("matrix/input", { policy: { queue: 64 } }, ({ origin, sequence }) => {
      heard.origin = origin;
      heard.sequences.push(sequence);
    });
    const reading = readers.map((reader) => this.#start(reader, ["read", this.#socketPath, casesFile, reader, writer]));
    await Promise.all(reading.map((peer) => peer.said("subscribed")));
    const writing = this.#start(writer, ["write", this.#socketPath, casesFile, writer, String(readers.length)]);
    await writing.said("advertised");
    for (let n = 1; n <= INPUTS; n++) input.publish({ n });
    const ended = await Promise.allSettled([writing.said("published"), ...reading.map((peer) => peer.said("end"))]);
    for (const outcome of ended) if (outcome.status === "rejected") throw outcome.reason;
    const known: Known = { cases: this.#cases, input: heard };
    const verdicts = new Map(readers.map((reader, i) => [reader, judge(reading[i]!.lines, known)]));
    for (const verdict of verdicts.values()) verdict.topics.push(...unequalPayloads(reading.map(({ lines }) => lines), this.#cases));
    await Promise.all([listening.close(), input.close(), writing.stop(), ...reading.map((peer) => peer.stop())]);
    return verdicts;
  }

  #start(language: Language, args: readonly string[]): Peer {
    const peer = new Peer(language, args);
    this.#peers.push(peer);
    return peer;
  }

  /** Ends all programs. */
  async stop(): Promise<void> {
    await Promise.all(this.#peers.map((peer) => peer.stop()));
  }
}
