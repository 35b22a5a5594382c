/** The tree of commands: global options, the verbs of the registry, help texts. */
import { Command, Option, type Argument } from "commander";
import type { CliContext } from "./command.ts";
import { exitCodesText, registerHelp } from "./help.ts";
import { registry, type RegistryEntry } from "./registry.ts";
import { version } from "./root.ts";
import { wantColor } from "./terminal.ts";
import { columnsOf } from "../view/text.ts";

const introduction = "Shares data and services between the processes and microcontrollers of one robot, and shows what the gateway does.";
const examples = `
Examples:
  ipcnet doctor                                  what this machine has and lacks
  ipcnet status                                  is everything well, and if not, why
  ipcnet echo 'can/arm/+'                        decoded messages of the bus "arm" as they come
  ipcnet arm && ipcnet pub cmd/arm/shoulder_Command velocity=0.1 --rate 50 --count 100
  ipcnet safe-pose --why "end of test"           everything into its safe pose, with the verdict
`;

/**
 * Builds the program with the verbs that `argv` needs; with `argv` undefined, with all of them (completion, documentation).
 * The program writes to `context` only and throws instead of ending the process.
 */
export async function buildProgram(argv: readonly string[] | undefined, context: CliContext): Promise<Command> {
  const program = new Command("ipcnet").description(introduction).version(version(), "-V, --version", "print the version");
  const color = wantColor(context, argv?.includes("--no-color") ? { color: false } : {});
  program
    .exitOverride()
    .enablePositionalOptions()
    .helpOption("-h, --help", "print this help; ipcnet help VERB explains a verb")
    .helpCommand(false)
    .showSuggestionAfterError()
    .configureHelp({
      showGlobalOptions: false,
      // In a list of verbs the first clause and the arguments are enough; the verb's own help has the rest.
      subcommandTerm: (command) => [command.name(), ...command.registeredArguments.map(argumentTerm)].join(" "),
      subcommandDescription: (command) => command.description().split("; ")[0]!,
      styleTitle: (title) => (color ? `\u001b[1m${title}\u001b[0m` : title),
    })
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: () => undefined, // reported by runCli, in one form for all errors
      getOutHelpWidth: () => Math.min(columnsOf(context.stdout, 100), 120),
      getErrHelpWidth: () => Math.min(columnsOf(context.stdout, 100), 120),
      getOutHasColors: () => color,
      getErrHasColors: () => color,
    })
    .addHelpText("after", `${examples}\n${exitCodesText}`);
  for (const option of globalOptions()) program.addOption(option);

  const asked = argv === undefined ? undefined : firstOperand(argv);
  const entries = registry.filter((entry) => asked !== undefined && entry.verbs.includes(asked));
  const modules = await Promise.all((entries.length > 0 ? entries : registry).map(async (entry) => ({ entry, module: await entry.load() })));
  for (const { entry, module } of modules) {
    const before = program.commands.length;
    module.register(program, context);
    for (const command of program.commands.slice(before)) adopt(command, entry);
  }
  registerHelp(program, context);
  program.hook("preAction", (_program, command) => handDown(program, command));
  return program;
}

function argumentTerm(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

function globalOptions(): Option[] {
  return [
    new Option("--socket <PATH>", "the gateway's socket (default: $IPCNET_SOCKET, /run/ipcnet/ipcnet.sock, $XDG_RUNTIME_DIR/ipcnet/ipcnet.sock)"),
    new Option("--json", "print data as JSON, one object a line; errors as {\"error\":{…}}"),
    new Option("--no-color", "no colours (as with NO_COLOR set, or when the output is not a terminal)"),
  ];
}

/** Gives a verb, and all below it, what every verb has: heading, error handling, global options. */
function adopt(command: Command, entry: RegistryEntry): void {
  if (command.parent?.parent === null) command.helpGroup(entry.group);
  if (command.helpGroup() === "") command.helpGroup("Commands:");
  command.helpOption("-h, --help", "print this help");
  if (command.commands.length > 0) command.enablePositionalOptions().helpCommand(false);
  for (const option of globalOptions()) {
    if (command.options.some((known) => known.long === option.long)) continue;
    option.helpGroup("Global options:");
    if (option.long === "--socket" && !entry.online) option.hideHelp();
    command.addOption(option);
  }
  for (const child of command.commands) adopt(child, entry);
}

/** `ipcnet --json status` means the same as `ipcnet status --json`. */
function handDown(program: Command, command: Command): void {
  for (let from = command.parent; from; from = from.parent) {
    for (const name of ["socket", "json", "color"]) {
      if (from.getOptionValueSource(name) === "cli" && command.getOptionValueSource(name) !== "cli") {
        command.setOptionValueWithSource(name, from.getOptionValue(name), "cli");
      }
    }
    if (from === program) return;
  }
}

/** The first word that is not a global option or the value of one: the verb. */
export function firstOperand(argv: readonly string[]): string | undefined {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === "--socket") i += 1;
    else if (word === "--") return argv[i + 1];
    else if (!word.startsWith("-")) return word;
  }
  return undefined;
}
