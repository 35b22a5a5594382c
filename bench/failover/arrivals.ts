/**
 * Loaded into a gateway before anything else (`node --import`), for the bench alone: notes when a request that contains the marker was read from a client's socket, and when an order that
 * contains it was given to a reflex; CLOCK_MONOTONIC, µs, one line each in the file that IPCNET_ARRIVALS names. The gateway itself is as it is delivered.
 */
import { appendFileSync } from "node:fs";
import { SeqpacketConnection, type PacketListener } from "../../shm/sockets/connection.ts";

const marker = Buffer.from("bench-trigger");
const request = Buffer.from("gateway/safe-pose");
const file = process.env["IPCNET_ARRIVALS"];
const FLUSH_MS = 100;

const nowUs = (): number => Number(process.hrtime.bigint() / 1000n);

if (file !== undefined) {
  let lines: string[] = [];
  const { onPacket, send } = SeqpacketConnection.prototype;
  SeqpacketConnection.prototype.onPacket = function (this: SeqpacketConnection, listener: PacketListener): void {
    onPacket.call(this, (bytes, at, lengthBytes, descriptors) => {
      const readUs = nowUs();
      const packet = Buffer.from(bytes.buffer, bytes.byteOffset + at, lengthBytes);
      if (packet.includes(marker) && packet.includes(request)) lines.push(`arrived ${readUs}`);
      listener(bytes, at, lengthBytes, descriptors);
    });
  };
  SeqpacketConnection.prototype.send = function (this: SeqpacketConnection, ...given: Parameters<typeof send>) {
    const [bytes, at = 0, lengthBytes = bytes.length - at] = given;
    // Answers to the client contain the marker as well: an order has no verdict in it.
    const packet = Buffer.from(bytes.buffer, bytes.byteOffset + at, lengthBytes);
    if (packet.includes(marker) && !packet.includes("verdict")) lines.push(`ordered ${nowUs()}`);
    return send.call(this, ...given);
  };
  setInterval(() => {
    if (lines.length === 0) return;
    appendFileSync(file, `${lines.join("\n")}\n`);
    lines = [];
  }, FLUSH_MS).unref();
}
