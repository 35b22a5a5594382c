/** What the bus processes need of this machine, and what they were granted. */
import type { ReflexReport } from "../../schemas/messages/statusReport.ts";
import { checker, type Check } from "./check.ts";
import type { GatewayAnswer } from "./gateway.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, problem } = checker("reflex");
const PROGRAM = "ipcnet-reflex";
const STATE_FOLDER = "/var/lib/ipcnet";
const LOCK_FOLDER = "/run/ipcnet";

export function reflexChecks(machine: Machine, nativeFolder: string, answer: GatewayAnswer): Check[] {
  const program = machine.list(nativeFolder)?.includes(PROGRAM)
    ? ok("program", `${nativeFolder}/${PROGRAM} is there`)
    : problem("program", `${nativeFolder}/${PROGRAM} is not there: no bus process can be started`, "node scripts/prepare.mjs");
  const reflexes = answer.reached ? answer.reflexes : [];
  return [program, folder(machine, "state", STATE_FOLDER, "epoch, table and journal"), folder(machine, "lock", LOCK_FOLDER, "control sockets and the lock"), ...reflexes.flatMap((reflex) => [scheduling(reflex), watchdog(reflex)])];
}

/** A folder of systemd's making; without it the gateway's user has places of its own. */
function folder(machine: Machine, subject: string, path: string, holds: string): Check {
  if (machine.list(path) === undefined) return ok(subject, `${path} is not there: ${holds} are kept where the configuration, or the user's own folders, say`);
  if (machine.mayUse(path)) return ok(subject, `${path} may be written: ${holds} are kept there`);
  return warning(subject, `${path} is there, and this user may not write to it: ${holds} cannot be kept there by programs that this user starts`, `sudo chown ipcnet:ipcnet ${path}, or redundancy.stateFolder and runFolder in the configuration`);
}

function scheduling({ instance, there, realtime, reason }: ReflexReport): Check {
  if (!there) return problem(`${instance}.realtime`, `reflex ${instance} does not answer: ${reason}`, "systemctl status ipcnet-reflex@a ipcnet-reflex@b");
  if (realtime) return ok(`${instance}.realtime`, `reflex ${instance} runs with realtime scheduling`);
  return warning(`${instance}.realtime`, `reflex ${instance} was not granted realtime scheduling: under load a takeover may take long, or happen without need`, "LimitRTPRIO=60 in its unit (the package's has it: then the kernel groups realtime tasks, RT_GROUP_SCHED, and another kernel is needed); without systemd: a line \"USER - rtprio 60\" in /etc/security/limits.conf");
}

function watchdog({ instance, watchdog: feeds, role }: ReflexReport): Check {
  return feeds || role !== "owner" ? ok(`${instance}.watchdog`, feeds ? `reflex ${instance} feeds a hardware watchdog` : `reflex ${instance} is ${role || "away"}`)
    : warning(`${instance}.watchdog`, `reflex ${instance} owns the buses and feeds no hardware watchdog: a hung machine stays hung`, "sudo ipcnet setup --watchdog reflex, or let systemd feed it: --watchdog systemd; without systemd: ipcnet-reflex --watchdog /dev/watchdog0");
}
