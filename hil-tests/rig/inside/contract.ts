/**
 * In the machine: the contract of CAN drivers, on real interfaces of the kernel. IPCNET_HIL_OURS and _PEERS name the two ends, _KIND what they are, _FD=1 that both are in FD mode; the peer is Python's CAN socket.
 */
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { after } from "node:test";
import { join } from "node:path";
import { formatCandumpFrame, parseCandumpLine } from "../../../drivers/can/candump.ts";
import { testCanDriverContract, type CanHarness } from "../../../drivers/can/contract.ts";
import type { CanFrame } from "../../../drivers/can/frame.ts";
import { createNativeCan } from "../../../drivers/can/nativeDriver.ts";
import { until } from "../../../schemas/testing.ts";

const PROBE_ID = 0x7ff;
const SETTLER_ID = 0x7fe;
const script = join(import.meta.dirname, "../../../../../hil-tests/rig/inside/peer.py");
const word = (name: string): string => {
  const value = process.env[`IPCNET_HIL_${name}`];
  if (value === undefined) throw new Error(`IPCNET_HIL_${name} is missing`);
  return value;
};
const [ours, peers, kind] = [word("OURS"), word("PEERS"), word("KIND")];
const isCable = kind === "vxcan";
const isFd = process.env["IPCNET_HIL_FD"] === "1";
const set = (name: string, state: "up" | "down"): void => void execFileSync("ip", ["link", "set", name, state]);

let received: CanFrame[] = [];
let echoes = 0;
let synced = 0;
let syncs = 0;
let isReady = false;
let settlers = 0;
const peer = spawn("/usr/bin/python3", [script, peers], { stdio: ["pipe", "pipe", "inherit"] });
let rest = "";
peer.stdout.setEncoding("utf8").on("data", (text: string) => {
  const lines = (rest + text).split("\n");
  rest = lines.pop()!;
  for (const line of lines) take(line);
});
// Without it every test would wait in vain for its own minute.
peer.once("close", (code) => {
  if (code !== 0) throw new Error(`the peer ended with ${code}`);
});
after(() => void peer.stdin.end());

function take(line: string): void {
  const [what, rest = ""] = line.split(" ");
  if (what === "ready") isReady = true;
  else if (what === "y") synced = Number(rest);
  else if (what === "e") echoes += 1;
  else if (what === "r") {
    const parsed = parseCandumpLine(`(0.0) x ${rest}`);
    if (!parsed.ok) throw new Error(`${line}: ${parsed.text}`);
    received.push(parsed.frame);
  }
}

/** All that had arrived at the peer by now has been told. */
async function drained(): Promise<void> {
  const number = ++syncs;
  peer.stdin.write(`y ${number}\n`);
  await until(() => synced >= number, "the peer's answer");
}

async function harness(): Promise<CanHarness> {
  await until(() => isReady, "the peer");
  for (const name of [ours, peers]) {
    set(name, "down");
    set(name, "up");
  }
  await drained();
  received = [];
  const driver = createNativeCan({ name: "bus", kind: "socketcan", interface: ours, fd: isFd || isCable, deadAfterMs: 1_500, probeIntervalMs: 100, reopen: { minMs: 20, maxMs: 200 }, busOff: { restartMinMs: 50, restartMaxMs: 200, restartBudget: 10 } });
  driver.onFrames((batch) => {
    for (let index = 0; index < batch.count; index++) if (batch.canId(index) === SETTLER_ID) settlers += 1;
  });
  const send = (frame: CanFrame): void => void peer.stdin.write(`s ${formatCandumpFrame(frame)}\n`);
  const injected = (text: string): void => writeFileSync("/sys/kernel/debug/faultcan", text);
  return {
    driver,
    peerSend: send,
    peerReceived: () => received.filter(({ canId }) => canId !== PROBE_ID && canId !== SETTLER_ID),
    settle: async () => {
      const [settled, echoed] = [settlers, echoes];
      await until(() => (driver.link()?.inFlightFrames ?? 0) === 0 || driver.health().state !== "up", "what we had sent");
      send({ timeUs: 0, canId: SETTLER_ID, flags: 0, data: new Uint8Array(0) });
      await until(() => echoes > echoed, "the settling frame's echo");
      await until(() => settlers > settled || ["stopped", "starting", "down"].includes(driver.health().state), "the settling frame at the driver");
      await drained();
    },
    breakLink: () => set(ours, "down"),
    restoreLink: () => set(ours, "up"),
    // QEMU's model of it stores as many bytes as a remote frame asks for, and takes out none.
    ...(kind === "sja1000" && word("MODEL") === "1" ? { remoteLengthBytes: 0 } : {}),
    ...(kind === "dcan" ? { isolate: () => set(peers, "down"), rejoin: () => set(peers, "up") } : {}),
    ...(isCable ? {} : { forceBusOff: () => injected(`${ours} off`), disturb: () => injected(`${ours} bit`) }),
    stop: async () => {
      await driver.stop();
      set(peers, "up");
    },
  };
}

testCanDriverContract(`socketcan on ${kind}${isFd ? " with FD" : ""}`, harness, { fdFrames: isFd });
