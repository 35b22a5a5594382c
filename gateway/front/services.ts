/** The services that local clients call (`client.request("gateway/…")`). Who may call which was decided before (`gateway/policy`). */
import { Status } from "../../schemas/status.ts";
import type { PoseVerdict } from "../../failsafe/safePose/sequence.ts";
import type { StopCategory } from "../../failsafe/shutdown/compiled.ts";
import type { GatewayEvent } from "../observe/events.ts";
import type { RejectCounter } from "../observe/rejects.ts";
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import type { Peer } from "../broker/ports.ts";
import { reflexService, type ReflexPort } from "./reflexServices.ts";
import { failoverService, type PairPort, quarantineService } from "./pairServices.ts";
import { peerWords } from "../identity/words.ts";

export interface ServiceReply {
  status: number;
  body?: unknown;
  text?: string;
}

/** What the services need of the gateway. */
export interface ServicePorts {
  status(): StatusReport;
  events(): readonly GatewayEvent[];
  rejects(): readonly RejectCounter[];
  /** What is missing; empty: armed. */
  arm(why: string): string[] | Promise<string[]>;
  disarm(why: string): void;
  reset(why: string): void | Promise<void>;
  /** Resolves when nothing of what the nodes say of themselves is on its way any more; soon, whatever they do. */
  identitiesRead(): Promise<void>;
  safePose(why: string, category?: StopCategory): Promise<PoseVerdict>;
  compromised(why: string): Promise<PoseVerdict>;
  /** Explains a decision, or shows the policy. */
  policy(body: Readonly<Record<string, unknown>>): ServiceReply;
  config(): { file: string; hash: string; config: unknown };
  /** The pair that this gateway is one of. */
  pair?: PairPort | undefined;
  /** What owns the CAN buses, if it is not this process. */
  reflex?: ReflexPort | undefined;
  /** Replaces the firmware of nodes. */
  nodeUpdate(body: Readonly<Record<string, unknown>>): ServiceReply;
  /** Judges a file and says what taking it over would need; applies what can be applied while running. */
  reload(path: string): ServiceReply;
}

type Service = (body: Readonly<Record<string, unknown>>, who: string) => ServiceReply | Promise<ServiceReply>;

/** Longest reason that is kept. */
const WHY_LENGTH_MAX = 200;

export function gatewayServices(ports: ServicePorts): ReadonlyMap<string, Service> {
  const ok = (body?: unknown): ServiceReply => ({ status: Status.ok, ...(body === undefined ? {} : { body }) });
  const refused = (missing: string[]): ServiceReply => ({ status: Status.preconditionFailed, text: missing.join("; "), body: { missing } });
  /** How often somebody has said that nothing shall move. */
  let halts = 0;
  return new Map<string, Service>([
    ["gateway/status", () => ok(ports.status())],
    ["gateway/events", () => ok(ports.events())],
    ["gateway/rejects", () => ok(ports.rejects().map(rejectDetails))],
    ["gateway/policy", (body) => ports.policy(body)],
    ["gateway/config", () => ok(ports.config())],
    ["gateway/arm", async (body, who) => {
      const before = halts;
      if (body["reset"] === true) await ports.reset(`reset by ${who}`);
      // Who has just come, or came back during a pose and is asked only now, would be the only reason to refuse.
      await ports.identitiesRead();
      // Whoever said meanwhile that nothing shall move has said so last.
      if (halts !== before) return refused(["somebody disarmed the gateway or asked for the safe pose while this waited: say it again"]);
      const missing = await ports.arm(reason(body, `armed by ${who}`));
      return missing.length === 0 ? ok() : refused(missing);
    }],
    ["gateway/disarm", (body, who) => {
      halts += 1;
      ports.disarm(reason(body, `disarmed by ${who}`));
      return ok();
    }],
    ["gateway/reset", async (body, who) => {
      await ports.reset(reason(body, `reset by ${who}`));
      return ok();
    }],
    ["gateway/failover", (body) => failoverService(body, ports.pair)],
    ["gateway/reflex", (body) => reflexService(body, ports.reflex)],
    ["gateway/node-update", (body) => ports.nodeUpdate(body)],
    ["gateway/quarantine", (body) => quarantineService(body, ports.pair)],
    ["gateway/safe-pose", async (body, who) => {
      const { category } = body;
      if (category !== undefined && category !== 0 && category !== 1 && category !== 2) return { status: Status.badRequest, text: "category is a stop category of IEC 60204-1: 0, 1 or 2" };
      halts += 1;
      if (body["compromise"] === true) return ok(await ports.compromised(reason(body, `a compromise, says ${who}`)));
      return ok(await ports.safePose(reason(body, `asked for by ${who}`), category));
    }],
    ["gateway/reload", (body) => (typeof body["path"] === "string" ? ports.reload(body["path"]) : { status: Status.badRequest, text: "path names the configuration file" })],
  ]);
}

/** Calls a service by name; a body that is no object counts as an empty one. */
export async function callService(services: ReadonlyMap<string, Service>, name: string, body: unknown, who: Pick<Peer, "pid" | "uid" | "component">): Promise<ServiceReply> {
  const service = services.get(name);
  if (!service) return { status: Status.notFound, text: `there is no service ${name.slice(0, 100)}` };
  const given = typeof body === "object" && body !== null && !Array.isArray(body) ? (body as Record<string, unknown>) : {};
  return service(given, peerWords(who));
}

function reason(body: Readonly<Record<string, unknown>>, fallback: string): string {
  const why = body["why"];
  return typeof why === "string" && why.trim() !== "" ? `${why.slice(0, WHY_LENGTH_MAX)} (${fallback})` : fallback;
}

function rejectDetails(counter: RejectCounter): unknown {
  const { link, reason: code, count } = counter;
  return { link, reason: code, count, samples: counter.samples().map(({ atUs, source, bytes }) => ({ atUs, source, hex: Buffer.from(bytes).toString("hex") })) };
}
