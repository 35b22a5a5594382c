import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runCli } from "./main.ts";
import { memoryContext } from "./memory.ts";
import { projectRoot } from "./root.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-plan-"));
after(() => rmSync(folder, { recursive: true }));
const example = (name: string): string => join(projectRoot(), "examples/config", name);

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const context = memoryContext();
  const code = await runCli(["plan", ...argv], context);
  return { code, out: context.stdout.text, err: context.stderr.text };
}

test("check: a plan file beside its configuration, and a configuration alone, say the same", async () => {
  const beside = await run("check", example("arm.plan.yaml"), "--config", example("arm-reflex.yaml"));
  assert.deepEqual([beside.code, beside.err], [0, ""]);
  assert.equal(beside.out, "park: at most 4350 of 6000 ms: stop → limp → shoulder → elbow → off\nhold: at most 800 of 800 ms: still\ndrop: at most 100 of 100 ms: cut\nOK: 3 plans, 14 triggers, 0 warnings\n");
  assert.deepEqual(await run("check", example("arm-reflex.yaml")), beside);
});

test("check: the safe pose of a configuration is a plan, too", async () => {
  const { code, out } = await run("check", example("arm-can0.yaml"));
  assert.deepEqual([code, out], [0, "safe-pose: at most 1500 of 2000 ms: hold → off\nOK: 1 plan, 12 triggers, 0 warnings\n"]);
});

test("check: a fault is shown with its line and a caret, and the exit code is 1", async () => {
  const path = join(folder, "bad.plan.yaml");
  writeFileSync(path, readFileSync(example("arm.plan.yaml"), "utf8").replace("budgetMs: 6000", "budgetMs: 4000"));
  const { code, out } = await run("check", path, "--config", example("arm-reflex.yaml"));
  assert.equal(code, 1);
  assert.match(out, /bad\.plan\.yaml:9:15: error budgetTooShort: plans\[0\]\.budgetMs: park may take 4350 ms, the budget is 4000; the longest way: stop 1250 \+ limp 300 \+ shoulder 1500 \+ elbow 1000 \+ off 300 ms\n {4}9 \| {5}budgetMs: 4000\n {6}\| {15}\^\^\^\^\n/);
  assert.match(out, /refused: .*: 1 error, 0 warnings\n$/);
  const json = JSON.parse((await run("check", path, "--json")).out) as { ok: boolean; faults: { code: string }[] };
  assert.deepEqual([json.ok, json.faults.map((fault) => fault.code)], [false, ["budgetTooShort"]]);
});

test("show: steps with their latest times, fallbacks, triggers in their order", async () => {
  const { code, out } = await run("show", example("arm-reflex.yaml"));
  assert.equal(code, 0);
  assert.match(out, /^park {2}parkedThenOff \(category 1\), longest way 4350 of 6000 ms/);
  assert.match(out, /● ↳ limp +1250 to 1550 +ms/);
  assert.match(out, /○ release +0 to 500 .*calls gripper\/release/);
  assert.match(out, /170 {2}busDead +park {2}latched, only while armed, by default/);
  assert.equal((await run("show", example("arm-reflex.yaml"), "--plan", "hold")).out.includes("park"), false);
  assert.equal((await run("show", example("arm-reflex.yaml"), "--plan", "hald")).code, 2);
});

test("show --json: with a configuration also the compiled form", async () => {
  const { plans, compiled } = JSON.parse((await run("show", example("arm-reflex.yaml"), "--json")).out) as { plans: { worstMs: number }[]; compiled: { plans: { steps: { sends: { payload: string }[]; conditions: { rawMin: number; rawMax: number }[] }[] }[] } };
  assert.equal(plans[0]!.worstMs, 4350);
  const [stop] = compiled.plans[0]!.steps;
  assert.deepEqual([stop!.sends[0]!.payload, stop!.conditions[0]!.rawMin, stop!.conditions[0]!.rawMax], ["0000000100006400", -2, 2]);
});

test("show --svg: draws into a file, or to stdout", async () => {
  const path = join(folder, "park.svg");
  assert.deepEqual(await run("show", example("arm-reflex.yaml"), "--plan", "park", "--svg", path), { code: 0, out: "", err: "" });
  assert.match(readFileSync(path, "utf8"), /^<svg [^]*<\/svg>\n$/);
  assert.equal((await run("show", example("arm-reflex.yaml"), "--plan", "park", "--svg", "-")).out, readFileSync(path, "utf8"));
  assert.equal((await run("show", example("arm-reflex.yaml"), "--svg", join(folder, "no/such/folder.svg"))).code, 1);
});

test("what is not there, or says nothing about a safe pose, is said so", async () => {
  assert.equal((await run("check", join(folder, "absent.yaml"))).code, 2);
  const path = join(folder, "quiet.yaml");
  writeFileSync(path, "version: 1\nrobot: quiet\n");
  assert.match((await run("check", path)).out, /there is no safe pose to check/);
  assert.equal((await run("show", path)).code, 1);
});

test("schema is the schema of the plan file", async () => {
  const schema = JSON.parse((await run("schema")).out) as { title: string };
  assert.equal(schema.title, "IPCNet plans of the safe pose");
});
