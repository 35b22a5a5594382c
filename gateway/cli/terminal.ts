/** What the verbs know about the terminal they write to. */
import type { Command } from "commander";
import type { CliContext } from "./command.ts";

/** The options that every verb has. */
export interface GlobalOptions {
  json: boolean;
  color: boolean;
  socketPath: string | undefined;
}

/** Colours only for a terminal, and not where NO_COLOR (no-color.org), TERM=dumb or --no-color says otherwise. */
export function wantColor(context: CliContext, options: { color?: boolean }): boolean {
  const { NO_COLOR, TERM } = context.env;
  return context.stdout.isTTY === true && options.color !== false && !NO_COLOR && TERM !== "dumb";
}

export function globalOptions(command: Command, context: CliContext): GlobalOptions {
  const options = command.opts<{ json?: boolean; color?: boolean; socket?: string }>();
  return {
    json: options.json === true,
    color: wantColor(context, options),
    socketPath: options.socket ?? (context.env.IPCNET_SOCKET || undefined),
  };
}

/** Whether to keep to ASCII: only where the locale is set and says something other than UTF-8. */
export function wantAscii(context: CliContext): boolean {
  const { LC_ALL, LC_CTYPE, LANG } = context.env;
  const locale = LC_ALL || LC_CTYPE || LANG || "";
  return locale !== "" && !/utf-?8/i.test(locale);
}
