import { atLeast, checker, versionPair, type Check } from "./check.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, problem } = checker("node");

/** `addonFolder`: where the build puts the C parts. */
export async function nodeChecks(machine: Machine, addonFolder: string): Promise<Check[]> {
  const version = versionPair(machine.nodeVersion);
  const node = version && atLeast(version, [20, 11])
    ? ok("version", `Node.js ${machine.nodeVersion}`)
    : problem("version", `Node.js ${machine.nodeVersion}, 20.11 is needed`, "install Node.js 24: https://nodejs.org/en/download");
  const arch = ["x64", "arm64", "arm"].includes(machine.arch)
    ? ok("arch", machine.arch)
    : warning("arch", `${machine.arch} is not one of those that IPCNet is tested on (x64, arm64, arm)`, "tell us how it went");
  return [node, arch, await compiler(machine), ...(await addons(machine, addonFolder))];
}

async function compiler(machine: Machine): Promise<Check> {
  for (const name of ["gcc", "cc", "clang"]) {
    const answer = await machine.run([name, "--version"]);
    if (answer?.code === 0) return ok("compiler", answer.stdout.split("\n")[0]!.trim() || name);
  }
  return warning("compiler", "no C compiler: IPCNet runs if it is built already, but cannot be built here", "sudo apt-get install -y gcc libc6-dev");
}

async function addons(machine: Machine, folder: string): Promise<Check[]> {
  const names = (machine.list(folder) ?? []).filter((name) => name.endsWith(".node"));
  if (names.length === 0) return [problem("addons", `no compiled C part in ${folder}`, "npm run build")];
  return Promise.all(names.map(async (name) => {
    const answer = await machine.run([machine.nodePath, "-e", `require(${JSON.stringify(`${folder}/${name}`)})`]);
    if (answer?.code === 0) return ok(`addon.${name.slice(0, -5)}`, `${name} loads`);
    const reason = answer?.stderr.split("\n").find((line) => /^(\w*Error|node): /.test(line)) ?? "it cannot be loaded";
    return problem(`addon.${name.slice(0, -5)}`, `${name}: ${reason.trim()}`, "npm run build");
  }));
}
