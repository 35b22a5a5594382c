/**
 * From a client's request for the safe pose to its first frame at the node: `npm run bench:failover -- trigger --outside [--runs 1000] [--realtime | --nice=-15] [--burners N] [--json]`. Real processes: a pair of
 * reflexes, a gateway that also has 1,000 frames a second to pass on, a node with a clock of its own. Measured from the client's send, from the arrival (the gateway has read the request from its
 * client's socket: `arrivals.ts`), and from the order to the reflex. Ends with 1 when a pose did not come.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { eventually } from "../../schemas/testing.ts";
import { connect, type Client } from "../../shm/client/index.ts";
import { setRealtime } from "../procfs.ts";
import { quantilesOf } from "./quantiles.ts";
import { burners as burnerKinds, burnersDefault, startStress } from "./stress.ts";

const here = import.meta.dirname;
const native = join(here, "../../../native");
const START_MS = 60_000;

const dbc = `VERSION "1"\nNS_ :\nBS_:\nBU_: Gateway Node\n\nBO_ 272 Still: 8 Gateway\n SG_ crc : 0|16@1+ (1,0) [0|65535] "" Node\n SG_ counter : 16|8@1+ (1,0) [0|255] "" Node\n SG_ still : 24|8@1+ (1,0) [0|255] "" Node\n\nBO_ 386 Load: 8 Node\n SG_ value : 0|8@1+ (1,0) [0|255] "" Gateway\n`;
const checks = `version: 1\nmessages: { Still: { profile: P05, dataId: 4660 }, Load: { integrity: link } }\n`;

function configuration(folder: string): string {
  return `version: 1
robot: trigger
socket: { path: "${join(folder, "ipcnet.sock")}", mode: "0600" }
buses:
  - { name: arm, driver: emulator, interface: "${join(folder, "bus")}", bitrateBps: 1000000, claimId: 0x10, deadAfterMs: 1000, databases: [ { dbc: node.dbc, checks: node.checks.yaml } ] }
nodes: [ { name: node, link: arm, heartbeat: { canopen: 1 }, timeoutMs: 2000 } ]
commands: [ { bus: arm, message: Still, ttlMsMax: 1000, rateHzMax: 200, writers: [] } ]
arming: { autoDisarmAfterSilentMs: 0 }
redundancy: { reflex: pair, resumeArmed: true, twinDeadlineMs: 200, brainTimeoutMs: 5000, stateFolder: state }
safePose: { budgetMs: 2000, steps: [ { name: still, deadlineMs: 500, send: [ { bus: arm, message: Still, values: { still: 1 } } ] } ] }
`;
}

const nowUs = (): number => Number(process.hrtime.bigint() / 1000n);

class Rig {
  readonly folder = mkdtempSync(join(tmpdir(), "ipcnet-trigger-"));
  readonly poses: number[] = [];
  readonly children: ChildProcess[] = [];
  readonly arrivals = join(this.folder, "arrivals");
  gateway!: ChildProcess;
  log = "";

  async start(): Promise<void> {
    writeFileSync(join(this.folder, "node.dbc"), dbc);
    writeFileSync(join(this.folder, "node.checks.yaml"), checks);
    writeFileSync(join(this.folder, "ipcnet.yaml"), configuration(this.folder));
    writeFileSync(this.arrivals, "");
    const node = this.#spawn(join(native, "bench/reflex_trigger_node"), [join(this.folder, "bus")]);
    let text = "";
    node.stdout!.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const lines = text.split("\n");
      text = lines.pop()!;
      for (const line of lines) if (line !== "ready") this.poses.push(Number(line));
    });
    await once(node.stdout!, "data");
    const bin = join(here, "../../gateway/bin");
    const config = join(this.folder, "ipcnet.yaml");
    this.#spawn(process.execPath, [join(bin, "reflexes.js"), "--config", config, "--until-stdin-closes"]);
    this.gateway = this.#spawn(process.execPath, ["--max-semi-space-size=4", "--import", pathToFileURL(join(here, "arrivals.js")).href, join(bin, "ipcnetd.js"), "--config", config, "--until-stdin-closes"], { IPCNET_ARRIVALS: this.arrivals });
    await eventually("the gateway", () => {
      if (this.gateway.exitCode !== null) throw new Error(this.log);
      return this.log.includes("[listening]");
    }, { timeoutMs: START_MS, last: () => this.log });
  }

  #spawn(program: string, args: string[], env: Record<string, string> = {}): ChildProcess {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
    child.stdin!.on("error", () => {
      // It has ended before it was told to: its log says why.
    });
    for (const stream of program === process.execPath ? [child.stdout!, child.stderr!] : [child.stderr!]) stream.setEncoding("utf8").on("data", (chunk: string) => (this.log += chunk));
    this.children.push(child);
    return child;
  }

  connect(): Promise<Client> {
    return connect({ socketPath: join(this.folder, "ipcnet.sock"), name: "bench", timeoutMs: START_MS });
  }

  /** Instants that the gateway has noted: [arrived, ordered] of each request. */
  async noted(count: number): Promise<[number, number][]> {
    return eventually("all arrivals", () => {
      const lines = readFileSync(this.arrivals, "utf8").trim().split("\n").map((line) => line.split(" ") as [string, string]);
      const of = (what: string): number[] => lines.filter(([word]) => word === what).map(([, us]) => Number(us));
      const [arrived, ordered] = [of("arrived"), of("ordered")];
      return arrived.length === count && ordered.length === count && arrived.map((us, i): [number, number] => [us, ordered[i]!]);
    }, { timeoutMs: START_MS });
  }

  async stop(): Promise<void> {
    for (const child of this.children.reverse()) {
      child.stdin?.end();
      if (child === this.gateway) child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "close");
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface TriggerFigures {
  realtime: boolean;
  runs: number;
  /** Each in µs until the node has read the first frame. */
  fromClient: number[];
  fromArrival: number[];
  fromOrder: number[];
}

async function measure({ runs, realtime, nice, burners }: { runs: number; realtime: boolean; nice: number; burners: number }): Promise<TriggerFigures> {
  const rig = new Rig();
  let load: ReturnType<typeof startStress> | undefined;
  try {
    await rig.start();
    const client = await rig.connect();
    const isRealtime = realtime && setRealtime([rig.gateway.pid!], true);
    // As somebody who looks on: the gateway has all frames to pass on as well.
    await client.subscribe("can/arm/#", {}, () => {});
    if (nice !== 0) setPriority(rig.gateway.pid!, nice);
    load = startStress(burnerKinds(burners), { folder: rig.folder });
    const sent: number[] = [];
    const first: number[] = [];
    for (let i = 0; i < runs; i++) {
      await eventually("armed", async () => client.request("gateway/arm", { reset: true, why: "bench" }, { timeoutMs: START_MS }).then(() => true, () => false), { timeoutMs: START_MS, last: () => rig.log.slice(-2000) });
      // Nothing of ours is in step with the gateway's own turns.
      await new Promise((resolve) => setTimeout(resolve, (i * 7) % 11));
      const seen = rig.poses.length;
      sent.push(nowUs());
      await client.request("gateway/safe-pose", { why: "bench-trigger" }, { timeoutMs: START_MS });
      await eventually("a pose frame", () => rig.poses.length > seen, { timeoutMs: START_MS, last: () => rig.log.slice(-2000) });
      first.push(rig.poses[seen]!);
    }
    const noted = await rig.noted(runs);
    await client.close();
    return { realtime: isRealtime, runs, fromClient: first.map((us, i) => us - sent[i]!), fromArrival: first.map((us, i) => us - noted[i]![0]), fromOrder: first.map((us, i) => us - noted[i]![1]) };
  } finally {
    await load?.stop();
    await rig.stop();
  }
}

function histogram(values: readonly number[]): string {
  const bounds = [100, 200, 300, 400, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, Infinity];
  const counts = bounds.map((bound, i) => values.filter((us) => us < bound && us >= (bounds[i - 1] ?? Number.NEGATIVE_INFINITY)).length);
  const most = Math.max(1, ...counts);
  return bounds.map((bound, i) => (counts[i] === 0 ? "" : `${bound === Infinity ? "    more" : `< ${String(bound).padStart(6)}`} µs ${"#".repeat(Math.ceil((50 * counts[i]!) / most))} ${counts[i]}\n`)).join("");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({ options: { runs: { type: "string", default: "1000" }, realtime: { type: "boolean", default: false }, nice: { type: "string", default: "0" }, burners: { type: "string", default: String(burnersDefault) }, json: { type: "boolean", default: false } } });
  if (!existsSync(join(native, "bench/reflex_trigger_node"))) throw new Error("the node is not built: npm run bench:failover -- trigger builds it");
  const figures = await measure({ runs: Number(values.runs), realtime: values.realtime, nice: Number(values.nice), burners: Number(values.burners) });
  const series = { "client's send": figures.fromClient, "arrival at the gateway": figures.fromArrival, "order to the reflex": figures.fromOrder };
  if (values.json) process.stdout.write(`${JSON.stringify({ realtime: figures.realtime, runs: figures.runs, us: Object.fromEntries(Object.entries(series).map(([name, us]) => [name, quantilesOf(us)])) })}\n`);
  else {
    process.stdout.write(`\ngateway: ${figures.realtime ? "realtime priority" : `ordinary priority, nice ${values.nice}`}, ${values.burners} burners, ${figures.runs} runs\n`);
    for (const [name, us] of Object.entries(series)) {
      const { p50, p90, p99, max } = quantilesOf(us);
      process.stdout.write(`\n${name} → first frame of the pose, µs: p50 ${p50}, p90 ${p90}, p99 ${p99}, max ${max}\n${histogram(us)}`);
    }
  }
}
