import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { sampleReport } from "../view/sampleReport.ts";
import { runCli } from "./main.ts";
import { MemoryClient, memoryContext } from "./memory.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-policy-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o644 });
  return path;
}

async function run(argv: string[], client = new MemoryClient()): Promise<{ code: number; out: string; err: string }> {
  const context = memoryContext({ services: { connect: client.connect } });
  const code = await runCli(["policy", ...argv], context);
  return { code, out: context.stdout.text, err: context.stderr.text };
}

const good = file("policy.yaml", `version: 1
components:
  planner: { unit: planner.service, uid: 65301 }
rules:
  - { allow: [read], who: [planner], topics: [app/#], why: it plans }
  - { allow: [write], who: [planner], topics: [cmd/arm/Move] }
  - { allow: [read], who: [planner], resources: [device/lidar] }
`);
const config = file("ipcnet.yaml", `version: 1
robot: test
policy: policy.yaml
topics: [ { name: app/x, encoding: json, writers: [ { user: "65302" } ] } ]
`);

test("check: a good policy in one line, with who may move the robot said aloud", async () => {
  const { code, out } = await run(["check", good]);
  assert.equal(code, 0);
  assert.equal(out.replace(/hash [0-9a-f]{64}/, "hash …"), `${good}:6:48: note mayCommand: planner may write cmd/arm/Move: that MOVES THE ROBOT (within the writers that the configuration lists)\nOK: 1 component, 0 groups, 3 rules, 0 warnings; hash …\n`);
});

test("check: faults with line, column and remedy; exit code 1; with --json as an object", async () => {
  const bad = file("bad.yaml", "version: 1\ncomponents:\n  planner: { unit: planner.service }\nrules:\n  - { allow: [read], who: [planer], topics: [app/#] }\n");
  const { code, out } = await run(["check", bad]);
  assert.equal(code, 1);
  assert.match(out, /bad\.yaml:5:28: error unknownComponent: .*"planer".*\n.*\n.*\^{6}\n {6}expected: one of planner\n {6}hint: did you mean planner\?/);
  const json = JSON.parse((await run(["check", bad, "--json"])).out) as { ok: boolean; faults: { code: string }[] };
  assert.deepEqual([json.ok, json.faults.map((each) => each.code)], [false, ["unused", "unknownComponent"]]);
  assert.equal((await run(["check", join(folder, "nowhere.yaml")])).code, 2);
});

test("check: a policy that everybody may write is none; the configuration's topics are known with --config, and its file without a name", async () => {
  const open = file("open.yaml", "version: 1\n");
  chmodSync(open, 0o666);
  assert.match((await run(["check", open])).out, /worldWritable/);
  const { out } = await run(["check", "--config", config]);
  assert.match(out, /warning matchesNothing: .*cmd\/arm\/Move fits no topic/);
  const client = new MemoryClient();
  client.services.set("gateway/status", () => sampleReport({ policy: { file: good, hash: "", rules: 2, components: 1, refused: "" } }));
  assert.match((await run(["check"], client)).out, /OK: 1 component,/);
});

test("explain from files: the decision as exit code, the rule with its line, and what nearly decided", async () => {
  const allowed = await run(["explain", "planner", "read", "app/x", "--file", good]);
  assert.equal(allowed.code, 0);
  assert.equal(allowed.out, `allowed: component planner (uid 65301): read app/x\n  allowed by ${good}:5 (it plans)\n  ${good}:5:5: allow read app/# to planner\n  nearly:\n    gateway: allow read # to uid:0${process.getuid!() === 0 ? "" : `, uid:${process.getuid!()}`}: it names somebody else\n`);
  const denied = await run(["explain", "uid:65301", "read", "app/x", "--config", config]);
  assert.equal(denied.code, 1);
  assert.match(denied.out, /^DENIED: a process of user 65301, of no component: read app\/x\n {2}no rule allows it\n {2}nearly:\n.*policy\.yaml:5: allow read app\/# to planner: it names somebody else/s);
  const grant = JSON.parse((await run(["explain", "planner", "grant", "device/lidar", "--file", good, "--json"])).out) as { allowed: boolean; answers: { action: string; allowed: boolean }[] };
  assert.deepEqual([grant.allowed, grant.answers.map((each) => [each.action, each.allowed])], [false, [["grantRead", true], ["grantWrite", false]]]);
  assert.equal((await run(["explain", "planner", "grant", "device/lidar", "--mode", "read", "--file", good])).code, 0);
  assert.match((await run(["explain", `pid:${process.pid}`, "read", "app/x", "--file", good])).out, new RegExp(`process ${process.pid}: `));
  assert.match((await run(["explain", "planner", "write", "cmd/arm/Move", "--file", good])).out, /if the writers that the configuration lists/);
  const unlisted = await run(["explain", "planner", "write", "cmd/arm/Move", "--config", config]);
  assert.match(unlisted.out, /the configuration lists no such command/);
});

test("explain: what is no question is wrong usage", async () => {
  for (const argv of [["nobody-here", "read", "x"], ["planner", "eat", "x"], ["planner", "read", "app/#"], ["user:no-such-user-here", "read", "x"]]) {
    const { code, err } = await run(["explain", ...argv, "--file", good]);
    assert.equal(code, 2, `${argv.join(" ")}: ${err}`);
  }
});

test("explain and show ask the running gateway where no file is named", async () => {
  const client = new MemoryClient();
  const asked: unknown[] = [];
  client.services.set("gateway/policy", (body) => {
    asked.push(body);
    if (Object.keys(body as object).length === 0) return { rules: [{ effect: "allow", who: ["planner"], reach: [{ action: "read", patterns: ["app/#"] }], why: "", place: { file: "/etc/p.yaml", line: 3, column: 5 } }] };
    return { who: "component planner", verb: "read", name: "app/x", answers: [{ action: "read", allowed: true, reason: "allowed by /etc/p.yaml:3", nearly: [] }] };
  });
  assert.equal((await run(["explain", "planner", "read", "app/x"], client)).out, "allowed: component planner: read app/x\n  allowed by /etc/p.yaml:3\n");
  assert.equal((await run(["show"], client)).out, "/etc/p.yaml:3: allow read app/# to planner\n");
  assert.deepEqual(asked, [{ who: "planner", verb: "read", what: "app/x", mode: "readWrite" }, {}]);
});

test("show from files: the policy's rules, the configuration's lists, and what the gateway brings along", async () => {
  const { out } = await run(["show", "--config", config]);
  assert.match(out, /^gateway: allow read #, execute gateway\/# to uid:0/m);
  assert.match(out, /ipcnet\.yaml:4: allow write app\/x to user:65302 \(writers of the configuration\)/);
  assert.match(out, /policy\.yaml:5: allow read app\/# to planner \(it plans\)/);
  assert.match((await run(["schema"])).out, /"title": "IPCNet policy"/);
});

test("clients: who is connected as which component, and the users' shares", async () => {
  const client = new MemoryClient();
  client.services.set("gateway/status", () => sampleReport());
  const context = memoryContext({ services: { connect: client.connect } });
  assert.equal(await runCli(["clients"], context), 0);
  assert.match(context.stdout.text, /^component {2}name .*\nplanner +planner +1000 +4800 /);
  assert.match(context.stdout.text, /\nuser +connections +descriptors +bytes +lanes +requests\n1000 +2 +4 +0 +0 +0\nall +1.024 /);
});
