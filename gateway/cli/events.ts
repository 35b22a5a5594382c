import type { GatewayEvent, Severity } from "../observe/events.ts";
import { printable } from "../view/text.ts";
import { paint, span, type Style } from "../view/style.ts";
import { CliError, ExitCode, type Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { parseNumber } from "./parse.ts";

const styles: Readonly<Record<Severity, Style>> = { info: "plain", warning: "warn", error: "bad" };

export const register: Register = (program, context) => {
  program
    .command("events")
    .description("what happened: links, nodes, arming, safe poses; the last that the gateway keeps, oldest first")
    .option("-f, --follow", "go on with those that come, until Ctrl-C")
    .option("-n, --count <N>", "only the last N of those kept", parseNumber({ minimum: 0, maximum: 1e6, integer: true }))
    .addHelpText("after", "\nExamples:\n  ipcnet events -n 20\n  ipcnet events -f\n  ipcnet events --json | jq 'select(.severity == \"error\")'")
    .action((options: { follow?: boolean; count?: number }, command) =>
      withGateway(command, context, async ({ client, json, color, ended }) => {
        const print = (value: unknown): void => {
          if (!isEvent(value)) return;
          context.stdout.write(`${json ? toJson(value) : line(value, color)}\n`);
        };
        // Subscribed first, so that nothing falls between the list and what follows; what comes meanwhile waits.
        const waiting: unknown[] = [];
        let listening = (value: unknown): void => void waiting.push(value);
        if (options.follow) await client.subscribe("ipcnet/events", { policy: { queue: 256 } }, (message) => listening(message.value));
        const kept = await client.request("gateway/events", {}, { timeoutMs: 5000 });
        if (!Array.isArray(kept)) throw new CliError(ExitCode.problem, "the gateway's events have a shape that this version of ipcnet does not know", "use the ipcnet command of the gateway's own version");
        const known = new Set(kept.filter(isEvent).map(key));
        for (const event of options.count === undefined ? kept : options.count === 0 ? [] : kept.slice(-options.count)) print(event);
        if (!options.follow) return;
        for (const event of waiting) if (isEvent(event) && !known.has(key(event))) print(event);
        listening = print;
        await ended;
      }));
};

function isEvent(value: unknown): value is GatewayEvent {
  const event = value as Partial<GatewayEvent> | null;
  return typeof event === "object" && event !== null && typeof event.text === "string" && typeof event.code === "string" && Object.hasOwn(styles, event.severity ?? "");
}

function key({ atUs, source, code }: GatewayEvent): string {
  return `${atUs} ${source} ${code}`;
}

function line({ wallTime, severity, source, text, code, leftOut }: GatewayEvent, color: boolean): string {
  const spans = [
    span(`${printable(wallTime)} `, "dim"), span(severity.padEnd(7), styles[severity]), span(` ${printable(source)}: ${printable(text)} `), span(`[${printable(code)}]`, "dim"),
    span(leftOut ? ` (${leftOut} more left out)` : "", "dim"),
  ];
  return paint(spans, { color, ascii: false });
}
