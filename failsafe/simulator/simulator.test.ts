/** A few minutes' worth of the simulator, and that it finds what is wrong. The long run is `npm run sim -- --seeds 10000`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { projectRoot } from "../../schemas/testData.ts";
import { loadCoreAddon } from "../reflex/addon/core.ts";
import { found } from "./found.ts";
import { MutantBuilder, mutants } from "./mutants.ts";
import { minimise, runSeed, worldOf } from "./run.ts";
import { type Outcome, World } from "./world.ts";

const addon = loadCoreAddon();

for (const hosts of [1, 2] as const) {
  test(`${hosts === 1 ? "one host" : "two hosts"}: 60 seeds with 100 faults each violate no invariant`, () => {
    let accepted = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const outcome = runSeed({ addon, seed, faultCount: 100, hosts });
      assert.equal(outcome.violation, undefined, `npm run sim -- --seeds 1 --from ${seed} --hosts ${hosts}: ${outcome.violation?.message}`);
      accepted += outcome.acceptedCommands;
    }
    // It is no proof if nothing ever moves.
    assert.ok(accepted > 60 * 5, `${accepted} commands were accepted`);
  });
}

const again = (core: typeof addon, { name: _name, ...world }: (typeof found)[number]): Outcome =>
  new World({ ...world, addon: core, quietFromUs: Math.max(...world.faults.map(({ atUs, forUs }) => atUs + forUs)) + 50_000 }).run();

for (const one of found) {
  test(`found before: ${one.name}`, () => {
    const { violation } = again(addon, one);
    assert.equal(violation, undefined, violation?.message);
  });
}

test("the same seed is the same run, to the last event", () => {
  const [first, second] = [7, 7].map((seed) => runSeed({ addon, seed, faultCount: 60 }));
  assert.deepEqual({ ...first, coverage: [...first!.coverage] }, { ...second, coverage: [...second!.coverage] });
});

const builder = new MutantBuilder(projectRoot());
test.after(() => builder.dispose());

for (const mutant of mutants) {
  test(`mutant: ${mutant.name}`, () => {
    const mutated = loadCoreAddon(builder.build(mutant));
    if (found.some((one) => again(mutated, one).violation)) return;
    for (let seed = 1; seed <= 60; seed++) {
      if (runSeed({ addon: mutated, seed, faultCount: 80, kinds: mutant.kinds, hosts: mutant.hosts ?? 1 }).violation) return;
    }
    assert.fail("it was not found in 60 seeds");
  });
}

test("a failure is cut down to the few faults that matter, and fails again in the same way", () => {
  const mutant = mutants.find(({ name }) => name.startsWith("limits"))!;
  const mutated = loadCoreAddon(builder.build(mutant));
  for (let seed = 1; ; seed++) {
    const world = worldOf({ addon: mutated, seed, faultCount: 60, hosts: 1 });
    const { violation } = new World(world).run();
    if (!violation) continue;
    const { faults, outcome } = minimise(world, violation.code);
    assert.ok(faults.length <= 4 && faults.length < world.faults.length, `${faults.length} faults`);
    assert.equal(new World({ ...world, faults }).run().violation?.message, outcome.violation?.message);
    return;
  }
});
