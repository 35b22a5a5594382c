/** Which messages of a database code is generated for, and in which direction: the same question for every language. */
import { lintErrors, type Database, type Message } from "../dbc/index.ts";
import { nearest } from "../nearest.ts";
import { remark, type Remark } from "./generated.ts";

export interface Selection {
  /** Only these, by name; all without it. A message made from a template answers to the template's name too. */
  messages?: readonly string[] | undefined;
  /** Only what this node of the DBC sends (packed) and receives (unpacked); without it everything, both ways. */
  node?: string | undefined;
  /** Messages with errors of lint are generated too, with a warning each. */
  lenient?: boolean | undefined;
}

export interface SelectedMessage {
  message: Message;
  /** Whether to generate what makes a frame from values. */
  packs: boolean;
  /** Whether to generate what makes values from a frame. */
  unpacks: boolean;
}

/** In the file's order. Errors among the remarks mean that nothing should be generated. */
export function selectMessages(database: Database, { messages, node, lenient = false }: Selection): { selected: SelectedMessage[]; remarks: Remark[] } {
  const remarks: Remark[] = [];
  if (node !== undefined && !database.nodes.includes(node)) remarks.push(remark("unknownNode", `there is no node ${node.slice(0, 80)}`, { hint: didYouMean(node, database.nodes) }));
  for (const name of messages ?? []) {
    if (!database.messages.some((message) => answersTo(message, name))) remarks.push(remark("unknownMessage", `there is no message ${name.slice(0, 80)}`, { hint: didYouMean(name, database.messages.map((message) => message.name)) }));
  }
  const selected: SelectedMessage[] = [];
  for (const message of database.messages) {
    if (messages !== undefined && !messages.some((name) => answersTo(message, name))) continue;
    const packs = node === undefined || message.sender === node || message.otherSenders.includes(node);
    const unpacks = node === undefined || message.signals.some(({ receivers }) => receivers.includes(node));
    if (packs || unpacks) selected.push({ message, packs, unpacks });
  }
  if (remarks.length === 0 && selected.length === 0) {
    remarks.push(remark("nothingSelected", node === undefined ? "the database has no messages" : `node ${node} sends and receives none of the messages${messages === undefined ? "" : " named"}`));
  }
  remarks.push(...definitionRemarks(database, selected, lenient));
  return { selected, remarks };
}

/** What was guessed in the definitions that code is generated from; each finding once. */
function definitionRemarks(database: Database, selected: readonly SelectedMessage[], lenient: boolean): Remark[] {
  const findings = new Set(selected.flatMap(({ message }) => lintErrors(database, message.name)));
  return [...findings].map(({ code, at, message, hint }) => (lenient ? remark("guessedDefinition", `${code}: ${message}`, { at, hint }) : remark("faultyDefinition", `${code}: ${message}`, { at, hint: `${hint}; or generate all the same with --lenient` })));
}

function answersTo(message: Message, name: string): boolean {
  return message.name === name || message.templateName === name;
}

function didYouMean(word: string, valid: readonly string[]): string | undefined {
  const near = nearest(word, valid);
  return near === undefined ? undefined : `did you mean ${near}?`;
}
