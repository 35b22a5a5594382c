/** What an attack on the gateway is given, and what it says in the end. */
import { hashText, schemaHash } from "../../../schemas/topics/schemaHash.ts";
import { LaneWriter } from "../../../shm/lanes/index.ts";
import { RawClient, type Words } from "./raw.ts";

export interface Outcome {
  /** denied: refused or cut off; harmless: taken, within the attacker's share; DONE: it got what it should not have. */
  verdict: "denied" | "harmless" | "DONE";
  text: string;
}

export class Attacker {
  readonly socketPath: string;
  /** Every client that it has had: what they were sent is searched for the canary. */
  readonly clients: RawClient[] = [];

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  async open(): Promise<RawClient> {
    const client = await RawClient.open(this.socketPath);
    this.clients.push(client);
    return client;
  }

  /** Connected, nothing said. */
  connect(): RawClient {
    const client = new RawClient(this.socketPath);
    this.clients.push(client);
    return client;
  }

  /** Closes them all, and forgets none. */
  rest(): void {
    for (const client of this.clients) client.close();
  }

  sees(text: string): boolean {
    const wanted = Buffer.from(text);
    return this.clients.some((client) => client.bytes.some((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(wanted)));
  }
}

export type Attack = (attacker: Attacker) => Promise<Outcome>;

export const denied = (text: string): Outcome => ({ verdict: "denied", text });
export const harmless = (text: string): Outcome => ({ verdict: "harmless", text });
export const done = (text: string): Outcome => ({ verdict: "DONE", text });

/** Statuses that say no. */
export function refusal(statuses: readonly number[]): Outcome {
  const taken = statuses.filter((status) => status >= 100 && status < 200);
  return taken.length > 0 ? done(`${taken.length} of ${statuses.length} were taken (${taken[0]})`) : denied([...new Set(statuses)].map((status) => (status === 0 ? "cut off" : String(status))).join(", "));
}

/** splitmix32: the same noise every time. */
export function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e37_79b9) | 0;
    let x = state ^ (state >>> 16);
    x = Math.imul(x, 0x21f0_aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a_2d97);
    return (x ^ (x >>> 15)) >>> 0;
  };
}

export function noiseBytes(next: () => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => next() & 0xff);
}

const hash = schemaHash("json", undefined);

/** An advert that is in order but for whose topic it is. */
export function advert(topic: string): Words {
  return { op: "advertise", topic, encoding: "json", schemaHash: hashText(hash), policy: "queue" };
}

/** A small lane that fits it. */
export function smallLane(laneId?: Uint8Array): Promise<LaneWriter> {
  return LaneWriter.create({ schemaHash: hash, policy: "queue", slots: 2, inlineBytes: 64, largeBytes: 0, ...(laneId ? { laneId } : {}) });
}
