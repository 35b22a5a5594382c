/** Each verb against a gateway in memory: what it asks, what it prints, how it ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../schemas/clock.ts";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { sampleReport, troubledReport } from "../view/sampleReport.ts";
import { runCli } from "./main.ts";
import { MemoryClient, memoryContext, memoryMessage, type MemoryContext } from "./memory.ts";

interface Run extends MemoryContext {
  client: MemoryClient;
  clock: ManualClock;
  ended: Promise<number>;
}

function start(argv: readonly string[], prepare: (client: MemoryClient) => void = () => undefined, terminal?: { columns: number; rows: number }): Run {
  const client = new MemoryClient();
  const clock = new ManualClock();
  prepare(client);
  const context = memoryContext({ services: { connect: client.connect, clock }, ...(terminal ? { terminal } : {}) });
  return Object.assign(context, { client, clock, ended: runCli(argv, context) });
}

const describe = (client: MemoryClient): void => {
  client.descriptions.push(
    { name: "can/arm/elbow_State", encoding: "record", schemaHash: "00ff", writable: false, rateHz: 100, quality: "good" },
    { name: "cmd/arm/elbow_Command", encoding: "record", schemaHash: "00fe", writable: true, rateHz: 0, quality: "stale" },
  );
};

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

test("topics: a table, or one object a line; nothing found is exit code 1", async () => {
  const table = start(["topics"], describe);
  assert.equal(await table.ended, 0);
  assert.deepEqual(table.stdout.lines, ["can/arm/elbow_State    record     100 Hz  good", "cmd/arm/elbow_Command  record       0 Hz  stale writable"]);
  const json = start(["topics", "can/+/+", "--json"], describe);
  assert.equal(await json.ended, 0);
  assert.deepEqual(json.stdout.lines.map((line) => (JSON.parse(line) as { name: string }).name), ["can/arm/elbow_State"]);
  assert.equal(await start(["topics", "x"], describe).ended, 1);
});

test("get: the last value, with its quality", async () => {
  const prepare = (client: MemoryClient): void => void client.lastValues.set("a/b", memoryMessage("a/b", { angle: 1.5, big: 2n ** 60n }, { quality: "stale" }));
  const text = start(["get", "a/b"], prepare);
  assert.equal(await text.ended, 0);
  assert.match(text.stdout.text, /^\d\d:\d\d:20\.123456 a\/b #1 \(stale\) angle=1\.5 big=1152921504606846976\n$/);
  const json = start(["get", "a/b", "--json"], prepare);
  await json.ended;
  assert.deepEqual(JSON.parse(json.stdout.text), { topic: "a/b", t: 1_700_000_000.123456, sequence: 1, quality: "stale", lostBefore: 0, origin: "test", value: { angle: 1.5, big: "1152921504606846976" } });
  assert.equal(await start(["get", "a/c"], prepare).ended, 1);
});

test("echo: counts, asks for a rate, says what was lost, waits for topics to come", async () => {
  const run = start(["echo", "can/arm/elbow_State", "new/topic", "--count", "2", "--rate-max", "5"], describe);
  await run.client.untilSubscribed(2);
  assert.deepEqual(run.client.subscriptions[0]!.options, { policy: "latest", rateHzMax: 5, lastValue: false });
  assert.match(run.stderr.text, /no topic 'new\/topic' yet/);
  run.client.emit(memoryMessage("can/arm/elbow_State", { angle: 1 }));
  run.client.emit(memoryMessage("can/arm/elbow_State", { angle: 2, state: "a\u001b[2Jb" }, { lostBefore: 3, sequence: 5 }));
  run.client.emit(memoryMessage("can/arm/elbow_State", { angle: 3 }));
  assert.equal(await run.ended, 0);
  assert.equal(run.stdout.lines.length, 2);
  assert.match(run.stdout.lines[1]!, /#5 \(3 lost\) angle=2 state="a\\u001b\[2Jb"$/);
});

test("echo: the gateway's end is told, with exit code 3", async () => {
  const run = start(["echo", "can/#", "--json"]);
  await run.client.untilSubscribed();
  run.client.lose("the gateway stopped");
  assert.equal(await run.ended, 3);
  assert.match(run.stdout.text, /"message":"the gateway closed the connection: the gateway stopped"/);
});

test("hz: rate, spread and silence from the messages' own times", async () => {
  const run = start(["hz", "a/+", "--count", "2", "--json"]);
  await run.client.untilSubscribed();
  for (let i = 0; i < 11; i++) run.client.emit(memoryMessage("a/b", {}, { timeUs: i * 10_000 + (i % 2) * 1000, lostBefore: i === 5 ? 2 : 0 }));
  await turns();
  run.clock.advanceMs(1000);
  await turns();
  run.clock.advanceMs(1000);
  assert.equal(await run.ended, 0);
  const [first, second] = run.stdout.lines.map((line) => JSON.parse(line) as Record<string, number | string | boolean>);
  assert.equal(first!.rateHz, 100);
  assert.equal(first!.intervalMsMin, 9);
  assert.equal(first!.intervalMsMax, 11);
  assert.equal(first!.lost, 2);
  assert.equal(first!.silent, false);
  assert.equal(second!.silent, true);
});

test("pub: fields become values; a refusal is told with the gateway's words", async () => {
  const run = start(["pub", "cmd/arm/elbow_Command", "velocity=-0.5", "mode=Hold", "on=true", "id=0x1F", "n=-3", "big=9007199254740993", "list=[1,2]", "word=1a", 'text="5"', "--ttl-ms", "50"]);
  assert.equal(await run.ended, 0);
  assert.deepEqual(run.client.published, [{
    topic: "cmd/arm/elbow_Command", options: { acknowledge: true, ttlMs: 50 },
    value: { velocity: -0.5, mode: "Hold", on: true, id: 31, n: -3, big: 9_007_199_254_740_993n, list: [1, 2], word: "1a", text: "5" },
  }]);
  const refused = start(["pub", "cmd/arm/elbow_Command", "velocity=0.5"], (client) => {
    client.onPublish = () => {
      throw new IpcnetError(Status.preconditionFailed, "not armed");
    };
  });
  assert.equal(await refused.ended, 1);
  assert.match(refused.stderr.text, /207 precondition failed: not armed\n {8}remedy: ipcnet status says what is missing/);
});

test("pub: with a rate, each message in its turn, and none made up for", async () => {
  const run = start(["pub", "a/b", "x=1", "--rate", "10", "--count", "3"]);
  await turns();
  for (let i = 0; i < 2; i++) {
    run.clock.advanceMs(100);
    await turns();
  }
  assert.equal(await run.ended, 0);
  assert.equal(run.client.published.length, 3);
  assert.equal(run.stdout.text, "3 sent\n");

  const late = start(["pub", "a/b", "x=1", "--rate", "10", "--count", "2", "--json"], (client) => {
    client.onPublish = () => late.clock.advanceMs(client.published.length === 0 ? 550 : 0);
  });
  await turns();
  late.clock.advanceMs(50);
  assert.equal(await late.ended, 0);
  assert.deepEqual(JSON.parse(late.stdout.text), { topic: "a/b", sent: 2, leftOut: 4 });
});

test("pub: wrong values are wrong usage", async () => {
  for (const words of [[], ["novalue"], ["a=1", "a=2"], ["a=[1"], ["a=1", "--json-value", "{}"], ["--json-value", "{"]]) {
    const run = start(["pub", "a/b", ...words]);
    assert.equal(await run.ended, 2, words.join(" "));
    assert.equal(run.client.published.length, 0);
  }
});

test("status: the first line answers, exit code 1 when something required is wrong", async () => {
  const well = start(["status"], (client) => client.services.set("gateway/status", () => sampleReport()));
  assert.equal(await well.ended, 0);
  assert.equal(well.stdout.lines[0], "▶ demo-arm is armed (armed by pid 4800, uid 1000), all well");
  const ill = start(["status", "--json"], (client) => client.services.set("gateway/status", () => troubledReport()));
  assert.equal(await ill.ended, 1);
  assert.deepEqual(JSON.parse(ill.stdout.text), JSON.parse(JSON.stringify(troubledReport())));
  const strange = start(["status"], (client) => client.services.set("gateway/status", () => ({ state: "toString" })));
  assert.equal(await strange.ended, 1);
  assert.match(strange.stderr.text, /shape that this version/);
});

test("status -w prints again and again until Ctrl-C", async () => {
  const run = start(["status", "-w", "--json"], (client) => client.services.set("gateway/status", () => sampleReport()));
  for (let i = 0; i < 3; i++) {
    await turns();
    run.clock.advanceMs(1000);
  }
  await turns();
  run.abort("SIGINT");
  assert.equal(await run.ended, 130);
  assert.equal(run.stdout.lines.length, 4);
});

test("arm: done, or the list of what is missing", async () => {
  const armed = start(["arm"], (client) => client.services.set("gateway/arm", () => null));
  assert.equal(await armed.ended, 0);
  assert.equal(armed.stdout.text, "armed: commands move the robot\n");
  const refuse = (details: unknown) => (client: MemoryClient): void => {
    client.services.set("gateway/arm", () => {
      throw new IpcnetError(Status.preconditionFailed, "not now", details);
    });
    client.services.set("gateway/status", () => sampleReport({ state: "disarmed", missingForArming: ["from the status"] }));
  };
  const listed = start(["arm", "--json"], refuse({ missing: ["required node elbow has not been seen"] }));
  assert.equal(await listed.ended, 1);
  assert.deepEqual(JSON.parse(listed.stdout.text), { armed: false, missing: ["required node elbow has not been seen"] });
  const asked = start(["arm"], refuse(undefined));
  assert.equal(await asked.ended, 1);
  assert.equal(asked.stderr.text, "ipcnet: not armed; missing:\n  • from the status\n");
});

test("arm --reset and reasons reach the gateway", async () => {
  const bodies: unknown[] = [];
  const prepare = (client: MemoryClient): void => {
    for (const name of ["gateway/arm", "gateway/disarm"]) client.services.set(name, (body) => void bodies.push(body));
  };
  assert.equal(await start(["arm", "--reset", "--why", "looked at it"], prepare).ended, 0);
  assert.equal(await start(["disarm", "--why", "lunch"], prepare).ended, 0);
  assert.deepEqual(bodies, [{ why: "looked at it", reset: true }, { why: "lunch" }]);
});

test("events: those kept, oldest first; with -f, those that come", async () => {
  const event = (code: string): unknown => ({ atUs: 1, wallTime: "2025-01-02T03:04:05.678Z", severity: "warning", code, source: "arm", text: "no echo\u001b[2J", leftOut: code === "busDead" ? 4 : 0 });
  const prepare = (client: MemoryClient): void => void client.services.set("gateway/events", () => [event("busDead"), event("purged")]);
  const kept = start(["events"], prepare);
  assert.equal(await kept.ended, 0);
  assert.deepEqual(kept.stdout.lines, ["2025-01-02T03:04:05.678Z warning arm: no echo\ufffd[2J [busDead] (4 more left out)", "2025-01-02T03:04:05.678Z warning arm: no echo\ufffd[2J [purged]"]);
  const json = start(["events", "--json", "-n", "1"], prepare);
  await json.ended;
  assert.deepEqual(json.stdout.lines.map((line) => JSON.parse(line) as unknown), [event("purged")]);
  const followed = start(["events", "-f"], prepare);
  await followed.client.untilSubscribed();
  followed.client.emit(memoryMessage("ipcnet/events", event("armed")));
  await followed.stdout.until(/armed/);
  followed.abort("SIGINT");
  assert.equal(await followed.ended, 130);
  assert.equal(followed.stdout.lines.length, 3);
});

test("disarm and reload", async () => {
  assert.equal(await start(["disarm"], (client) => client.services.set("gateway/disarm", () => null)).ended, 0);
  const paths: unknown[] = [];
  const run = start(["reload", "/etc/ipcnet/ipcnet.yaml"], (client) => client.services.set("gateway/reload", (body) => {
    paths.push(body);
    return { buses: 1 };
  }));
  assert.equal(await run.ended, 0);
  assert.deepEqual(paths, [{ path: "/etc/ipcnet/ipcnet.yaml" }]);
  assert.equal(run.stdout.text, "reloaded: buses=1\n");
});

const verdict = {
  verdict: "posed", why: "end of test", tookMs: 812.4, budgetMs: 3000,
  steps: [{ name: "hold", result: "reached", tookMs: 61, deadlineMs: 1000, missing: [] }, { name: "park", result: "timedOut", tookMs: 700, deadlineMs: 700, missing: ["elbow_State.velocity"] }],
};

test("safe-pose: the verdict's table, and an exit code that says whether the pose was measured", async () => {
  const bodies: unknown[] = [];
  const posed = start(["safe-pose", "--why", "end of test"], (client) => client.services.set("gateway/safe-pose", (body) => {
    bodies.push(body);
    return verdict;
  }));
  assert.equal(await posed.ended, 0);
  assert.deepEqual(bodies, [{ why: "end of test" }]);
  assert.deepEqual(posed.stdout.lines, [
    "■ safe pose reached in 812 of 3000 ms (end of test)",
    "  ● hold     reached           61 of  1000 ms",
    "  ✖ park     timed out        700 of   700 ms  not measured: elbow_State.velocity",
  ]);
  for (const [answer, code] of [[{ ...verdict, verdict: "cut" }, 1], [{ ...verdict, verdict: "failed" }, 5], [{ posed: true }, 1], [null, 1]] as const) {
    assert.equal(await start(["safe-pose", "--json"], (client) => client.services.set("gateway/safe-pose", () => answer)).ended, code);
  }
});

test("safe-pose: a stop category by number or word, and nothing else", async () => {
  const bodies: unknown[] = [];
  const ask = (category: string) => start(["safe-pose", "--category", category], (client) => client.services.set("gateway/safe-pose", (body) => {
    bodies.push((body as { category?: unknown }).category);
    return verdict;
  })).ended;
  assert.deepEqual([await ask("0"), await ask("hold"), await ask("parkedThenOff"), await ask("3")], [0, 0, 0, 2]);
  assert.deepEqual(bodies, [0, 2, 1]);
});

test("safe-pose: Ctrl-C ends the waiting, not the pose", async () => {
  const run = start(["safe-pose"], (client) => client.services.set("gateway/safe-pose", () => new Promise(() => undefined)));
  await turns();
  await new Promise((resolve) => setImmediate(resolve));
  run.abort("SIGINT");
  assert.equal(await run.ended, 130);
  assert.match(run.stderr.text, /the gateway goes on/);
});

test("top: values move, a lost gateway is said and waited for", async () => {
  const run = start(["top", "can/arm/+", "--fields", "angle"], (client) => client.services.set("gateway/status", () => sampleReport()), { columns: 80, rows: 24 });
  await run.client.untilSubscribed();
  run.client.emit(memoryMessage("can/arm/elbow_State", { angle: 1.5, velocity: 2 }));
  run.client.emit(memoryMessage("can/arm/raw", { angle: 77 }));
  await run.stdout.until(/ARMED/);
  run.clock.advanceMs(250);
  await run.stdout.until(/elbow_State an.*1\.500/);
  assert.doesNotMatch(run.stdout.text, /velocity|raw angle/);
  run.client.services.delete("gateway/status");
  for (let i = 0; i < 4; i++) {
    run.clock.advanceMs(250);
    await turns();
  }
  assert.match(run.stdout.text, /NO GATEWAY/);
  run.stdout.text = "";
  run.client.services.set("gateway/status", () => sampleReport({ state: "disarmed" }));
  for (let i = 0; i < 8; i++) {
    run.clock.advanceMs(250);
    await turns();
  }
  assert.match(run.stdout.text, /DISARMED/);
  run.abort("SIGINT");
  assert.equal(await run.ended, 130);
  assert.ok(run.stdout.text.endsWith("\u001b[?1049l"));
});

test("top without a terminal prints summary lines; with --json, reports", async () => {
  const report = (client: MemoryClient): void => void client.services.set("gateway/status", () => sampleReport());
  const plain = start(["top"], report);
  await plain.stdout.until(/\n/);
  plain.abort("SIGTERM");
  assert.equal(await plain.ended, 143);
  assert.equal(plain.stdout.lines[0], "demo-arm armed | arm up 1.2k/s 43 % | hand up 50/s | broker up 100/s | nodes 8/8 | commands 12345 | rejected 15");
  const json = start(["top", "--json", "--once"], report);
  assert.equal(await json.ended, 0);
  assert.equal((JSON.parse(json.stdout.text) as { robot: string }).robot, "demo-arm");
});
