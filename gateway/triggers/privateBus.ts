/** For tests: a real message bus of our own (dbus-daemon), and on it somebody who plays logind and systemd. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { eventually } from "../../schemas/testing.ts";
import { BusConnection } from "./dbus/connection.ts";
import { type Message, stringsBody } from "./dbus/wire.ts";

export const noBus = spawnSync("dbus-daemon", ["--version"]).status === 0 ? false : "needs dbus-daemon";

const LOGIND = { path: "/org/freedesktop/login1", interface: "org.freedesktop.login1.Manager", member: "PrepareForShutdown" } as const;

export class PrivateBus {
  readonly folder: string;
  readonly path: string;
  readonly daemon: ChildProcess;
  #system!: BusConnection;
  /** systemd's SystemState; undefined: it does not answer. */
  state: string | undefined = "running";
  asked = 0;

  static async start(t: TestContext): Promise<PrivateBus> {
    const bus = new PrivateBus();
    t.after(() => bus.stop());
    bus.#system = await eventually("the bus", () => BusConnection.connect(bus.path, process.getuid!()).catch(() => undefined));
    for (const name of ["org.freedesktop.login1", "org.freedesktop.systemd1"]) await bus.own(bus.#system, name);
    bus.#system.onMessage((message) => bus.#called(message));
    return bus;
  }

  private constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "ipcnet-bus-"));
    this.path = join(this.folder, "bus.sock");
    const config = join(this.folder, "bus.conf");
    writeFileSync(config, `<busconfig><type>session</type><listen>unix:path=${this.path}</listen><auth>EXTERNAL</auth><policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>\n`);
    this.daemon = spawn("dbus-daemon", [`--config-file=${config}`, "--nofork"], { stdio: "ignore" });
  }

  get address(): string {
    return `unix:path=${this.path}`;
  }

  /** RequestName(su): the flags are a number, which our own calls do not need. */
  async own(connection: BusConnection, name: string): Promise<void> {
    const { bytes } = stringsBody([name]);
    const body = { signature: "su", bytes: Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4), Buffer.from([4, 0, 0, 0])]) };
    connection.send({ type: "call", destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: "RequestName", body });
    await eventually(`the name ${name}`, () => connection.busCall("GetNameOwner", name).catch(() => undefined));
  }

  prepareForShutdown(begins: boolean): void {
    this.#system.send({ type: "signal", ...LOGIND, body: { signature: "b", bytes: Uint8Array.of(begins ? 1 : 0, 0, 0, 0) } });
  }

  /** As if logind had said so, to one peer alone. */
  pretend(liar: BusConnection, to: string): void {
    liar.send({ type: "signal", ...LOGIND, destination: to, body: { signature: "b", bytes: Uint8Array.of(1, 0, 0, 0) } });
  }

  #called({ type, member, serial, sender }: Message): void {
    if (type !== "call" || member !== "Get") return;
    this.asked += 1;
    if (this.state === undefined) return;
    const text = Buffer.from(this.state);
    const bytes = Buffer.concat([Buffer.from([1, 0x73, 0, 0, text.length, 0, 0, 0]), text, Buffer.from([0])]);
    this.#system.send({ type: "return", replySerial: serial, destination: sender, body: { signature: "v", bytes } });
  }

  stop(): void {
    this.#system?.close();
    this.daemon.kill("SIGKILL");
    // Who gives a lock back writes it down here, and may do so this very moment.
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 20 });
  }
}
