import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { existsSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { checkPlan } from "../../schemas/messages/checkPlan.ts";
import { drawPlans } from "./picture.ts";
import { layOut } from "./layers.ts";

let root = import.meta.dirname;
while (!existsSync(join(root, "package.json"))) root = dirname(root);
const { checked } = checkPlan({ text: readFileSync(join(root, "examples/config/arm.plan.yaml"), "utf8"), file: "arm.plan.yaml" });

test("every step, its times and the last rung are in the picture; the longest way is marked, fallbacks are dashed", () => {
  const svg = drawPlans(checked!.plan.plans);
  for (const text of ["stop  ·  mandatory", "until shoulder_State velocity ±0.02 for 50 ms", "2 × 600 ms, pause 50; latest 0 to 1250 ms", "call gripper/release", "→ hand/Haptic", "given up: last rung", "longest way 4350 of 6000 ms", "last rung: after 6000 ms"]) assert.ok(svg.includes(`>${text}`) || svg.includes(text), text);
  // Boxes of park: stop, limp (dashed), shoulder, elbow and off on the longest way; release and tell not.
  const boxes = [...drawPlans(checked!.plan.plans.slice(0, 1)).matchAll(/<rect [^>]*rx="6"[^>]*>/g)].map(([box]) => box);
  assert.equal(boxes.filter((box) => box.includes("#fff7ed")).length, 5);
  assert.equal(boxes.filter((box) => box.includes("stroke-dasharray")).length, 2); // limp and the last rung
});

test("names from a file cannot leave their text", () => {
  const [plan] = structuredClone(checked!.plan.plans);
  const svg = drawPlans([{ ...plan!, name: "</text><script>&\"\u0000" }]);
  assert.ok(!svg.includes("<script") && svg.includes("&lt;script&gt;&amp;&quot;·"));
});

test("boxes of a layout never touch, and edges run from left to right", () => {
  const graph = fc.array(fc.record({ widthPx: fc.integer({ min: 10, max: 300 }), heightPx: fc.integer({ min: 10, max: 200 }), needs: fc.array(fc.nat(), { maxLength: 4 }) }), { minLength: 1, maxLength: 20 })
    .map((steps) => steps.map(({ widthPx, heightPx, needs }, at) => ({ widthPx, heightPx, from: at === 0 ? [] : [...new Set(needs.map((need) => need % at))] })));
  fc.assert(fc.property(graph, (boxes) => {
    const placed = layOut(boxes);
    for (const [a, one] of placed.boxes.entries()) {
      assert.ok(one.x >= 0 && one.y >= -1e-6 && one.x + boxes[a]!.widthPx <= placed.widthPx + 1e-6 && one.y + boxes[a]!.heightPx <= placed.heightPx + 1e-6);
      for (const [b, other] of placed.boxes.entries()) {
        if (b <= a) continue;
        const apart = one.x + boxes[a]!.widthPx <= other.x || other.x + boxes[b]!.widthPx <= one.x || one.y + boxes[a]!.heightPx <= other.y + 1e-6 || other.y + boxes[b]!.heightPx <= one.y + 1e-6;
        assert.ok(apart, `${a} and ${b} overlap`);
      }
    }
    for (const { points } of placed.edges) for (let at = 1; at < points.length; at++) assert.ok(points[at]![0] >= points[at - 1]![0]);
  }), { seed: 20260705 });
});
