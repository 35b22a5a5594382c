/**
 * For tests: a C program around generated code that reads commands line by line and answers each with one line, and what builds and runs it. A frame lies in memory of exactly its
 * size, so that the address sanitizer sees every byte too far.
 *
 *   F message hex          read_raw, unpack, pack what was unpacked, write_raw what was read: "R status raw… | U status value… | P status hex | W status hex"
 *   V message value…       pack: "P status hex"
 *   I id extended          find: the message's number in the table, or "none"
 * Integers are decimal, floats and doubles the hexadecimal digits of their bits; "-" stands for no bytes.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GeneratedC } from "./generate.ts";
import type { CMessage, CSignal } from "./model.ts";
import type { IntegerType, RealType } from "./numbers.ts";

export interface Harness {
  /** One line for each line of input. */
  run(lines: readonly string[]): string[];
}

/** What every generated file must bear, on every compiler. */
export const WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"] as const;

export interface HarnessOptions {
  /** An existing folder for sources and program. */
  folder: string;
  compiler?: string;
  flags?: readonly string[];
  /** What starts the program, for another processor's: ["qemu-aarch64-static"]. */
  emulator?: readonly string[];
}

/** Builds one program of all `generated` (messages are numbered through them in order); throws with the compiler's words. */
export function buildHarness(generated: readonly GeneratedC[], { folder, compiler = process.env.CC ?? "cc", flags = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], emulator = [] }: HarnessOptions): Harness {
  mkdirSync(folder, { recursive: true });
  for (const { files } of generated) for (const { name, text } of files) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, "harness_main.c"), programText(generated));
  const sources = [...generated.flatMap(({ files }) => files.map(({ name }) => name).filter((name) => name.endsWith(".c"))), "harness_main.c"];
  const built = spawnSync(compiler, ["-std=c99", ...WARNINGS, ...flags, ...sources, "-o", "harness"], { cwd: folder, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`${compiler}: ${built.error?.message ?? built.stderr.slice(0, 4000)}`);
  return {
    run: (lines) => {
      const [command, ...args] = [...emulator, join(folder, "harness")];
      const result = spawnSync(command!, args, { input: `${lines.join("\n")}\n`, encoding: "utf8", maxBuffer: 1 << 29 });
      if (result.status !== 0) throw new Error(`the harness ended with ${result.signal ?? result.status}: ${result.error?.message ?? result.stderr.slice(0, 4000)}`);
      const answers = result.stdout.trimEnd().split("\n");
      if (answers.length !== lines.length) throw new Error(`${lines.length} questions, ${answers.length} answers`);
      return answers;
    },
  };
}

function programText(generated: readonly GeneratedC[]): string {
  const messages = generated.flatMap(({ messages: own, prefix }) => own.map((message) => ({ message, prefix })));
  return [
    "#include <inttypes.h>", "#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>", ...generated.map(({ prefix }) => `#include "${prefix}.h"`), "",
    "static void hex(const char *label, uint32_t status, const uint8_t *bytes, size_t length) {", '  printf("%s %" PRIu32 " ", label, status);', '  if (status != 0u || length == 0u) putchar(\'-\');', '  else for (size_t at = 0; at < length; at++) printf("%02X", bytes[at]);', "}", "",
    "static int64_t integer(char **at) { return strtoll(*at, at, 10); }", "static uint64_t natural(char **at) { return strtoull(*at, at, 10); }", "static uint64_t bits(char **at) { return strtoull(*at, at, 16); }",
    "static double real64(char **at) { const uint64_t word = bits(at); double value; memcpy(&value, &word, sizeof value); return value; }", "static float real32(char **at) { const uint32_t word = (uint32_t)bits(at); float value; memcpy(&value, &word, sizeof value); return value; }",
    "static uint64_t of64(double value) { uint64_t word; memcpy(&word, &value, sizeof word); return word; }", "static uint32_t of32(float value) { uint32_t word; memcpy(&word, &value, sizeof word); return word; }",
    "/* Not every database needs all of them. */", "void harness_uses(char **at);", "void harness_uses(char **at) { (void)integer(at); (void)natural(at); (void)bits(at); (void)real64(at); (void)real32(at); (void)of64(0.0); (void)of32(0.0f); }",
    ...messages.flatMap(({ message }, index) => messageFunctions(message, index)),
    "typedef void (*on_frame)(const uint8_t *frame, size_t length);", "typedef void (*on_values)(char *at);",
    `static const on_frame frames[] = {${messages.map((_, index) => `frame_${index}`).join(", ")}};`, `static const on_values values_of[] = {${messages.map((_, index) => `values_${index}`).join(", ")}};`, "",
    "static char line[1 << 20];", "",
    "int main(void) {", "  while (fgets(line, (int)sizeof line, stdin) != NULL) {", "    char *at = line + 1;", "    if (line[0] == 'I') {", "      const uint32_t id = (uint32_t)natural(&at);", "      const int extended = (int)integer(&at);",
    ...generated.slice(0, 1).flatMap(({ prefix }) => [`      const ${prefix}_message found = ${prefix}_find(id, extended);`, `      if (found == ${prefix.toUpperCase()}_MESSAGE_NONE) printf("none\\n");`, `      else printf("%" PRIu32 " %u\\n", ${prefix}_messages[found].can_id, (unsigned)${prefix}_messages[found].frame_bytes);`]),
    "      continue;", "    }", "    const size_t message = (size_t)natural(&at);",
    "    if (line[0] == 'V') {", "      values_of[message](at);", "      putchar('\\n');", "      continue;", "    }",
    "    while (*at == ' ') at++;", "    size_t length = strcspn(at, \"\\n\") / 2;", "    uint8_t *frame = malloc(length == 0 ? 1 : length);", "    if (frame == NULL) return 1;", "    if (*at == '-') length = 0;",
    "    for (size_t byte = 0; byte < length; byte++) { char two[3] = {at[2 * byte], at[2 * byte + 1], 0}; frame[byte] = (uint8_t)strtoul(two, NULL, 16); }",
    "    frames[message](frame, length);", "    putchar('\\n');", "    free(frame);", "  }", "  return 0;", "}", "",
  ].join("\n");
}

function messageFunctions(message: CMessage, index: number): string[] {
  const { name, macro, signals, frameBytes } = message;
  const fields = signals.filter(({ field }) => field !== undefined);
  const room = `${Math.max(1, frameBytes)}`;
  return [
    `static void frame_${index}(const uint8_t *data, size_t length) {`, `  ${name}_raw raw;`, `  ${name} values;`, `  uint8_t frame[${room}];`, `  uint32_t status = ${name}_read_raw(&raw, data, length);`, "  const uint32_t read = status;",
    '  printf("R %" PRIu32, status);', "  if (status == 0u) {", ...signals.map((signal) => `    ${print(signal.rawType, `raw.${signal.member}`)}`), "  }",
    `  ${name}_init(&values);`, `  status = ${name}_unpack(&values, data, length);`, '  printf(" | U %" PRIu32, status);', "  if (status == 0u) {", ...fields.map((signal) => `    ${print(signal.conversion.type, `values.${signal.field!}`)}`), "  }",
    `  if (status == 0u) status = ${name}_pack(&values, frame, ${macro}_FRAME_BYTES);`, `  hex(" | P", status, frame, ${macro}_FRAME_BYTES);`,
    `  status = read == 0u ? ${name}_write_raw(&raw, frame, ${macro}_FRAME_BYTES) : read;`, `  hex(" | W", status, frame, ${macro}_FRAME_BYTES);`, "}", "",
    `static void values_${index}(char *at) {`, `  ${name} values;`, `  uint8_t frame[${room}];`, `  ${name}_init(&values);`, ...(fields.length === 0 ? ["  (void)at;"] : fields.map(parse)),
    `  hex("P", ${name}_pack(&values, frame, ${macro}_FRAME_BYTES), frame, ${macro}_FRAME_BYTES);`, "}", "",
  ];
}

function print(type: IntegerType | RealType, value: string): string {
  if (type === "double") return `printf(" %016" PRIx64, of64(${value}));`;
  if (type === "float") return `printf(" %08" PRIx32, of32(${value}));`;
  return type.startsWith("u") ? `printf(" %" PRIu64, (uint64_t)${value});` : `printf(" %" PRId64, (int64_t)${value});`;
}

function parse({ conversion: { type }, field }: CSignal): string {
  if (type === "double") return `  values.${field!} = real64(&at);`;
  if (type === "float") return `  values.${field!} = real32(&at);`;
  return `  values.${field!} = (${type})${type.startsWith("u") ? "natural" : "integer"}(&at);`;
}

export interface FrameAnswer {
  read: { status: number; values: string[] };
  unpacked: { status: number; values: string[] };
  packed: { status: number; hex: string };
  written: { status: number; hex: string };
}

/** The answer to F. */
export function frameAnswer(line: string): FrameAnswer {
  const [read, unpacked, packed, written] = line.split(" | ").map((part) => part.split(" ").slice(1));
  const bytes = ([status, text]: string[]): { status: number; hex: string } => ({ status: Number(status), hex: text === "-" ? "" : text! });
  return { read: { status: Number(read![0]), values: read!.slice(1) }, unpacked: { status: Number(unpacked![0]), values: unpacked!.slice(1) }, packed: bytes(packed!), written: bytes(written!) };
}

/** A status' reason: the number of DecodeFault and EncodeFault. */
export function reasonOf(status: number): number {
  return status & 0xff;
}

/** A number as the harness writes and reads it. */
export function toWord(value: number | bigint, type: IntegerType | RealType): string {
  const view = new DataView(new ArrayBuffer(8));
  if (type === "double") {
    view.setFloat64(0, Number(value));
    return view.getBigUint64(0).toString(16).padStart(16, "0");
  }
  if (type === "float") {
    view.setFloat32(0, Number(value));
    return view.getUint32(0).toString(16).padStart(8, "0");
  }
  return String(value);
}
