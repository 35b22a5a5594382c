// What the node kit costs on a Cortex-M0+: each part is linked with everything that it needs (compiler's run-time library as well), unused functions dropped, as a firmware would be.
//   npm run nodekit:size            prints the table and writes it into drivers/nodekit/README.md
//   npm run nodekit:size -- --check compares it with the one that stands there; says in one line what it skipped without arm-none-eabi-gcc, or with another version of it
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { has, join, readFileSync, root } from "./lib.mjs";

const compiler = "arm-none-eabi-gcc";
const kit = join(root, "drivers/nodekit");
const e2e = join(root, "schemas/e2e/c/ipcnet_e2e.c");
const crc = join(root, "schemas/crc/c/ipcnet_crc.c");
const flags = ["-mcpu=cortex-m0plus", "-mthumb", "-std=c99", "-Os", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-DIPCNET_E2E_ONLY", "-DIPCNET_CRC_SMALL"];
/** Each with what a firmware calls of it, and with all above it. */
export const parts = [
  { name: "E2E profile 5 with its CRC and counter judge", sources: [e2e, crc], calls: ["ipcnet_e2e_p05_protect", "ipcnet_e2e_p05_inspect", "ipcnet_e2e_judge", "ipcnet_e2e_receiver_init"] },
  { name: "1 rules: claims, epochs, dead-man", sources: ["ipcnet_node.c"], calls: ["ipcnet_node_init", "ipcnet_node_hear", "ipcnet_node_judge", "ipcnet_node_poll", "ipcnet_node_reported_owner"] },
  { name: "2 device: heartbeat, NMT, EMCY, safe-pose hook", sources: ["ipcnet_node_device.c"], calls: ["init", "add", "hear", "poll", "send", "bus_off", "bus_on", "stop"].map((name) => `ipcnet_node_device_${name}`).concat("ipcnet_node_emcy_raise", "ipcnet_node_emcy_clear") },
  { name: "3 objects: SDO server, identity", sources: ["ipcnet_node_sdo.c", "ipcnet_node_bytes.c"], calls: ["ipcnet_node_sdo_init"] },
  { name: "4 time", sources: ["ipcnet_node_time.c"], calls: ["ipcnet_node_time_init", "ipcnet_node_time_at"] },
  { name: "5, 6 update: journal, images, receiving", sources: ["ipcnet_node_boot.c", "ipcnet_node_update.c"], calls: ["init", "on_probation", "confirm", "revert"].map((name) => `ipcnet_node_update_${name}`) },
];
/** These stand by themselves. */
export const alone = [
  { name: "boot loader: choice of the slot", sources: ["ipcnet_node_boot.c", "ipcnet_node_bytes.c"], calls: ["ipcnet_node_boot"], profile: "P05" },
  { name: "serial line: sessions, dead-man, messages, with E2E profile 8 and a table of 1 KiB", sources: ["ipcnet_serial.c", e2e, crc], calls: ["init", "push", "poll", "send", "take"].map((name) => `ipcnet_serial_${name}`), profile: "P08" },
  { name: "serial line: the same and circuits", sources: ["ipcnet_circuits.c", "ipcnet_serial.c", e2e, crc], calls: ["init", "push", "poll", "send", "take"].map((name) => `ipcnet_serial_${name}`).concat(["init", "hear", "poll"].map((name) => `ipcnet_circuits_${name}`)), profile: "P08" },
  { name: "serial line: the same and update", sources: ["ipcnet_serial_update.c", "ipcnet_node_boot.c", "ipcnet_node_bytes.c", "ipcnet_circuits.c", "ipcnet_serial.c", e2e, crc],
    calls: ["init", "push", "poll", "send", "take"].map((name) => `ipcnet_serial_${name}`).concat(["init", "hear", "poll"].map((name) => `ipcnet_circuits_${name}`), ["init", "poll", "hear", "tell", "over", "confirm", "on_probation"].map((name) => `ipcnet_serial_update_${name}`)), profile: "P08" },
  { name: "MQTT: payloads of measurements, with E2E profile 8 and a table of 1 KiB", sources: ["ipcnet_mqtt.c", e2e, crc], calls: ["begin", "map", "array", "text", "unsigned", "signed", "float", "bool", "end"].map((name) => `ipcnet_mqtt_${name}`), profile: "P08" },
  { name: "MQTT: the same and commands", sources: ["ipcnet_mqtt.c", e2e, crc], calls: ["begin", "map", "array", "text", "unsigned", "signed", "float", "bool", "end", "begin_command", "end_command"].map((name) => `ipcnet_mqtt_${name}`), profile: "P08" },
  ...["mcp2515", "bxcan", "xcan"].map((name) => ({ name: `CAN controller ${name}`, sources: [`can/ipcnet_${name}.c`], calls: [`ipcnet_${name}_start`, `ipcnet_${name}_can`], profile: "P05" })),
];

function run(command, args) {
  const result = spawnSync(command, args, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}\n${result.stderr}`);
  return result.stdout;
}

/** Bytes of code and constants of these parts together. memcpy and its like are the firmware's own. */
function linkedBytes(list, folder, profile = "P05") {
  const output = join(folder, "kit.elf");
  const sources = list.flatMap(({ sources: names }) => names).map((name) => (name.startsWith("/") ? name : join(kit, name)));
  const calls = list.flatMap(({ calls: names }) => names);
  run(compiler, [...flags, `-DIPCNET_E2E_${profile}`, ...["drivers/nodekit", "drivers/nodekit/can", "schemas/e2e/c", "schemas/crc/c"].map((name) => `-I${join(root, name)}`), ...sources, "-o", output, "-nostdlib", "-Wl,--gc-sections", `-Wl,-e,${calls[0]}`,
    ...calls.map((name) => `-Wl,-u,${name}`), ...["memcpy", "memmove", "memset", "memcmp"].map((name) => `-Wl,--defsym=${name}=0`), "-lgcc"]);
  const [text, data] = run("arm-none-eabi-size", [output]).split("\n")[1].trim().split(/\s+/).map(Number);
  return text + data;
}

/** undefined: no compiler. */
export function measure() {
  if (!has(compiler) || !has("arm-none-eabi-size")) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-size-"));
  try {
    const sums = parts.map((_, index) => linkedBytes(parts.slice(0, index + 1), folder));
    const version = run(compiler, ["-dumpfullversion"]).trim();
    const rows = parts.map(({ name }, index) => ({ name, bytes: sums[index] - (sums[index - 1] ?? 0), sum: sums[index] }));
    return { version, rows, alone: alone.map((part) => ({ name: part.name, bytes: linkedBytes([part], folder, part.profile) })) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const begin = "<!-- sizes: npm run nodekit:size -->\n";
const end = "<!-- end of sizes -->";
const readme = join(kit, "README.md");

function table({ version, rows, alone: others }) {
  const number = (value) => value.toLocaleString("en");
  return [`${compiler} ${version}, \`${flags.filter((flag) => flag.startsWith("-mcpu") || flag === "-Os").join(" ")}\`, linked without what is not called:`, "", "| part | bytes | with all above |", "|---|---|---|",
    ...rows.map(({ name, bytes, sum }) => `| ${name} | ${number(bytes)} | ${number(sum)} |`), "", "| by itself | bytes |", "|---|---|", ...others.map(({ name, bytes }) => `| ${name} | ${number(bytes)} |`), "", "Memory: see the structs.", ""].join("\n");
}

/** What stands in the README, and of which compiler it is. */
export function written() {
  const text = readFileSync(readme, "utf8");
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf(end);
  if (from < begin.length || to < from) throw new Error(`${readme} has no place for the sizes`);
  return { text, from, to, table: text.slice(from, to), version: new RegExp(`${compiler} (\\S+),`).exec(text.slice(from, to))?.[1] };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const measured = measure();
  const check = process.argv.includes("--check");
  const there = written();
  if (measured === undefined) process.stdout.write(`skipped: ${compiler} is not there (sudo apt-get install gcc-arm-none-eabi)\n`);
  else if (check && there.version !== measured.version) process.stdout.write(`skipped: the table is of ${compiler} ${there.version}, here is ${measured.version}\n`);
  else if (check) {
    if (there.table !== table(measured)) {
      process.stderr.write(`the sizes in ${readme} are stale: npm run nodekit:size\n${table(measured)}`);
      process.exit(1);
    }
  } else {
    writeFileSync(readme, there.text.slice(0, there.from) + table(measured) + there.text.slice(there.to));
    process.stdout.write(table(measured));
  }
}
