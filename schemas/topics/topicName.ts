/**
 * Topic names and patterns, MQTT style: levels separated by "/", `+` stands for one level, `#` as the last level for all that follow
 * (and for the level before it, as in MQTT 5 §4.7.1.2). Names that begin with "$" are the broker's own and matched by no leading wildcard.
 */

/** Longest name in bytes; MQTT allows 65,535, nobody types that. */
export const TOPIC_BYTES_MAX = 255;
/** Deepest name: bounds the work of a match. */
export const TOPIC_LEVELS_MAX = 16;

export type TopicFault = "empty" | "tooLong" | "tooDeep" | "emptyLevel" | "wildcardInName" | "misplacedWildcard" | "forbiddenCharacter";

// Control characters, and what other systems on the way treat as special.
// eslint-disable-next-line no-control-regex
const forbidden = /[\u0000-\u001f\u007f\ufffd]/;

function commonFault(text: string): TopicFault | undefined {
  if (text.length === 0) return "empty";
  if (text.length > TOPIC_BYTES_MAX || Buffer.byteLength(text) > TOPIC_BYTES_MAX) return "tooLong";
  if (forbidden.test(text)) return "forbiddenCharacter";
  const levels = text.split("/");
  if (levels.length > TOPIC_LEVELS_MAX) return "tooDeep";
  if (levels.some((level) => level.length === 0)) return "emptyLevel";
  return undefined;
}

/** What is wrong with `name` as the name of a topic, or undefined. */
export function topicNameFault(name: string): TopicFault | undefined {
  return commonFault(name) ?? (/[+#]/.test(name) ? "wildcardInName" : undefined);
}

/** What is wrong with `pattern` as a subscription, or undefined. */
export function topicPatternFault(pattern: string): TopicFault | undefined {
  const fault = commonFault(pattern);
  if (fault) return fault;
  const levels = pattern.split("/");
  for (const [index, level] of levels.entries()) {
    if (level === "+" || (level === "#" && index === levels.length - 1)) continue;
    if (/[+#]/.test(level)) return "misplacedWildcard";
  }
  return undefined;
}

/** Compiles `pattern` once for many matches. Cost of a match: one pass over the name. */
export function topicMatcher(pattern: string): (name: string) => boolean {
  if (!/[+#]/.test(pattern)) return (name) => name === pattern;
  const levels = pattern.split("/");
  return (name) => levelsMatch(levels, name.split("/"));
}

/** As `topicMatcher`, for whoever has both cut into levels already. */
export function levelsMatch(pattern: readonly string[], name: readonly string[]): boolean {
  if (name[0]!.startsWith("$") && (pattern[0] === "+" || pattern[0] === "#")) return false;
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === "#") return true;
    if (i >= name.length || (pattern[i] !== "+" && pattern[i] !== name[i])) return false;
  }
  return name.length === pattern.length;
}

/** Whether `name` falls under `pattern`. Both must be without fault. */
export function topicMatches(pattern: string, name: string): boolean {
  return topicMatcher(pattern)(name);
}
