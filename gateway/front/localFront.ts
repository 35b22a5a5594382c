/** The local side of the gateway: the client socket with its broker and services. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../../schemas/clock.ts";
import type { Config } from "../../schemas/messages/config.ts";
import type { ClientReport, LaneReport, QuotaReport } from "../../schemas/messages/statusReport.ts";
import { DriverError } from "../../drivers/driver.ts";
import { type Descriptor, type SeqpacketServer, SocketError } from "../../shm/sockets/index.ts";
import type { HandedConnections } from "../../failsafe/failover/connections.ts";
import type { Inheritance } from "../../failsafe/failover/inheritance.ts";
import type { Keeper } from "../../failsafe/failover/keeper.ts";
import type { Supervision } from "../../failsafe/watchdog/supervision.ts";
import { createBroker, goOnListening, listenForClients, type Broker } from "../broker/broker.ts";
import type { Guard } from "../broker/guard.ts";
import type { WatchLink } from "../links/linkGuard.ts";
import { defaultLimits } from "../broker/limits.ts";
import { fitted, openFilesMax } from "../broker/quota/fit.ts";
import { IdentifiedPeer } from "../identity/peer.ts";
import { peerWords } from "../identity/words.ts";
import { thisSystem } from "../identity/process.ts";
import type { Access } from "../policy/access.ts";
import { systemNames } from "../policy/names.ts";
import { policyService } from "../policy/service.ts";
import type { Front, Gateway } from "../gateway.ts";
import type { EventInput } from "../observe/events.ts";
import type { GatewayIdentity } from "../observe/status.ts";
import { DirectTopicTable } from "../topics/directTopics.ts";
import { noteTopics, restoreTopics } from "../topics/handover.ts";
import type { Publisher } from "../topics/publisher.ts";
import type { TopicTable } from "../topics/table.ts";
import { Grants } from "../resources/grants.ts";
import type { PairPort } from "./pairServices.ts";
import type { ReflexPort } from "./reflexServices.ts";
import type { NodeCare } from "../nodes/care.ts";
import type { DeviceService } from "../links/deviceServices.ts";
import { NodeUpdateService } from "./nodeServices.ts";
import { callService, gatewayServices } from "./services.ts";
import { defaultSocketPath } from "./socketPath.ts";

export interface LocalFrontOptions {
  socket: Config["socket"];
  /** The configuration in force. */
  configuration(): { file: string; hash: string; config: Config };
  identity: GatewayIdentity;
  table: TopicTable;
  publisher: Publisher;
  policy: Access;
  clock: Clock;
  gateway(): Gateway;
  event(input: EventInput): void;
  /** A twin that can take over. */
  pair?: FrontPair | undefined;
  /** What owns the CAN buses, if it is not this process. */
  reflex?: ReflexPort | undefined;
  care: NodeCare;
  /** What devices serve, by the name that programs ask for. */
  devices: ReadonlyMap<string, DeviceService>;
}

/** What the front needs of the pair. */
export interface FrontPair {
  keeper: Keeper;
  connections: HandedConnections;
  port: PairPort;
  /** Where the two keep what is theirs. */
  readonly folder: string;
  /** The epoch of whoever is taken over; 0: nobody, or not known. */
  predecessorEpoch(): number;
  /** This gateway is active from now on, under this epoch. */
  epochBegan(epoch: number): void;
  /** Judges the gateway's own tasks. */
  supervision: Supervision;
  /** Time by which it judges them: it stands still while the process is starved. */
  fairNowUs(): number;
  guard(): Guard;
  /** Looks at what comes from a link before it is handled. */
  readonly watch: WatchLink;
  /** What a predecessor has left: its listening socket and its clients. Asked for once, at the start. */
  inherited(): { listener: Descriptor; path: string; inheritance: Inheritance } | undefined;
  /** The broker has all that was inherited. */
  restored(): void;
  /** Clients can connect: for a standby to be handed the listening socket. */
  listening(server: SeqpacketServer): void;
}

export class LocalFront implements Front {
  readonly #options: LocalFrontOptions;
  #server: SeqpacketServer | undefined;
  #broker: Broker | undefined;

  constructor(options: LocalFrontOptions) {
    this.#options = options;
  }

  get path(): string {
    return this.#options.socket.path ?? defaultSocketPath();
  }

  async start(): Promise<void> {
    const { socket, configuration, table, publisher, policy, clock, identity, gateway, event, devices } = this.#options;
    const { path } = this;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const group = socket.group === undefined ? undefined : systemNames().gid(socket.group);
    if (socket.group !== undefined && group === undefined) throw new DriverError("unknownGroup", `the group ${socket.group} of the client socket does not exist`, `sudo groupadd --system ${socket.group}`);
    const { pair } = this.#options;
    const inherited = pair?.inherited();
    try {
      this.#server = inherited ? goOnListening(inherited.listener, inherited.path) : listenForClients(path, { mode: Number.parseInt(socket.mode, 8), ...(group === undefined ? {} : { group }) });
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      throw new DriverError("socketUnavailable", error.message, "is another gateway running? ipcnet status shows it; otherwise choose another socket.path", { cause: error });
    }
    const system = thisSystem();
    const nodeUpdate = new NodeUpdateService(this.#options.care, () => clock.nowUs());
    const services = gatewayServices({
      status: () => gateway().status(),
      events: () => gateway().recentEvents(),
      rejects: () => gateway().rejectCounters(),
      arm: (why) => gateway().arm(why), disarm: (why) => gateway().disarm(why), reset: (why) => gateway().reset(why), identitiesRead: () => this.#options.care.identitiesRead(), safePose: (why, category) => gateway().safePose(why, category), compromised: (why) => gateway().compromised(why),
      config: () => {
        const { file, hash, config } = configuration();
        return { file, hash, config };
      },
      reload: (file) => gateway().reload(file),
      policy: (body) => policyService(body, policy.engine, system), pair: pair?.port, reflex: this.#options.reflex, nodeUpdate: (body) => nodeUpdate.call(body),
    });
    const directTopics = new DirectTopicTable(table, clock, publisher);
    if (inherited) restoreTopics(inherited.inheritance, table, directTopics);
    if (pair) noteTopics(table, directTopics, pair.keeper);
    this.#broker = createBroker({
      ...(pair ? { handover: { keeper: pair.keeper, connections: pair.connections, guard: pair.guard(), inheritance: inherited?.inheritance } } : {}),
      server: this.#server, topics: table, directTopics, resources: new Grants(() => configuration().config.resources, clock), policy, clock, gateway: identity, limits: { shared: fitted(defaultLimits.shared, openFilesMax()) },
      identify: (peer, facts) => new IdentifiedPeer(peer, { source: system, nameOf: (who) => policy.nameOf(who), facts }),
      onEvent: ({ code, name, pid, uid, text }) => event({ severity: code === "clientRefused" || code === "acceptFailed" ? "warning" : "info", code, source: name || `pid ${pid}`, text: `${text} (pid ${pid}, uid ${uid})` }),
      publisher: { publish: (topic, value, { form, ttlMs, sentUs, who }) => publisher.publish(topic, value, { form, ttlMs, sentUs, origin: peerWords(who) }, clock.nowUs()) },
      services: {
        names: [...services.keys(), ...devices.keys()],
        call: async (service, body, who, timeoutMs) => devices.get(service)?.(body, timeoutMs) ?? callService(services, service, body, who),
      },
    });
    pair?.restored();
    inherited?.inheritance.close();
    pair?.listening(this.#server);
    event({ severity: "info", code: "listening", source: "clients", text: `local clients connect at ${path}` });
  }

  async sayFarewell(why: string, deadlineMs: number): Promise<void> {
    if (!this.#broker) return;
    const { told, late } = await this.#broker.sayFarewell(deadlineMs, why);
    if (late.length === 0 && told === 0) return;
    const text = late.length === 0 ? `${told} local programs were told, all are prepared or gone` : `${late.length} of ${told} local programs were not prepared in time: ${late.map((name) => name || "?").join(", ")}`;
    this.#options.event({ severity: late.length === 0 ? "info" : "warning", code: "farewell", source: "clients", text });
  }

  async stop(why: string): Promise<void> {
    await this.#broker?.close(why);
    this.#server?.close();
  }

  /** To be called when the access rules have changed: who lost a right loses it at once. */
  recheck(): void {
    this.#broker?.recheck();
  }

  clients(): ClientReport[] {
    return this.#broker?.clients() ?? [];
  }

  lanes(): readonly LaneReport[] {
    return this.#broker?.lanes() ?? [];
  }

  services(): Readonly<Record<string, number>> {
    return this.#broker?.serviceCounters() ?? {};
  }

  quota(): QuotaReport {
    return this.#broker?.quotaUse() ?? { capacity: {}, users: [] };
  }
}
