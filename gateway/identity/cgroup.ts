/**
 * From the text of /proc/PID/cgroup to the systemd units that a process belongs to. Pure.
 *
 * Who may make cgroups decides what a name is worth. Below the root there are slices, which the service manager makes; the first level that is no slice
 * is a unit of the system's manager, and all below it may be delegated: to a container, a payload with a manager of its own, a service that sorts its
 * workers. Whoever owns that part can name it as it likes, but cannot leave it. So the first unit from the root counts and nothing below it. The one
 * exception is user@UID.service: below it the manager of that user makes slices and units, which are worth what the user is worth.
 */
export interface CgroupUnits {
  /** As the kernel gives it. */
  path: string;
  unit?: string;
  userUnit?: { name: string; uid: number };
}

/** The kernel's limit for a name is 255 bytes; a path of a thousand levels is nobody's. */
const PATH_BYTES_MAX = 4096;
const LEVELS_MAX = 64;
/** Types of units that have processes (systemd.unit(5)). */
const unitName = /^[A-Za-z0-9:_.@\\-]{1,240}\.(service|scope|socket|mount|swap)$/;

/** Undefined where the text names no place that can be trusted: no line of systemd's, or a path outside of the gateway's own cgroup namespace. */
export function unitsOf(text: string): CgroupUnits | undefined {
  const path = pathOf(text);
  if (path === undefined || path.length > PATH_BYTES_MAX) return undefined;
  const levels = path.split("/").slice(1);
  // "/.." begins what lies outside of our namespace; " (deleted)" ends what is gone already.
  if (levels.length > LEVELS_MAX || levels.includes("..") || path.endsWith(" (deleted)")) return undefined;
  const [unit, below] = firstUnit(levels);
  if (unit === undefined) return { path };
  const owner = /^user@(\d{1,10})\.service$/.exec(unit)?.[1];
  const [inner] = owner === undefined ? [undefined] : firstUnit(below);
  return { path, unit, ...(owner !== undefined && inner !== undefined ? { userUnit: { name: inner, uid: Number(owner) } } : {}) };
}

/** Lines are "hierarchy:controllers:path". The unified hierarchy is number 0 without controllers; before it, systemd kept its own, "name=systemd". */
function pathOf(text: string): string | undefined {
  const lines = text.split("\n").map((line) => /^(\d+):([^:]*):(\/.*)$/.exec(line));
  // Where both are mounted ("hybrid"), systemd's own is the one that it keeps processes in.
  const own = lines.find((line) => line?.[2] === "name=systemd") ?? lines.find((line) => line?.[1] === "0" && line[2] === "");
  return own?.[3];
}

/** Goes down through slices; returns the first unit and what is below it, or nothing where a name is neither. */
function firstUnit(levels: readonly string[]): [unit: string | undefined, below: readonly string[]] {
  const at = levels.findIndex((level) => !level.endsWith(".slice"));
  if (at < 0) return [undefined, []];
  const name = unescaped(levels[at]!);
  return unitName.test(name) ? [name, levels.slice(at + 1)] : [undefined, []];
}

/** systemd puts a "_" before names that the kernel's own files could have ("cgroup.x", "tasks"), and before those that begin with "_". */
function unescaped(level: string): string {
  return level.startsWith("_") ? level.slice(1) : level;
}
