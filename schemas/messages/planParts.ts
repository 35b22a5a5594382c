/** What the safe pose of the configuration and plan files have in common: messages with values, measured conditions. */
import { object, ref } from "./schema.ts";
import type { Schema } from "./schema.ts";
import { fieldName, hourMs, linkName, messageName, milliseconds, number, topicName, withText } from "./schemaWords.ts";

export const planParts: Record<string, Schema> = {
  PlanValue: { anyOf: [{ type: "number", title: "a number" }, { type: "string", title: "the name of a value", minLength: 1, maxLength: 128 }], description: "Physical value, or the name of a value.", title: "a number or the name of a value" },
  CanPlanSend: object("On a CAN bus.", {
    bus: withText(linkName, "The bus."),
    message: withText(messageName, "The message."),
    values: { type: "object", title: "a table of signals and values", description: "Signal to physical value or value name; counters and checksums are filled in.", propertyNames: withText(fieldName, "Signal."), additionalProperties: ref("PlanValue"), default: {} },
  }),
  SerialPlanSend: object("On a serial link.", {
    serial: withText(linkName, "The serial link."),
    message: withText(messageName, "The message (direction: out)."),
    values: { type: "object", title: "a table of fields and values", description: "Field to physical value or value name.", propertyNames: withText(fieldName, "Field."), additionalProperties: ref("PlanValue"), default: {} },
  }),
  PlanCondition: object("A measured condition.", {
    topic: withText(topicName, "Where it is measured."),
    signal: withText({ type: "string", title: "the name of a signal" }, "Which signal.", { minLength: 1, maxLength: 128 }),
    "absMax?": number("Magnitude at most this.", { minimum: 0 }),
    "minimum?": number("At least this."),
    "maximum?": number("At most this."),
    "equals?": ref("PlanValue"),
    holdMs: milliseconds("It must hold for so long without interruption.", 0, hourMs, { default: 0 }),
    ageMsMax: milliseconds("Older samples do not count.", 1, hourMs, { default: 100 }),
  }),
};
