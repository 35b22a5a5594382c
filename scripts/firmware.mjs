// Builds the example firmware: `npm run firmware [-- NAME]`. Needs arm-none-eabi-gcc (and aarch64-linux-gnu-gcc for the 64-bit board); says in one line what is missing, and ends with 0.
// Sources and scripts of each image are listed here; results lie in dist/firmware/NAME.elf (and .bin).
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { dist, existsSync, files, fingerprint, has, join, mkdirSync, root, run, unlessStamped } from "./lib.mjs";

const firmware = (name) => `examples/firmware/${name}`;
const kit = (name) => `drivers/nodekit/${name}`;
const e2e = ["schemas/e2e/c/ipcnet_e2e.c", "schemas/crc/c/ipcnet_crc.c"];
const cortexM = ["startup.c", "cortexm.c", "restart.c", "systick.c", "memory.c"].map((name) => firmware(`common/${name}`));
const gripper = [...["main.c", "gripper.c"].map((name) => firmware(`gripper/${name}`)), kit("ipcnet_serial.c"), kit("ipcnet_circuits.c"), ...e2e];

const joint = [...["main.c", "joint.c"].map((name) => firmware(`joint/${name}`)), kit("ipcnet_node.c"), kit("ipcnet_node_device.c"), kit("ipcnet_node_sdo.c"), kit("ipcnet_node_bytes.c"), ...e2e];
const jointFlags = ["-DJOINT_NUMBER=3", "-DIPCNET_E2E_ONLY", "-DIPCNET_E2E_P05"];

/** The emulated board's silence time is a long one: it shares a machine with all else. */
const images = [
  {
    name: "gripper-mps2", what: "serial gripper on a Cortex-M3, as QEMU emulates it", compiler: "arm-none-eabi-gcc", cpu: ["-mcpu=cortex-m3", "-mthumb"], folder: "mps2",
    flags: ["-DGRIPPER_FAULTS", "-DGRIPPER_SILENCE_US=1500000u", "-DIPCNET_E2E_ONLY", "-DIPCNET_E2E_P08"], sources: [...cortexM, firmware("mps2/board.c"), ...gripper],
  },
  {
    name: "joint-stm32f103", what: "CAN joint on an STM32F103 (bxCAN)", compiler: "arm-none-eabi-gcc", cpu: ["-mcpu=cortex-m3", "-mthumb"], folder: "stm32f103", flags: jointFlags,
    sources: [...cortexM, firmware("stm32f103/board.c"), kit("can/ipcnet_bxcan.c"), ...joint],
  },
  {
    name: "joint-rp2040", what: "CAN joint on an RP2040 with an MCP2515", compiler: "arm-none-eabi-gcc", cpu: ["-mcpu=cortex-m0plus", "-mthumb"], folder: "rp2040", flags: jointFlags,
    sources: [...cortexM, firmware("rp2040/board.c"), kit("can/ipcnet_mcp2515.c"), ...joint],
  },
  {
    name: "joint-zcu102", what: "CAN joint on the one machine that QEMU gives a CAN controller without an operating system", compiler: "aarch64-linux-gnu-gcc",
    cpu: ["-mgeneral-regs-only", "-mstrict-align", "-fno-pic", "-no-pie", "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-mno-outline-atomics"], folder: "zcu102", flags: [...jointFlags, "-DJOINT_FAULTS"],
    sources: [firmware("common/memory.c"), firmware("zcu102/board.c"), kit("can/ipcnet_xcan.c"), ...joint],
  },
];

const common = ["-std=gnu11", "-Os", "-g", "-ffreestanding", "-fno-common", "-ffunction-sections", "-fdata-sections", "-fno-tree-loop-distribute-patterns", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-Wno-sign-conversion",
  "-nostdlib", "-nostartfiles", "-static", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", "-Iexamples/firmware/common", "-Iexamples/firmware/joint", "-Idrivers/nodekit", "-Idrivers/nodekit/can", "-Ischemas/e2e/c", "-Ischemas/crc/c"];

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
