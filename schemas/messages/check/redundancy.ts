/** What redundancy asks of the rest of the configuration. Whether the messages fit the reflex's table is for whoever compiles it to say (gateway/build/reflex). */
import type { BusMessages } from "./databases.ts";
import type { CheckContext } from "./context.ts";
import type { Bus } from "../config.ts";
import type { Path } from "../fault.ts";

/** Owners 0 to 3 are added to a claim id. */
const OWNERS = 4;
const STANDARD_ID_MAX = 0x7ff;
/** CiA 301. */
const HEARTBEAT_BASE = 0x700;

/** The drivers that the reflex has; buses of others stay with the gateway, for listening. */
export const reflexDrivers: readonly Bus["driver"][] = ["socketcan", "emulator"];

/** Whether the reflex owns this bus. */
export function isReflexBus(bus: Pick<Bus, "driver">): boolean {
  return reflexDrivers.includes(bus.driver);
}

export function checkRedundancy(context: CheckContext, messages: BusMessages): void {
  const { config } = context;
  const { redundancy, safePose } = config;
  if (safePose.plan !== undefined && safePose.steps.length > 0) context.fault("conflictingKeys", ["safePose", "plan"], "a plan file, and steps beside it", { expected: "one of plan and steps", part: "key" });
  for (const [bus, path] of context.items(config.buses, ["buses"])) checkClaim(context, bus, path, messages);
  if (redundancy.reflex === "none") {
    checkWithoutReflex(context);
    return;
  }
  if (config.buses.filter(isReflexBus).length === 0) context.fault("nothingForReflex", ["redundancy", "reflex"], "no bus is one that the reflex can own", { expected: `a bus with driver ${reflexDrivers.join(" or ")}, or reflex: none` });
  if (config.buses.filter(isReflexBus).length > 8) context.fault("wrongCount", ["redundancy", "reflex"], "the reflex owns at most 8 buses", { expected: "8 buses or fewer" });
  for (const [command, path] of context.items(config.commands, ["commands"])) {
    const bus = "bus" in command ? config.buses.find(({ name }) => name === command.bus) : undefined;
    if (bus && !isReflexBus(bus)) context.fault("notThroughReflex", [...path, "bus"], `${bus.name} is reached by ${bus.driver}, which the reflex does not have: nobody could send on it once the gateway is gone`, { expected: `driver ${reflexDrivers.join(" or ")}, or redundancy.reflex: none` });
  }
  for (const [route, path] of context.items(config.routes, ["routes"])) {
    const bus = /^can\/([^/]+)\/raw$/.exec(route.to)?.[1];
    if (bus !== undefined && config.buses.some((each) => each.name === bus && isReflexBus(each))) context.fault("notThroughReflex", [...path, "to"], `whole frames are passed on to ${bus}, which the reflex owns: it sends listed commands alone`, { expected: "a route between messages, or redundancy.reflex: none" });
  }
  for (const [bus, path] of context.items(config.buses, ["buses"])) {
    if (bus.claimId === undefined && isReflexBus(bus) && config.commands.some((command) => "bus" in command && command.bus === bus.name)) {
      context.warning("noClaims", path, `the nodes on ${bus.name} cannot tell an old owner from the new one: no CLAIM frames are sent there`, { hint: "claimId: 0x10, and nodes that follow docs/specs/claim.md" });
    }
  }
}

/** Keys that do nothing without a reflex: somebody believes in a protection that is not there. */
function checkWithoutReflex(context: CheckContext): void {
  const { redundancy, safePose } = context.config;
  if (safePose.plan !== undefined) context.fault("reflexNeeded", ["safePose", "plan"], "a plan file is run by the reflex, and there is none", { expected: "redundancy.reflex: single or pair, or safePose.steps instead of a plan", part: "key" });
  if (safePose.powerFail) context.fault("reflexNeeded", ["safePose", "powerFail"], "the power-fail line is read by the reflex, and there is none", { expected: "redundancy.reflex: single or pair", part: "key" });
  if (redundancy.resumeArmed) context.warning("reflexNeeded", ["redundancy", "resumeArmed"], "there is no reflex that could take over", { hint: "reflex: pair" });
}

function checkClaim(context: CheckContext, bus: Bus, path: Path, messages: BusMessages): void {
  const { claimId, host, selfFenceMs } = bus;
  if (claimId === undefined) {
    if (selfFenceMs !== undefined) context.fault("keyNeeded", [...path, "selfFenceMs"], "another host on the bus, and no CLAIM frames that could tell who commands", { expected: "claimId beside it", part: "key" });
    return;
  }
  if (host !== 0 && selfFenceMs === undefined) context.warning("keyNeeded", [...path, "host"], "the second of two hosts does not give way when no node follows it", { hint: "selfFenceMs: 12" });
  if (claimId % OWNERS !== 0) context.fault("outOfRange", [...path, "claimId"], `found ${claimId}: the owner's number, 0 to 3, is added`, { expected: "a multiple of 4" });
  const extended = claimId > STANDARD_ID_MAX;
  const isClaim = (canId: number): boolean => canId >= claimId && canId < claimId + OWNERS;
  for (const { message } of messages.of(bus.name).values()) {
    if (message.extended === extended && isClaim(message.canId)) context.fault("duplicateName", [...path, "claimId"], `${message.name} has the id 0x${message.canId.toString(16).toUpperCase()} already`, { expected: "four ids that no message has" });
  }
  for (const { name, link, heartbeat } of context.config.nodes) {
    if (link === bus.name && "canopen" in heartbeat && !extended && isClaim(HEARTBEAT_BASE + heartbeat.canopen)) context.fault("duplicateName", [...path, "claimId"], `the heartbeat of ${name} has one of these ids`, { expected: "four ids that nobody uses" });
  }
}
