/** DBC → one .h and one .c. Pure: the same database and options give the same text, whatever the machine and the day. */
import { createHash } from "node:crypto";
import { pgnOf } from "../../dbc/lookup.ts";
import type { Database, Message } from "../../dbc/model.ts";
import type { CheckSet } from "../../e2e/checks.ts";
import { remark, type GeneratedFile, type Remark } from "../generated.ts";
import { selectMessages, type Selection } from "../select.ts";
import { headerText, type TableEntry } from "./header.ts";
import { buildModel, frameBytesOf, type Arithmetic, type CMessage } from "./model.ts";
import { isPrefix, Names, prefixOf, snakeCase } from "./names.ts";
import { protectionsOf } from "./protection.ts";
import { sourceText } from "./source.ts";

export interface COptions extends Selection {
  /** How the DBC is called in the generated text: a file name without folders. */
  source: string;
  /** Begins every name; made of `source` when absent. */
  prefix?: string | undefined;
  /** What holds values whose scaling is no whole number; double when absent. */
  arithmetic?: Arithmetic | undefined;
  /** Verified against the database's messages, and its file's name. */
  checks?: { set: CheckSet; name: string } | undefined;
}

export interface GeneratedC {
  /** Empty when there is an error among the remarks. */
  files: readonly GeneratedFile[];
  remarks: readonly Remark[];
  prefix: string;
  /** What the text was made of, for tools that write code around it; undefined after an error. */
  messages: readonly CMessage[];
  /** The sources of ipcnet_e2e and ipcnet_crc are needed beside it. */
  needsE2e: boolean;
}

export function generateC(database: Database, options: COptions): GeneratedC {
  const prefix = options.prefix ?? prefixOf(options.source);
  const remarks: Remark[] = [];
  if (!isPrefix(prefix)) remarks.push(remark("badPrefix", `the prefix ${prefix.slice(0, 80)} cannot begin the names`));
  const { selected, remarks: ofSelection } = selectMessages(database, options);
  remarks.push(...ofSelection);
  const { protections, remarks: ofProtection } = protectionsOf(selected, options.checks?.set, frameBytesOf);
  remarks.push(...ofProtection);
  const failed = (): GeneratedC => ({ files: [], remarks, prefix, messages: [], needsE2e: false });
  if (remarks.some(({ severity }) => severity === "error")) return failed();

  const { messages, remarks: ofModel } = buildModel(database, selected, { prefix, arithmetic: options.arithmetic ?? "double", protections });
  remarks.push(...ofModel);
  if (messages.length === 0) {
    remarks.push(remark("nothingSelected", "none of the messages can be generated"));
    return failed();
  }
  const P = prefix.toUpperCase();
  const macros = new Names();
  for (const name of ["OK", "BAD_LENGTH", "UNKNOWN_MULTIPLEXER", "OUT_OF_RANGE", "NOT_A_NUMBER", "SIGNALS_OVERLAP", "NOT_ACCEPTED", "H", "GENERATION", "NAMES", "FAULT", "UNUSED_BYTE", "MESSAGE_NONE", "MESSAGE_COUNT"]) macros.take(`${P}_${name}`);
  const table = tableOf(messages, P, macros);
  const input = { database, source: options.source, checks: options.checks?.name, prefix, arithmetic: options.arithmetic ?? "double", node: options.node, messages, table, macros };
  const texts = [headerText(input), sourceText(input)];
  const generation = `0x${createHash("sha256").update(texts.join("\0")).digest("hex").slice(0, 8).toUpperCase()}u`;
  const files = texts.map((text, index) => ({ name: `${prefix}.${index === 0 ? "h" : "c"}`, text: text.replaceAll("@GENERATION@", generation) }));
  return { files, remarks, prefix, messages, needsE2e: protections.size > 0 };
}

/** 11-bit identifiers first, then by number; of equal ones in the file's order, because the last one counts. Of J1939 messages with one parameter group the file's last is found by it. */
function tableOf(messages: readonly CMessage[], P: string, macros: Names): TableEntry[] {
  const groups = new Map<number, Message>();
  for (const { message } of messages) if (message.j1939) groups.set(pgnOf(message.canId), message);
  const sorted = [...messages].sort((a, b) => Number(a.message.extended) - Number(b.message.extended) || a.message.canId - b.message.canId);
  return sorted.map((message) => ({ message, enumerator: macros.take(`${P}_MESSAGE_${message.macro.slice(P.length + 1) || snakeCase(message.name).toUpperCase()}`), byGroup: groups.get(pgnOf(message.message.canId)) === message.message }));
}
