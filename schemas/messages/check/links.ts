/** What a bus, a serial link and the socket must be in themselves. */
import { posix } from "node:path";
import type { Bus, SerialMessage, SerialPort } from "../config.ts";
import type { Path } from "../fault.ts";
import type { CheckContext } from "./context.ts";
import { once } from "./names.ts";

/** sun_path of a Unix socket holds 108 bytes with the final NUL (unix(7)). */
const socketPathBytesMax = 107;
/** What the slcan protocol can set: S0…S8. */
const slcanRatesBps = [10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000];
/** The longest frame in bits of the nominal rate, stuffed as badly as possible: 29-bit identifier with 8 bytes; with CAN FD and 64 bytes 80 at that rate and 680 at the one of the data phase. */
export function longestFrameBits({ bitrateBps, dataBitrateBps }: Bus, { fd, bitRateSwitch }: { fd: boolean; bitRateSwitch: boolean }): number {
  return fd ? 80 + 680 * (!bitRateSwitch || bitrateBps === undefined || dataBitrateBps === undefined ? 1 : bitrateBps / dataBitrateBps) : 160;
}

export function checkLinks(context: CheckContext): void {
  const { config } = context;
  if (config.socket.path !== undefined) {
    checkSocketPath(context, config.socket.path, ["socket", "path"]);
    if (!config.socket.path.startsWith("/")) context.fault("notAbsolute", ["socket", "path"], `found "${config.socket.path}"`, { expected: "an absolute path: clients look for it from anywhere" });
  }
  for (const [bus, path] of context.items(config.buses, ["buses"])) checkBus(context, bus, path);
  for (const [port, path] of context.items(config.serial, ["serial"])) checkSerial(context, port, path);
  checkDevices(context);
  for (const [resource, path] of context.items(config.resources, ["resources"])) {
    const port = "connect" in resource ? /^tcp:.*:(\d+)$/.exec(resource.connect)?.[1] : undefined;
    if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) context.fault("outOfRange", [...path, "connect"], `there is no port ${port}`, { expected: "a port from 1 to 65535" });
    if ("connect" in resource && resource.connect.startsWith("unix:")) checkSocketPath(context, resource.connect.slice("unix:".length), [...path, "connect"]);
  }
}

function checkSocketPath(context: CheckContext, socketPath: string, path: Path): void {
  const bytes = Buffer.byteLength(socketPath);
  if (bytes > socketPathBytesMax) context.fault("socketPathTooLong", path, `the path has ${bytes} bytes`, { expected: `at most ${socketPathBytesMax}: the kernel takes no longer one for a Unix socket` });
}

const interfaceForms: Readonly<Record<Bus["driver"], { pattern: RegExp; expected: string }>> = {
  socketcan: { pattern: /^[^\s/:]{1,15}$/, expected: "the name of a network interface, such as can0" },
  "npm-socketcan": { pattern: /^[^\s/:]{1,15}$/, expected: "the name of a network interface, such as can0" },
  emulator: { pattern: /./, expected: "the path of the emulator's socket" },
  slcan: { pattern: /^\//, expected: "the path of a serial device, such as /dev/serial/by-id/…" },
  socketcand: { pattern: /^(\[[0-9A-Fa-f:]+\]|[^\s:/]+):[0-9]{1,5}\/[^\s/]+$/, expected: "host:port/bus, such as 192.0.2.7:29536/can0" },
};

function checkBus(context: CheckContext, bus: Bus, path: Path): void {
  const form = interfaceForms[bus.driver];
  if (!form.pattern.test(bus.interface)) context.fault("badInterface", [...path, "interface"], `"${bus.interface}" is nothing that ${bus.driver} opens`, { expected: form.expected });
  if (bus.driver === "emulator") checkSocketPath(context, bus.interface, [...path, "interface"]);
  if (bus.driver === "slcan") {
    if (bus.bitrateBps === undefined) context.fault("bitrateNeeded", path, "slcan sets the bit rate itself and needs to be told", { expected: "the key bitrateBps" });
    else if (!slcanRatesBps.includes(bus.bitrateBps)) context.fault("bitrateUnsupported", [...path, "bitrateBps"], `slcan has no ${bus.bitrateBps} bit/s`, { expected: `one of ${slcanRatesBps.join(", ")}` });
  }
  const isClassic = bus.driver === "slcan" || bus.driver === "socketcand";
  if (bus.fd && isClassic) context.fault("fdUnsupported", [...path, "fd"], `${bus.driver} carries no CAN FD`, { expected: "false" });
  if (!bus.fd && bus.dataBitrateBps !== undefined) context.fault("fdNeeded", [...path, "dataBitrateBps"], "a data bit rate without CAN FD", { expected: "fd: true, or no data bit rate", part: "key" });
  if (!bus.fd && bus.dataSamplePointPercent !== undefined) context.fault("fdNeeded", [...path, "dataSamplePointPercent"], "a sample point of the data phase without CAN FD", { expected: "fd: true, or none", part: "key" });
  if (bus.dataBitrateBps !== undefined && bus.bitrateBps !== undefined && bus.dataBitrateBps < bus.bitrateBps) {
    context.fault("minAboveMax", [...path, "dataBitrateBps"], `the data phase would be slower (${bus.dataBitrateBps}) than the nominal bit rate (${bus.bitrateBps})`);
  }
  if (bus.busOff.restartMinMs > bus.busOff.restartMaxMs) {
    context.fault("minAboveMax", [...path, "busOff", "restartMinMs"], `restartMinMs (${bus.busOff.restartMinMs}) is above restartMaxMs (${bus.busOff.restartMaxMs})`);
  }
  // A dead bus must not be declared while the own queue drains.
  const drainMs = bus.bitrateBps === undefined ? 0 : Math.ceil((bus.txQueueFrames * longestFrameBits(bus, { fd: bus.fd && !isClassic, bitRateSwitch: true }) * 1000) / bus.bitrateBps);
  if (bus.deadAfterMs < drainMs) {
    context.warning("deadAfterTooShort", [...path, "deadAfterMs"], `${bus.txQueueFrames} frames may need ${drainMs} ms at ${bus.bitrateBps} bit/s, but the bus counts as dead after ${bus.deadAfterMs}`, { hint: `deadAfterMs: ${drainMs}, or a shorter txQueueFrames` });
  }
}

function checkSerial(context: CheckContext, port: SerialPort, path: Path): void {
  if (!port.port.startsWith("/")) context.fault("badInterface", [...path, "port"], `"${port.port}" is no device`, { expected: "the path of a serial device, such as /dev/serial/by-id/…" });
  once(context, "message", port.messages, [...path, "messages"], (message) => message.name, "name");
  once(context, "message number", port.messages, [...path, "messages"], (message) => `${message.direction} ${message.id}`, "id");
  for (const [message, at] of context.items(port.messages, [...path, "messages"])) checkSerialMessage(context, message, at);
}

const serialTypes = {
  u8: { bytes: 1, low: 0, high: 0xff }, i8: { bytes: 1, low: -0x80, high: 0x7f }, u16: { bytes: 2, low: 0, high: 0xffff }, i16: { bytes: 2, low: -0x8000, high: 0x7fff },
  u32: { bytes: 4, low: 0, high: 0xffffffff }, i32: { bytes: 4, low: -0x80000000, high: 0x7fffffff }, u64: { bytes: 8, low: 0, high: 2 ** 64 }, i64: { bytes: 8, low: -(2 ** 63), high: 2 ** 63 },
  f32: { bytes: 4, low: -3.4028234663852886e38, high: 3.4028234663852886e38 }, f64: { bytes: 8, low: -Number.MAX_VALUE, high: Number.MAX_VALUE },
} as const;

function checkSerialMessage(context: CheckContext, message: SerialMessage, path: Path): void {
  once(context, "field", message.fields, [...path, "fields"], (field) => field.name, "name");
  for (const [field, at] of context.items(message.fields, [...path, "fields"])) {
    const { low, high } = serialTypes[field.type];
    if (field.factor === 0) context.fault("factorZero", [...at, "factor"], "a factor of 0 cannot be inverted", { expected: "any other number" });
    if (field.minimum !== undefined && field.maximum !== undefined && field.minimum > field.maximum) {
      context.fault("minAboveMax", [...at, "minimum"], `minimum (${field.minimum}) is above maximum (${field.maximum})`);
    }
    const [lowest, highest] = [low * field.factor + field.offset, high * field.factor + field.offset].sort((a, b) => a - b) as [number, number];
    for (const key of ["minimum", "maximum"] as const) {
      const limit = field[key];
      if (limit !== undefined && field.factor !== 0 && (limit < lowest || limit > highest)) {
        context.warning("rangeNotRepresentable", [...at, key], `${field.type} with this factor and offset reaches from ${lowest} to ${highest}, not ${limit}`);
      }
    }
    for (const [name, value] of Object.entries(field.values ?? {})) {
      if (value < low || value > high) context.fault("outOfRange", [...at, "values", name], `${value} does not fit into ${field.type}`, { expected: `${low} to ${high}` });
    }
  }
}

/** No two links open the same thing. */
function checkDevices(context: CheckContext): void {
  const seen = new Map<string, Path>();
  const add = (device: string, path: Path) => {
    const before = seen.get(device);
    if (before) context.fault("sameInterface", path, `this is opened already in line ${context.loaded.locate(before).line}`, { expected: "an interface of its own" });
    else seen.set(device, path);
  };
  for (const [bus, path] of context.items(context.config.buses, ["buses"])) {
    const at: Path = [...path, "interface"];
    if (bus.driver === "slcan") add(`device ${posix.normalize(bus.interface)}`, at);
    else if (bus.driver === "socketcand") add(`remote ${bus.interface.toLowerCase()}`, at);
    // One emulator serves several buses, each asked for by its name; names are unique already.
    else add(bus.driver === "emulator" ? `emulator ${bus.interface} ${bus.name}` : `network ${bus.interface}`, at);
  }
  for (const [port, path] of context.items(context.config.serial, ["serial"])) add(`device ${posix.normalize(port.port)}`, [...path, "port"]);
}
