/** The real agent, on this machine, through pipes as on a bench; and the reading of its lines. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { Agent } from "./agent.ts";
import { AgentReader, orderLine } from "./agentProtocol.ts";
import { until } from "../../schemas/testing.ts";

const program = join(import.meta.dirname, "../../../../hil-tests/rig/guest/agent.py");
const skip = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0 ? false : "there is no python3";

async function withAgent(body: (agent: Agent) => Promise<void>): Promise<void> {
  const child = spawn("python3", [program, "-"], { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close");
  try {
    const agent = new Agent(child.stdout, child.stdin);
    await agent.ready;
    await body(agent);
  } finally {
    child.stdin.end();
    await closed;
  }
}

test("lines are read however they are cut, and what is no message is told as such", () => {
  const text = '\n{"at": 5, "hello": 1, "uptimeS": 3.5, "kernel": "6.1", "processor": "x86_64", "bootId": "b"}\n{"id": 7, "out": "\u00e4\u00f6", "at": 6.5}\n{"id": 7, "co\n{"id": 7, "code": null, "signal": "SIGKILL", "timedOut": true, "at": 7}\n{"trouble": "no", "at": 8}\n[]\n';
  const whole = new AgentReader().push(Buffer.from(text));
  assert.deepEqual(whole, [
    { kind: "hello", atS: 5, uptimeS: 3.5, kernel: "6.1", processor: "x86_64", bootId: "b" },
    { kind: "out", atS: 6.5, id: 7, text: "äö" },
    { kind: "garbage", line: '{"id": 7, "co' },
    { kind: "ended", atS: 7, id: 7, code: null, signal: "SIGKILL", timedOut: true },
    { kind: "trouble", atS: 8, id: undefined, text: "no" },
    { kind: "garbage", line: "[]" },
  ]);
  const bytewise = new AgentReader();
  assert.deepEqual([...Buffer.from(text)].flatMap((byte) => bytewise.push(Uint8Array.of(byte))), whole);
  assert.equal(orderLine({ do: "input", id: 1, text: "a\nb" }).split("\n").length, 2, "one line");
});

test("a script's output, its error output and its code come back; several run at once", { skip }, async () => {
  await withAgent(async (agent) => {
    const [first, second] = await Promise.all([agent.run("echo out; echo err >&2; exit 3"), agent.run("printf 'ä%.0s' $(seq 40000)")]);
    assert.deepEqual(first, { code: 3, signal: null, timedOut: false, out: "out\n", err: "err\n" });
    assert.equal(second.out, "ä".repeat(40_000));
  });
});

test("a program is talked to line by line, and a signal reaches all of its session", { skip }, async () => {
  await withAgent(async (agent) => {
    const lines: string[] = [];
    const running = agent.start("cat & cat; wait", { input: true });
    running.onLine = (line) => void lines.push(line);
    running.write("one\n");
    await until(() => lines.includes("one"), "the line");
    running.write("two\n");
    await until(() => lines.includes("two"), "the next line");
    running.signal("SIGKILL");
    const { signal, code } = await running.ended;
    assert.deepEqual([signal, code], ["SIGKILL", null]);
  });
});

test("a line that its reader cannot take is how the program has ended, and the agent goes on", { skip }, async () => {
  await withAgent(async (agent) => {
    const running = agent.start("echo '{'; cat", { input: true });
    running.onLine = (line) => void JSON.parse(line);
    await assert.rejects(running.ended, /cannot be read .*: \{$/);
    assert.equal((await agent.run("echo on")).out, "on\n");
    running.closeInput();
  });
});

test("what takes too long is killed with all that it started, and said to be late", { skip }, async () => {
  await withAgent(async (agent) => {
    const ended = await agent.run("sleep 1000 & echo started; sleep 1000", { timeoutMs: 5_000 });
    assert.deepEqual([ended.timedOut, ended.signal, ended.out], [true, "SIGKILL", "started\n"]);
    assert.equal((await agent.run("echo on")).out, "on\n");
  });
});

test("a script's end is the end of what it left behind", { skip }, async () => {
  await withAgent(async (agent) => {
    const { out, code } = await agent.run("sleep 1000 & echo $!");
    assert.equal(code, 0);
    // Gone, or dead and not yet collected by whoever inherited it.
    const gone = await agent.run(`for i in $(seq 3000); do grep -q '^State:.[^ZX]' /proc/${out.trim()}/status 2>/dev/null || exit 0; sleep 0.01; done; exit 1`);
    assert.equal(gone.code, 0);
  });
});

test("when the agent is gone, what runs fails with that, and so does what comes after", { skip }, async () => {
  const child = spawn("python3", [program, "-"], { stdio: ["pipe", "pipe", "inherit"] });
  const agent = new Agent(child.stdout, child.stdin);
  await agent.ready;
  const running = agent.start("read -r line", { input: true });
  child.kill("SIGKILL");
  await assert.rejects(running.ended, /gone/);
  await assert.rejects(agent.run("true"), /gone/);
});
