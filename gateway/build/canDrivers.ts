/** From a bus of the configuration to its driver; each driver's code is loaded only when a bus asks for it. */
import type { CanDriver } from "../../drivers/can/driver.ts";
import { DriverError } from "../../drivers/driver.ts";
import type { Clock } from "../../schemas/clock.ts";
import type { Bus } from "../../schemas/messages/config.ts";

/** An slcan adapter's serial line, bit/s: what USB adapters take for granted. */
const SLCAN_BAUD_BPS = 1_000_000;

export async function makeCanDriver(bus: Bus, clock: Clock): Promise<CanDriver> {
  const { name, bitrateBps, dataBitrateBps, fd, listenOnly, optional, txQueueFrames, deadAfterMs, busOff } = bus;
  const common = { name, listenOnly, optional, clock };
  const health = { bitrateBps, dataBitrateBps, txQueueFrames, deadAfterMs, busOff };
  switch (bus.driver) {
    case "socketcan":
    case "emulator": {
      const { createNativeCan } = await import("../../drivers/can/nativeDriver.ts");
      return createNativeCan({ ...common, ...health, kind: bus.driver, interface: bus.interface, fd });
    }
    case "slcan": {
      const [{ createSlcan }, { serialLine }] = await Promise.all([import("../../drivers/can/slcan/driver.ts"), import("../../drivers/can/slcan/port.ts")]);
      if (bitrateBps === undefined) throw new DriverError("badBitrate", `bus ${name}: slcan sets the bit rate itself and needs to be told`, "set bitrateBps");
      // USB serial chips hold bytes back for 16 ms each way: silence shorter than 100 ms says nothing.
      return createSlcan({ ...common, health: { ...health, deadAfterMs: Math.max(100, deadAfterMs) }, bitrateBps, fd, txQueueFrames, open: serialLine({ path: bus.interface, baudBps: SLCAN_BAUD_BPS }) });
    }
    case "socketcand": {
      const { createSocketcand } = await import("../../drivers/can/socketcand/driver.ts");
      return createSocketcand({ ...common, health, txQueueFrames, ...socketcandAddress(bus.interface) });
    }
    case "npm-socketcan": {
      const { createNpmSocketcan } = await import("../../drivers/can/npmSocketcan/driver.ts");
      return createNpmSocketcan({ ...common, health, interface: bus.interface, fd });
    }
    default:
      return bus.driver satisfies never;
  }
}

/** host:port/bus, the host perhaps an IPv6 address in brackets; the configuration's check has seen to the form. */
export function socketcandAddress(text: string): { host: string; port: number; bus: string } {
  const match = /^(\[[0-9A-Fa-f:]+\]|[^\s:/]+):(\d{1,5})\/(\S+)$/.exec(text);
  if (!match) throw new DriverError("badInterface", `"${text}" is not host:port/bus`, "write for example 192.0.2.7:29536/can0");
  return { host: match[1]!.replace(/^\[|\]$/g, ""), port: Number(match[2]), bus: match[3]! };
}
