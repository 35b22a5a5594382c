/** Inputs for `npm run fuzz`: whatever the text, the loader answers with a configuration or with faults that have a place. */
import { stringify } from "yaml";
import { checkConfig } from "./checkConfig.ts";
import { renderFault } from "./fault.ts";
import { loadConfig } from "./loadConfig.ts";
import { planFuzz } from "./plan/fuzzCase.ts";
import { policyFuzz } from "./policy/fuzzCase.ts";
import { everyKey } from "./testConfigs.ts";

const text = (bytes: Uint8Array) => new TextDecoder("utf-8").decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);

const database = bytes('VERSION ""\nBU_: A\nBO_ 1 State: 8 A\n SG_ velocity : 0|8@1+ (1,0) [0|0] "" A\n');
/** One section at a time: the reader takes a microsecond a character, and a mutation hits what matters more often. */
const sections = Object.entries(everyKey).map(([key, value]) => bytes(stringify({ version: 1, robot: "r", [key]: value })));
const seeds = [
  ...sections,
  bytes(JSON.stringify({ version: 1, robot: "r", nodes: everyKey.nodes })),
  bytes("version: 1\nrobot: r\nbuses:\n  - &b { name: a, interface: can0, databases: [ { dbc: x.dbc } ] }\nroutes:\n  - { from: can/a/State, to: app/x, when: velocity > 1 }\n"),
  bytes("version: 1\nrobot: r\nx: &x [1]\ny: [*x, *x]\n? a\n: b\n---\n"),
];

export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = [
  {
    name: "configuration text",
    run(input) {
      const source = text(input);
      const { config, faults } = loadConfig(source, { file: "fuzz.yaml" });
      if ((config === undefined) !== (faults.length > 0)) throw new Error("neither a configuration nor a fault, or both");
      const lines = source.split("\n").length;
      for (const fault of faults) {
        if (!(fault.line >= 1 && fault.line <= lines && fault.column >= 1) || fault.message === "") throw new Error(`a fault says too little: ${JSON.stringify(fault)}`);
        renderFault(fault, () => source);
      }
    },
    seeds,
  },
  {
    name: "configuration check",
    run(input) {
      const { config, hash, faults } = checkConfig({ text: text(input), file: "fuzz.yaml", readFile: (path) => (path.endsWith(".dbc") ? { bytes: database } : { fault: "it does not exist" }) });
      const refused = faults.some(({ severity }) => severity === "error");
      if ((config === undefined) !== refused || (hash === undefined) !== refused) throw new Error("verdict and result disagree");
    },
    seeds,
  },
  planFuzz,
  policyFuzz,
];
