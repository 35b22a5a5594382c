/** In the machine: the gateway's end of a serial link. Sends its counter every 100 ms, each frame for half a second, and says on standard output what happens. `serialShell.js PORT DATA_ID` */
import { createSerialDriver } from "../../../drivers/serial/driver.ts";
import { systemClock } from "../../../schemas/clock.ts";

const [port, dataId] = [process.argv[2]!, Number(process.argv[3])];
const LIFE_US = 500_000;
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const driver = createSerialDriver({ name: "hand", port, dataId, baudBps: 115_200, silenceTimeoutMs: 5_000, optional: true });
driver.onEvent(({ code, text, state }) => say(`event ${code} ${state ?? ""} ${text}`));
driver.onFrames(({ body }) => say(`heard ${body[0]}`));
await driver.start();
let number = 0;
setInterval(() => {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setUint32(0, ++number, true);
  const verdict = driver.send({ id: 1, body, deadlineUs: systemClock.nowUs() + LIFE_US });
  say(`${verdict} ${number}`);
}, 100);
