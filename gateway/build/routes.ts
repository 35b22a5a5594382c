/** From the routes of the configuration to running ones. */
import type { Clock } from "../../schemas/clock.ts";
import { idMatches, parseIdFilter, type IdFilter } from "../../schemas/messages/idFilter.ts";
import type { Config, Route } from "../../schemas/messages/config.ts";
import { FrameRoute } from "../bridges/frameRoute.ts";
import { TopicRoute } from "../bridges/routes.ts";
import type { Due } from "../gateway.ts";
import type { CanLink } from "../links/canLink.ts";
import type { Publisher } from "../topics/publisher.ts";
import type { TopicTable } from "../topics/table.ts";

export interface RouteParts {
  config: Config;
  table: TopicTable;
  publisher: Publisher;
  frameLinks: ReadonlyMap<string, CanLink>;
  clock: Clock;
  gate(): boolean;
}

const rawTopic = /^can\/([^/]+)\/raw$/;

/** Starts them at once: they only pass on what is published. */
export function buildRoutes(parts: RouteParts): Due[] {
  return parts.config.routes.flatMap((route) => {
    const bus = rawTopic.exec(route.to)?.[1];
    if (bus === undefined) return [topicRoute(route, parts)];
    frameRoute(route, parts.frameLinks.get(bus)!, parts);
    return [];
  });
}

function topicRoute(route: Route, { table, publisher, clock }: RouteParts): TopicRoute {
  // serial/<port>/<message> as a target means the command to that port.
  const to = route.to.startsWith("serial/") ? `cmd/${route.to.slice("serial/".length)}` : route.to;
  const topic = new TopicRoute({ ...route, to }, {
    topics: table, nowUs: () => clock.nowUs(),
    targetFields: (name) => table.get(name)?.layout?.fields.map((field) => field.name),
    publish: (name, value, origin, nowUs) => publisher.publish(name, value, { form: "value", ttlMs: undefined, origin }, nowUs),
  });
  topic.start();
  return topic;
}

function frameRoute(route: Route, to: CanLink, { table, clock, gate }: RouteParts): void {
  const filters = (route.ids ?? []).map((text) => parseIdFilter(text)).filter((filter): filter is IdFilter => !("fault" in filter));
  table.watch(route.from, new FrameRoute({ to: to.driver, gate, nowUs: () => clock.nowUs(), passes: (canId, extended) => filters.some((filter) => idMatches(filter, canId, extended)) }));
}
