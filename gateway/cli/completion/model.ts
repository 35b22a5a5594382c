/** The tree of commands as the completion scripts need it: for each place in it the verbs, options and arguments that may follow. */
import type { Command, Option } from "commander";
import { helpPageNames } from "../help.ts";

/** What a value is: topics and buses are asked of the gateway, files of the shell; a list is a closed choice; none is free text. */
export type ValueKind = "topics" | "buses" | "files" | "none" | readonly string[];

export interface OptionModel {
  /** As typed: ["-n", "--count"]. */
  names: readonly string[];
  description: string;
  /** undefined: the option takes no value (or may go without). */
  value: ValueKind | undefined;
}

export interface PlaceModel {
  /** "" for the program, "can dump" for a nested verb. */
  path: string;
  verbs: readonly { name: string; description: string }[];
  options: readonly OptionModel[];
  arguments: readonly ValueKind[];
  /** The last argument may be repeated. */
  variadic: boolean;
}

/** Every visible place of the tree, the program first. */
export function completionModel(program: Command): PlaceModel[] {
  const places: PlaceModel[] = [];
  const visit = (command: Command, path: string): void => {
    const help = command.createHelp();
    const verbs = help.visibleCommands(command);
    places.push({
      path, verbs: verbs.map((verb) => ({ name: verb.name(), description: shortened(verb.description()) })),
      options: help.visibleOptions(command).map(optionModel),
      arguments: path === "help" ? [[...program.createHelp().visibleCommands(program).map((verb) => verb.name()), ...helpPageNames]] : command.registeredArguments.map((argument) => argument.argChoices ?? kindOf(argument.name())),
      variadic: command.registeredArguments.at(-1)?.variadic === true,
    });
    for (const verb of verbs) visit(verb, path === "" ? verb.name() : `${path} ${verb.name()}`);
  };
  visit(program, "");
  return places;
}

function optionModel(option: Option): OptionModel {
  const placeholder = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1] ?? "";
  return {
    names: [option.short, option.long].filter((name) => name !== undefined), description: shortened(option.description),
    value: option.required ? (option.argChoices ?? kindOf(placeholder)) : undefined,
  };
}

/** By the placeholder's name: TOPIC, PATTERN; BUS; FILE, PATH, SOCKET. */
function kindOf(placeholder: string): ValueKind {
  if (/topic|pattern/i.test(placeholder)) return "topics";
  if (/^bus$/i.test(placeholder)) return "buses";
  if (/file|path|socket|folder|dbc|log$/i.test(placeholder)) return "files";
  return "none";
}

/** The first clause, for a line in a menu. */
function shortened(description: string): string {
  return description.split(/; | \(/)[0]!;
}

/** Text between single quotes for a POSIX shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function kindWord(kind: ValueKind): string {
  return typeof kind === "string" ? kind : `choices ${kind.join(" ")}`;
}
