/**
 * A takeover for practice, in the standby: a small gateway with programs of its own is taken over by another one, all within this process. What is needed at a takeover has run once
 * then: it is compiled, its modules are loaded, its memory is there. On code that has never run the same work takes several times as long, and clients wait for it.
 *
 * It has no effects. Both gateways have a configuration, topics, a client socket, a keeper and words of a page of their own, and slots of the handover page that no client ever gets
 * (failsafe/failover/connections.ts); the replica of the active, what it has handed over and its clients are not even within reach. Everything is closed in the end.
 */
import { readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { HandedConnections, REHEARSAL_SLOTS } from "../../failsafe/failover/connections.ts";
import { Inheritance } from "../../failsafe/failover/inheritance.ts";
import { JournalReader } from "../../failsafe/failover/journalReader.ts";
import { type Heir, Keeper } from "../../failsafe/failover/keeper.ts";
import { QuarantineFile } from "../../failsafe/failover/quarantineFile.ts";
import { Replica, SESSION } from "../../failsafe/failover/replica.ts";
import { brainSupervision } from "../../failsafe/watchdog/brain.ts";
import { Supervision } from "../../failsafe/watchdog/supervision.ts";
import type { Clock } from "../../schemas/clock.ts";
import { checkConfig } from "../../schemas/messages/checkConfig.ts";
import { type Client, connect } from "../../shm/client/index.ts";
import { closeAll, type Descriptor, nativeSeal, type SeqpacketServer } from "../../shm/sockets/index.ts";
import { clientQueue } from "../broker/broker.ts";
import { Guard } from "../broker/guard.ts";
import { assemble } from "../build/assemble.ts";
import type { FrontPair } from "../front/localFront.ts";
import type { PairPort } from "../front/pairServices.ts";
import type { Gateway } from "../gateway.ts";

export interface RehearsalOptions {
  /** The pair's. Until the rehearsal is over there is a socket in it. */
  folder: string;
  instance: string;
  clock: Clock;
  /** Asked between two steps: true ends the rehearsal early. */
  isOver(): boolean;
}

/** Engines compile what has run some times better than what has run once. */
const ROUNDS = 8;
const TIMEOUT_MS = 30_000;

/** What a client's session is known by: `SessionState` of gateway/broker/session.ts. */
interface SavedSession {
  connection: { number: number; slot: number };
}

/** Holds what the first gateway hands over. */
class Successor implements Heir {
  readonly #descriptors = new Map<number, Descriptor>();
  #journal: Descriptor | undefined;

  journal(descriptor: Descriptor): void {
    this.#journal?.close();
    this.#journal = descriptor.dup();
  }

  handOver(number: number, descriptor: Descriptor): void {
    this.#descriptors.set(number, descriptor.dup());
  }

  dropped(numbers: readonly number[]): void {
    for (const number of numbers) this.#descriptors.get(number)?.close();
    for (const number of numbers) this.#descriptors.delete(number);
  }

  /** As a standby reads it. Its predecessor sends no more, and has sent all that it was to send. */
  inheritance(): Inheritance {
    const journal = this.#journal!;
    const replica = new Replica({ sent: () => undefined, drop: () => {} });
    new JournalReader((chunk, at) => readSync(journal.fd, chunk, 0, chunk.length, at), nativeSeal()).read(replica);
    const states = new Inheritance({ replica, descriptors: new Map(), sent: () => 0, handling: undefined });
    const given = new Map([...states.states(SESSION)].map(({ state }) => (state as SavedSession).connection).map(({ number, slot }) => [slot, replica.countsOf(number).given]));
    return new Inheritance({ replica, descriptors: this.#descriptors, sent: (slot) => given.get(slot) ?? 0, handling: undefined });
  }

  close(): void {
    this.#journal?.close();
    closeAll([...this.#descriptors.values()]);
  }
}

function socketPath({ folder, instance }: Pick<RehearsalOptions, "folder" | "instance">): string {
  return join(folder, `rehearsal-${instance}.sock`);
}

/** JSON is YAML. No writers: whoever runs the gateway may write. No state is kept: below this there can be no folder. */
function configuration(path: string): string {
  return JSON.stringify({ version: 1, robot: "rehearsal", socket: { path, mode: "0600" }, redundancy: { stateFolder: "/dev/null" }, topics: [{ name: "app/value", encoding: "cbor", writers: [] }] });
}

/** One of the two gateways. */
class Player {
  readonly keeper: Keeper;
  readonly connections: HandedConnections;
  gateway!: Gateway;
  server!: SeqpacketServer;

  private constructor(slots: readonly number[]) {
    const page = { words: new Uint32Array(256) };
    this.keeper = new Keeper({ page, seal: nativeSeal() });
    this.connections = new HandedConnections({ keeper: this.keeper, page, connection: { queue: clientQueue() }, slots });
  }

  static async of({ folder, instance, clock }: RehearsalOptions, slots: readonly number[], inherited: ReturnType<FrontPair["inherited"]>): Promise<Player> {
    const self = new Player(slots);
    const { keeper, connections } = self;
    const file = new QuarantineFile(join(folder, "rehearsal-quarantine.json"), () => {});
    const pair: FrontPair = {
      folder, predecessorEpoch: () => 1, epochBegan: () => {}, watch: () => ({ begins: () => true, ends: () => {} }),
      keeper, connections, port: nobodyAsks, supervision: new Supervision(brainSupervision), fairNowUs: () => clock.nowUs(), inherited: () => inherited, restored: () => {}, listening: (server) => void (self.server = server),
      guard: () => new Guard({ file, keeper, death: "killed", wallTime: () => "", quarantined: () => {} }),
    };
    const name = join(folder, `rehearsal-${instance}.yaml`);
    const { config, hash, parts, faults } = checkConfig({ text: configuration(socketPath({ folder, instance })), file: name, readFile: () => ({ fault: "a rehearsal reads no files" }) });
    if (!config || hash === undefined) throw new Error(`the rehearsal: its configuration is refused: ${faults.map((each) => JSON.stringify(each)).join("; ")}`);
    self.gateway = await assemble({ accepted: { file: name, config, hash, parts, reflexTable: undefined }, instance, clock, write: () => {}, pair });
    return self;
  }

  /** As if dead: nothing is read, nothing sent. */
  fallSilent(): void {
    this.connections.freeze();
    this.keeper.commit();
  }
}

const nobodyAsks: PairPort = new Proxy({} as PairPort, {
  get: () => {
    throw new Error("nobody asks for the pair in a rehearsal");
  },
});

/** Resolves when everything is closed again. Rejects when the rehearsal did not come to its end; nothing depends on that. */
export async function rehearse(options: RehearsalOptions): Promise<void> {
  const successor = new Successor();
  const players: Player[] = [];
  const clients: Client[] = [];
  try {
    const first = await Player.of(options, REHEARSAL_SLOTS.slice(0, REHEARSAL_SLOTS.length / 2), undefined);
    players.push(first);
    await first.gateway.start();
    for (const name of ["provider", "caller"]) clients.push(await connect({ socketPath: first.gateway.socketPath, name, timeoutMs: TIMEOUT_MS }));
    const [provider, caller] = clients as [Client, Client];
    const program = await programs(provider, caller);
    first.keeper.setHeir(successor);
    for (let i = 0; i < ROUNDS && !options.isOver(); i++) await program();
    first.fallSilent();
    // What they ask now waits for whoever comes.
    const waiting = program();
    const second = await Player.of(options, REHEARSAL_SLOTS.slice(REHEARSAL_SLOTS.length / 2), { listener: first.server.descriptor(), path: first.server.path, inheritance: successor.inheritance() });
    players.push(second);
    await second.gateway.takeOver();
    await waiting;
    for (let i = 0; i < ROUNDS && !options.isOver(); i++) await program();
  } finally {
    await Promise.allSettled(clients.map((client) => client.close()));
    for (const { keeper, gateway } of players) {
      keeper.setHeir(undefined);
      await gateway.stop("the rehearsal is over");
    }
    successor.close();
    // Of the first, whose end leaves the socket to the second, and of a lock.
    for (const ending of ["", ".lock"]) rmSync(`${socketPath(options)}${ending}`, { force: true });
  }
}

/** Two programs that use what programs use; each call of the result is one round of it. */
async function programs(provider: Client, caller: Client): Promise<() => Promise<void>> {
  await provider.offer("app/echo", { capacity: 8 }, (body) => body);
  await provider.offer("app/count", { capacity: 8 }, async function* () {
    for (let i = 0; i < 3; i++) yield i;
  });
  const lane = await provider.advertise("app/lane", { encoding: "cbor", queue: 16 });
  await caller.subscribe("app/#", { policy: { queue: 16 } }, () => {});
  return async () => {
    lane.publish({ n: 1 });
    const passing = await provider.advertise("app/passing", { encoding: "cbor", queue: 4 });
    await provider.publish("app/value", { n: 1 });
    await Promise.all([1, 2, 3].map((n) => caller.request("app/echo", { n }, { timeoutMs: TIMEOUT_MS })));
    for await (const item of caller.stream("app/count", {}, { timeoutMs: TIMEOUT_MS })) void item;
    await caller.query("app/value");
    await passing.close();
  };
}
