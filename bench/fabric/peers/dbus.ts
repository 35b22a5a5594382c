/** D-Bus signals: dbus-daemon and the client library dbus-next. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { library, missingLibrary, missingProgram } from "../library.ts";
import type { Endpoint, MessageListener, Peer } from "../peer.ts";

interface Bus {
  on(event: "message", listener: (message: { path: string; interface: string; body: [Uint8Array] }) => void): void;
  call(message: object): Promise<unknown>;
  send(message: object): void;
  once(event: "connect", listener: () => void): void;
  disconnect(): void;
}
interface DBus {
  sessionBus(options: { busAddress: string }): Bus;
  Message: { new (fields: object): object; newSignal(path: string, iface: string, member: string, signature: string, body: unknown[]): object };
}

async function member(address: string, { reads, path, writes }: { reads: string; path: string; writes: string }, listener: MessageListener): Promise<Endpoint> {
  const { sessionBus, Message } = library("dbus-next") as DBus;
  const bus = sessionBus({ busAddress: address });
  await new Promise<void>((resolve) => bus.once("connect", resolve));
  bus.on("message", (message) => {
    if (message.interface === reads) listener(message.body[0], Number(message.path.slice(message.path.lastIndexOf("/") + 1)) || 0);
  });
  await bus.call(new Message({ destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: "AddMatch", signature: "s", body: [`type='signal',interface='${reads}'`] }));
  return {
    send: (bytes) => {
      bus.send(Message.newSignal(path, writes, "Data", "ay", [Buffer.from(bytes)]));
      return true;
    },
    drained: () => new Promise((resolve) => setImmediate(resolve)),
    close: () => {
      bus.disconnect();
      return Promise.resolve();
    },
  };
}

export const dbus: Peer = {
  name: "D-Bus",
  flow: "window",
  // The library writes byte arrays one byte at a time: a mebibyte takes half a second.
  payloadBytesMax: 65_536,
  missing: () => missingProgram("dbus-daemon", "dbus") ?? missingLibrary("dbus-next"),
  async start(folder) {
    const path = join(folder, "dbus.sock");
    const child = spawn("dbus-daemon", ["--session", "--nofork", "--nopidfile", `--address=unix:path=${path}`], { stdio: "ignore" });
    for (let attempt = 0; attempt < 200 && !existsSync(path); attempt++) await delay(50);
    return {
      at: `unix:path=${path}`,
      pids: [child.pid!],
      async stop() {
        child.kill("SIGKILL");
        await once(child, "exit");
      },
    };
  },
  hub: ({ at }, listener) => member(at, { reads: "bench.Up", path: "/hub", writes: "bench.Down" }, listener),
  leaf: ({ at }, index, listener) => member(at, { reads: "bench.Down", path: `/leaf/${index}`, writes: "bench.Up" }, listener),
};
