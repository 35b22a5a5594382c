/** The arm's definitions as both ends read them: the DBC with one message set per joint, and the checks beside it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { OwnerField } from "../../drivers/nodekit/nodeRules.ts";
import { applyTemplate, compileMessage, parseDbc, type Message } from "../../schemas/dbc/index.ts";
import { loadChecks, type CheckSet } from "../../schemas/e2e/index.ts";
import { checkedMessage } from "../../schemas/messages/check/databases.ts";
import type { JointCodecs } from "./joint.ts";
import { JOINTS, type JointName } from "./teleop.ts";

/** Node numbers, as in ipcnet.template.yaml. */
export const NODE_NUMBERS = Object.fromEntries(JOINTS.map((joint, index) => [joint, index + 1])) as Record<JointName, number>;

/** `folder`: where arm.dbc and arm.checks.yaml lie. */
export function jointCodecs(folder: string): Record<JointName, JointCodecs> {
  const database = applyTemplate(parseDbc(readFileSync(join(folder, "arm.dbc")), { file: "arm.dbc" }), { id: "node_id << 5 | message_id", nodes: NODE_NUMBERS });
  const checks = loadChecks(readFileSync(join(folder, "arm.checks.yaml"), "utf8"), { file: "arm.checks.yaml" });
  if (!checks.ok) throw new Error(`arm.checks.yaml: ${checks.faults[0]?.message}`);
  const codecs = JOINTS.map((joint) => [joint, codecsOf(joint, database.messages, checks.checks)] as const);
  return Object.fromEntries(codecs) as Record<JointName, JointCodecs>;
}

function codecsOf(joint: JointName, messages: readonly Message[], checks: CheckSet): JointCodecs {
  const find = (name: string): Message => messages.find((message) => message.name === `${joint}_${name}`)!;
  const [state, command, status, witness] = [find("State"), find("Command"), find("Status"), find("Witness")];
  const field = (name: string): OwnerField => {
    const { startBit, lengthBits } = command.signals.find((signal) => signal.name === name)!;
    return { startBit, bits: lengthBits };
  };
  return {
    state: compileMessage(state), command: compileMessage(command, { checkRanges: true }), status: compileMessage(status),
    protectState: checks.protectorFor(checkedMessage(state))!, protectStatus: checks.protectorFor(checkedMessage(status))!,
    checkCommand: checks.forMessage(checkedMessage(command))!,
    witness: compileMessage(witness), protectWitness: checks.protectorFor(checkedMessage(witness))!,
    ownerFields: { epoch: field("epoch"), owner: field("owner") },
  };
}
