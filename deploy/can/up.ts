/** `node up.js CONFIG INTERFACE`: brings a CAN interface up as the configuration says; what ipcnet-can@.service runs. Exit code 0 also when the configuration does not name it. */
import { spawnSync } from "node:child_process";
import { readWhole } from "../../schemas/messages/configFile.ts";
import { loadConfig } from "../../schemas/messages/loadConfig.ts";
import { bringUp, impossible, interfaceNow } from "./commands.ts";

function main(file: string | undefined, name: string | undefined): number {
  if (file === undefined || name === undefined) return say("usage: up.js CONFIG INTERFACE", 2);
  const read = readWhole(file);
  if ("fault" in read) return say(`${file}: ${read.fault}`, 2);
  const { config } = loadConfig(new TextDecoder().decode(read.bytes), { file });
  if (config === undefined) return say(`${file} is refused: ipcnet config check ${file} says why; ${name} is left as it is`, 2);
  const bus = config.buses.find((each) => (each.driver === "socketcan" || each.driver === "npm-socketcan") && each.interface === name);
  if (bus === undefined) return say(`${name} is no bus of ${file}: left as it is`, 0);
  const shown = spawnSync("ip", ["-details", "-json", "link", "show", name], { encoding: "utf8" });
  if (shown.error) return say(`ip cannot be run: ${shown.error.message}\n        remedy: sudo apt-get install -y iproute2`, 1);
  const now = interfaceNow(shown.stdout);
  const never = impossible(bus, now);
  if (never !== undefined) return say(`${name} cannot be bus ${bus.name}: ${never}`, 1);
  const attempts = bringUp(bus, now);
  if (attempts.length === 0) return say(`${name} is up as bus ${bus.name} wants it: left alone`, 0);
  let why = "";
  for (const { commands, without } of attempts) {
    const failed = commands.map((words) => spawnSync("ip", [...words], { encoding: "utf8" })).find(({ status }) => status !== 0);
    if (failed === undefined) return say(`${name} is up as bus ${bus.name}${bus.bitrateBps === undefined ? "" : ` at ${bus.bitrateBps} bit/s${bus.fd ? `, data phase ${bus.dataBitrateBps ?? bus.bitrateBps} bit/s` : ""}`}${without === undefined ? "" : `; ${without}`}`, 0);
    why = failed.stderr.trim();
  }
  return say(`${name} cannot be set up for bus ${bus.name}: ${why}`, 1);
}

function say(text: string, code: number): number {
  process.stderr.write(`ipcnet-can: ${text}\n`);
  return code;
}

process.exitCode = main(process.argv[2], process.argv[3]);
