/**
 * From a checked configuration to a gateway, wired. Nothing is opened here; `Gateway.start` does that.
 * Names resolve because the configuration was checked: what could not be found would have been a fault with its line.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../schemas/clock.ts";
import type { Config } from "../../schemas/messages/config.ts";
import type { DriverEvent } from "../../drivers/driver.ts";
import type { ArmingState } from "../../failsafe/arming/machine.ts";
import type { DeviceService } from "../links/deviceServices.ts";
import type { Link, LinkPorts } from "../links/link.ts";
import type { CommandPath } from "../commands/commandPath.ts";
import { type Due, Gateway } from "../gateway.ts";
import { NodeMonitor } from "../nodes/monitor.ts";
import { EventLog, type EventInput, type GatewayEvent } from "../observe/events.ts";
import { ProcessStats } from "../observe/processStats.ts";
import { Rejects } from "../observe/rejects.ts";
import { Supervisor } from "../supervisor/supervisor.ts";
import { compilePose } from "../supervisor/posePlan.ts";
import { BrainEpoch } from "../../failsafe/failover/epoch.ts";
import { epochFile } from "./reflex/folders.ts";
import { Publisher } from "../topics/publisher.ts";
import { TopicTable } from "../topics/table.ts";
import { PolicyKeeper } from "../policy/keeper.ts";
import { buildCanLink } from "./buses.ts";
import type { AcceptedConfig } from "./configuration.ts";
import { CareOfNodes } from "./careOfNodes.ts";
import { Heartbeats } from "./heartbeats.ts";
import { noteRobot, restoreRobot } from "./robotHandover.ts";
import { buildMqttLinks } from "./mqttLinks.ts";
import { reloadConfiguration } from "./reload.ts";
import { answerReflexCalls } from "./reflex/calls.ts";
import { buildReflexParts } from "./reflex/parts.ts";
import { reflexReport } from "../../failsafe/reflex/client/report.ts";
import { ReflexSupervisor } from "../../failsafe/reflex/client/supervisor.ts";
import type { SupervisorPort } from "../supervisor/port.ts";
import { features } from "../../failsafe/reflex/client/status.ts";
import { peerWords } from "../identity/words.ts";
import { CompromiseWatch } from "../triggers/compromise.ts";
import { buildRoutes } from "./routes.ts";
import { buildSerialLink } from "./serialPorts.ts";
import { declareWritableTopics } from "./writableTopics.ts";
import { type FrontPair, LocalFront } from "../front/localFront.ts";
import { defaultSocketPath } from "../front/socketPath.ts";
import { version } from "../version.ts";

export interface AssembleOptions {
  accepted: AcceptedConfig;
  instance: string;
  clock: Clock;
  /** Where events are written, one call each. */
  write(event: GatewayEvent): void;
  /** A twin that can take over. */
  pair?: FrontPair;
}

export async function assemble({ accepted, instance, clock, write, pair }: AssembleOptions): Promise<Gateway> {
  const { config, parts, file: configFile } = accepted;
  let running = accepted;
  const identity = { robot: config.robot, version, instance, boot: randomBytes(8).toString("hex") };
  const table = new TopicTable();
  const rejects = new Rejects();
  const eventTopic = table.declare({ name: "ipcnet/events", encoding: "json" });
  const events = new EventLog((each) => {
    write(each);
    const bytes = Buffer.from(JSON.stringify(each));
    table.publish(eventTopic, bytes, 0, bytes.length, each.atUs, 0, "gateway", 0);
  });
  const nodes = new NodeMonitor(config.nodes);

  // Until it is active, what a link says is the other instance's news.
  const told = (input: EventInput): void => {
    if (!pair || epoch.value > 0) event(input);
  };
  const epoch = new BrainEpoch({
    path: epochFile(config, configFile, pair?.folder), wallTimeMs: () => Number(clock.wallTimeNs() / 1_000_000n),
    trouble: (text) => event({ severity: "warning", code: "epochNotKept", source: "gateway", text: `${text}; the clock gives the next one` }),
  });
  const outdated = (heard: number): void => {
    const before = epoch.value;
    if (!epoch.raise(heard)) return;
    pair?.epochBegan(epoch.value);
    event({ severity: "warning", code: "epochRaised", source: "gateway", text: `the reflex has obeyed a gateway of epoch ${heard}, this one began under ${before}: what was kept of it is lost, and the clock was set back; it goes on under ${epoch.value}` });
  };
  // The links' ears need the gateway, which needs the links: the knot is tied at the end.
  let gateway: Gateway | undefined;
  const event = (input: EventInput): void => events.add(input, clock.nowUs(), clock.wallTimeNs());
  const heartbeats = new Heartbeats(config.nodes, nodes, (nodeEvent) => gateway?.nodeEvent(nodeEvent));
  const ports: LinkPorts = {
    event: (link, driverEvent) => onDriverEvent(link, driverEvent, supervisor, told, clock),
    secondMaster(link, message) {
      event({ severity: "error", code: "secondMaster", source: link.name, text: `somebody else sends ${message}, which only this gateway may send` });
      if (!compromise.secondMaster(link.name, message) && supervisor.armed) supervisor.lost(`a second master on bus ${link.name}`, clock.nowUs(), link.name);
    },
  };
  const gate = (): boolean => supervisor.armed;
  const compromise = new CompromiseWatch({ counts: () => running.config.safePose.compromise, armed: gate, nowUs: () => clock.nowUs(), compromised: (why) => void gateway?.compromised(why) });

  const links: Link[] = [];
  const frameLinks = new Map<string, Awaited<ReturnType<typeof buildCanLink>>>();
  const reflex = accepted.reflexTable && (await buildReflexParts({ config, configFile, table: accepted.reflexTable, clock, event: told, epoch: () => epoch.value, outdated }));
  const updaters = new Map<string, DeviceService>();
  const care = new CareOfNodes(config.nodes, {
    serial: { device: (link) => updaters.get(link), isOperational: (node) => nodes.states()[node] === "operational", wait: (ms) => new Promise((resolve) => void clock.at(clock.nowUs() + ms * 1e3, resolve)) },
    nowUs: () => clock.nowUs(), event, reschedule: () => gateway?.reschedule(), updatesChanged: () => changed(),
    allowed: () => supervisor.state === "disarmed" && !supervisor.settling && epoch.value > 0,
    line: (bus) => frameLinks.get(bus)?.line,
  });
  const common = { config, heartbeats, table, rejects, clock, gate, waits: () => supervisor.settling, ports, reflex, watch: pair?.watch, nodesSay: care };
  for (const bus of config.buses) {
    const link = await buildCanLink(bus, { ...common, messagesOf: (name) => parts.messages.of(name) });
    frameLinks.set(bus.name, link);
    links.push(link);
  }
  const devices = new Map<string, DeviceService>();
  for (const port of config.serial) {
    const link = await buildSerialLink(port, common);
    links.push(link);
    if (link.updater) updaters.set(port.name, link.updater);
    for (const [name, service] of link.services) devices.set(`serial/${port.name}/${name}`, service);
  }
  const paths = new Map<string, CommandPath>(links.flatMap(({ name, path }) => (path ? [[name, path]] : [])));

  const publisher = new Publisher(table, (nowUs) => {
    supervisor.commandPassed(nowUs);
    gateway?.reschedule();
  });
  declareWritableTopics({ config, parts, table, publisher, paths });
  links.push(...(await buildMqttLinks({ config, configFile, schemas: parts.schemas, identity, table, rejects, clock, publisher, ports, epoch: () => epoch.value, watch: pair?.watch })));
  heartbeats.watchTopics(table);

  const pose = compilePose(config.safePose, {
    topics: table, paths,
    rearm: (name) => links.find((link) => link.name === name)?.rearm(),
    onRefused: (step, message, text) => event({ severity: "error", code: "safePoseSendFailed", source: message, text: `step ${step}: ${text}` }),
  });
  const shared = {
    clearCommands: () => {
      for (const path of paths.values()) path.clear();
    },
    stateChanged: (from: ArmingState, to: ArmingState, why: string) => {
      told({ severity: to === "fault" || (from === "armed" && to === "safePose") ? "warning" : "info", code: to, source: "gateway", text: `${from} → ${to}: ${why}` });
      changed();
      gateway?.stateChanged(to);
    },
  };
  const changed = (): void => {
    if (pair) noteRobot(pair.keeper, { supervisor, nodes, care: care.nodes });
  };
  const isOurs = (link: string): boolean => reflex?.busRow(link) === undefined;
  const missing = (): string[] => [...nodes.missing(isOurs), ...links.filter(({ name }) => isOurs(name)).flatMap((link) => link.missing()), ...care.missing((node) => nodes.isThere(node)), ...planMissing(config, paths)];
  const supervisor: SupervisorPort = reflex
    ? new ReflexSupervisor({ ...shared, client: reflex.client, clock, missing, autoDisarmAfterSilentMs: config.arming.autoDisarmAfterSilentMs })
    : new Supervisor({ ...shared, missing, pose }, config.arming);

  if (reflex) {
    answerReflexCalls({
      client: reflex.client, clock, topics: table, links, paths, socketPath: config.socket.path ?? defaultSocketPath(),
      trouble: (text) => event({ severity: "error", code: "safePoseCallFailed", source: "gateway", text }),
    });
  }
  reflex?.client.onChange(() => {
    for (const { instance, status } of reflex.client.ends) if (status && (status.features & features.tableDamaged) !== 0) compromise.tableDamaged(instance, status.pid);
  });
  const timed: Due[] = [care, ...buildRoutes({ config, table, publisher, frameLinks, clock, gate })];
  const policy = new PolicyKeeper({ accepted, clock, event, changed: () => front.recheck() });
  policy.access.onDenied = (who, what) => compromise.denied(peerWords(who), what);
  const front = new LocalFront({ socket: config.socket, identity, table, publisher, policy: policy.access, clock, event, gateway: () => gateway!, configuration: () => running, care: care.nodes, devices, pair, reflex: reflex && { client: reflex.client, drills: config.redundancy.drills } });
  gateway = new Gateway({
    beginEpoch: () => {
      epoch.begin(pair?.predecessorEpoch() ?? 0);
      pair?.epochBegan(epoch.value);
    },
    nodesChanged: changed, care,
    restoreRobot: () => restoreRobot(pair?.inherited()?.inheritance, { supervisor, nodes, care: care.nodes }, clock.nowUs()),
    epoch: () => epoch.value, supervision: () => pair && { state: pair.supervision.state, faults: pair.supervision.faults() },
    prepareMs: () => running.config.safePose.prepareMs,
    identity, clock, table, rejects, events, nodes, links, timed, supervisor, front, policy, stats: new ProcessStats(), reflexes: () => reflex?.client.ends.map(reflexReport) ?? [], checkpoint: pair && ((point) => pair.supervision.passed("crank", point, pair.fairNowUs())),
    reload: (file) => reloadConfiguration({ ...running, policyHash: policy.hash }, file, (changed) => {
      running = changed;
      policy.apply(changed);
      supervisor.setOptions(changed.config.arming);
      event({ severity: "info", code: "reloaded", source: "configuration", text: `${file} is in force (hash ${changed.hash.slice(0, 12)})` });
    }),
  });
  return gateway;
}

/** Nothing moves without a way to stop it. */
function planMissing(config: Config, paths: ReadonlyMap<string, CommandPath>): string[] {
  if (paths.size === 0) return ["nothing can be commanded: the configuration lists no commands"];
  return config.safePose.steps.length === 0 && config.safePose.plan === undefined ? ["no safe pose is configured (safePose.steps)"] : [];
}

function onDriverEvent(link: Link, driverEvent: DriverEvent, supervisor: SupervisorPort, event: (input: EventInput) => void, clock: Clock): void {
  const { code, text, details, state } = driverEvent;
  const broken = state === "dead" || state === "busOff" || state === "down";
  event({ severity: broken || code === "purgeImpossible" ? "error" : code === "stateChanged" || code === "linkRestored" || code === "busRecovered" ? "info" : "warning", code, source: link.name, text, ...(details ? { details } : {}) });
  // A serial device or a broker that is away is a matter of its node; a bus with commands is one of all that moves on it.
  if (code === "stateChanged" && broken && link.path && supervisor.armed && link.missing().length > 0) supervisor.lost(`bus ${link.name} is ${state}: ${text}`, clock.nowUs(), link.name);
}
