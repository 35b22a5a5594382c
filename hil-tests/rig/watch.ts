/** What is recorded of a board while a behaviour runs: the kernel's log, its CAN log, what QEMU tells. */
import type { Agent } from "./agent.ts";
import type { Board } from "./boards.ts";
import type { Timeline } from "./timeline.ts";

const CAN_LOG = "/tmp/ipcnet-rig-can.log";
/** Of the kernel's CAN log that is brought back. */
const CAN_LOG_BYTES_MAX = 8 << 20;

export interface Watched {
  /** QEMU has told of a reset since. */
  wasReset(): boolean;
  /** Brings back what was recorded, and ends whatever still runs there. */
  end(): Promise<void>;
}

/** Fails where the machine does not answer. */
export async function watch({ agent, machine, clocks, who }: Board, timeline: Timeline, isLoad: boolean): Promise<Watched> {
  const lane = (name: string): string => (who === undefined ? name : `${who}, ${name}`);
  const sinceMs = performance.now();
  if (machine) machine.onEvent = ({ event, data }) => timeline.note(lane("machine"), `${event} ${JSON.stringify(data)}`, event === "WATCHDOG" || event === "RESET" ? "bad" : "plain");
  const records = await recordCan(agent(), isLoad);
  const endOfLog = followKernel(agent(), timeline, lane("kernel"));
  return {
    wasReset: () => (machine?.told("RESET", sinceMs).length ?? 0) > 0,
    async end() {
      endOfLog();
      if (records && machine?.isOn !== false) await bringCanLog(agent(), timeline, clocks).catch((error: Error) => timeline.note("rig", `no CAN log: ${error.message}`));
      await agent().endAll();
      if (machine) machine.onEvent = undefined;
    },
  };
}

export async function allAnswer(boards: readonly Board[]): Promise<boolean> {
  return (await Promise.all(boards.map(({ agent }) => answers(agent())))).every((answer) => answer);
}

async function answers(agent: Agent): Promise<boolean> {
  try {
    return (await agent.run("true", { timeoutMs: 10_000 })).code === 0;
  } catch {
    // Then it does not: the next behaviour gets another machine.
    return false;
  }
}

/** The kernel's CAN log of all interfaces, in a file of the machine; false: not recorded. */
async function recordCan(agent: Agent, isLoad: boolean): Promise<boolean> {
  if (isLoad) return false;
  const { code } = await agent.run("modprobe can-raw && command -v candump >/dev/null");
  if (code !== 0) return false;
  agent.start(`exec candump -D -L any,0:0,#FFFFFFFF >${CAN_LOG}`);
  return true;
}

async function bringCanLog(agent: Agent, timeline: Timeline, clocks: Board["clocks"]): Promise<void> {
  const { out } = await agent.run(`head -c ${CAN_LOG_BYTES_MAX} ${CAN_LOG}; rm -f ${CAN_LOG}`);
  timeline.addCanLog(out, clocks);
}

/** New lines of the kernel's log, as they come; the answer ends it. */
function followKernel(agent: Agent, timeline: Timeline, lane: string): () => void {
  const running = agent.start("exec dmesg --follow-new --notime");
  running.onLine = (line) => timeline.note(lane, line);
  return () => running.signal("SIGTERM");
}
