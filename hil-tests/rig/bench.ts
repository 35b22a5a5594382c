/** A real bench: the same agent, through ssh. The bench needs Python 3.9, Node, and the built repository in a folder; whoever logs in is root. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Agent } from "./agent.ts";
import { sources } from "./kernel.ts";

export interface Bench {
  agent: Agent;
  end(): Promise<void>;
}

/** ssh; IPCNET_HIL_SSH_CONFIG names a configuration file instead of the user's own. */
function ssh(): string[] {
  const file = process.env["IPCNET_HIL_SSH_CONFIG"];
  return ["ssh", ...(file === undefined ? [] : ["-F", file]), "-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5"];
}

/** `command`: what is ssh here; for tests another program that takes a command line. */
export async function openBench({ host, port }: { host: string; port: number | undefined }, command = ssh()): Promise<Bench> {
  const [program, ...words] = [...command, ...(port === undefined ? [] : ["-p", String(port)]), host];
  // The agent's text goes over as an argument, so that nothing has to be copied there before: its input is for orders.
  const text = readFileSync(join(sources, "guest/agent.py")).toString("base64");
  const child: ChildProcess = spawn(program!, [...words, `exec python3 -c "import base64, sys; sys.argv = ['agent', '-']; exec(base64.b64decode('${text}').decode())"`], { stdio: ["pipe", "pipe", "pipe"] });
  let trouble = "";
  child.stderr!.setEncoding("utf8").on("data", (more: string) => (trouble += more));
  const closed = new Promise((resolve) => child.once("close", resolve));
  const agent = new Agent(child.stdout!, child.stdin!);
  child.once("error", (error) => agent.lost(`${program} could not be started: ${error.message}`));
  try {
    await agent.ready;
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`no agent on ${host}: ${trouble.trim() || (error as Error).message}`, { cause: error });
  }
  return {
    agent,
    end: async () => {
      agent.quit();
      child.stdin!.end();
      await closed;
    },
  };
}
