import assert from "node:assert/strict";
import { test } from "node:test";
import { BusHost } from "../../drivers/can/emulator/host.ts";
import { attachInProcess } from "../../drivers/can/emulator/inProcess.ts";
import { formatCandumpFrame } from "../../drivers/can/candump.ts";
import { until } from "../../schemas/testing.ts";
import { CanEnd } from "./canEnd.ts";

/** A machine's end with its channel open, and somebody else on the bus. */
function opened() {
  const host = new BusHost({ name: "bus", bitrateBps: 500_000 });
  let machine = "";
  const end = new CanEnd({ host, name: "machine", write: (bytes) => (machine += bytes.toString("latin1")) });
  const { port } = attachInProcess(host, { name: "other" });
  const bus: string[] = [];
  let sent = 0;
  port.onFrame((frame) => bus.push(formatCandumpFrame(frame)));
  port.onEcho(() => (sent += 1));
  const push = (text: string): void => end.push(Buffer.from(text, "latin1"));
  push("C\rS6\rO\r");
  return {
    end, push, bus,
    /** Frames that the machine was handed. */
    heard: () => machine.split(/[\r\x07]/).filter((line) => line.startsWith("t")),
    /** From the other one; resolves when the bus has taken them. */
    async send(...data: number[]) {
      const wanted = sent + data.length;
      for (const each of data) port.send({ timeUs: 0, canId: 0x100, flags: 0, data: Uint8Array.of(each) });
      await until(() => sent === wanted, "on the bus");
    },
    close: async () => {
      await end.close();
      host.close();
    },
  };
}

test("frames pass both ways", async () => {
  const { push, bus, heard, send, close } = opened();
  push("t123211");
  push("22\r");
  await until(() => bus.length === 1, "the frame");
  assert.deepEqual(bus, ["123#1122"]);
  await send(7);
  await until(() => heard().length === 1, "the answer");
  assert.deepEqual(heard(), ["t100107"]);
  await close();
});

test("the cable is out: nothing passes; back again, what waited goes out in order, as much as a queue holds, and a line that was cut in two is whole", async () => {
  const { end, push, bus, heard, send, close } = opened();
  end.cut();
  for (let number = 0; number < 40; number++) push(`t1231${number.toString(16).padStart(2, "0")}\r`);
  push("t7FF1");
  await send(1, 2, 3);
  assert.deepEqual([bus, heard(), end.waiting.length], [[], [], 16]);
  end.mend();
  await until(() => bus.length === 16, "what waited");
  push("AA\r");
  await until(() => bus.length === 17, "the line's other half");
  assert.deepEqual(bus, [...Array.from({ length: 16 }, (_, number) => `123#${number.toString(16).padStart(2, "0").toUpperCase()}`), "7FF#AA"]);
  await send(4);
  await until(() => heard().length === 1, "the next frame");
  assert.deepEqual(heard(), ["t100104"]);
  await close();
});

test("the interface is taken down and up while the cable is out: nothing waits any more", async () => {
  const { end, push, bus, close } = opened();
  end.cut();
  push("t123101\rt123102\rC\rS6\rO\rt123103\r");
  assert.deepEqual(end.waiting, ["t123103"]);
  end.mend();
  await until(() => bus.length === 1, "what was sent since");
  assert.deepEqual(bus, ["123#03"]);
  await close();
});

test("the machine stands still: it gets what a controller's memory holds, and nothing of what came later; its own frames are as before", async () => {
  const { end, push, bus, heard, send, close } = opened();
  end.freeze();
  await send(...Array.from({ length: 12 }, (_, number) => number));
  await until(() => end.missed === 7, "what it misses");
  assert.equal(heard().length, 5);
  end.thaw();
  await send(0x77);
  await until(() => heard().length === 6, "the next frame");
  assert.equal(heard().at(-1), "t100177");
  push("t123101\r");
  await until(() => bus.length === 1, "its own");
  await close();
});
