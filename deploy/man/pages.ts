/** Manual pages from what the programs and the schema say themselves, so that they cannot disagree with them. ipcnet(1) is made by gateway/cli/docs.ts. Pure. */

export function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("…", "...").replaceAll("–", "\\-").replaceAll("→", "->").replaceAll("µ", "u").replaceAll("≤", "<=").replaceAll("×", "x").replace(/^([.'])/, "\\&$1");
}

interface ProgramPage {
  name: string;
  section: 8;
  /** One line for apropos(1). */
  about: string;
  /** As the program prints it. */
  usage: string;
  more: readonly { title: string; lines: readonly string[] }[];
  seeAlso: string;
}

/** A page that shows a program's own usage text. */
export function programPage({ name, section, about, usage, more, seeAlso }: ProgramPage): string {
  return `${[
    `.TH ${name.toUpperCase()} ${section} "" "IPCNet" "System Administration"`, ".SH NAME", `${name} \\- ${roff(about)}`, ".SH SYNOPSIS", ".EX", ...usage.trim().split("\n").map(roff), ".EE",
    ...more.flatMap(({ title, lines }) => [`.SH ${title}`, ...lines.flatMap((line) => [roff(line), ".PP"])]), ".SH SEE ALSO", roff(seeAlso),
  ].join("\n")}\n`;
}

/** As much of a JSON Schema as the configuration's is made of. */
export interface SchemaNode {
  $ref?: string;
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  examples?: readonly unknown[];
  enum?: readonly unknown[];
  properties?: Readonly<Record<string, SchemaNode>>;
  required?: readonly string[];
  items?: SchemaNode;
  oneOf?: readonly SchemaNode[];
  anyOf?: readonly SchemaNode[];
  definitions?: Readonly<Record<string, SchemaNode>>;
}

/** ipcnet.yaml(5): every key of the configuration with what it takes, its default and what it means. */
export function configurationPage(schema: SchemaNode): string {
  const definitions = schema.definitions ?? {};
  const table = (title: string, node: SchemaNode): string[] => [
    `.SS ${roff(title)}`, ...(node.description === undefined ? [] : [roff(node.description)]),
    ...Object.entries(node.properties ?? {}).flatMap(([key, value]) => [".TP", `.B ${roff(key)}`, roff(describe(value, node.required?.includes(key) ?? false))]),
  ];
  const describe = (node: SchemaNode, required: boolean): string => {
    const of = node.$ref === undefined ? undefined : name(node.$ref);
    const item = node.items?.$ref === undefined ? undefined : name(node.items.$ref);
    const takes = of ?? (item === undefined ? node.title : `a list of ${item}`);
    const standard = node.default === undefined || (typeof node.default === "object" && Object.keys(node.default as object).length === 0) ? undefined : `default ${JSON.stringify(node.default)}`;
    return [[node.description ?? (of === undefined ? undefined : definitions[of]?.description), takes === undefined ? undefined : `(${takes})`].filter(Boolean).join(" "), required ? "Required." : undefined, standard === undefined ? undefined : `${standard[0]!.toUpperCase()}${standard.slice(1)}.`].filter(Boolean).join(" ");
  };
  const name = (reference: string): string => reference.split("/").at(-1)!;
  const alternatives = (node: SchemaNode): readonly SchemaNode[] => (node.properties === undefined ? (node.oneOf ?? []).filter(({ properties }) => properties !== undefined) : [node]);
  return `${[
    ".TH IPCNET.YAML 5 \"\" \"IPCNet\" \"File Formats\"", ".SH NAME", "ipcnet.yaml \\- configuration of an IPCNet gateway", ".SH SYNOPSIS", "/etc/ipcnet/ipcnet.yaml",
    ".SH DESCRIPTION", roff("YAML 1.2, one document. A key that is not listed here is refused. What could move something, open a port to others or weaken a check has no default, or the closed one. Units are part of the names. `ipcnet config check FILE` judges a file as the gateway does."),
    ".SH KEYS", ...table("top level", schema), ...Object.entries(definitions).flatMap(([title, node]) => alternatives(node).flatMap((each) => table(title, { ...each, ...(node.description === undefined ? {} : { description: node.description }) }))),
    ".SH FILES", ".TP", "/usr/share/ipcnet/config.schema.json", "the schema, for editors", ".TP", "/usr/share/doc/ipcnet/examples", "files to start from", ".SH SEE ALSO", "ipcnet(1), ipcnetd(8), ipcnet\\-reflex(8)",
  ].join("\n")}\n`;
}
