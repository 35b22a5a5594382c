// How long nobody commands. `npm run bench:failover -- [reflex] [--kills N] [--stops N] [--switches N] [--quiet-s N] [--idle] [--seed N]`: two reflexes on an emulated bus, with every
// processor busy unless --idle. `npm run bench:failover -- brains …`: two brains with clients; `-- bus …`: what the bus notices of them. `-- trigger [--outside] …`: from a trigger to the first
// frame of the safe pose. `-- hosts [--kills N] [--stops N] [--cuts N] [--switches N] …`: two hosts on one bus. `-- plan [one|twice|pairs [SHARE]]`: whoever runs a plan dies at every place of it.
// bench/failover/README.md; what the figures were on a known machine is in bench/RESULTS.md.
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { dist, existsSync, join, refuse } from "./lib.mjs";
import { buildBenches, buildPrograms, buildShipped } from "./native.mjs";

const [which, ...rest] = process.argv.slice(2);
if (which === "brains" || which === "bus" || which === "soak") {
  const entry = join(dist, `ts/bench/failover/${which}.js`);
  if (!existsSync(entry)) refuse("the benches are not built yet", "npm run build");
  process.exit(spawnSync(process.execPath, [entry, ...rest], { stdio: "inherit" }).status ?? 1);
}

buildShipped();
if (which === "trigger" && rest.includes("--outside")) {
  buildBenches({ only: "reflex_trigger_node" });
  process.exit(spawnSync(process.execPath, [join(dist, "ts/bench/failover/trigger.js"), ...rest.filter((word) => word !== "--outside")], { stdio: "inherit" }).status ?? 1);
}
if (which === "plan") {
  await buildPrograms();
  const test = join(dist, "native/test");
  process.exit(spawnSync(join(test, "reflex_plan_kills"), [join(test, "ipcnet-reflex"), ...(rest.length > 0 ? rest : ["pairs"])], { stdio: "inherit" }).status ?? 1);
}
const program = join(dist, "native/ipcnet-reflex");
if (!existsSync(program)) refuse("the bus process is not built yet", "npm run build");
const asked = process.argv.slice(2).filter((word) => word !== "--idle" && word !== "reflex" && word !== "trigger" && word !== "hosts");
// A computing and a memory-walking process for each processor.
const burners = process.argv.includes("--idle") ? 0 : 2 * availableParallelism();
for (const { path } of buildBenches({ only: which === "trigger" ? "reflex_trigger_bench" : which === "hosts" ? "reflex_hosts_bench" : "reflex_failover" })) {
  const { status } = spawnSync(path, ["--program", program, "--burners", String(burners), ...asked], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
