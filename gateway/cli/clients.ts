import type { Register } from "./command.ts";
import { withGateway } from "./connection.ts";
import { toJson } from "./json.ts";
import { askStatus } from "./statusReport.ts";
import { displayWidth, fit, grouped, printable } from "../view/text.ts";

export const register: Register = (program, context) => {
  program
    .command("clients")
    .description("list who is connected, as which component, and what each user has of what all users share")
    .addHelpText("after", `
A user's share shrinks as others come; the first may have half, the second a sixth, the third a twelfth. --json: {clients, quota}.

Examples:
  ipcnet clients
  ipcnet clients --json | jq '.quota.users[] | {uid, bytes: .used.bytes}'`)
    .action((_options, command) =>
      withGateway(command, context, async ({ client, json }) => {
        const { clients, quota } = await askStatus(client);
        if (json) return void context.stdout.write(`${toJson({ clients, quota })}\n`);
        const kinds = Object.keys(quota.capacity);
        const rows = [
          ["component", "name", "uid", "pid", "subscriptions", "sent", "dropped", "pending bytes"],
          ...clients.map((each) => [each.component, each.leaving === undefined ? each.name : `${each.name} (leaving)`, String(each.uid), String(each.pid), String(each.subscriptions), grouped(each.sentMessages), grouped(each.droppedMessages), grouped(each.pendingBytes)]),
        ];
        const users = [["user", ...kinds], ...quota.users.map(({ uid, used }) => [String(uid), ...kinds.map((kind) => grouped(used[kind] ?? 0))]), ["all", ...kinds.map((kind) => grouped(quota.capacity[kind] ?? 0))]];
        context.stdout.write(`${[...table(rows, 2), "", ...table(users, 1)].join("\n")}\n`);
      }));
};

/** Columns as wide as their widest cell; the first `left` of them flush left, numbers flush right. */
function table(rows: readonly (readonly string[])[], left: number): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => displayWidth(printable(row[column] ?? "")))));
  return rows.map((row) => row.map((cell, column) => fit(printable(cell), widths[column]!, column < left ? "left" : "right")).join("  ").trimEnd());
}
