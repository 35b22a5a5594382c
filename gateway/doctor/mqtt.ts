import { checker, type Check } from "./check.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, unknown } = checker("mqtt");
const port = 1883;
/** TCP_LISTEN in /proc/net/tcp. */
const listening = "0A";

export function mqttChecks(machine: Machine, gatewayRuns: boolean): Check[] {
  const tables = ["tcp", "tcp6"].map((name) => machine.read(`/proc/net/${name}`));
  if (tables.every((table) => table === undefined)) return [unknown("port", "the list of open ports cannot be read (/proc/net/tcp)")];
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const taken = tables.some((table) => (table ?? "").split("\n").some((line) => {
    const [, local, , state] = line.trim().split(/\s+/);
    return state === listening && local?.endsWith(`:${hex}`) === true;
  }));
  if (!taken) return [ok("port", `port ${port} is free for the embedded broker`)];
  if (gatewayRuns) return [ok("port", `port ${port} is in use while a gateway runs`)];
  return [warning("port", `port ${port} is in use by another program: the embedded broker cannot have it`, `sudo ss -ltnp 'sport = :${port}' shows which; stop it, choose another mqtt.broker.listen.port, or use that broker as mqtt.clients`)];
}
