/** The part of npm `socketcan`'s interface that we use, as its versions 4.0.7 to 4.3.1 behave; and loading it. */
import { DriverError } from "../../driver.ts";

export interface ReceivedMessage {
  id: number;
  ext?: boolean;
  rtr?: boolean;
  /** An error report; `id` then holds the classes. */
  err?: boolean;
  data: Buffer;
}

export interface OutgoingMessage {
  id: number;
  ext: boolean;
  rtr: boolean;
  /** Also for remote requests, where its length is the length code. */
  data: Buffer;
  /** `sendFD` only. */
  fd_brs?: boolean;
}

export interface RawChannel {
  /** "onMessage", and "onStopped" for an end by error as well as by `stop`, which calls it before it returns. */
  addListener(event: "onMessage" | "onStopped", callback: (message: ReceivedMessage) => void): unknown;
  start(): unknown;
  /** Throws on a channel that has ended by itself. */
  stop(): unknown;
  /** Bytes written, or −1 without a reason. */
  send(message: OutgoingMessage): number;
  sendFD(message: OutgoingMessage): number;
}

export interface SocketcanPackage {
  /** Throws when there is no such interface. Without `non_block_send` a full queue would stop the whole process. */
  createRawChannelWithOptions(channel: string, options: { timestamps: boolean; non_block_send: boolean }): RawChannel;
}

/** Loads the package if it is installed. Rejects with a `DriverError` that says how to mend it. */
export async function loadPackage(name = "socketcan"): Promise<SocketcanPackage> {
  let loaded: Partial<SocketcanPackage> & { default?: Partial<SocketcanPackage> };
  try {
    loaded = (await import(name)) as typeof loaded;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    if (missing) throw new DriverError("packageMissing", `the npm package ${name} is not installed`, `npm install ${name}`, { cause });
    throw new DriverError("packageUnusable", `the npm package ${name} does not load: ${(cause as Error).message.split("\n")[0]}`, `npm rebuild ${name}`, { cause });
  }
  const api = loaded.createRawChannelWithOptions ? loaded : loaded.default;
  if (!api?.createRawChannelWithOptions) throw new DriverError("packageUnusable", `the npm package ${name} has no createRawChannelWithOptions`, `npm install ${name}@4`);
  return api as SocketcanPackage;
}
