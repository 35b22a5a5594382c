/**
 * Node templates: one description for several equal devices. Motor controllers put the device's number into the identifier (ODrive: node_id << 5 | message;
 * VESC: message << 8 | node_id), which a DBC file cannot say.
 */
import { parseExpression } from "./expression.ts";
import { byPosition, findingCatalogue, type FindingCode } from "./findings.ts";
import { TEMPLATE_LIMITS } from "./limits.ts";
import type { Database, Finding, Message, Position } from "./model.ts";

export interface Template {
  /** Identifier of a device's message: an expression of `node_id` and `message_id` (the identifier in the file), see expression.ts. */
  id: string;
  /** Name → number of each device. */
  nodes: Readonly<Record<string, number>>;
  /** Which messages are multiplied; the others stay as they are. Without it all are. */
  messages?: readonly string[];
  /** Whether the identifiers have 29 bits; as in the file when absent. */
  extended?: boolean;
}

/**
 * `database` with each templated message once per node, named `<node>_<Message>`, with `nodeId` and `templateName` set.
 * What cannot be done (bad expression, identifier out of range, collision) is left out and told in the findings.
 */
export function applyTemplate(database: Database, template: Template): Database {
  const findings: Finding[] = [...database.findings];
  const report = (code: FindingCode, message: string, at: Position = { line: 1, column: 1 }, messageName?: string) =>
    findings.push({ code, ...findingCatalogue[code], file: database.file, at, message, ...(messageName === undefined ? {} : { messageName }) });
  const finish = (messages: readonly Message[]): Database => ({ ...database, messages, findings: findings.sort(byPosition) });

  const expression = parseExpression(template.id, ["node_id", "message_id"]);
  if (!expression.ok) {
    report("templateExpression", `template "${template.id.slice(0, TEMPLATE_LIMITS.expressionChars)}", character ${expression.offset + 1}: ${expression.text}`);
    return finish([]);
  }
  const nodes = Object.entries(template.nodes).filter(([name, nodeId]) => {
    const usable = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && Number.isInteger(nodeId) && nodeId >= 0 && nodeId <= 0x1fff_ffff;
    if (!usable) report("templateNode", `template: node ${name.slice(0, 80)} with number ${nodeId}`);
    return usable;
  });
  for (const name of template.messages ?? []) {
    if (!database.messages.some((message) => message.name === name)) report("templateMessageUnknown", `template: there is no message ${name.slice(0, 80)}`);
  }
  const chosen = template.messages === undefined ? undefined : new Set(template.messages);
  const isTemplated = ({ name }: Message) => chosen === undefined || chosen.has(name);
  const kept = database.messages.filter((message) => !isTemplated(message));
  const templated = database.messages.filter(isTemplated);
  if (kept.length + templated.length * nodes.length > TEMPLATE_LIMITS.messages) {
    report("templateTooLarge", `template: ${templated.length} messages for ${nodes.length} nodes`);
    return finish(kept);
  }

  const messages = [...kept];
  const taken = new Map(kept.map((message) => [idKey(message), message.name]));
  const names = new Set(kept.map(({ name }) => name));
  for (const [node, nodeId] of nodes) {
    for (const message of templated) {
      const name = `${node}_${message.name}`;
      const extended = template.extended ?? message.extended;
      const canId = expression.evaluate({ node_id: nodeId, message_id: message.canId });
      if (canId < 0n || canId > (extended ? 0x1fff_ffffn : 0x7ffn)) {
        report("templateIdOutOfRange", `message ${name} would have identifier ${canId}`, message.at, message.name);
        continue;
      }
      const made: Message = { ...message, name, canId: Number(canId), extended, j1939: message.j1939 && extended, nodeId, templateName: message.name };
      const other = taken.get(idKey(made)) ?? (names.has(name) ? name : undefined);
      if (other !== undefined) {
        report("templateCollision", `messages ${other} and ${name} would have identifier 0x${made.canId.toString(16)}`, message.at, message.name);
        continue;
      }
      taken.set(idKey(made), name);
      names.add(name);
      messages.push(made);
    }
  }
  return finish(messages);
}

function idKey({ canId, extended }: Message): number {
  return extended ? canId + 0x8000_0000 : canId;
}
