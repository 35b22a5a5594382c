/** Calls between a bench and the processes it starts, over Node's channel between parent and child. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";

type Handler = (argument: never) => unknown;

interface Request {
  call: number;
  name: string;
  argument: unknown;
}

interface Reply {
  call: number;
  result?: unknown;
  error?: string;
}

/** In the child: answers the parent's calls. The channel alone does not keep the process alive if `quiet`. */
export function serve(handlers: Record<string, Handler>, { quiet = false } = {}): void {
  process.on("message", (message: Request) => void answer(handlers, message));
  if (quiet) process.channel?.unref();
  // Whoever started it is gone: nothing is left to measure.
  else process.on("disconnect", () => process.exit(0));
}

async function answer(handlers: Record<string, Handler>, { call, name, argument }: Request): Promise<void> {
  let reply: Reply;
  try {
    reply = { call, result: await handlers[name]!(argument as never) };
  } catch (error) {
    reply = { call, error: (error as Error).stack ?? String(error) };
  }
  process.send!(reply);
}

const SAID_CHARS_MAX = 4096;

/** In the parent: one started process. */
export class Child {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown>;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #calls = 0;
  #stopping = false;

  /** `file`: a JavaScript module. Its standard output is dropped; what it said last on stderr is shown if it ends by itself. */
  constructor(file: string | URL, args: readonly string[] = [], execArgv: readonly string[] = []) {
    this.process = fork(file, args, { execArgv: [...execArgv], serialization: "advanced", stdio: ["ignore", "ignore", "pipe", "ipc"] });
    let said = "";
    this.process.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-SAID_CHARS_MAX);
    });
    this.exited = once(this.process, "exit");
    this.process.once("exit", () => {
      if (!this.#stopping) process.stderr.write(`${String(file)} has ended by itself:\n${said}\n`);
      for (const [call, resolve] of this.#waiting) resolve({ call, error: `${String(file)} has ended` });
    });
    this.process.on("message", (reply: Reply) => {
      this.#waiting.get(reply.call)?.(reply);
      this.#waiting.delete(reply.call);
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  async call<Result>(name: string, argument?: unknown): Promise<Result> {
    const call = ++this.#calls;
    const reply = await new Promise<Reply>((resolve) => {
      this.#waiting.set(call, resolve);
      this.process.send({ call, name, argument } satisfies Request);
    });
    if (reply.error !== undefined) throw new Error(`${name}: ${reply.error}`);
    return reply.result as Result;
  }

  /** Ends it and waits until it has ended. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#stopping = true;
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
    await this.exited;
  }
}
