/**
 * Shows that the simulator can fail: builds of the core with one rule broken each. A mutant is a text in a source file and what stands there instead; it must occur exactly once,
 * so that a rule that is moved or reworded makes the test red and not blind.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { FaultKind } from "./faults.ts";

export interface Mutant {
  name: string;
  /** From the project's root. */
  file: string;
  from: string;
  to: string;
  /** Another change in the same file, where one rule stands twice. */
  and?: { from: string; to: string };
  /** Kinds of faults with which it is looked for, so that a test stays short; undefined: all. */
  kinds?: readonly FaultKind[];
  hosts?: 1 | 2;
}

const core = "failsafe/reflex/core";
const node = "drivers/nodekit/ipcnet_node.c";
const brains: readonly FaultKind[] = ["brainWrong", "brainReplaced"];
const lives: readonly FaultKind[] = ["kill", "killInside", "stall", "stallInside", "sleepInside", "unkillable", "hostPower"];

export const mutants: readonly Mutant[] = [
  { name: "the fence is skipped: a suspect owner counts as dead", file: `${core}/reflex_twin.c`, from: "[IPCNET_TWIN_OWNER_SUSPECT] = TO(FENCING, KILL | TELL),\n    [IPCNET_TWIN_OWNER_DEAD] = TO(FENCING, LOCK | TELL)", to: "[IPCNET_TWIN_OWNER_SUSPECT] = TO(CLAIMING, STORE | TELL),\n    [IPCNET_TWIN_OWNER_DEAD] = TO(FENCING, LOCK | TELL)", kinds: lives },
  { name: "the epoch is not raised", file: `${core}/reflex_twin.c`, from: "return newest == 0xFFFFu ? 1 : (uint16_t)(newest + 1);", to: "return newest == 0 ? 1 : newest;", kinds: lives },
  {
    name: "a command's deadline is ignored, when it comes and when it is sent", file: `${core}/reflex_gate.c`, kinds: brains,
    from: "if (command->deadline_us <= self->now_us) return IPCNET_REFUSED_EXPIRED;", to: "", and: { from: "if (self->now_us >= message->deadline_us) {", to: "if (self->now_us == 1) {" },
  },
  { name: "limits are not checked", file: `${core}/reflex_gate.c`, from: "if (!ipcnet_reflex_checks_hold(&self->table, rules, command->data)) return IPCNET_REFUSED_RANGE;", to: "", kinds: brains },
  { name: "commands for another table pass", file: `${core}/reflex_gate.c`, from: "if (memcmp(&command->table_hash, self->table.header->hash, sizeof command->table_hash) != 0) return IPCNET_REFUSED_TABLE;", to: "", kinds: brains },
  { name: "a repeated command passes", file: `${core}/reflex_gate.c`, from: "command->sequence <= self->brain_sequence) return IPCNET_REFUSED_REPEATED;", to: "command->sequence < self->brain_sequence) return IPCNET_REFUSED_REPEATED;", kinds: brains },
  { name: "nodes need not be alive for arming", file: `${core}/reflex_arming.c`, from: "if (!ipcnet_reflex_watch_alive(self, node)) add(list, IPCNET_MISSING_NODE, node);", to: "if (self->nodes[node].life == NODE_LOST && self->now_us == 1) add(list, IPCNET_MISSING_NODE, node);", kinds: ["nodeMute", "nodePower", "disarm", "hostPower"] },
  { name: "an outvoted instance leaves a controller alone that has given up the bus", file: `${core}/reflex_bus.c`, hosts: 2, from: "if (needs_mending(self, number)) begin_mending(self, number);", to: "", kinds: ["busOff"] },
  { name: "a successor resumes armed in spite of a latched trigger", file: `${core}/reflex_image.c`, from: "if (self->latched_trigger != IPCNET_REFLEX_NONE) {", to: "if (self->latched_trigger == 77) {", and: { from: " && !self->trigger_latched", to: "" }, kinds: ["allNodesPower", "killInside"] },
  { name: "a node looks at neither epoch nor owner", file: node, and: { from: "if (field_differs(command->owner, frame, length_bytes, self->owner)) return IPCNET_NODE_OTHER_OWNER;", to: "" }, from: "if (field_differs(command->epoch, frame, length_bytes, self->epoch)) return IPCNET_NODE_OTHER_EPOCH;", to: "", kinds: ["kill", "replay"] },
  { name: "nobody checks the CRC", file: "schemas/e2e/c/ipcnet_e2e.c", from: "  if (((uint32_t)header[1] << 8 | header[0]) != p05_crc(config, frame, length_bytes)) return IPCNET_E2E_CRC_MISMATCH;", to: "", kinds: ["corruption"] },
  { name: "a node has no dead-man", file: node, from: "if (self->fed && now_us - self->fed_us >= self->options->dead_man_us) {", to: "if (self->fed && now_us - self->fed_us >= 60000000u) {", kinds: ["brainStall", "disarm", "allNodesPower", "hostPower", "disconnect"] },
  { name: "a node lets claims feed the dead-man", file: node, from: "  self->following = true;\n  self->heard_us = now_us;\n", to: "  self->following = true;\n  self->heard_us = self->fed_us = now_us;\n", kinds: ["brainStall", "disarm"] },
];

/** Objects of the addon that are the same for all mutants. */
export class MutantBuilder {
  readonly #root: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "ipcnet-mutants-"));
  readonly #flags: string[];
  readonly #sources: string[];

  constructor(root: string) {
    this.#root = root;
    const manifest = (folder: string): { sources: string[]; include: string[]; groups: Record<string, string[]> } => JSON.parse(readFileSync(join(root, folder, "native.json"), "utf8")) as never;
    const addon = "failsafe/reflex/addon";
    const { sources, include } = manifest(addon);
    const group = manifest(core).groups["reflex"]!.map((name) => join(root, core, name));
    this.#sources = [...sources.filter((name) => !name.startsWith("@")).map((name) => join(root, addon, name)), ...group];
    const headers = join(dirname(createRequire(import.meta.url).resolve("node-api-headers/package.json")), "include");
    this.#flags = ["-std=gnu11", "-O1", "-w", "-fPIC", "-fvisibility=hidden", "-DNAPI_VERSION=8", "-D_GNU_SOURCE", `-I${headers}`, ...[...include, "."].map((name) => `-I${join(root, addon, name)}`)];
    for (const [index, source] of this.#sources.entries()) this.#run(["-c", source, `-I${dirname(source)}`, "-o", this.#object(index)]);
  }

  /** The addon with this mutant in it; throws if the text is not there exactly once. */
  build({ file, name, and, ...first }: Mutant): string {
    const path = join(this.#root, file);
    let text = readFileSync(path, "utf8");
    for (const { from, to } of and ? [first, and] : [first]) {
      const parts = text.split(from);
      if (parts.length !== 2) throw new Error(`mutant "${name}": its text occurs ${parts.length - 1} times in ${file}`);
      text = parts.join(to);
    }
    const mutated = join(this.#folder, `mutated-${basename(path)}`);
    writeFileSync(mutated, text);
    const object = join(this.#folder, "mutated.o");
    this.#run(["-c", mutated, `-I${dirname(path)}`, "-o", object]);
    const output = join(this.#folder, `${mutants.findIndex((mutant) => mutant.name === name)}.node`);
    const index = this.#sources.findIndex((source) => join(source) === path);
    if (index < 0) throw new Error(`mutant "${name}": ${file} is no part of the addon`);
    this.#run(["-shared", ...this.#sources.map((_, at) => (at === index ? object : this.#object(at))), "-o", output]);
    return output;
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #object(index: number): string {
    return join(this.#folder, `${index}.o`);
  }

  #run(words: string[]): void {
    const run = spawnSync(process.env["CC"] ?? "cc", [...this.#flags, ...words], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`cc ${words.join(" ")}: ${run.stderr}`);
  }
}
