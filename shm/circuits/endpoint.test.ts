/** The edge with peers that do not play along: one that never reads, one that never speaks. In simulated time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../schemas/clock.ts";
import { IpcnetError } from "../../schemas/status.ts";
import { Circuits } from "./circuits.ts";
import type { FrameTransport } from "./transport.ts";

interface Stuck extends FrameTransport {
  ends: number;
}

function stuckTransport(hasRoom: boolean): Stuck {
  return { frameBytesMax: 500, carriesDescriptors: false, protects: true, hasRoom, ends: 0, send: () => undefined, start: () => undefined, end() { this.ends += 1; } };
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test("a peer that never reads cannot hold the connection open", async () => {
  const clock = new ManualClock();
  const transport = stuckTransport(false);
  const circuits = new Circuits({ transport, role: "initiator", clock });
  await turn();
  circuits.close();
  assert.equal(transport.ends, 0, "the goodbye gets its time");
  clock.advanceMs(999);
  assert.equal(transport.ends, 0);
  clock.advanceMs(1);
  assert.equal(transport.ends, 1);
  clock.advanceMs(100_000);
  assert.equal(transport.ends, 1);
});

test("a peer that never says hello ends in a status, for those that wait too", async () => {
  const clock = new ManualClock();
  const transport = stuckTransport(true);
  const circuits = new Circuits({ transport, role: "initiator", clock });
  const asked = assert.rejects(circuits.request("x", new Uint8Array(1)), (error: unknown) => error instanceof IpcnetError && error.status === 304);
  await turn();
  clock.advanceMs(5000);
  await asked;
  assert.deepEqual([(await circuits.closed()).reason, transport.ends], ["noHello", 1]);
});
