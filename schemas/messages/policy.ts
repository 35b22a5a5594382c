// Generated from policySchema.ts by generate.ts: change that file, then run `npm run build && node dist/ts/schemas/messages/generate.js`.

/** Who may do what on the client socket of an IPCNet gateway. */
export interface Policy {
  /** Version of this format. */
  version: 1;
  /** Programs by name. */
  components: Readonly<Record<string, Component>>;
  /** Groups of components by name. */
  groups: Readonly<Record<string, readonly string[]>>;
  /** In any order: a denying rule beats every allowing one. */
  rules: readonly Rule[];
}

/** How a program is known: it is this component if all that is given here fits. At least one key other than executable and description. */
export interface Component {
  /** System unit that the process belongs to, by its cgroup. */
  unit?: string;
  /** Unit of the user's own service manager (systemctl --user); needs user or uid, and is worth what that user is worth. */
  userUnit?: string;
  /** User that it runs as. */
  user?: string;
  /** User number that it runs as. */
  uid?: number;
  /** Cgroup that it is in, or below. */
  cgroup?: string;
  /** Program file that it runs, by /proc/PID/exe. Narrows, proves nothing alone. */
  executable?: string;
  /** What it is. */
  description?: string;
}

/** Allows or denies something to somebody. What a denying rule covers is denied whatever other rules say; what no rule allows is denied. */
export type Rule = AllowRule | DenyRule;

/** Allows. */
export interface AllowRule {
  /** What is allowed. */
  allow: readonly ("read" | "write" | "execute" | "offer")[];
  /** Whom it concerns. */
  who: readonly string[];
  /** Which topics. */
  topics: readonly string[];
  /** Which services. */
  services: readonly string[];
  /** Which resources. */
  resources: readonly string[];
  /** Why the rule is there; ipcnet policy explain repeats it. */
  why?: string;
}

/** Denies. */
export interface DenyRule {
  /** What is denied. */
  deny: readonly ("read" | "write" | "execute" | "offer")[];
  /** Whom it concerns. */
  who: readonly string[];
  /** Which topics. */
  topics: readonly string[];
  /** Which services. */
  services: readonly string[];
  /** Which resources. */
  resources: readonly string[];
  /** Why the rule is there; ipcnet policy explain repeats it. */
  why?: string;
}
