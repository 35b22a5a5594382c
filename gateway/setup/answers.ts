/** The questions of `ipcnet setup`, what is proposed, and the answers as they are kept between two runs. Pure. */
import type { Hardware } from "./hardware.ts";

export interface BusAnswer {
  name: string;
  interface: string;
  bitrateBps: number | undefined;
  /** CAN FD, at this rate in the data phase. */
  dataBitrateBps?: number;
}

export interface Answers {
  robot: string;
  buses: readonly BusAnswer[];
  serial: readonly { name: string; port: string }[];
  /** Who feeds the hardware watchdog: the bus processes (a machine without a healthy owner of its buses resets), the service manager (a machine whose manager hangs resets), or nobody. */
  watchdog: "reflex" | "systemd" | "none";
  start: boolean;
}

export type Question = { [Key in keyof Answers]: {
  key: Key;
  text: string;
  /** Why it is asked, in a line. */
  help: string;
  proposal: Answers[Key];
  /** As it is typed. */
  shown: string;
  /** A text: what is wrong with it. */
  parse(text: string): { value: Answers[Key] } | string;
} }[keyof Answers];

const NAME = /^[a-z][a-z0-9_-]{0,31}$/;
const ROBOT = /^[a-z0-9-]{1,32}$/;
const none = /^(?:none|no|-)$/i;

/** In the order they are asked. A question whose answer can only be one is not asked: its proposal is the answer (`isAsked`). */
export function questions(hardware: Hardware, hostname: string): readonly Question[] {
  const robot = hostname.toLowerCase().replaceAll(/[^a-z0-9-]+/g, "-").slice(0, 32).replaceAll(/^-+|-+$/g, "") || "my-robot";
  const real = hardware.can.filter(({ virtual }) => !virtual);
  const buses = real.map(({ name, bitrateBps, dataBitrateBps }) => ({ name, interface: name, bitrateBps: bitrateBps ?? 500_000, ...(bitrateBps === undefined || dataBitrateBps === undefined ? {} : { dataBitrateBps }) }));
  const watchdog = hardware.watchdog === undefined ? "none" : real.length > 0 ? "reflex" : "systemd";
  return [
    { key: "robot", text: "Name of the robot", help: "part of its MQTT topics and of each message's origin", proposal: robot, shown: robot, parse: (text) => (ROBOT.test(text) ? { value: text } : "lower-case letters, digits and -, at most 32") },
    { key: "buses", text: "CAN buses", help: "NAME=INTERFACE@BITRATE, with CAN FD @BITRATE/DATABITRATE, separated by commas; none: an emulated bus, to try things. They only listen until you name commands in the file", proposal: buses, shown: showBuses(buses), parse: parseBuses },
    { key: "serial", text: "Serial links", help: "NAME=DEVICE, separated by commas; none: leave serial devices alone", proposal: [], shown: hardware.serial.length === 0 ? "none" : `none (there is ${hardware.serial.join(", ")})`, parse: parseSerial },
    {
      key: "watchdog", text: "Who feeds the hardware watchdog", proposal: watchdog, shown: watchdog, parse: (text) => (text === "reflex" || text === "systemd" || text === "none" ? { value: text } : "reflex, systemd or none"),
      help: hardware.watchdog === undefined ? "there is none on this machine" : `${hardware.watchdog.device}; reflex: the machine resets when no bus process is healthy; systemd: when the service manager hangs`,
    },
    { key: "start", text: "Start now and with the machine", help: "yes or no; nothing can move before commands are configured and the robot is armed", proposal: true, shown: "yes", parse: (text) => (/^y(es)?$/i.test(text) ? { value: true } : /^no?$/i.test(text) ? { value: false } : "yes or no") },
  ];
}

export function isAsked(question: Question, hardware: Hardware): boolean {
  if (question.key === "watchdog") return hardware.watchdog !== undefined;
  if (question.key === "start") return hardware.systemd;
  return question.key !== "serial" || hardware.serial.length > 0;
}

export function showBuses(buses: readonly BusAnswer[]): string {
  return buses.length === 0 ? "none" : buses.map(({ name, interface: of, bitrateBps, dataBitrateBps }) => `${name === of ? "" : `${name}=`}${of}${bitrateBps === undefined ? "" : `@${bitrateBps}`}${dataBitrateBps === undefined ? "" : `/${dataBitrateBps}`}`).join(",");
}

/** `arm=can0@500000`, `can0@500000`, `vcan0`; with CAN FD `can0@500000/2000000`. */
export function parseBuses(text: string): { value: readonly BusAnswer[] } | string {
  if (none.test(text.trim())) return { value: [] };
  const found: BusAnswer[] = [];
  for (const word of text.split(",").map((each) => each.trim())) {
    const [, given, of, rate, dataRate] = /^(?:([^=@]+)=)?([A-Za-z0-9._-]{1,15})(?:@(\d+)(?:\/(\d+))?)?$/.exec(word) ?? [];
    if (of === undefined) return `"${word}" is not NAME=INTERFACE@BITRATE, such as arm=can0@500000`;
    const name = given ?? of.toLowerCase();
    const bitrateBps = rate === undefined ? undefined : Number(rate);
    const dataBitrateBps = dataRate === undefined ? undefined : Number(dataRate);
    if (!NAME.test(name)) return `"${name}" is no name of a bus: a lower-case letter, then lower-case letters, digits, - and _`;
    if (bitrateBps !== undefined && (bitrateBps < 5_000 || bitrateBps > 1_000_000)) return `${rate} bit/s: CAN has 5000 to 1000000`;
    if (dataBitrateBps !== undefined && (dataBitrateBps < bitrateBps! || dataBitrateBps > 20_000_000)) return `${dataRate} bit/s in the data phase: not below the nominal ${rate}, and not above 20000000`;
    if (found.some((each) => each.name === name || each.interface === of)) return `"${word}": its name or its interface is there twice`;
    found.push({ name, interface: of, bitrateBps, ...(dataBitrateBps === undefined ? {} : { dataBitrateBps }) });
  }
  return { value: found };
}

/** `hand=/dev/serial/by-id/usb-hand`. */
export function parseSerial(text: string): { value: Answers["serial"] } | string {
  if (none.test(text.trim()) || text.startsWith("none ")) return { value: [] };
  const found: { name: string; port: string }[] = [];
  for (const word of text.split(",").map((each) => each.trim())) {
    const [, name, port] = /^([^=]+)=(\/dev\/\S+)$/.exec(word) ?? [];
    if (name === undefined || port === undefined) return `"${word}" is not NAME=DEVICE, such as hand=/dev/serial/by-id/usb-hand`;
    if (!NAME.test(name)) return `"${name}" is no name of a link: a lower-case letter, then lower-case letters, digits, - and _`;
    if (found.some((each) => each.name === name || each.port === port)) return `"${word}": its name or its device is there twice`;
    found.push({ name, port });
  }
  return { value: found };
}

/** What was answered before an interruption. Answers that no longer parse are asked for again. */
export function loadAnswers(text: string | undefined, asked: readonly Question[]): ReadonlyMap<Question["key"], string> {
  const known = new Map<Question["key"], string>();
  let kept: unknown;
  try {
    kept = JSON.parse(text ?? "{}");
  } catch {
    kept = {}; // cut off in the middle of a write: asked again
  }
  if (typeof kept !== "object" || kept === null) return known;
  for (const { key, parse } of asked) {
    const answer: unknown = (kept as Record<string, unknown>)[key];
    if (typeof answer === "string" && typeof parse(answer) !== "string") known.set(key, answer);
  }
  return known;
}

export function saveAnswers(given: ReadonlyMap<Question["key"], string>): string {
  return `${JSON.stringify(Object.fromEntries(given), null, 2)}\n`;
}

/** All answers: what was given, else what is proposed. `given` has been parsed before. */
export function complete(given: ReadonlyMap<Question["key"], string>, asked: readonly Question[]): Answers {
  const values = new Map<string, unknown>();
  for (const { key, parse, proposal } of asked) {
    const text = given.get(key);
    const parsed = text === undefined ? undefined : parse(text);
    values.set(key, parsed === undefined || typeof parsed === "string" ? proposal : parsed.value);
  }
  return Object.fromEntries(values) as unknown as Answers;
}

/** Interfaces and devices of the answers that the machine does not have: not plugged in yet, or mistyped. A serial device may be named by another of its names than those that are proposed. */
export function missingLinks({ buses, serial }: Pick<Answers, "buses" | "serial">, hardware: Hardware): readonly string[] {
  return [...buses.map(({ interface: of }) => of).filter((name) => !hardware.can.some((each) => each.name === name)), ...serial.map(({ port }) => port).filter((port) => port.startsWith("/dev/serial/") && !hardware.serial.includes(port))];
}
