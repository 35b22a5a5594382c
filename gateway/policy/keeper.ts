/**
 * Keeps the policy in force: takes over a new one whole or not at all, from a reload of the configuration or because the file has changed. A broken file
 * changes nothing: the old policy goes on, an event and the status say so until the file is mended.
 */
import { dirname, resolve } from "node:path";
import type { Clock } from "../../schemas/clock.ts";
import { checkPolicy, type CheckedPolicy } from "../../schemas/messages/checkPolicy.ts";
import { readWhole, thisMachine } from "../../schemas/messages/configFile.ts";
import type { Fault } from "../../schemas/messages/fault.ts";
import type { PolicyReport } from "../../schemas/messages/statusReport.ts";
import type { AcceptedConfig } from "../build/configuration.ts";
import type { EventInput } from "../observe/events.ts";
import { Access } from "./access.ts";
import { Engine } from "./engine.ts";
import { systemNames } from "./names.ts";
import { placeText } from "./explain.ts";
import { ruleSet } from "./ruleSet.ts";
import type { NameLookup } from "./rules.ts";
import { watchFile, type FileWatch } from "./watch.ts";

export interface KeeperOptions {
  accepted: AcceptedConfig;
  clock: Clock;
  event(input: EventInput): void;
  /** The answers may have changed: who lost a right loses it now. */
  changed(): void;
  lookup?: NameLookup;
  ownUid?: number;
}

export class PolicyKeeper {
  readonly access: Access;
  readonly #options: KeeperOptions;
  #configuration: AcceptedConfig;
  #policy: CheckedPolicy | undefined;
  #refused = "";
  #watch: FileWatch | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#configuration = options.accepted;
    this.#policy = this.#named(options.accepted.parts.policy);
    this.access = new Access(this.#engine(options.accepted, this.#policy));
  }

  /** Absolute path of the policy file, if there is one. */
  get file(): string | undefined {
    return pathOf(this.#configuration);
  }

  /** Of the policy in force; undefined without a file. */
  get hash(): string | undefined {
    return this.#policy?.hash;
  }

  /** Begins to follow the file, as it is now: it may have changed since the configuration was read. */
  start(): void {
    this.#follow();
    if (this.#watch) this.readAgain();
  }

  #follow(): void {
    this.stop();
    const file = this.file;
    if (file === undefined) return;
    this.#watch = watchFile(file, {
      clock: this.#options.clock, changed: () => this.readAgain(),
      failed: (why) => this.#options.event({ severity: "warning", code: "policyNotWatched", source: "policy", text: `changes of ${file} are not noticed (${why}): after a change, ipcnet reload` }),
    });
  }

  stop(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  /** Takes over a configuration that was judged and accepted whole, with its policy. */
  apply(accepted: AcceptedConfig): void {
    const moved = pathOf(accepted) !== this.file;
    this.#configuration = accepted;
    this.#take(this.#named(accepted.parts.policy));
    if (moved) this.#follow();
  }

  /** Reads the file as it is now; what is broken, or says the same as before, changes nothing. */
  readAgain(): void {
    const file = this.file;
    if (file === undefined) return;
    const answer = readWhole(file);
    if ("fault" in answer) return this.#refuse(`${file} cannot be read: ${answer.fault}`);
    const { parts } = this.#configuration;
    const { checked, faults } = checkPolicy({
      text: new TextDecoder("utf-8").decode(answer.bytes), file, machine: thisMachine(), surroundings: parts.policySurroundings,
      ...(answer.mode === undefined ? {} : { mode: answer.mode }),
    });
    if (!checked) return this.#refuse(firstFault(faults));
    const same = checked.hash === this.hash;
    // Also when the meaning is the same: rules may stand on other lines now.
    this.#take(checked);
    if (!same) this.#options.event({ severity: "info", code: "policyChanged", source: "policy", text: `${file} is in force: ${checked.policy.rules.length} rules (hash ${checked.hash.slice(0, 12)})` });
  }

  report(): PolicyReport {
    return { file: this.file ?? "", hash: this.hash ?? "", rules: this.#policy?.policy.rules.length ?? 0, components: Object.keys(this.#policy?.policy.components ?? {}).length, refused: this.#refused };
  }

  #take(policy: CheckedPolicy | undefined): void {
    this.#policy = policy;
    this.#refused = "";
    this.access.replace(this.#engine(this.#configuration, policy));
    this.#options.changed();
  }

  #refuse(why: string): void {
    if (why === this.#refused) return;
    this.#refused = why;
    this.#options.event({ severity: "error", code: "policyRefused", source: "policy", text: `${why}; the policy in force goes on. ipcnet policy check ${this.file ?? ""} says more` });
  }

  #engine({ config, file, parts }: AcceptedConfig, policy: CheckedPolicy | undefined): Engine {
    const { lookup = systemNames(), ownUid = process.getuid?.() ?? 0, event } = this.#options;
    return new Engine(ruleSet({ configuration: { config, file, locate: parts.locate }, policy, ownUid }), {
      lookup, quickLookup: this.#options.lookup ?? systemNames({ directories: false }), onUnknown: (name, place) => event({ severity: "warning", code: "unknownPrincipal", source: "policy", text: `${placeText(place)}: this machine has no ${name}; it means nobody` }),
    });
  }

  /** With the file's full path: explanations are read elsewhere than in the configuration's folder. */
  #named(policy: CheckedPolicy | undefined): CheckedPolicy | undefined {
    return policy && { ...policy, file: this.file ?? policy.file };
  }
}

function pathOf({ file, config }: AcceptedConfig): string | undefined {
  return config.policy === undefined ? undefined : resolve(dirname(file), config.policy);
}

function firstFault(faults: readonly Fault[]): string {
  const errors = faults.filter(({ severity }) => severity === "error");
  const [first] = errors;
  return first ? `${first.file}:${first.line}:${first.column}: ${first.message} [${first.code}]${errors.length > 1 ? ` and ${errors.length - 1} more` : ""}` : "the policy is refused";
}
