/**
 * The Data IDs of the arm's messages for the firmware, derived from the DBC as the gateway does (checks file: `dataId: schema`): `joint_data_ids.h`. After a change to the DBC:
 * node dist/ts/examples/firmware/joint/dataIds.js --write
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canDiscriminator, derivedDataId } from "../../../schemas/e2e/dataId.ts";
import { projectRoot } from "../../../schemas/testData.ts";
import { applyTemplate, parseDbc } from "../../../schemas/dbc/index.ts";
import { checkedMessage } from "../../../schemas/messages/check/databases.ts";
import { NODE_NUMBERS } from "../../arm/messages.ts";
import { JOINTS } from "../../arm/teleop.ts";

const MESSAGES = ["State", "Command", "Status", "Witness"] as const;

export const dataIdsPath = "examples/firmware/joint/joint_data_ids.h";

export function dataIds(): string {
  const database = applyTemplate(parseDbc(readFileSync(join(projectRoot(), "examples/arm/arm.dbc")), { file: "arm.dbc" }), { id: "node_id << 5 | message_id", nodes: NODE_NUMBERS });
  const rows = JOINTS.map((joint) => {
    const ids = MESSAGES.map((name) => {
      const message = checkedMessage(database.messages.find((each) => each.name === `${joint}_${name}`)!);
      return `.${name.toLowerCase()} = 0x${derivedDataId({ layoutHash: message.layoutHash!, discriminator: canDiscriminator(message.canId, message.extended), bits: 16 }).toString(16).padStart(4, "0")}`;
    });
    return `  { ${ids.join(", ")} }, /* ${joint} */`;
  });
  return [
    "/* Written by dataIds.ts from examples/arm/arm.dbc; do not edit. The Data IDs of profile 5, by the joint's number - 1. */", "#ifndef IPCNET_EXAMPLE_JOINT_DATA_IDS_H", "#define IPCNET_EXAMPLE_JOINT_DATA_IDS_H", "",
    "#include <stdint.h>", "", `static const struct { uint16_t ${MESSAGES.map((name) => name.toLowerCase()).join(", ")}; } joint_data_ids[${JOINTS.length}] = {`, ...rows, "};", "", "#endif", "",
  ].join("\n");
}

if (process.argv[2] === "--write") writeFileSync(join(projectRoot(), dataIdsPath), dataIds());
