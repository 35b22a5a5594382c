/**
 * The tty itself; the only file that imports `serialport`.
 *
 * A port is opened by its path each time, so that a stable name in /dev/serial/by-id leads to wherever the device is plugged in now, and is
 * locked for us (flock) as long as it is open. `closed` is called at most once, and only for an end that we did not ask for; some adapters
 * vanish without any event, so the link above also watches for silence and for writes that never finish.
 */
import { realpath } from "node:fs/promises";
import { SerialPort } from "serialport";
import { DriverError } from "../driver.ts";

export interface PortHandlers {
  /** Borrowed until the call returns. */
  data(bytes: Uint8Array): void;
  closed(why: string): void;
}

export interface OpenPort {
  /** `done` is called once: when the kernel took the bytes, or with why it did not. */
  write(bytes: Uint8Array, done: (fault: string | undefined) => void): void;
  /** Resolves when the port is free again, also if it was closed already. */
  close(): Promise<void>;
}

export interface BytePort {
  /** For people: path, or what the fake is called. */
  readonly path: string;
  /** Rejects with a `DriverError`. */
  open(handlers: PortHandlers): Promise<OpenPort>;
}

export function ttyPort({ path, baudBps }: { path: string; baudBps: number }): BytePort {
  return { path, open: (handlers) => openTty(path, baudBps, handlers) };
}

async function openTty(path: string, baudBps: number, handlers: PortHandlers): Promise<OpenPort> {
  const device = await realpath(path).catch((cause: unknown) => {
    throw openFault(path, cause as Error);
  });
  // hupcl off: closing must not drop DTR, which restarts many boards.
  const port = new SerialPort({ path: device, baudRate: baudBps, lock: true, hupcl: false, autoOpen: false });
  let ending = false;
  const ended = (why: string): void => {
    if (ending) return;
    ending = true;
    handlers.closed(why);
  };
  port.on("data", (bytes: Buffer) => {
    if (!ending) handlers.data(bytes);
  });
  port.on("error", (error: Error) => ended(error.message));
  port.on("close", (error: Error | null) => ended(error ? error.message : "the device is gone"));
  await new Promise<void>((resolve, reject) => {
    port.open((error) => (error ? reject(openFault(path, error)) : resolve()));
  });
  return {
    write(bytes, done) {
      port.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), (error) => done(error ? error.message : undefined));
    },
    close: () =>
      new Promise((resolve) => {
        ending = true;
        if (port.isOpen) port.close(() => resolve());
        else resolve();
      }),
  };
}

function openFault(path: string, cause: Error): DriverError {
  const text = `${(cause as NodeJS.ErrnoException).code ?? ""} ${cause.message}`;
  if (/ENOENT|No such file/i.test(text)) return new DriverError("portMissing", `there is no serial port ${path}`, "plug the device in; ls -l /dev/serial/by-id shows what is there", { cause });
  if (/EACCES|Permission denied/i.test(text)) return new DriverError("portNotPermitted", `no permission to open ${path}`, "sudo usermod -aG dialout $USER, then log in again", { cause });
  if (/lock/i.test(text)) return new DriverError("portBusy", `another program has ${path} open`, `fuser -v ${path} shows which; stop it`, { cause });
  return new DriverError("portFailed", `cannot open ${path}: ${cause.message}`, `check the device with: stty -F ${path}`, { cause });
}
