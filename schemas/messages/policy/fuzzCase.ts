/** What is fuzzed of the policy: the reader and its lints. The decisions have a property test of their own (gateway/policy). */
import { checkPolicy } from "../checkPolicy.ts";
import { renderFault } from "../fault.ts";

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

export const policyFuzz: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] } = {
  name: "policy text",
  run(input) {
    const source = new TextDecoder("utf-8").decode(input);
    const { checked, faults } = checkPolicy({ text: source, file: "fuzz.yaml", surroundings: { topics: new Set(["can/a/b", "cmd/a/b"]), writers: new Map([["cmd/a/b", [{ user: "x" }]]]) } });
    if ((checked === undefined) !== faults.some(({ severity }) => severity === "error")) throw new Error("neither a policy nor an error, or both");
    const lines = source.split("\n").length;
    for (const fault of faults) {
      if (!(fault.line >= 1 && fault.line <= lines && fault.column >= 1) || fault.message === "") throw new Error(`a fault says too little: ${JSON.stringify(fault)}`);
      renderFault(fault, () => source);
    }
  },
  seeds: [
    bytes("version: 1\ncomponents:\n  planner: { unit: planner.service, user: planner }\n  camera: { userUnit: 'camera@*.service', uid: 1000, cgroup: /a/b*, executable: /usr/bin/c }\ngroups: { senses: [camera, planner] }\n"
      + "rules:\n  - { allow: [read, write], who: [planner, 'user:x'], topics: ['#', cmd/a/b, can/+/b], why: because }\n  - { deny: [execute, offer, read], who: [anyone, senses], services: [gateway/#], resources: [+/x] }\n"),
    bytes("version: 1\nrules: [ { allow: [read], who: [gid:1, uid:2, group:g], topics: [a/b] }, { allow: [read], who: [anyone], topics: [a/#] } ]\n"),
    bytes('{"version":1,"components":{"a":{"uid":1}},"groups":{"g":["a"]},"rules":[{"deny":["write"],"who":["g"],"topics":["a/+"]}]}'),
    bytes("version: 1\nrules: &r []\ngroups: { a: *r }\n"),
  ],
};
