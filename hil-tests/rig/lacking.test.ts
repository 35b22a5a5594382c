import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device, Found } from "./behaviour.ts";
import { type Circumstances, whyNot } from "./lacking.ts";

const found = (devices: readonly Device[], onlyWhenNamed?: string): Found =>
  ({ file: "aFile", behaviour: { name: "a sentence", bench: "by hand", needs: { machine: "plain", devices }, ...(onlyWhenNamed === undefined ? {} : { onlyWhenNamed }), run: () => Promise.resolve() } });
const all: Circumstances = { kind: "plain", only: [], config: undefined, kernelVersion: "6.1", ownModules: "/modules", udev: true, systemd: true };

test("what a behaviour needs and is not there is named, and whether this machine lacks it", () => {
  const rows: [string, Found, Partial<Circumstances>, RegExp | undefined, boolean?][] = [
    ["nothing is lacking", found(["dcan", "udev", "sja1000"]), {}, undefined],
    ["named only", found([], "it takes long"), {}, /it takes long: npm run hil -- aFile/, false],
    ["it was named", found([], "it takes long"), { only: ["afile"] }, undefined],
    ["no configuration", found(["configuration"]), {}, /--config FILE/, false],
    ["a configuration", found(["configuration"]), { config: "/robot.yaml" }, undefined],
    ["no systemd", found([]), { kind: "systemd", systemd: false }, /systemd is not installed/, true],
    ["no systemd, and none needed", found([]), { systemd: false }, undefined],
    ["no udev", found(["udev"]), { udev: false }, /--fetch/, true],
    ["no udev, and none needed", found(["dcan"]), { udev: false }, undefined],
    ["no modules", found(["dcan"]), { ownModules: undefined }, /not for 6\.1/, true],
    ["no modules", found(["faults"]), { ownModules: undefined }, /not for 6\.1/, true],
    ["no modules, and none needed", found(["sja1000", "vxcan"]), { ownModules: undefined }, undefined],
    ["not asked for comes first", found(["configuration"]), { kind: "systemd", systemd: false }, /--config FILE/, false],
  ];
  for (const [name, behaviour, circumstances, said, isHosts] of rows) {
    const lacking = whyNot(behaviour, { ...all, ...circumstances });
    if (said === undefined) assert.equal(lacking, undefined, name);
    else {
      assert.match(lacking?.why ?? "", said, name);
      assert.equal(lacking?.isHosts, isHosts, name);
    }
  }
});
