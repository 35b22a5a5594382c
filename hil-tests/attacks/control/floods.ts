/** More of everything than anybody needs: shares hold, and the others are served. */
import { Descriptor, SocketError } from "../../../shm/sockets/index.ts";
import { advert, type Attack, type Attacker, done, harmless, smallLane } from "./attack.ts";
import { RawClient, type Words } from "./raw.ts";

const MANY = 10_000;
/** As much as may lie unread at the gateway without it stopping to read. */
const AT_ONCE = 100;

/** Asks 10,000 times over one connection; how often it was taken. */
async function ask(client: RawClient, message: (i: number) => Words, bring: (i: number) => readonly Descriptor[] = () => []): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  for (let i = 0; i < MANY && client.ended === undefined; i += AT_ONCE) {
    const replies = await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => client.ask(message(i + k), bring(i + k))));
    for (const { status } of replies) statuses.set(status, (statuses.get(status) ?? 0) + 1);
    // What was answered is not kept.
    client.heard.length = 0;
  }
  return statuses;
}

const told = (statuses: Map<number, number>): string => [...statuses].map(([status, count]) => `${count} × ${status === 0 ? "cut off" : status}`).join(", ");
const taken = (statuses: Map<number, number>): number => (statuses.get(100) ?? 0) + (statuses.get(102) ?? 0);

/** Nobody gets all that it asks for. */
async function bounded(attacker: Attacker, message: (i: number) => Words, bring?: (i: number) => readonly Descriptor[]): Promise<ReturnType<typeof harmless>> {
  const statuses = await ask(await attacker.open(), message, bring);
  return taken(statuses) < MANY ? harmless(told(statuses)) : done(told(statuses));
}

export const floods: Readonly<Record<string, Attack>> = {
  "10,000 subscriptions": (attacker) => bounded(attacker, (i) => ({ op: "subscribe", pattern: `open/${i}`, policy: { latest: true }, lanes: true })),
  "10,000 adverts": async (attacker) => {
    const lanes = await Promise.all(Array.from({ length: 300 }, () => smallLane()));
    try {
      return await bounded(attacker, (i) => advert(`open/${i}`), (i) => [lanes[i % lanes.length]!.descriptor]);
    } finally {
      for (const lane of lanes) lane.close();
    }
  },
  "10,000 offers": (attacker) => bounded(attacker, (i) => ({ op: "offer", service: `open/${i}` })),
  "10,000 requests that nobody answers": async (attacker) => {
    const provider = await attacker.open();
    await provider.ask({ op: "offer", service: "open/never", capacity: 1024 });
    const client = await attacker.open();
    for (let i = 0; i < MANY; i++) client.say({ op: "request", seq: i + 1, service: "open/never", body: i, timeoutMs: 60_000 });
    await client.until(() => client.ended !== undefined || client.heard.filter(({ op }) => op === "reply").length > MANY / 2, "refusals");
    const refused = client.heard.filter((message) => message.op === "reply" && message.status >= 200).length;
    return refused > MANY / 2 || client.ended !== undefined ? harmless(`${refused} refused, ${client.ended ?? "still connected"}`) : done(`${MANY - refused} wait`);
  },
  "10,000 topics published": (attacker) => bounded(attacker, (i) => ({ op: "publish", topic: `open/p/${i}`, encoding: "cbor", value: i })),
  "10,000 announcements": async (attacker) => {
    const statuses = await ask(await attacker.open(), (i) => ({ op: "announce", component: { version: String(i), text: "x".repeat(3_000) } }));
    return harmless(told(statuses));
  },
  "questions without end, answers unread": async (attacker) => {
    const client = await attacker.open();
    client.connection.pauseReading();
    for (let i = 0; i < 20_000 && client.say({ op: "find", seq: i + 1, what: "topics", pattern: "#" }) !== "full"; i++);
    // What it leaves unread is bounded at the gateway; here nothing more is to be seen.
    return harmless("the answers wait within its share");
  },
  "connections without end": async (attacker) => {
    const clients: RawClient[] = [];
    let full = "";
    for (let i = 0; i < 1200 && full === ""; i++) {
      try {
        const client = new RawClient(attacker.socketPath);
        client.say({ op: "hello", versions: [1], name: "many" }, [], "handshake");
        clients.push(client);
      } catch (error) {
        if (!(error instanceof SocketError)) throw error;
        full = error.code;
      }
      if (i % 50 === 49) await Promise.race([Promise.all(clients.map((client) => client.hears(() => true))), clients[0]!.until(() => clients.some(({ ended }) => ended !== undefined), "a refusal")]);
      if (clients.some(({ heard }) => heard.some(({ op }) => op === "refused"))) full = "refused";
    }
    const open = clients.filter(({ heard }) => heard.some(({ op }) => op === "welcome")).length;
    for (const client of clients) client.close();
    return full === "" ? done(`${open} connections`) : harmless(`${open} connections, then ${full}`);
  },
  "a quarter of a megabyte a message": async (attacker) => {
    const client = await attacker.open();
    for (let i = 0; i < 200; i++) client.say({ op: "request", seq: i + 1, service: "open/none", body: new Uint8Array(250_000) });
    await client.until(() => client.ended !== undefined || client.heard.filter(({ op }) => op === "reply").length >= 200, "answers");
    return harmless(client.ended ?? "each refused");
  },
  "descriptors that are not wanted": async (attacker) => {
    const outcomes = new Map<number, number>();
    for (let i = 0; i < 20; i++) {
      const client = await attacker.open();
      const device = Descriptor.open("/dev/zero", 0);
      const words: Words[] = [{ op: "ping", seq: 1 }, { op: "topics", seq: 1 }, { op: "subscribe", seq: 1, pattern: "open/#" }, { ...advert("open/x"), seq: 1 }];
      client.say(words[i % 4]!, Array.from({ length: i % 4 === 3 ? 2 : 1 + (i % 3) }, () => device));
      device.close();
      const status = await client.cutOff();
      outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
    }
    return outcomes.has(100) ? done("taken") : harmless(`cut off: ${told(outcomes)}`);
  },
};
