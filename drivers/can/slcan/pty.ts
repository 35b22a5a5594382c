/** The emulated bus as an slcan adapter on a pseudo-terminal: `slcand`, python-can's "slcan" or minicom open its path as they would a device. */
import { openPty } from "../../pty/index.ts";
import type { AdapterOptions } from "./adapter.ts";
import { SlcanAdapter } from "./adapter.ts";

export interface SlcanPty {
  /** What to open, e.g. /dev/pts/7. */
  readonly path: string;
  readonly adapter: SlcanAdapter;
  /** Leaves the bus and hangs up. */
  close(): Promise<void>;
}

/** A host that does not read its terminal: after so many unread bytes received frames are dropped, as an adapter's USB buffer would. */
const UNREAD_BYTES_MAX = 64 * 1024;

export async function exposeSlcanPty(options: Omit<AdapterOptions, "write">): Promise<SlcanPty> {
  const pty = await openPty();
  const adapter = new SlcanAdapter({
    ...options,
    write(bytes) {
      if (pty.stream.writableLength < UNREAD_BYTES_MAX && !pty.stream.destroyed) pty.stream.write(bytes);
    },
  });
  pty.stream.on("data", (bytes: Buffer) => adapter.push(bytes));
  return {
    path: pty.path,
    adapter,
    async close() {
      await adapter.close();
      pty.close();
    },
  };
}
