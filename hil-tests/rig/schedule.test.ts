import assert from "node:assert/strict";
import { test } from "node:test";
import type { MachineKind } from "./behaviour.ts";
import { type Job, runAll } from "./schedule.ts";

/** Jobs that say when they begin and end, and take so many turns of the event loop. */
function told(...jobs: [name: string, machine: MachineKind, turns: number, error?: string][]): { said: string[]; atOnceMax(): number; jobs: Job[] } {
  const said: string[] = [];
  let [on, most] = [0, 0];
  return {
    said, atOnceMax: () => most,
    jobs: jobs.map(([name, machine, turns, error]) => ({
      machine, waiting: [],
      async run() {
        said.push(`${name} on`);
        most = Math.max(most, ++on);
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        on -= 1;
        said.push(`${name} off`);
        if (error !== undefined) throw new Error(error);
      },
    })),
  };
}

test("the longest begin, no more are on than may be, and pairs are on alone at the end", async () => {
  const { said, jobs, atOnceMax } = told(["pair", "two", 3], ["a", "plain", 2], ["b", "plain", 2], ["s", "systemd", 9], ["other pair", "two", 1]);
  assert.deepEqual(await runAll(jobs, 2), []);
  assert.deepEqual(said, ["s on", "a on", "a off", "b on", "b off", "s off", "pair on", "pair off", "other pair on", "other pair off"]);
  assert.equal(atOnceMax(), 2);
  const one = told(["a", "plain", 2], ["b", "plain", 2]);
  await runAll(one.jobs, 1);
  assert.deepEqual(one.said, ["a on", "a off", "b on", "b off"]);
});

test("what fails is told, and everything else runs to its end", async () => {
  const { said, jobs } = told(["a", "plain", 1, "no power"], ["b", "plain", 4], ["c", "plain", 1], ["pair", "two", 1, "no cable"], ["last", "two", 1]);
  const failed = await runAll(jobs, 2);
  assert.deepEqual(failed.map(({ job, error }) => [jobs.indexOf(job), (error as Error).message]), [[0, "no power"], [3, "no cable"]]);
  assert.deepEqual(said.filter((text) => text.endsWith("off")).sort(), ["a off", "b off", "c off", "last off", "pair off"]);
});
