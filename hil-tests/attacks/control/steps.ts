/** A program that goes through the protocol and stops (SIGSTOP) when it has done so many steps: steps.js SOCKET COUNT. Continued, it goes on to the end and leaves. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { dataId } from "../../../shm/protocol/packet.ts";
import { nativeSeal } from "../../../shm/sockets/index.ts";
import { LaneReader } from "../../../shm/lanes/index.ts";
import { standsStill } from "../../waiting.ts";
import { advert, smallLane } from "./attack.ts";
import { type Heard, RawClient, type Words } from "./raw.ts";

const readers: LaneReader[] = [];
/** Beside the one that all of them offer, some of whom stand still: who waits for a call must get one. */
const itsOwn = `open/steps/${process.pid}`;

function send(client: RawClient, message: Words): void {
  client.say({ ...message, seq: ++client.seq });
}

/** Attaches to every lane that came; reads none. */
function attachAll(client: RawClient): void {
  const lanes = client.heard.filter((message): message is Extract<Heard, { op: "lane" }> => message.op === "lane");
  for (const { lane, policy, descriptors: [memory, bell] } of lanes) {
    const reader = LaneReader.open(memory!, bell, { policy, start: "next" });
    readers.push(reader);
    client.say({ op: "attach", lane, seq: ++client.seq }, [reader.page]);
  }
}

/** Half a message: the other half never comes. */
function half(client: RawClient): void {
  const bytes = Uint8Array.from([...new Uint8Array(20), 1, 0, 0, 0, 0xa2, 0x62]);
  nativeSeal().seal(bytes, 0, bytes.length, dataId("toGateway", "control"), 1);
  client.connection.send(bytes);
}

/** One entry between each pair of messages; the first two end in a dead end of their own. */
const steps: Readonly<Record<string, (client: RawClient) => void | Promise<unknown>>> = {
  "connected": () => {},
  "hello said": (client) => void client.say({ op: "hello", versions: [1], name: "steps" }, [], "handshake"),
  "welcomed": (client) => client.hears(({ op }) => op === "welcome"),
  "lane offered": async (client) => {
    const own = await smallLane();
    client.say({ ...advert(`open/steps/${process.pid}`), seq: ++client.seq }, [own.descriptor]);
  },
  "lane taken": (client) => client.ask({ op: "ping" }),
  "subscribed": (client) => send(client, { op: "subscribe", pattern: "app/#", policy: { lossless: true }, lanes: true, lastValue: true }),
  "lanes received": (client) => client.hears(({ op }) => op === "lane"),
  "page sent": attachAll,
  "attached": (client) => client.ask({ op: "ping" }),
  "offered": (client) => {
    for (const service of ["open/steps", itsOwn]) send(client, { op: "offer", service, capacity: 4 });
  },
  "offer taken": (client) => client.ask({ op: "ping" }),
  "asked": (client) => send(client, { op: "request", service: "open/steps", body: 1, timeoutMs: 60_000 }),
  "asked for a stream": (client) => send(client, { op: "request", service: itsOwn, body: 2, timeoutMs: 60_000, stream: 4 }),
  "call received": (client) => client.hears(({ op }) => op === "call"),
  "history asked for": (client) => send(client, { op: "query", topic: "app/count", last: 100 }),
  "leaving": (client) => send(client, { op: "leaving", deadlineMs: 10_000, text: "soon" }),
  "unsubscribed": (client) => send(client, { op: "unsubscribe", subscription: 1 }),
  "withdrawn": (client) => send(client, { op: "unadvertise", advert: 1 }),
};

export const stepNames = ["half a message", ...Object.keys(steps)];

/** Starts this program as user `uid`; resolves when it stands still at its step. */
export async function stoppedAt(t: TestContext, socketPath: string, step: string, uid: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["--enable-source-maps", import.meta.filename, socketPath, step], { stdio: ["ignore", "pipe", "inherit"], cwd: "/", uid, gid: uid });
  t.after(() => child.kill("SIGKILL"));
  const [said] = await Promise.race([once(child.stdout, "data"), once(child, "exit").then(([code, signal]) => [`ended with ${code ?? signal}`])]) as [Buffer | string];
  assert.equal(String(said).trim(), step);
  await standsStill(child.pid!);
  return child;
}

/** As a program: goes to the step, says so, stops, and leaves when it is continued. */
async function main(socketPath: string, last: string): Promise<void> {
  const client = new RawClient(socketPath);
  for (const [name, step] of Object.entries(steps)) {
    await step(client);
    if (name === last || (last === "half a message" && name === "welcomed")) break;
  }
  if (last === "half a message") half(client);
  process.stdout.write(`${last}\n`, () => {
    process.kill(process.pid, "SIGSTOP");
    // Here it has been continued.
    client.close();
    process.exit(0);
  });
}

if (process.argv[1] === import.meta.filename) await main(process.argv[2] ?? "", process.argv[3] ?? "");
