/** Whether the services are allowed, and run, what the configuration needs: it may have been changed since `ipcnet setup` last looked at it. Only where the Debian package is installed. */
import { resolve } from "node:path";
import { checkConfig } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import { allUnits, DROP_IN, needsOf } from "../setup/needs.ts";
import { checker, type Check } from "./check.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, problem, unknown } = checker("units");
const FOLDER = "/etc/ipcnet";
const CONFIG = `${FOLDER}/ipcnet.yaml`;
const SYSTEM = "/etc/systemd/system";
/** Units that have drop-ins. */
const OPENED = ["ipcnet-reflex@.service", "ipcnetd@.service", "ipcnet-purge.service"] as const;

export function unitChecks(machine: Machine): Check[] {
  const isInstalled = ["/usr/lib/systemd/system", "/lib/systemd/system"].some((folder) => machine.list(folder)?.includes("ipcnet.target"));
  if (!isInstalled) return [ok("installed", "the Debian package is not installed: no services of the system to look at")];
  const enabled = machine.list(`${SYSTEM}/ipcnet.target.wants`) ?? [];
  if (enabled.length === 0) return [warning("installed", "the package is installed and no service of it starts with the machine", "sudo ipcnet setup")];
  const text = machine.read(CONFIG);
  if (text === undefined) return [unknown("configuration", `${CONFIG} cannot be read`)];
  const config = configOf(machine, text);
  if (config === undefined) return [problem("configuration", `${CONFIG} as it is now would be refused at the next start`, `ipcnet config check ${CONFIG}`)];
  const watchdog = feeder(machine);
  const again = `sudo ipcnet setup --yes --config ${CONFIG} --watchdog ${watchdog}`;
  const { dropIns, units } = needsOf(config, { watchdog });
  return [
    ...OPENED.map((unit) => compareDropIn(unit, { wanted: dropIns.get(unit), found: machine.read(`${SYSTEM}/${unit}.d/${DROP_IN}`), again })),
    compareUnits(units, enabled, again),
  ];
}

function configOf(machine: Machine, text: string): Config | undefined {
  const { config } = checkConfig({
    text, file: CONFIG, readFile: (path) => {
      const found = machine.read(resolve(FOLDER, path));
      return found === undefined ? { fault: "it cannot be read" } : { bytes: new TextEncoder().encode(found), mode: 0o644 };
    },
  });
  return config;
}

/** Who feeds the hardware watchdog, as setup was told. */
function feeder(machine: Machine): "reflex" | "systemd" | "none" {
  if (/--watchdog \S/.test(machine.read(`${SYSTEM}/ipcnet-reflex@.service.d/${DROP_IN}`) ?? "")) return "reflex";
  return /^RuntimeWatchdogSec=[1-9]/m.test(machine.read(`/etc/systemd/system.conf.d/${DROP_IN}`) ?? "") ? "systemd" : "none";
}

function compareDropIn(unit: string, { wanted, found, again }: { wanted: string | undefined; found: string | undefined; again: string }): Check {
  const [needs, has] = [keysOf(wanted), keysOf(found)];
  const missing = needs.filter((key) => !has.includes(key));
  const more = has.filter((key) => !needs.includes(key));
  if (missing.length > 0) return problem(unit, `${unit} is not allowed what ${CONFIG} needs: ${missing.join(", ")}`, again);
  if (more.length > 0) return warning(unit, `${unit} is allowed what ${CONFIG} does not need any more: ${more.join(", ")}`, again);
  return ok(unit, `${unit} is allowed what the configuration needs, and no more`);
}

/** Lines that say something, sorted: the order of keys means nothing, but for an empty one that clears a list. */
function keysOf(text: string | undefined): readonly string[] {
  return (text ?? "").split("\n").filter((line) => /^\w+=./.test(line)).sort();
}

function compareUnits(wanted: readonly string[], enabled: readonly string[], again: string): Check {
  const missing = wanted.filter((unit) => !enabled.includes(unit));
  const more = allUnits.filter((unit) => enabled.includes(unit) && !wanted.includes(unit));
  if (missing.length > 0) return problem("enabled", `${CONFIG} needs ${missing.join(" and ")}, which ${missing.length === 1 ? "does" : "do"} not start with the machine`, again);
  if (more.length > 0) return problem("enabled", `${more.join(" and ")} start${more.length === 1 ? "s" : ""} with the machine, and ${CONFIG} has no use for ${more.length === 1 ? "it" : "them"}: two programs would want one bus`, again);
  return ok("enabled", `${wanted.length} services start with the machine, as the configuration needs`);
}
