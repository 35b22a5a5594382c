/**
 * The policy file, described once: `policy.schema.json` (for editors and `ipcnet policy schema`) and the types in `policy.ts` are generated from this
 * file. What a schema cannot say is said by `checkPolicy.ts`; what a rule means, by docs/specs/policy.md.
 */
import { list, object, ref } from "./schema.ts";
import type { RootSchema, Schema } from "./schema.ts";

const text = (title: string, description: string, more: Schema = {}): Schema => ({ type: "string", title, description, minLength: 1, maxLength: 256, ...more });
const none: readonly unknown[] = [];

/** Components and groups of components; one set of names. */
const name: Schema = { type: "string", title: "a name: a lower-case letter, then lower-case letters, digits, - and _, at most 32 in all", pattern: "^[a-z][a-z0-9_-]{0,31}$" };
const principal: Schema = {
  type: "string", title: "a component, a group of components, user:NAME, group:NAME, uid:NUMBER, gid:NUMBER, or anyone",
  pattern: "^([a-z][a-z0-9_-]{0,31}|(user|group):[A-Za-z0-9_][A-Za-z0-9._@$-]{0,63}|(uid|gid):(0|[1-9][0-9]{0,9}))$",
};
const patternOf = (what: string): Schema => ({
  type: "string", title: `a pattern of ${what}: levels separated by /, + for any one level, # at the end for the rest, at most 16 levels`,
  pattern: "^(([^+#/\\u0000]+|\\+)(/([^+#/\\u0000]+|\\+)){0,14}(/#)?|#)$", maxLength: 200,
});
const patterns = (what: string, examples: string[]): Schema => list({ ...patternOf(what), description: `Pattern of ${what}.`, examples }, { description: `Which ${what}.`, title: "a list of patterns", maxItems: 256, default: none });

const ruleKeys = (verbs: string): Record<string, Schema> => ({
  [verbs]: list({ type: "string", enum: ["read", "write", "execute", "offer"], title: "one of read, write, execute, offer", description: "read, write: topics and resources. execute, offer: services." }, { description: `What is ${verbs === "allow" ? "allowed" : "denied"}.`, title: "a list of read, write, execute, offer", minItems: 1, maxItems: 4 }),
  who: list({ ...principal, description: "Whom it concerns." }, { description: "Whom it concerns.", title: "a list of components, groups, user:NAME …", minItems: 1, maxItems: 256 }),
  topics: patterns("topics", ["camera/#", "cmd/arm/Move"]),
  services: patterns("services", ["arm/grasp", "gateway/status"]),
  resources: patterns("resources", ["device/camera0"]),
  "why?": text("a sentence", "Why the rule is there; ipcnet policy explain repeats it."),
});

const definitions: Record<string, Schema> = {
  Component: object("How a program is known: it is this component if all that is given here fits. At least one key other than executable and description.", {
    "unit?": text("the name of a systemd unit, * for any characters within it", "System unit that the process belongs to, by its cgroup.", { pattern: "^[A-Za-z0-9:_.@*\\\\-]+$", examples: ["planner.service", "camera@*.service"] }),
    "userUnit?": text("the name of a systemd unit, * for any characters within it", "Unit of the user's own service manager (systemctl --user); needs user or uid, and is worth what that user is worth.", { pattern: "^[A-Za-z0-9:_.@*\\\\-]+$" }),
    "user?": text("the name of a user", "User that it runs as.", { pattern: "^[A-Za-z0-9_][A-Za-z0-9._@$-]{0,63}$" }),
    "uid?": { type: "integer", title: "a user number, 0 to 4294967294", description: "User number that it runs as.", minimum: 0, maximum: 4294967294 },
    "cgroup?": text("an absolute path of a cgroup, * for any characters within a level", "Cgroup that it is in, or below.", { pattern: "^(/[^/\\u0000]+)+$", maxLength: 1024, examples: ["/robot.slice/vision"] }),
    "executable?": text("an absolute path", "Program file that it runs, by /proc/PID/exe. Narrows, proves nothing alone.", { pattern: "^/[^\\u0000]*$", maxLength: 1024 }),
    "description?": text("a sentence", "What it is."),
  }),
  Rule: {
    description: "Allows or denies something to somebody. What a denying rule covers is denied whatever other rules say; what no rule allows is denied.",
    oneOf: [ref("AllowRule"), ref("DenyRule")],
  },
  AllowRule: object("Allows.", ruleKeys("allow")),
  DenyRule: object("Denies.", ruleKeys("deny")),
};

export const policySchema: RootSchema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  $id: "https://ipcnet.example/schemas/policy.schema.json",
  title: "IPCNet policy",
  ...object("Who may do what on the client socket of an IPCNet gateway.", {
    version: { type: "integer", const: 1, title: "1", description: "Version of this format." },
    components: { type: "object", title: "a table of names and components", description: "Programs by name.", propertyNames: { ...name, description: "Name of the component." }, additionalProperties: ref("Component"), maxProperties: 1000, default: {} },
    groups: {
      type: "object", title: "a table of names and lists of components", description: "Groups of components by name.", propertyNames: { ...name, description: "Name of the group." }, maxProperties: 256, default: {},
      additionalProperties: list({ ...name, description: "Component." }, { title: "a list of components", description: "Its components.", minItems: 1, maxItems: 1000 }),
    },
    rules: list(ref("Rule"), { description: "In any order: a denying rule beats every allowing one.", title: "a list of rules", maxItems: 1000, default: none }),
  }),
  definitions,
};
