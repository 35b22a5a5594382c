/** `nodes` and `node`: who the nodes are and what they complain of; new firmware for them; images of firmware. */
import { createHash, createPrivateKey, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { Command } from "commander";
import { decodeImage, encodeImage } from "../../drivers/nodekit/image.ts";
import { versionText } from "../../drivers/nodekit/identity.ts";
import type { NodeReport } from "../../schemas/messages/statusReport.ts";
import { CliError, ExitCode, type CliContext, type Register } from "./command.ts";
import { pause, withGateway, type Session } from "./connection.ts";
import { readOperand } from "./databases.ts";
import { toJson } from "./json.ts";
import { parseNumber } from "./parse.ts";
import { askStatus } from "./statusReport.ts";
import { globalOptions } from "./terminal.ts";
import { nodeLook } from "../view/states.ts";
import { displayWidth, fit, printable } from "../view/text.ts";

/** A piece of an image in one call: with base64 far below what a packet of the control socket may have. */
const PIECE_BYTES = 16_384;
const LOOK_MS = 200;
const ANSWER_MS = 5_000;

interface Told {
  node: string;
  state: "waiting" | "running" | "done" | "failed";
  progress?: number;
  version?: string;
  slot?: number;
  sha256?: string;
  code?: string;
  text?: string;
}

export const register: Register = (program, context) => {
  program
    .command("nodes")
    .description("list the nodes: state, who they are, firmware, errors that they have told of; exit code 1 when one is not as it should be")
    .argument("[NAME]", "this node only")
    .addHelpText("after", "\nErrors are those of EMCY messages (CiA 301) that are not over. Who a node is, is asked where the configuration has `identity`.\n\nExamples:\n  ipcnet nodes\n  ipcnet nodes elbow --json | jq .identity.firmware")
    .action((name: string | undefined, _options, command: Command) =>
      withGateway(command, context, async ({ client, json }) => {
        const all = (await askStatus(client)).nodes;
        const nodes = name === undefined ? all : all.filter((node) => node.name === name);
        if (nodes.length === 0) throw new CliError(ExitCode.problem, name === undefined ? "the configuration lists no nodes" : `there is no node ${name}`, "ipcnet nodes lists those of the configuration");
        if (nodes.some(isTroubled)) context.exitCode = ExitCode.problem;
        const lines = json ? nodes.map(toJson) : nodeTable(nodes);
        for (const line of lines) context.stdout.write(`${line}\n`);
      }));

  const node = program.command("node").description("new firmware for a node, and what belongs to that");
  node
    .command("update")
    .description("replace the firmware of a node over its bus or serial line: only while the robot is disarmed; the node falls back to what it had if the new one does not prove itself")
    .argument("<NAME>", "node with `update: true` in the configuration")
    .argument("<FILE>", "image (ipcnet node image makes one)")
    .option("--steady-ms <MS>", "how long the node must be operational with it before it is confirmed", parseNumber({ minimum: 1_000, maximum: 600_000 }), 10_000)
    .addHelpText("after", `
The node is put into pre-operational (at a serial line: it moves nothing), gets the image into the slot that does not run, is restarted with it on probation, and is told to keep it when it has stayed operational. Arming is refused meanwhile.
Over a serial line a transfer that was cut goes on where the device stands.
Ctrl-C gives up: a node that has not restarted yet goes on with what it has, one that has restarted returns to it by itself. With --json: one object a line, the last one says what came of it. Exit code 1: it was not replaced.

Examples:
  ipcnet node update elbow elbow-2.1.0.img
  ipcnet node update elbow elbow-2.1.0.img --json | tail -n 1 | jq -r .state`)
    .action((name: string, file: string, options: { steadyMs: number }, command: Command) => withGateway(command, context, (session) => update(session, context, { name, file, ...options }), { stayWhenLost: true }));
  node
    .command("start")
    .description("put a node to work (NMT start) that an update which was cut off has left pre-operational")
    .argument("<NAME>", "node with `update: true` in the configuration")
    .action((name: string, _options, command: Command) =>
      withGateway(command, context, async ({ client, json }) => {
        await client.request("gateway/node-update", { action: "startNode", node: name }, { timeoutMs: ANSWER_MS });
        context.stdout.write(json ? `${toJson({ node: name, started: true })}\n` : `node ${printable(name)} is told to start\n`);
      }));
  node
    .command("image")
    .description("make an image of a program for a node: header, checksums, SHA-256, and a signature if there is a key; or say what one holds")
    .argument("<FILE>", "the program as it lies in flash behind the header; or an image, without --out")
    .option("--vendor <N>", "vendor of the node (0x1018, 1)", parseNumber({ minimum: 0, maximum: 0xffffffff }))
    .option("--product <N>", "product (0x1018, 2)", parseNumber({ minimum: 0, maximum: 0xffffffff }))
    .option("--fw-version <X.Y.Z>", "version: 0…255, 0…255, 0…65535", parseVersion)
    .option("--security <N>", "security counter: a node that has confirmed an image takes none with a lower one", parseNumber({ minimum: 0, maximum: 0xffffffff }), 0)
    .option("--key <PEM>", "Ed25519 private key; the node's own code checks the signature")
    .option("--out <FILE>", "where the image goes")
    .addHelpText("after", "\nExamples:\n  ipcnet node image elbow.bin --vendor 0x1234 --product 7 --fw-version 2.1.0 --out elbow-2.1.0.img\n  ipcnet node image elbow-2.1.0.img --json | jq -r .sha256")
    .action((file: string, options: ImageOptions, command: Command) => image(file, options, globalOptions(command, context).json, context));
};

interface ImageOptions {
  vendor?: number;
  product?: number;
  fwVersion?: number;
  security: number;
  key?: string;
  out?: string;
}

function parseVersion(text: string): number {
  const [major, minor, patch] = /^(\d{1,3})\.(\d{1,3})\.(\d{1,5})$/.exec(text)?.slice(1).map(Number) ?? [];
  if (major === undefined || minor === undefined || patch === undefined || major > 255 || minor > 255 || patch > 65_535) throw new CliError(ExitCode.usage, `${text} is no version`, "three numbers such as 2.1.0: 0…255, 0…255, 0…65535");
  return ((major << 24) | (minor << 16) | patch) >>> 0;
}

function image(file: string, { vendor, product, fwVersion, security, key, out }: ImageOptions, json: boolean, context: CliContext): void {
  const bytes = readOperand(file);
  if (out !== undefined) {
    if (vendor === undefined || product === undefined || fwVersion === undefined) throw new CliError(ExitCode.usage, "an image says for whom it is", "--vendor, --product and --fw-version beside --out");
    if (bytes.length === 0) throw new CliError(ExitCode.usage, `${file} is empty`, "the program as it lies in flash (objcopy -O binary)");
    const signer = key === undefined ? undefined : signerOf(key);
    writeFileSync(out, encodeImage({ vendor, product, version: fwVersion, securityCounter: security }, bytes, signer));
  }
  const decoded = decodeImage(out === undefined ? bytes : readFileSync(out));
  if ("fault" in decoded) throw new CliError(ExitCode.problem, `${out ?? file} is no image: ${decoded.fault}`, "ipcnet node image PROGRAM --vendor … --product … --fw-version … --out FILE makes one");
  const { program, sha256, signature, ...info } = decoded;
  const shown = { file: out ?? file, ...info, version: versionText(info.version), programBytes: program.length, sha256: Buffer.from(sha256).toString("hex"), signed: signature.some((byte) => byte !== 0xff) };
  context.stdout.write(json ? `${toJson(shown)}\n` : `${printable(shown.file)}: version ${shown.version} for vendor 0x${info.vendor.toString(16)}, product 0x${info.product.toString(16)}; ${program.length} bytes, security counter ${info.securityCounter}, ${shown.signed ? "signed" : "not signed"}\n  sha256 ${shown.sha256}\n`);
}

function signerOf(path: string): (header: Uint8Array) => Uint8Array {
  let key;
  try {
    key = createPrivateKey(Buffer.from(readOperand(path)));
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(ExitCode.usage, `${path}: no private key in PEM form`, "openssl genpkey -algorithm ed25519 -out key.pem");
  }
  if (key.asymmetricKeyType !== "ed25519") throw new CliError(ExitCode.usage, `${path}: a key of type ${key.asymmetricKeyType ?? "unknown"}`, "openssl genpkey -algorithm ed25519 -out key.pem");
  return (header) => sign(null, header, key);
}

async function update({ client, json, services }: Session, context: CliContext, { name, file, steadyMs }: { name: string; file: string; steadyMs: number }): Promise<void> {
  const bytes = readOperand(file);
  const decoded = decodeImage(bytes);
  if ("fault" in decoded) throw new CliError(ExitCode.usage, `${file} is no image: ${decoded.fault}`, "ipcnet node image makes one of a program");
  const ask = async (body: Readonly<Record<string, unknown>>): Promise<unknown> => client.request("gateway/node-update", body, { timeoutMs: ANSWER_MS });
  const { id } = await ask({ action: "begin", node: name, bytes: bytes.length }) as { id: number };
  for (let offset = 0; offset < bytes.length && !context.signal.aborted; offset += PIECE_BYTES) await ask({ action: "data", id, offset, data: Buffer.from(bytes.subarray(offset, offset + PIECE_BYTES)).toString("base64") });
  if (context.signal.aborted) return void (await ask({ action: "abort", id }));
  await ask({ action: "start", id, sha256: createHash("sha256").update(bytes).digest("hex"), steadyMs });
  let last = "";
  let wasAborted = false;
  for (;;) {
    const told = await ask({ action: "status", id }) as Told;
    last = show(told, last, json, context);
    if (told.state === "done" || told.state === "failed") {
      if (told.state === "failed") context.exitCode = ExitCode.problem;
      return;
    }
    if (context.signal.aborted && !wasAborted) {
      wasAborted = true;
      await ask({ action: "abort", id });
      continue;
    }
    await (wasAborted ? new Promise<void>((resolve) => void services.clock.at(services.clock.nowUs() + LOOK_MS * 1e3, resolve)) : pause(services, LOOK_MS, context.signal));
  }
}

/** Prints what is new; returns what was printed. */
function show(told: Told, last: string, json: boolean, context: CliContext): string {
  if (json) {
    const line = toJson(told.progress === undefined ? told : { ...told, progress: Math.round(told.progress * 100) / 100 });
    if (line !== last) context.stdout.write(`${line}\n`);
    return line;
  }
  const words = told.state === "done" ? `node ${printable(told.node)} runs ${told.version} (slot ${told.slot}), confirmed` : told.state === "failed" ? `ipcnet: not replaced: ${printable(told.text ?? "")}`
    : told.progress === undefined || told.progress === 0 ? "starting, proving or confirming" : `transfer ${Math.round(told.progress * 100)} %`;
  if (words === last) return last;
  if (told.state === "done") context.stdout.write(`${words}\n`);
  else context.stderr.write(`${words}\n`);
  return words;
}

function isTroubled(node: NodeReport): boolean {
  return (node.required && node.state !== "operational") || (node.errors ?? []).length > 0 || node.identity?.state === "mismatch" || node.identity?.state === "noAnswer";
}

function nodeTable(nodes: readonly NodeReport[]): string[] {
  const rows = nodes.map((node) => [`${nodeLook(node).shape} ${printable(node.name)}`, printable(node.link), nodeLook(node).word, node.required ? "required" : "optional", firmwareWords(node)]);
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => displayWidth(row[column]!))));
  return rows.flatMap((row, index) => {
    const { identity, errors, errorRegister, updateProgress } = nodes[index]!;
    return [
      row.map((cell, column) => fit(cell, widths[column]!)).join("  ").trimEnd(),
      ...(updateProgress === undefined ? [] : [`    firmware is being replaced: ${Math.round(updateProgress * 100)} %`]),
      ...(identity?.mismatch ?? []).map((each) => `    not the configured one: ${printable(each)}`),
      ...(errors ?? []).map(({ code, text, count }) => `    error 0x${code.toString(16).toUpperCase().padStart(4, "0")}: ${printable(text)}${count > 1 ? ` (${count} times)` : ""}`),
      ...(errorRegister ? [`    error register: ${errorRegister.map(printable).join(", ")}`] : []),
    ];
  });
}

function firmwareWords({ identity }: NodeReport): string {
  if (!identity) return "";
  if (identity.state === "unread") return "not asked yet";
  if (identity.state === "noAnswer") return "does not say who it is";
  const { name = "", firmware = "", vendor = 0, product = 0, serial, onProbation } = identity;
  return [name, firmware === "" ? "" : `firmware ${firmware}${onProbation === true ? " on probation" : ""}`, `0x${vendor.toString(16)}/0x${product.toString(16)}${serial === undefined ? "" : ` serial ${serial}`}`].filter((part) => part !== "").map(printable).join(", ");
}
