/** From answers to a configuration file, with the comments a person needs to go on. Pure. */
import type { Answers } from "./answers.ts";

export function configurationText({ robot, buses, serial }: Omit<Answers, "start" | "watchdog">): string {
  const real = buses.map(({ name, interface: of, bitrateBps, dataBitrateBps }) => [
    `  - name: ${name}`, `    interface: ${of}`, ...(bitrateBps === undefined ? [] : [`    bitrateBps: ${bitrateBps}`]), ...(dataBitrateBps === undefined ? [] : ["    fd: true", `    dataBitrateBps: ${dataBitrateBps}`]),
    "    optional: true        # start although it is missing; it is opened when it appears",
    "    listenOnly: true      # sends nothing, not even acknowledgements. Commands need: false, a database, checks, nodes and a safe pose",
  ]);
  const emulated = ["  # No CAN interface: an emulated bus (ipcnet-bus.service).", "  - { name: demo, driver: emulator, interface: /run/ipcnet/demo-bus.sock, bitrateBps: 500000, listenOnly: true, optional: true }"];
  return `${[
    "# yaml-language-server: $schema=/usr/share/ipcnet/config.schema.json",
    "# Written by ipcnet setup; yours from here on. ipcnet.yaml(5) has every key, /usr/share/doc/ipcnet/examples has whole robots.",
    "# After a change: ipcnet config check FILE, then ipcnet reload; after new links or devices: sudo ipcnet setup --config FILE (the services are allowed what the file names, and no more).",
    "version: 1", `robot: ${/^\d+$/.test(robot) ? `"${robot}"` : robot}`,
    "# Members of the group ipcnet may connect: sudo usermod -aG ipcnet \"$USER\"",
    "socket: { path: /run/ipcnet/ipcnet.sock, mode: \"0660\", group: ipcnet }", "readers: [ { group: ipcnet } ]", "",
    "buses:", ...(real.length === 0 ? emulated : real.flat()), "",
    ...(serial.length === 0 ? [] : ["serial:", ...serial.flatMap(({ name, port }) => [`  - name: ${name}`, `    port: ${port}`, "    optional: true"]), ""]),
    "# Two bus processes and two gateways, one of each stands by.",
    "redundancy: { reflex: pair, brains: pair, runFolder: /run/ipcnet, stateFolder: /var/lib/ipcnet }",
  ].join("\n")}\n`;
}
