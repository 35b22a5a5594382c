/** The words of the policy file: who is meant by a principal, what a verb does to what, and which names only the gateway gives away. */

export type Principal =
  | { kind: "anyone" }
  /** A component, or a group of components. */
  | { kind: "component"; name: string }
  | { kind: "user" | "group"; name: string }
  | { kind: "uid" | "gid"; id: number };

/** Of a text that the schema has let through; anything else is taken for the name of a component, which then is not known. */
export function parsePrincipal(text: string): Principal {
  if (text === "anyone") return { kind: "anyone" };
  const [, kind, name] = /^(user|group):(.+)$/.exec(text) ?? /^(uid|gid):(\d{1,10})$/.exec(text) ?? [];
  if (kind === "user" || kind === "group") return { kind, name: name! };
  if (kind === "uid" || kind === "gid") return { kind, id: Number(name) };
  return { kind: "component", name: text };
}

export type Verb = "read" | "write" | "execute" | "offer";
export type TargetKind = "topic" | "service" | "resource";

/** What is asked, of one topic, service or resource. */
export type Action = "read" | "write" | "execute" | "offer" | "grantRead" | "grantWrite";
export const actions: readonly Action[] = ["read", "write", "execute", "offer", "grantRead", "grantWrite"];

/** What a verb means for a kind of thing; undefined where it means nothing. */
export function actionOf(verb: Verb, kind: TargetKind): Action | undefined {
  switch (kind) {
    case "topic": return verb === "read" || verb === "write" ? verb : undefined;
    case "service": return verb === "execute" || verb === "offer" ? verb : undefined;
    case "resource": return verb === "read" ? "grantRead" : verb === "write" ? "grantWrite" : undefined;
    default: return kind satisfies never;
  }
}

/** First level of what has to be named: commands move something, the gateway's services arm it. No leading wildcard of an allowing rule reaches them. */
export function guardedLevel(action: Action): string | undefined {
  return action === "write" ? "cmd" : action === "execute" || action === "offer" ? "gateway" : undefined;
}

/** Whether `pattern`, in an allowing rule, leaves out the guarded names that it would match. */
export function stopsBeforeGuarded(action: Action, pattern: string): boolean {
  return guardedLevel(action) !== undefined && /^[+#]/.test(pattern);
}
