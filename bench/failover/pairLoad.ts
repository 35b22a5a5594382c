/**
 * Programs that use everything a gateway keeps for them, while it is killed: calls, streams, subscriptions, lanes, offers that come and go. Whatever is lost, doubled or disconnected is a
 * finding; the longest pause between two answers around a fault is the service gap.
 */
import type { Client } from "../../shm/client/index.ts";
import { eventually } from "../../schemas/testing.ts";

export interface PairLoadOptions {
  connect(name: string): Promise<Client>;
  callers?: number;
  /** Calls of one caller that are under way at a time. */
  depth?: number;
  /** Between an answer and the next call, ms. */
  pauseMs?: number;
  /** Calls alone, none of the rest: for who measures something else beside them. */
  callsOnly?: boolean;
}

export class PairLoad {
  /** What must not be: a few of each kind, in words. */
  readonly findings: string[] = [];
  replies = 0;
  samples = 0;
  laneSamples = 0;
  items = 0;
  changes = 0;
  readonly #options: PairLoadOptions;
  readonly #clients: Client[] = [];
  readonly #executed = new Set<number>();
  readonly #loops: Promise<void>[] = [];
  #running = true;
  #lastId = 0;
  #lastReplyMs = performance.now();
  #gap = { ms: 0, endMs: 0 };

  constructor(options: PairLoadOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { callers = 6, depth = 4, callsOnly = false } = this.#options;
    for (const name of ["provider-1", "provider-2"]) await this.#offer(await this.#connect(name));
    if (!callsOnly) await this.#publishAndListen();
    if (!callsOnly) await this.#lanes();
    for (let i = 0; i < callers; i++) {
      const caller = await this.#connect(`caller-${i}`);
      for (let j = 0; j < depth; j++) this.#loop(() => this.#call(caller));
    }
    if (callsOnly) return;
    const streamer = await this.#connect("streamer");
    this.#loop(() => this.#stream(streamer));
    const changer = await this.#connect("changer");
    this.#loop(() => this.#change(changer));
  }

  /** A call of one of the programs to the gateway itself. */
  ask(service: string, body: unknown): Promise<unknown> {
    return this.#clients[0]!.request(service, body, { timeoutMs: 60_000 });
  }

  /** The longest time without an answer since the last call of this, and when it ended (performance.now). A gap that is open counts for as long as it is, and begins anew. */
  takeGap(): { ms: number; endMs: number } {
    const gap = this.#gap;
    const nowMs = performance.now();
    const openMs = nowMs - this.#lastReplyMs;
    this.#gap = { ms: 0, endMs: nowMs };
    this.#lastReplyMs = nowMs;
    return gap.ms > openMs ? gap : { ms: openMs, endMs: nowMs };
  }

  /** Resolves when so many more answers have come. */
  async moreReplies(count: number): Promise<void> {
    const wanted = this.replies + count;
    await eventually(`${count} more answers`, () => this.replies >= wanted, { timeoutMs: 60_000, last: () => this.findings });
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  #find(what: string): void {
    if (this.findings.length < 50) this.findings.push(what);
  }

  async #connect(name: string): Promise<Client> {
    const client = await this.#options.connect(name);
    client.onClose((why) => {
      if (this.#running) this.#find(`${name} was disconnected: ${why}`);
    });
    client.onNotice(({ status, text }) => this.#find(`${name} got a notice: ${status} ${text}`));
    this.#clients.push(client);
    return client;
  }

  #loop(step: () => Promise<void>): void {
    const run = async (): Promise<void> => {
      while (this.#running) {
        try {
          await step();
        } catch (error) {
          if (this.#running) this.#find(String(error));
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };
    this.#loops.push(run());
  }

  async #offer(client: Client): Promise<void> {
    await client.offer("app/echo", { capacity: 64 }, (body) => {
      const { id } = body as { id: number };
      if (this.#executed.has(id)) this.#find(`call ${id} was asked twice`);
      this.#executed.add(id);
      return body;
    });
    await client.offer("app/count", { capacity: 16 }, async function* (body) {
      const { to } = body as { to: number };
      for (let i = 0; i < to; i++) yield i;
    });
  }

  async #call(client: Client): Promise<void> {
    const id = (this.#lastId += 1);
    const answer = (await client.request("app/echo", { id }, { timeoutMs: 60_000 })) as { id: number };
    if (answer.id !== id) this.#find(`call ${id} was answered as ${answer.id}`);
    this.#executed.delete(id);
    this.replies += 1;
    const nowMs = performance.now();
    if (nowMs - this.#lastReplyMs > this.#gap.ms) this.#gap = { ms: nowMs - this.#lastReplyMs, endMs: nowMs };
    this.#lastReplyMs = nowMs;
    const { pauseMs = 0 } = this.#options;
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }

  /** Two subscribers, by the gateway, of what one program publishes: each value once, in order. */
  async #publishAndListen(): Promise<void> {
    const publisher = await this.#connect("publisher");
    for (const name of ["listener-1", "listener-2"]) {
      const listener = await this.#connect(name);
      let last = -1;
      await listener.subscribe("app/state", { policy: { queue: 10_000 } }, ({ value, lostBefore }) => {
        const n = Number(value);
        if (n !== last + 1 || lostBefore !== 0) this.#find(`${name} heard ${n} after ${last}, ${lostBefore} lost`);
        last = n;
        this.samples += 1;
      });
    }
    let n = 0;
    this.#loop(async () => {
      await publisher.publish("app/state", n);
      n += 1;
      await new Promise((resolve) => setTimeout(resolve, 1));
    });
  }

  /** A lane with one reader that stays, and one that comes and goes. */
  async #lanes(): Promise<void> {
    const writer = await this.#connect("writer");
    const reader = await this.#connect("reader");
    const lane = await writer.advertise("app/lane", { encoding: "cbor", queue: 4096 });
    let last = -1;
    await reader.subscribe("app/lane", { policy: { queue: 4096 } }, ({ value, lostBefore }) => {
      const n = Number(value);
      if (last >= 0 && (n !== last + 1 || lostBefore !== 0)) this.#find(`the lane's reader heard ${n} after ${last}, ${lostBefore} lost`);
      last = n;
      this.laneSamples += 1;
    });
    let n = 0;
    this.#loop(async () => {
      lane.publish(n++);
      await new Promise((resolve) => setTimeout(resolve, 1));
    });
    const guest = await this.#connect("guest");
    this.#loop(async () => {
      let heard = 0;
      const subscription = await guest.subscribe("app/lane", { policy: { queue: 64 } }, () => (heard += 1));
      await eventually("the guest hears the lane", () => heard > 3 || !this.#running, { timeoutMs: 60_000 });
      await subscription.close();
    });
  }

  async #stream(client: Client): Promise<void> {
    let next = 0;
    for await (const item of client.stream("app/count", { to: 200 }, { timeoutMs: 60_000, credit: 8 })) {
      if (item !== next) this.#find(`the stream said ${String(item)} instead of ${next}`);
      next += 1;
      this.items += 1;
    }
    if (next !== 200 && this.#running) this.#find(`the stream ended after ${next}`);
  }

  /** Offers, announcements and adverts that come and go. */
  async #change(client: Client): Promise<void> {
    await client.announce({ version: String(this.changes) });
    const offer = await client.offer("app/passing", { capacity: 1 }, (body) => body);
    const lane = await client.advertise(`app/passing/${this.changes % 5}`, { encoding: "cbor", queue: 4 });
    lane.publish(1);
    await client.query("app/state");
    await lane.close();
    await offer.close();
    this.changes += 1;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
