import { checker, type Check } from "./check.ts";
import type { Facts } from "./facts.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, problem } = checker("serial");
const byId = "/dev/serial/by-id";

export function serialChecks(machine: Machine, { groupIds }: Facts): Check[] {
  const names = machine.list(byId) ?? [];
  const unstable = (machine.list("/dev") ?? []).filter((name) => /^tty(USB|ACM|AMA|THS)\d+$/.test(name));
  if (names.length === 0 && unstable.length === 0) return [ok("ports", "no serial adapter is connected")];
  const dialout = groupIds.get("dialout");
  const inGroup = machine.uid === 0 || (dialout !== undefined && machine.gids.includes(dialout));
  const paths = [...names.map((name) => `${byId}/${name}`), ...(names.length === 0 ? unstable.map((name) => `/dev/${name}`) : [])];
  const ports = paths.map((path) => {
    const subject = `port.${path.slice(path.lastIndexOf("/") + 1)}`;
    if (machine.mayUse(path)) return ok(subject, `${path} may be opened`);
    return problem(subject, `this user may not open ${path}`, inGroup ? `ls -lL ${path} shows who may` : "sudo usermod -aG dialout \"$USER\", then log in again");
  });
  const stable = names.length > 0 ? [] : [warning("names", `${unstable.join(", ")} without a stable name in ${byId}: the name may change when it is plugged in again`, "sudo apt-get install -y udev, or name the port by its place: /dev/serial/by-path")];
  return [...ports, ...stable];
}
