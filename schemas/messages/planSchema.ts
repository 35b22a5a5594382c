/**
 * The plan file, described once: `plan.schema.json` (for editors and `ipcnet plan schema`) and the types in `plan.ts` are generated from this file. What a schema
 * cannot say is said by `checkPlan.ts`; what a plan means, by docs/specs/plan.md.
 */
import { planParts } from "./planParts.ts";
import { list, object, ref } from "./schema.ts";
import type { RootSchema, Schema } from "./schema.ts";
import { fieldName, flag, hourMs, linkName, milliseconds, none, text, topicName, whole, withText } from "./schemaWords.ts";

const triggerWords = ["request", "stop", "shutdown", "condition", "nodeLost", "expired", "busDead", "brainLost", "takeover", "compromise", "powerFail"];

const category = (description: string): Schema => ({
  anyOf: [
    { type: "string", title: "one of offNow, parkedThenOff, hold", enum: ["offNow", "parkedThenOff", "hold"] },
    { type: "integer", title: "0, 1 or 2", enum: [0, 1, 2] },
  ],
  title: "0 or offNow, 1 or parkedThenOff, 2 or hold", description,
});

const definitions: Record<string, Schema> = {
  PlanSend: {
    description: "A message of the plan with all its values; nothing about what goes to a motor is guessed.",
    oneOf: [ref("CanPlanSend"), ref("SerialPlanSend"), ref("MqttPlanSend")],
  },
  ...planParts,
  MqttPlanSend: object("On MQTT, as a JSON object.", {
    mqtt: withText(linkName, "The broker or connection."),
    topic: text("an MQTT topic without wildcards", "Where to.", { pattern: "^[^+#\\u0000]+$", maxLength: 200, examples: ["lift/stop"] }),
    values: { type: "object", title: "a table of names and values", description: "What the object says.", propertyNames: withText(fieldName, "Name."), additionalProperties: ref("PlanValue"), default: {} },
  }),
  Call: object("A service that the gateway calls for the step; met when its answer is OK.", {
    service: withText(topicName, "The service.", { examples: ["gripper/release"] }),
    arguments: { type: "object", title: "a table of names and values", description: "What it is called with.", propertyNames: withText(fieldName, "Name."), additionalProperties: ref("PlanValue"), default: {} },
  }),
  Step: object("A step: what is sent together, and what must then be measured.", {
    name: withText(linkName, "Name of the step."),
    "needs?": list(withText(linkName, "Step of the same plan."), { description: "Steps that must have ended before it begins; []: it begins at once. Absent: the step before it in the list.", title: "a list of steps", maxItems: 64 }),
    send: list(ref("PlanSend"), { description: "Messages sent at the start of each try.", title: "a list of messages", maxItems: 64, default: none }),
    "call?": ref("Call"),
    until: list(ref("PlanCondition"), { description: "The step is reached when all of these hold; []: as soon as everything was sent.", title: "a list of conditions", maxItems: 64, default: none }),
    deadlineMs: milliseconds("One try takes no longer.", 1, hourMs, { default: 20 }),
    tries: whole("a number of tries", "How often it is tried before it is given up.", 1, 255, { default: 1 }),
    backoffMs: milliseconds("Pause between two tries.", 0, hourMs, { default: 0 }),
    resendMs: milliseconds("While it waits, its messages go out again so often; 0: once per try.", 0, hourMs, { default: 20 }),
    "onTimeout?": { type: "string", enum: ["continue", "fail", "last"], title: "one of continue, fail, last", description: "Given up: continue: what needs it begins. fail: the same, and the verdict is failed. last: straight to the last rung. Absent: continue." },
    "fallback?": withText(linkName, "Step that runs in its place when it is given up; asks for less."),
    mandatory: flag(false, "Its messages are sent at least once whatever happens, also when the budget runs out before."),
  }),
  Plan: object("One way to come to rest.", {
    name: withText(linkName, "Name of the plan."),
    category: category("Stop category of IEC 60204-1: 0 power off at once, 1 stopped and parked with power, then off, 2 stopped, power stays."),
    budgetMs: milliseconds("When it is used up, the last rung is sent; the steps' longest way must fit.", 1, hourMs),
    steps: list(ref("Step"), { description: "Steps; a graph by what they need.", title: "a list of steps", minItems: 1, maxItems: 128 }),
    lastRung: list(ref("CanPlanSend"), { description: "What is sent when nothing else helped. On CAN only: it needs no answer and no gateway.", title: "a list of messages", minItems: 1, maxItems: 64 }),
  }),
  Trigger: object("What starts a plan.", {
    on: { type: "string", enum: triggerWords, title: `one of ${triggerWords.join(", ")}`, description: "Kind of event." },
    plan: withText(linkName, "The plan; none: nothing happens."),
    "category?": category("For request: which category was asked for."),
    "when?": ref("PlanCondition", { description: "For condition: what is measured, such as the state of an emergency stop." }),
    "node?": withText(linkName, "For nodeLost: which node; absent: any required one."),
    "command?": withText(topicName, "For expired: which command, cmd/<bus>/<message>; absent: any.", { examples: ["cmd/arm/shoulder_Command"] }),
    "bus?": withText(linkName, "For busDead: which bus; absent: any."),
    "priority?": whole("a priority", "A higher one takes over from a lower one; each has its own. Absent: by kind.", 0, 255),
    "latched?": { type: "boolean", title: "true or false", description: "Arming needs a reset by an operator. Absent: true, except for stop and shutdown." },
    "onlyArmed?": { type: "boolean", title: "true or false", description: "Counts only while armed. Absent: by kind." },
  }),
};

export const planSchema: RootSchema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  $id: "https://ipcnet.example/schemas/plan.schema.json",
  title: "IPCNet plans of the safe pose",
  ...object("How a robot comes to rest, and why.", {
    version: { type: "integer", const: 1, title: "1", description: "Version of this format." },
    plans: list(ref("Plan"), { description: "Plans.", title: "a list of plans", minItems: 1, maxItems: 8 }),
    triggers: list(ref("Trigger"), { description: "What starts which plan. Kinds that are not listed have defaults (docs/specs/plan.md).", title: "a list of triggers", maxItems: 200, default: none }),
  }),
  definitions,
};
