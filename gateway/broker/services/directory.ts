/** What `find` answers: who is there, what can be read, called and asked for, as far as the asker is permitted to know. */
import { topicMatcher } from "../../../schemas/topics/topicName.ts";
import type { Findable } from "../../../shm/protocol/serviceMessages.ts";
import type { TopicSource } from "../../topics/topicSource.ts";
import type { AccessPolicy, Peer, ResourceTable } from "../ports.ts";
import type { ServiceReport } from "./types.ts";

/** A program that is connected. */
export interface Present {
  client: number;
  peer: Peer;
  /** What it calls itself: proves nothing. */
  name: string;
  announced: Readonly<Record<string, unknown>> | undefined;
  /** Set when it has said that it leaves. */
  leaving: { atUs: number; text: string } | undefined;
}

export interface DirectorySources {
  present(): Iterable<Present>;
  services(): readonly ServiceReport[];
  topics: TopicSource;
  resources: ResourceTable;
  policy: AccessPolicy;
}

/** The entries of `what` whose name matches `pattern` (`+` one level, `#` the rest). */
export function find(sources: DirectorySources, what: Findable, pattern: string, asker: Peer, nowUs: number): object[] {
  const matches = topicMatcher(pattern);
  const { policy } = sources;
  switch (what) {
    case "components":
      return [...sources.present()].filter(({ peer }) => matches(peer.component)).map((each) => describeComponent(each, nowUs));
    case "topics":
      return [...sources.topics.entries()].filter(({ name }) => matches(name) && (policy.mayRead(asker, name) || policy.mayWrite(asker, name)))
        .map(({ name, encoding, schemaHash, rateHz, quality }) => ({ name, encoding, schemaHash: schemaHash.toString(16).padStart(16, "0"), mayRead: policy.mayRead(asker, name), mayWrite: policy.mayWrite(asker, name), rateHz, quality }));
    case "services": {
      const present = new Map([...sources.present()].map((each) => [each.client, each]));
      return sources.services().filter(({ service }) => matches(service) && policy.mayCall(asker, service)).map((report) => describeService(report, present));
    }
    case "resources":
      return sources.resources.list().flatMap(({ name, kind, modes, description }) => {
        const permitted = matches(name) ? modes.filter((mode) => policy.mayGrant(asker, name, mode)) : [];
        return permitted.length > 0 ? [{ name, kind, modes: permitted, description }] : [];
      });
    default:
      return what satisfies never;
  }
}

function describeComponent({ peer, name, announced, leaving }: Present, nowUs: number): object {
  return { name, component: peer.component, uid: peer.uid, pid: peer.pid, ...(announced ? { announced } : {}), ...(leaving ? { leaving: { deadlineMs: Math.max(0, (leaving.atUs - nowUs) / 1e3), text: leaving.text } } : {}) };
}

/** The gateway's own providers have no process to name: it is this one. */
function describeService({ service, waiting, providers }: ServiceReport, present: ReadonlyMap<number, Present>): object {
  return {
    service, waiting,
    providers: providers.map(({ client, group, capacity, running, leaving, description }) => {
      const who = present.get(client);
      const identity = who ? { component: who.peer.component, name: who.name, uid: who.peer.uid, pid: who.peer.pid } : { component: "gateway", name: "gateway", uid: process.getuid?.() ?? 0, pid: process.pid };
      return { ...identity, group, ...(Number.isFinite(capacity) ? { capacity } : {}), running, leaving, description };
    }),
  };
}
