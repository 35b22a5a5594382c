import assert from "node:assert/strict";
import { test } from "node:test";
import type { Found, MachineKind, Needs } from "./behaviour.ts";
import { groupsOf, isMeant, nextOf } from "./grouping.ts";

const found = (file: string, machine: MachineKind, endsMachine = false, more: Partial<Needs> = {}): Found =>
  ({ file, behaviour: { name: `sentence of ${file}`, bench: "by hand", needs: { machine, devices: [], endsMachine, ...more }, run: () => Promise.resolve() } });
const shape = (all: Found[]) => groupsOf(all).map(({ machine, boots }) => [machine, boots.map((boot) => boot.map(({ file }) => file))]);

test("one boot serves all that leave the machine running, and the first that ends it", () => {
  const all = [found("d", "plain", true), found("b", "plain"), found("s", "systemd"), found("c", "plain", true), found("a", "plain")];
  assert.deepEqual(shape(all), [["plain", [["a", "b", "c"], ["d"]]], ["systemd", [["s"]]]]);
});

test("who restarts a machine comes after those that do not and costs no further boot; another kind of machine runs what is meant for it too", () => {
  const all = [found("a", "plain", false, { restartsMachine: true }), found("b", "plain", true), found("c", "plain", false, { alsoOn: ["arm64"] })];
  assert.deepEqual(shape(all), [["plain", [["c", "a", "b"]]], ["arm64", [["c"]]]]);
  assert.deepEqual(groupsOf(all, ["arm64"]).map(({ machine }) => machine), ["arm64"]);
});

test("where several machines may be on, those that restart theirs have one of their own", () => {
  const all = [found("a", "plain"), found("r", "plain", false, { restartsMachine: true }), found("e", "plain", true), found("b", "plain"), found("s", "systemd", false, { restartsMachine: true })];
  assert.deepEqual(groupsOf(all, undefined, true).map(({ boots }) => boots.map((boot) => boot.map(({ file }) => file))), [[["a", "b"], ["r", "e"]], [["s"]]]);
});

test("many for a plain machine are dealt out to two where both may be on; few, or those of the package, share one", () => {
  const many = Array.from({ length: 13 }, (_, index) => found(`b${String(index).padStart(2, "0")}`, "plain"));
  const restarts = found("r", "plain", false, { restartsMachine: true });
  const boots = (all: Found[], apart: boolean): string[][] => groupsOf(all, undefined, apart).flatMap((group) => group.boots.map((boot) => boot.map(({ file }) => file)));
  assert.deepEqual(boots([...many, restarts], true), [["r"], ["b00", "b02", "b04", "b06", "b08", "b10", "b12"], ["b01", "b03", "b05", "b07", "b09", "b11"]]);
  const [{ boots: all, dealt }] = groupsOf([...many, restarts], undefined, true) as [ReturnType<typeof groupsOf>[0]];
  assert.deepEqual(dealt, all.slice(1));
  assert.deepEqual(groupsOf(many, undefined, false)[0]!.dealt, []);
  assert.deepEqual(boots(many, false).map(({ length }) => length), [13]);
  assert.deepEqual(boots(many.slice(0, 11), true).map(({ length }) => length), [11]);
  assert.deepEqual(boots(Array.from({ length: 13 }, (_, index) => found(`s${index}`, "systemd")), true).map(({ length }) => length), [13]);
});

test("a machine that has none left helps the one that has most, from its end; what that one is at stays with it", () => {
  const [own, few, most] = [["a"], ["b", "c"], ["d", "e", "f"]].map((names) => names.map((name) => found(name, "plain"))) as [Found[], Found[], Found[]];
  const tried: string[] = [];
  for (let each = nextOf(own, [few, most]); each; each = nextOf(own, [few, most])) {
    tried.push(each.file);
    own.shift();
  }
  assert.deepEqual(tried, ["a", "f", "c", "e"]);
  assert.deepEqual([few, most].map((list) => list.map(({ file }) => file)), [["b"], ["d"]]);
  assert.equal(nextOf([], []), undefined);
});

test("nothing to run needs no machine; every behaviour runs exactly once", () => {
  assert.deepEqual(shape([]), []);
  const all = ["x", "y", "z"].flatMap((name, index) => [found(name, "plain", index === 1), found(`${name}2`, "arm64", true)]);
  assert.deepEqual(groupsOf(all).flatMap(({ boots }) => boots.flat()).map(({ file }) => file).sort(), all.map(({ file }) => file).sort());
  assert.equal(groupsOf(all).find(({ machine }) => machine === "arm64")!.boots.length, 3);
});

test("words choose by file and sentence, capitals aside", () => {
  assert.ok(isMeant(found("aBusOffEnds", "plain"), ["busoff"]));
  assert.ok(isMeant(found("x", "plain"), ["nothing", "sentence of"]));
  assert.ok(isMeant(found("x", "plain"), []));
  assert.ok(!isMeant(found("x", "plain"), ["y"]));
});
