/** `ipcnet top`: the live view of a running gateway; when the gateway goes away it says so and comes back with it. */
import type { Command } from "commander";
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import type { Client, Message } from "./client.ts";
import type { CliContext, Register } from "./command.ts";
import { pause, withGateway } from "./connection.ts";
import { describeTrouble } from "./errors.ts";
import { toJson } from "./json.ts";
import { parseNumber } from "./parse.ts";
import { services } from "./services.ts";
import { askStatus } from "./statusReport.ts";
import { globalOptions, wantAscii } from "./terminal.ts";
import { runLiveView } from "../view/liveView.ts";
import { renderView, type ViewSize } from "../view/renderView.ts";
import { summaryLine, unreachableView } from "../view/summary.ts";
import { ValueWatch, type WatchedMessage } from "../view/valueWatch.ts";

interface TopOptions {
  fields?: string;
  intervalMs: number;
  once?: boolean;
}

export const register: Register = (program, context) => {
  program
    .command("top")
    .description("watch a running gateway: states, rates, bus load, rejects, moving values")
    .argument("[TOPIC...]", "topics whose values to show, patterns allowed (default: can/+/+ serial/+/+ mqtt/+/+)")
    .option("--fields <NAMES>", "only these fields of the topics, separated by commas")
    .option("--interval-ms <N>", "between two pictures", parseNumber({ minimum: 50, maximum: 60_000 }), 500)
    .option("--once", "one picture, then end")
    .addHelpText("after", "\nExamples:\n  ipcnet top\n  ipcnet top 'can/arm/+' --fields angle,velocity\n  ipcnet top --once --no-color > picture.txt\n  ipcnet top --json | jq -c '.links[] | {name, state, loadPercent}'")
    .action((patterns: string[], options: TopOptions, command: Command) => {
      const topics = patterns.length > 0 ? patterns : ["can/+/+", "serial/+/+", "mqtt/+/+"];
      if (globalOptions(command, context).json) return printReports(context, command, options);
      return new Top(context, command, topics, options).run();
    });
};

async function printReports(context: CliContext, command: Command, options: TopOptions): Promise<void> {
  await withGateway(command, context, async ({ client, services }) => {
    do context.stdout.write(`${toJson(await askStatus(client))}\n`);
    while (!options.once && (await pause(services, options.intervalMs, context.signal)));
  });
}

class Top {
  readonly #context: CliContext;
  readonly #command: Command;
  readonly #topics: readonly string[];
  readonly #options: TopOptions;
  readonly #watch: ValueWatch;
  readonly #outside;
  /** undefined while no gateway answers. */
  #client: Client | undefined;
  #report: StatusReport | undefined;
  #trouble: { reason: string; sinceUs: number } | undefined;

  constructor(context: CliContext, command: Command, topics: readonly string[], options: TopOptions) {
    this.#context = context;
    this.#command = command;
    this.#topics = topics;
    this.#options = options;
    this.#watch = new ValueWatch({ fields: options.fields?.split(",").filter(Boolean) ?? [] });
    this.#outside = services(context.services);
  }

  /** The first connection must succeed: a wrong socket path is to be told, not watched. Later ones are waited for. */
  async run(): Promise<void> {
    await withGateway(this.#command, this.#context, async ({ client, color }) => {
      await this.#open(client);
      if (this.#context.signal.aborted) return;
      const view = new AbortController();
      const stop = (): void => view.abort();
      this.#context.signal.addEventListener("abort", stop, { once: true });
      // The samples that draw a first sparkline come with the first picture only when someone waits for them.
      if (this.#options.once) await pause(this.#outside, this.#options.intervalMs, this.#context.signal);
      const asking = this.#follow(client, view.signal);
      try {
        await runLiveView({
          stdout: this.#context.stdout, clock: this.#outside.clock, signal: view.signal, color, ascii: wantAscii(this.#context),
          intervalMs: Math.min(250, this.#options.intervalMs), once: this.#options.once === true,
          draw: (size) => this.#draw(size), summary: () => this.#summary(),
        });
      } finally {
        this.#context.signal.removeEventListener("abort", stop);
        view.abort();
        await this.#client?.close(); // a question still open ends with it
        await asking;
      }
    }, { stayWhenLost: true });
  }

  async #open(client: Client): Promise<void> {
    this.#report = await askStatus(client);
    this.#trouble = undefined;
    for (const pattern of this.#topics) {
      await client.subscribe(pattern, { policy: "latest", rateHzMax: 10, lastValue: true }, (message) => this.#watchValue(message));
    }
  }

  /** Raw frames are no values: their decoded messages are. */
  #watchValue(message: Message): void {
    if (!message.topic.endsWith("/raw")) this.#watch.push(message as WatchedMessage);
  }

  /** Asks for the status again and again; over a lost connection, opens new ones until one holds. */
  async #follow(first: Client, signal: AbortSignal): Promise<void> {
    this.#client = first;
    while (await pause(this.#outside, this.#client ? this.#options.intervalMs : 1000, signal)) {
      try {
        if (this.#client) this.#report = await askStatus(this.#client);
        else {
          this.#client = await this.#outside.connect({ name: "ipcnet top", timeoutMs: 1000, ...this.#socket() });
          await this.#open(this.#client);
        }
      } catch (error) {
        this.#trouble ??= { reason: describeTrouble(error).message, sinceUs: this.#outside.clock.nowUs() };
        await this.#client?.close();
        this.#client = undefined;
      }
    }
    await this.#client?.close();
  }

  #socket(): { socketPath?: string } {
    const { socketPath } = globalOptions(this.#command, this.#context);
    return socketPath === undefined ? {} : { socketPath };
  }

  #draw(size: ViewSize): string[] {
    const nowUs = this.#outside.clock.nowUs();
    if (this.#trouble) return unreachableView({ reason: this.#trouble.reason, sinceMs: (nowUs - this.#trouble.sinceUs) / 1000 }, size);
    return renderView(this.#report!, this.#watch.values(nowUs), size);
  }

  #summary(): string {
    return this.#trouble ? `no gateway: ${this.#trouble.reason}` : summaryLine(this.#report!);
  }
}
