/**
 * `node main.js CONFIG`: serves the emulated buses of a configuration (driver: emulator), each at its `interface`; what ipcnet-bus.service runs. On each bus there is one silent node that
 * acknowledges, as the controller of any other device would. Ends with 0 where there is none.
 */
import { BusHost } from "../../drivers/can/emulator/host.ts";
import { attachInProcess } from "../../drivers/can/emulator/inProcess.ts";
import { serveBuses, type BusServer } from "../../drivers/can/emulator/server.ts";
import { readWhole } from "../../schemas/messages/configFile.ts";
import { loadConfig } from "../../schemas/messages/loadConfig.ts";
import { notifySystemd } from "../../shm/sockets/index.ts";
import { busesBySocket } from "./buses.ts";

/** Where the configuration does not say. */
const DEFAULT_BITRATE_BPS = 500_000;

function tellManager(text: string): void {
  const path = process.env["NOTIFY_SOCKET"];
  if (path !== undefined) notifySystemd(path, text);
}

async function main(file: string | undefined): Promise<number | undefined> {
  if (file === undefined) return say("usage: main.js CONFIG", 2);
  const read = readWhole(file);
  if ("fault" in read) return say(`${file}: ${read.fault}`, 2);
  const { config } = loadConfig(new TextDecoder().decode(read.bytes), { file });
  if (config === undefined) return say(`${file} is refused: ipcnet config check ${file} says why`, 2);
  const servers: BusServer[] = [];
  for (const [socketPath, buses] of busesBySocket(config.buses, file)) {
    const hosts = buses.map(({ name, bitrateBps, fd }) => new BusHost({ name, fd, bitrateBps: bitrateBps ?? DEFAULT_BITRATE_BPS }));
    for (const host of hosts) attachInProcess(host, { name: "acknowledges" });
    servers.push(await serveBuses({ socketPath, buses: hosts }));
  }
  tellManager("READY=1");
  if (servers.length === 0) return say(`no emulated bus in ${file}: nothing to do`, 0);
  say(`serves ${servers.map(({ socketPath }) => socketPath).join(", ")}`, 0);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  await Promise.all(servers.map((server) => server.close()));
  return 0;
}

function say(text: string, code: number): number {
  process.stderr.write(`ipcnet-bus: ${text}\n`);
  return code;
}

process.exit(await main(process.argv[2]));
