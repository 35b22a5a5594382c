/** Inputs for `npm run fuzz`: no text of /proc/PID/cgroup, however strange, makes a unit out of what stands below another one. */
import { unitsOf } from "./cgroup.ts";

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = [
  {
    name: "cgroup of a process",
    run(input) {
      const text = new TextDecoder("latin1").decode(input);
      const units = unitsOf(text);
      if (!units) return;
      if (!units.path.startsWith("/") || !text.includes(units.path)) throw new Error("a path that the text does not hold");
      if (units.userUnit && units.unit !== `user@${units.userUnit.uid}.service` && !/^user@0*\d+\.service$/.test(units.unit ?? "")) throw new Error("a user's unit without the user's manager");
      const below = unitsOf(text.replace(units.path, `${units.path}/planner.service`));
      if (units.unit !== undefined && below !== undefined && below.unit !== units.unit) throw new Error("a cgroup below a unit became another unit");
    },
    seeds: ["0::/system.slice/planner.service\n", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", "1:name=systemd:/system.slice/a.service/b\n0::/\n", "0::/_x.slice/system-c.slice/c@d\\x2de.service\n"].map(bytes),
  },
];
