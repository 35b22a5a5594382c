/**
 * Names: what MQTT allows (more than IPCNet's own topics do: empty levels, `$`), and the tree under which a robot shows itself, after the manner of zigbee2mqtt
 * (a bridge with many devices behind one connection). All pure.
 *
 * | MQTT topic | carries |
 * |---|---|
 * | `ipcnet/<robot>/<topic>` | an IPCNet topic mirrored as JSON |
 * | `ipcnet/<robot>/cmd/<link>/<message>/set` | a command (see `command.ts`); never retained |
 * | `ipcnet/<robot>/bridge/state` | retained `{state, instance, epoch, session, reason, version}` (see `status.ts`) |
 * | `ipcnet/<robot>/nodes/<node>/availability` | retained `{state, epoch, session}` |
 * | `ipcnet/<robot>/bridge/request/<service>` | a request with its `transaction` |
 * | `ipcnet/<robot>/bridge/response/<service>` | its answer with the same `transaction` |
 */
import { MQTT_LIMITS } from "./limits.ts";

/** Why a string is no topic name (no wildcards), or undefined if it is one. MQTT 5 §4.7. */
export function mqttTopicFault(topic: string): string | undefined {
  if (/[+#]/.test(topic)) return "a topic name has no wildcards";
  return commonFault(topic);
}

/** Why a string is no topic filter (wildcards allowed), or undefined if it is one. */
export function mqttFilterFault(filter: string): string | undefined {
  const levels = filter.split("/");
  for (const [index, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || index !== levels.length - 1)) return "# stands alone, at the end";
    if (level.includes("+") && level !== "+") return "+ stands alone between slashes";
  }
  return commonFault(filter);
}

function commonFault(text: string): string | undefined {
  if (text.length === 0) return "a topic has at least one character";
  if (text.includes("\0")) return "a topic has no NUL";
  if (Buffer.byteLength(text) > MQTT_LIMITS.topicBytes) return `a topic has at most ${MQTT_LIMITS.topicBytes} bytes`;
  if (text.split("/").length > MQTT_LIMITS.topicLevels) return `a topic has at most ${MQTT_LIMITS.topicLevels} levels`;
  return undefined;
}

/** What a topic under the robot's own root stands for. */
export type TopicMeaning =
  | { kind: "state"; topic: string }
  | { kind: "command"; topic: string }
  | { kind: "bridgeState" }
  | { kind: "availability"; node: string }
  | { kind: "request"; service: string }
  | { kind: "response"; service: string }
  /** Not under `ipcnet/<robot>/`, or a name there that nothing uses. */
  | { kind: "foreign" };

export interface TopicTree {
  readonly root: string;
  readonly bridgeState: string;
  /** All commands, all requests: what the gateway itself subscribes to. */
  readonly commandFilter: string;
  readonly requestFilter: string;
  /** Undefined when the IPCNet topic cannot be mirrored: `mirrorFault` says why. */
  stateTopic(ipcnetTopic: string): string | undefined;
  mirrorFault(ipcnetTopic: string): string | undefined;
  commandTopic(ipcnetTopic: string): string;
  availability(node: string): string;
  request(service: string): string;
  response(service: string): string;
  meaning(mqttTopic: string): TopicMeaning;
  /** What the integrity of a command is bound to, so that it cannot be taken for another one: `<robot>/<ipcnet topic>`. */
  commandName(ipcnetTopic: string): string;
}

const ROBOT = /^[a-z0-9-]{1,32}$/;

/** The tree of one robot. Throws a RangeError for a name that the configuration would have refused. */
export function topicTree(robot: string): TopicTree {
  if (!ROBOT.test(robot)) throw new RangeError(`a robot's name is 1 to 32 of a-z, 0-9 and -: ${JSON.stringify(robot)}`);
  const root = `ipcnet/${robot}/`;
  const tree: TopicTree = {
    root,
    bridgeState: `${root}bridge/state`,
    commandFilter: `${root}cmd/#`,
    requestFilter: `${root}bridge/request/#`,
    stateTopic: (topic) => (tree.mirrorFault(topic) === undefined ? root + topic : undefined),
    mirrorFault(topic) {
      const fault = mqttTopicFault(root + topic);
      if (fault !== undefined) return fault;
      if (tree.meaning(root + topic).kind !== "state") return "the name is taken by commands, the bridge or the nodes";
      return undefined;
    },
    commandTopic: (topic) => `${root}${topic}/set`,
    availability: (node) => `${root}nodes/${node}/availability`,
    request: (service) => `${root}bridge/request/${service}`,
    response: (service) => `${root}bridge/response/${service}`,
    meaning(mqttTopic) {
      if (!mqttTopic.startsWith(root) || mqttTopicFault(mqttTopic) !== undefined) return { kind: "foreign" };
      return meaningBelowRoot(mqttTopic.slice(root.length));
    },
    commandName: (topic) => `${robot}/${topic}`,
  };
  return tree;
}

function meaningBelowRoot(rest: string): TopicMeaning {
  const [first = "", second, ...tail] = rest.split("/");
  const last = tail.join("/");
  switch (first) {
    case "bridge":
      if (second === "state" && tail.length === 0) return { kind: "bridgeState" };
      if ((second === "request" || second === "response") && last !== "") return { kind: second, service: last };
      return { kind: "foreign" };
    case "nodes":
      return second !== undefined && second !== "" && last === "availability" ? { kind: "availability", node: second } : { kind: "foreign" };
    case "cmd":
      // At least cmd/<link>/<message>/set: "cmd/set" commands nothing.
      return tail.length >= 2 && rest.endsWith("/set") ? { kind: "command", topic: rest.slice(0, -"/set".length) } : { kind: "foreign" };
    default:
      return rest === "" ? { kind: "foreign" } : { kind: "state", topic: rest };
  }
}
