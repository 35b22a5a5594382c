/**
 * Everything that has a say, as one set of rules: the policy file, the lists of the configuration, and what the gateway's own user may without being
 * asked. Pure.
 *
 * Without a policy file the lists are all there is: readers read, operators operate, writers write, and whoever runs the gateway (and root) uses
 * topics and services of its own making. With one, that user keeps what is needed to look after the gateway, and the rest is the policy's to give. A
 * command must be allowed twice then: the configuration says which users may move something at all, the policy which of their programs.
 */
import type { CheckedPolicy } from "../../schemas/messages/checkPolicy.ts";
import { isReserved } from "../../schemas/messages/check/topics.ts";
import type { Config, Principal } from "../../schemas/messages/config.ts";
import type { Path } from "../../schemas/messages/fault.ts";
import { reachOf } from "../../schemas/messages/policy/reach.ts";
import type { Ceiling, Place, Rule, RuleSet } from "./rules.ts";

export interface RuleSources {
  /** Absent: the policy is looked at alone. */
  configuration?: { config: Config; file: string; locate(path: Path): { line: number; column: number } };
  policy?: CheckedPolicy | undefined;
  /** Who runs the gateway. */
  ownUid: number;
}

/** What readers may call; operators may call all of gateway/. */
export const readerServices = ["gateway/status", "gateway/events", "gateway/rejects", "gateway/config", "gateway/policy"];

export function ruleSet({ configuration, policy, ownUid }: RuleSources): RuleSet {
  const owner = [...new Set(["uid:0", `uid:${ownUid}`])];
  const rules: Rule[] = [
    { effect: "allow", who: owner, reach: [{ action: "read", patterns: ["#"] }, { action: "execute", patterns: ["gateway/#"] }], why: "root and the user who runs the gateway look after it" },
  ];
  if (!policy) {
    const everything = ["#"];
    rules.push({
      effect: "allow", who: owner, why: "without a policy file, topics and services of applications belong to root and the user who runs the gateway",
      reach: [{ action: "write", patterns: everything }, { action: "execute", patterns: everything }, { action: "offer", patterns: everything }, { action: "grantRead", patterns: everything }, { action: "grantWrite", patterns: everything }],
    }, { effect: "allow", who: ["anyone"], connects: false, why: "without a policy file, the writers of a command are those that the configuration lists", reach: [{ action: "write", patterns: ["cmd/#"] }] });
  }
  if (configuration) rules.push(...listRules(configuration));
  if (policy) rules.push(...policyRules(policy));
  return {
    components: policy?.policy.components ?? {}, groups: policy?.policy.groups ?? {}, rules,
    ...(configuration ? { commands: commandLists(configuration, owner) } : {}),
  };
}

function policyRules({ policy, places, file }: CheckedPolicy): Rule[] {
  return policy.rules.map((rule, index) => ({
    effect: "allow" in rule ? "allow" : "deny", who: rule.who, why: rule.why ?? "", place: { file, line: places[index]!.line, column: places[index]!.column },
    reach: reachOf(rule).map(({ action, patterns }) => ({ action, patterns })),
  }));
}

function listRules({ config, file, locate }: NonNullable<RuleSources["configuration"]>): Rule[] {
  const place = (path: Path): Place => ({ file, line: locate(path).line, column: locate(path).column });
  const allow = (principals: readonly Principal[] | undefined, path: Path, reach: Rule["reach"]): Rule[] => {
    const who = names(principals);
    return who.length === 0 ? [] : [{ effect: "allow", who, reach, why: `${path.length === 1 ? path[0] : "writers"} of the configuration`, place: place(path) }];
  };
  return [
    ...allow(config.readers, ["readers"], [{ action: "read", patterns: ["#"] }, { action: "execute", patterns: readerServices }]),
    ...allow(config.operators, ["operators"], [{ action: "read", patterns: ["#"] }, { action: "execute", patterns: ["gateway/#"] }]),
    ...config.topics.flatMap((topic, index) => allow(topic.writers, ["topics", index, "writers"], [{ action: "write", patterns: [topic.name] }])),
    ...config.routes.flatMap(({ to }, index): Rule[] => (isReserved(to) || config.topics.some(({ name }) => name === to) ? [] : [
      { effect: "deny", who: ["anyone"], reach: [{ action: "write", patterns: [to] }], why: "it is written by a route alone", place: place(["routes", index, "to"]) },
    ])),
  ];
}

function commandLists({ config, file, locate }: NonNullable<RuleSources["configuration"]>, owner: readonly string[]): Map<string, Ceiling[]> {
  const lists = new Map<string, Ceiling[]>();
  for (const [index, command] of config.commands.entries()) {
    const at = locate(["commands", index, "writers"]);
    const ceiling = { who: [...names(command.writers), ...owner], place: { file, line: at.line, column: at.column } };
    lists.set(`cmd/${"bus" in command ? command.bus : command.serial}/${command.message}`, [ceiling]);
    // Raw frames are for whoever may send all of a bus's commands: which one a frame is, is known only after it was read.
    if ("bus" in command) lists.set(`cmd/${command.bus}/raw`, [...(lists.get(`cmd/${command.bus}/raw`) ?? []), ceiling]);
  }
  return lists;
}

function names(principals: readonly Principal[] | undefined): string[] {
  return (principals ?? []).map((principal) => ("user" in principal ? `user:${principal.user}` : `group:${principal.group}`));
}
