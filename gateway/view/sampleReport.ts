/** A report as a healthy demo robot gives it, for tests of whatever draws one. */
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import type { WatchedValue } from "./sections.ts";

const joints = ["base", "shoulder", "elbow", "wrist_pitch", "wrist_roll", "gripper"];

export function sampleReport(changes: Partial<StatusReport> = {}): StatusReport {
  return {
    robot: "demo-arm", version: "0.1.0", instance: "a", boot: "4f1c", pid: 4711, uptimeMs: 754_000, epoch: 3, state: "armed", stateReason: "armed by pid 4800, uid 1000", missingForArming: [],
    links: [
      { kind: "can", name: "arm", driver: "emulator", state: "up", reason: "", loadPercent: 43.2, receivedRateHz: 1210, sentRateHz: 600, counters: {} },
      { kind: "serial", name: "hand", driver: "serial", state: "up", reason: "", loadPercent: undefined, receivedRateHz: 50, sentRateHz: 10, counters: {} },
      { kind: "mqtt", name: "broker", driver: "aedes", state: "up", reason: "", loadPercent: undefined, receivedRateHz: 100, sentRateHz: 240, counters: {} },
    ],
    nodes: [
      ...joints.map((name) => ({ name, link: "arm", state: "operational" as const, required: true, lastSeenMsAgo: 4, rateHz: 100 })),
      { name: "hand", link: "hand", state: "operational", required: false, lastSeenMsAgo: 12, rateHz: 50 },
      { name: "imu", link: "broker", state: "operational", required: false, lastSeenMsAgo: 8, rateHz: 100 },
    ],
    rejects: [
      { link: "arm", reason: "unknownId", count: 12, lastSample: { atMsAgo: 800, source: "7DF", hex: "02010c0000000000" } },
      { link: "hand", reason: "crcMismatch", count: 3, lastSample: { atMsAgo: 65_000, source: "Joystick", hex: "0a1b2c3d4e5f" } },
    ],
    clients: [
      { name: "planner", pid: 4800, uid: 1000, component: "planner", subscriptions: 4, sentMessages: 75_432, droppedMessages: 0, pendingBytes: 0 },
      { name: "ipcnet", pid: 4950, uid: 1000, component: "uid:1000", subscriptions: 3, sentMessages: 1_240, droppedMessages: 0, pendingBytes: 0 },
    ],
    lanes: [{ topic: "arm/plan", writer: "planner/-/4800/5a1e0f3c", pid: 4800, policy: "queue", readers: 2, messages: 75_432 }],
    policy: { file: "/etc/ipcnet/policy.yaml", hash: "4f1c", rules: 12, components: 5, refused: "" },
    services: { requests: 1_204, calls: 1_207, failovers: 3, timeouts: 1, cancelled: 0, refused: 0, lateResults: 1, unknownResults: 0, violations: 0 },
    quota: { capacity: { connections: 1024, descriptors: 16_384, bytes: 33_554_432, lanes: 2048, requests: 4096 }, users: [{ uid: 1000, used: { connections: 2, descriptors: 4, bytes: 0, lanes: 0, requests: 0 } }] },
    reflexes: [],
    supervision: { state: "ok", faults: [] },
    commands: { sent: 12_345, refused: { notArmed: 2, expired: 1 } },
    topics: 42, process: { rssBytes: 71_000_000, heapUsedBytes: 20_000_000, cpuPercent: 7, eventLoopDelayP99Us: 1300 },
    ...changes,
  };
}

/** A report with one trouble of each kind. */
export function troubledReport(): StatusReport {
  const report = sampleReport({ state: "fault" });
  const [arm, hand, broker] = report.links;
  return {
    ...report,
    links: [{ ...arm!, state: "dead", reason: "no transmit echo for 25 ms", loadPercent: 97 }, { ...hand!, state: "down", reason: "/dev/serial/by-id/usb-hand is not there" }, broker!],
    nodes: report.nodes.map((node) => (node.name === "elbow" ? { ...node, state: "lost" as const, lastSeenMsAgo: 3400, rateHz: 0 } : node.name === "hand" ? { ...node, state: "lost" as const, lastSeenMsAgo: 61_000, rateHz: 0 } : node)),
    clients: report.clients.map((client) => (client.name === "planner" ? { ...client, droppedMessages: 1500 } : client)),
  };
}

export function sampleValues(phase = 0): WatchedValue[] {
  return joints.map((name, joint) => {
    const history = Array.from({ length: 40 }, (_, i) => Math.sin((i + phase) / 5 + joint) * (20 + joint));
    return { label: `${name} angle`, unit: "deg", value: history.at(-1), history, quality: "good" };
  });
}
