// Builds the example firmware: `npm run firmware [-- NAME]`. Needs arm-none-eabi-gcc (and aarch64-linux-gnu-gcc for the 64-bit board); says in one line what is missing, and ends with 0.
// Sources and scripts of each image are listed here; results lie in dist/firmware/NAME.elf (and .bin).
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { dist, existsSync, files, fingerprint, has, join, mkdirSync, root, run, unlessStamped } from "./lib.mjs";

const firmware = (name) => `examples/firmware/${name}`;
const kit = (name) => `drivers/nodekit/${name}`;
const e2e = ["schemas/e2e/c/ipcnet_e2e.c", "schemas/crc/c/ipcnet_crc.c"];
const cortexM = ["startup.c", "restart.c", "systick.c", "memory.c"].map((name) => firmware(`common/${name}`));
const gripper = [...["main.c", "gripper.c"].map((name) => firmware(`gripper/${name}`)), kit("ipcnet_serial.c"), ...e2e];

/** `silence`: of the emulated board, which shares a machine with all else. */
const images = [
  {
    name: "gripper-mps2", what: "serial gripper on a Cortex-M3, as QEMU emulates it", compiler: "arm-none-eabi-gcc", cpu: ["-mcpu=cortex-m3", "-mthumb"], folder: "mps2",
    flags: ["-DGRIPPER_FAULTS", "-DGRIPPER_SILENCE_US=1500000u", "-DIPCNET_E2E_ONLY", "-DIPCNET_E2E_P08"], sources: [...cortexM, firmware("mps2/board.c"), ...gripper],
  },
];

const common = ["-std=gnu11", "-Os", "-g", "-ffreestanding", "-fno-common", "-ffunction-sections", "-fdata-sections", "-fno-tree-loop-distribute-patterns", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wno-sign-conversion",
  "-nostdlib", "-nostartfiles", "-static", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", "-Iexamples/firmware/common", "-Iexamples/firmware/joint", "-Idrivers/nodekit", "-Ischemas/e2e/c", "-Ischemas/crc/c"];

/** What is not there, in one line; undefined when everything is. */
export function missingCompilers(wanted = images) {
  const missing = [...new Set(wanted.map(({ compiler }) => compiler))].filter((compiler) => !has(compiler));
  if (missing.length === 0) return undefined;
  const packages = { "arm-none-eabi-gcc": "gcc-arm-none-eabi", "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu" };
  return `no ${missing.join(", no ")}: sudo apt-get install -y ${missing.map((compiler) => packages[compiler]).join(" ")}`;
}

/** Builds what has changed; returns [{ name, what, elf, flashBytes, memoryBytes }] of those whose compiler is there. */
export function buildFirmware({ only = "" } = {}) {
  mkdirSync(join(dist, "firmware"), { recursive: true });
  const headers = ["examples/firmware", "drivers/nodekit", "schemas/e2e/c", "schemas/crc/c"].flatMap((folder) => files(join(root, folder), (path) => /\.(h|ld)$/.test(path)));
  return images.filter(({ name, compiler }) => name.includes(only) && has(compiler)).map(({ name, what, compiler, cpu, folder, flags, sources }) => {
    const elf = join(dist, "firmware", `${name}.elf`);
    const command = [...cpu, ...common, ...flags, `-Wl,-Map=${elf}.map`, "-Lexamples/firmware/common", "-T", firmware(`${folder}/memory.ld`), ...sources, "-lgcc", "-o", elf];
    unlessStamped({ stampFile: `${elf}.stamp`, print: fingerprint([...sources.map((path) => join(root, path)), ...headers], [compiler, ...command].join(" ").replaceAll(root, "")), result: elf }, () => run(compiler, command));
    const sizes = spawnSync(compiler.replace(/gcc$/, "size"), ["-A", elf], { encoding: "utf8" }).stdout;
    const section = (wanted) => Number(new RegExp(`^\\${wanted}\\s+(\\d+)`, "m").exec(sizes)?.[1] ?? 0);
    return { name, what, elf, flashBytes: section(".text") + section(".data"), memoryBytes: section(".data") + section(".bss") + section(".noinit") };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const built = buildFirmware({ only: process.argv[2] });
  for (const { name, what, flashBytes, memoryBytes } of built) process.stdout.write(`  ${name.padEnd(16)} ${String(flashBytes).padStart(6)} bytes of flash, ${String(memoryBytes).padStart(5)} of memory without stack   ${what}\n`);
  const missing = missingCompilers();
  if (missing !== undefined) process.stdout.write(`not built: ${missing}\n`);
  if (existsSync(join(dist, "firmware"))) process.stdout.write(`in ${dirname(join(dist, "firmware", "x"))}\n`);
}
