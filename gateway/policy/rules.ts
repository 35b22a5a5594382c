/** What an engine is made from: rules with their places, whatever they came from. Plain data. */
import type { Component } from "../../schemas/messages/policy.ts";
import type { Action } from "../../schemas/messages/policyWords.ts";

/** Where a rule stands, for whoever asks why. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

export interface Rule {
  effect: "allow" | "deny";
  /** Principals in the words of the policy file: "planner", "user:robot", "uid:0", "anyone". */
  who: readonly string[];
  reach: readonly { action: Action; patterns: readonly string[] }[];
  why: string;
  /** Absent: it is part of the gateway. */
  place?: Place;
  /** Whether it lets its principals connect, as every allowing rule does unless it says otherwise. */
  connects?: false;
}

/** A list of the configuration that must allow a command besides the rules. */
export interface Ceiling {
  who: readonly string[];
  place: Place;
}

export interface RuleSet {
  components: Readonly<Record<string, Component>>;
  groups: Readonly<Record<string, readonly string[]>>;
  rules: readonly Rule[];
  /** By the command's topic: all of these must name whoever writes it. A command that is not here is not in the configuration. Absent: the configuration is not known. */
  commands?: ReadonlyMap<string, readonly Ceiling[]>;
}

/** Looks up ids by name; undefined = no such user or group on this machine. Numbers stand for themselves. */
export interface NameLookup {
  uid(user: string): number | undefined;
  gid(group: string): number | undefined;
}
