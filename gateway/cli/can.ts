/** `ipcnet can`: frames of a bus in candump's log format, out and in. */
import type { Register } from "./command.ts";
import { registerDump } from "./canDump.ts";
import { registerReplay } from "./canReplay.ts";
import { registerSend } from "./canSend.ts";

export const register: Register = (program, context) => {
  const can = program.command("can").description("raw CAN frames: print, log, send, replay");
  registerDump(can, context);
  registerSend(can, context);
  registerReplay(can, context);
};
