/** `ipcnet gen c`: source code from a DBC, for microcontrollers. What is generated is pure (schemas/codegen); here files are read, written and compared. */
import { basename, join } from "node:path";
import { Option } from "commander";
import { formatRemark, type GeneratedFile } from "../../schemas/codegen/generated.ts";
import { generateC, type Arithmetic } from "../../schemas/codegen/c/index.ts";
import { applyTemplate, formatFinding, type Database } from "../../schemas/dbc/index.ts";
import { loadChecks, type CheckSet } from "../../schemas/e2e/checks.ts";
import { checkedMessage } from "../../schemas/messages/check/databases.ts";
import { printable } from "../view/text.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { NODE_TEMPLATE, openDatabase, readOperand } from "./databases.ts";
import { differences, writeAll } from "./outputFolder.ts";
import { parseNodes } from "./parse.ts";
import { projectRoot } from "./root.ts";
import { globalOptions } from "./terminal.ts";

interface Options {
  checks?: string;
  messages?: readonly string[];
  node?: string;
  nodes?: Readonly<Record<string, number>>;
  template: string;
  prefix?: string;
  out: string;
  fixedPoint?: boolean;
  double?: boolean;
  float?: boolean;
  e2eSources?: boolean;
  lenient?: boolean;
  notes?: boolean;
  check?: boolean;
}

/** What `--e2e-sources` puts beside the generated files. */
const E2E_SOURCES = ["schemas/e2e/c/ipcnet_e2e.h", "schemas/e2e/c/ipcnet_e2e.c", "schemas/crc/c/ipcnet_crc.h", "schemas/crc/c/ipcnet_crc_table.h", "schemas/crc/c/ipcnet_crc.c"];

export const register: Register = (program, context) => {
  const gen = program.command("gen").description("generate source code from definitions");

  gen
    .command("c")
    .description("generate C99 that packs and unpacks the messages of a DBC file; one .h, which is its manual, and one .c")
    .argument("<FILE>", "DBC file")
    .option("--out <DIR>", "where the files go", ".")
    .option("--prefix <NAME>", "begins every name and is the files' name; default: the DBC's name")
    .option("--messages <NAME...>", "these messages only")
    .option("--node <NAME>", "only what this node of the DBC sends and receives")
    .option("--checks <FILE>", "checks file: protected messages are sealed when packed and checked when unpacked (AUTOSAR E2E)")
    .option("--nodes <NAME=N,…>", "devices whose number is part of their identifiers; messages are then called <NAME>_<Message>", parseNodes)
    .option("--template <EXPRESSION>", "how a device's number becomes part of the identifier", NODE_TEMPLATE)
    .addOption(new Option("--double", "scaled values are doubles (the default)").conflicts(["float", "fixedPoint"]))
    .addOption(new Option("--float", "scaled values are floats, where a float can tell all steps apart").conflicts(["double", "fixedPoint"]))
    .addOption(new Option("--fixed-point", "no floating point: scaled values stay the integers of the frame").conflicts(["double", "float"]))
    .option("--e2e-sources", "put ipcnet_e2e and ipcnet_crc beside the generated files")
    .option("--lenient", "generate messages too whose definition has errors, as well as it could be guessed")
    .option("--check", "write nothing; exit code 1 when the files are missing or not what would be generated")
    .option("--notes", "print notes too (with --json always)")
    .option("--json", "one object: prefix, files with name, bytes and state, remarks")
    .addHelpText("after", `
The code allocates nothing and needs no library. Out of range, NaN and frames of the wrong length are refused, nothing is clamped unless asked.
docs/specs/generated-c.md says what it guarantees. Exit code 1: the definition has errors, or with --check the files are stale.

Examples:
  ipcnet gen c arm.dbc --checks arm.checks.yaml --nodes shoulder=1 --node Joint --out firmware --e2e-sources
  ipcnet gen c drive.dbc --fixed-point --messages Command State && arm-none-eabi-gcc -c -Os drive.c
  ipcnet gen c drive.dbc --out firmware --check        # in CI`)
    .action((path: string, options: Options, command) => generate(path, options, globalOptions(command, context).json, context));
};

function generate(path: string, options: Options, json: boolean, context: CliContext): void {
  const database = forNodes(openDatabase(path), options);
  const arithmetic: Arithmetic = options.fixedPoint === true ? "fixed-point" : options.float === true ? "float" : "double";
  const checks = options.checks === undefined ? undefined : { set: openChecks(options.checks, database), name: basename(options.checks) };
  const { files, remarks, prefix, needsE2e } = generateC(database, { source: basename(path), prefix: options.prefix, messages: options.messages, node: options.node, lenient: options.lenient, arithmetic, checks });
  const refused = remarks.filter(({ severity }) => severity === "error");
  for (const one of remarks) if (!json && (options.notes === true || one.severity !== "note")) context.stderr.write(`${printable(formatRemark(one, path))}\n`);
  if (refused.length > 0) {
    const isUsage = refused.some(({ at }) => at === undefined);
    throw new CliError(isUsage ? ExitCode.usage : ExitCode.problem, `${path}: nothing was generated: ${json ? refused.map((one) => formatRemark(one, path)).join("; ") : `${refused.length} ${refused.length === 1 ? "error" : "errors"}`}`, refused[0]!.hint);
  }
  const all: GeneratedFile[] = [...files, ...(options.e2eSources === true ? E2E_SOURCES.map((source) => ({ name: basename(source), text: Buffer.from(readOperand(join(projectRoot(), source))).toString("utf8") })) : [])];
  const states = options.check === true ? differences(options.out, all) : writeAll(options.out, all);
  const stale = states.filter(({ state }) => state === "missing" || state === "stale");
  if (json) {
    context.stdout.write(`${JSON.stringify({ prefix, files: states.map(({ name, state }, index) => ({ name, bytes: Buffer.byteLength(all[index]!.text), state })), remarks })}\n`);
  } else {
    for (const { name, state } of states) context.stdout.write(`${printable(join(options.out, name))}: ${state}\n`);
    const notes = remarks.filter(({ severity }) => severity === "note").length;
    if (notes > 0 && options.notes !== true) context.stderr.write(`ipcnet: ${notes} ${notes === 1 ? "note" : "notes"} (--notes shows them)\n`);
    if (needsE2e && options.e2eSources !== true && options.check !== true) context.stderr.write("ipcnet: compile ipcnet_e2e.c and ipcnet_crc.c with it (--e2e-sources puts them there)\n");
  }
  if (stale.length > 0) {
    context.exitCode = ExitCode.problem;
    if (!json) context.stderr.write(`ipcnet: ${stale.length === 1 ? "a file is" : `${stale.length} files are`} not what ${path} gives; remedy: the same command without --check\n`);
  }
}

function forNodes(database: Database, { nodes, template }: Options): Database {
  if (nodes === undefined) return database;
  const made = applyTemplate({ ...database, findings: [] }, { id: template, nodes });
  if (made.findings.length > 0) throw new CliError(ExitCode.usage, made.findings.map(formatFinding).join("\n        "));
  return { ...made, findings: database.findings };
}

function openChecks(path: string, database: Database): CheckSet {
  const loaded = loadChecks(Buffer.from(readOperand(path)).toString("utf8"), { file: path });
  const faults = loaded.ok ? loaded.checks.verify(database.messages.map(checkedMessage)) : loaded.faults;
  if (loaded.ok && faults.length === 0) return loaded.checks;
  throw new CliError(ExitCode.usage, faults.map(({ file, line, column, message, hint }) => `${file}:${line}:${column}: ${message} (${hint})`).join("\n        "));
}
