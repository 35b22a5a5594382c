/** The part of the verdict on a configuration that only the table's compiler can give; the gateway's start, its reload and `ipcnet config check` call it with what `checkConfig` found. */
import type { CompiledTable } from "../../../failsafe/reflex/table/compile.ts";
import type { CheckResult } from "../../../schemas/messages/checkConfig.ts";
import { sortFaults } from "../../../schemas/messages/fault.ts";
import { epochWarnings } from "./epochWidth.ts";
import { compileReflexTable } from "./table.ts";

/** The same result with the table's faults added (and refused, if there are errors), and the table where there is a reflex. */
export function judgeReflex(result: CheckResult, file: string, generation = 0): { result: CheckResult; table: CompiledTable | undefined } {
  const { config, parts, faults } = result;
  const compiled = config && compileReflexTable({ config, parts, file, generation });
  if (!compiled) return { result, table: undefined };
  if (compiled.ok) return { result: { ...result, faults: sortFaults([...faults, ...epochWarnings(config, parts, file)], file) }, table: compiled.table };
  return { result: { ...result, config: undefined, hash: undefined, faults: sortFaults([...faults, ...compiled.faults], file) }, table: undefined };
}
