/** Finds the balls in the camera's pictures: boxes on `vision/boxes`, how red and how green each place is as a tensor on `vision/heat`; both made from the picture, and saying so. */
import { connect, type Message, type VideoFrame } from "../../shm/client/index.ts";

export interface Box {
  label: "red" | "green";
  /** In pixels of the picture. */
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Every fourth pixel of every fourth row. */
const STEP = 4;
/** Pixels on a side of a place in the heat map. */
const CELL = 16;
/** Fewer points are noise. */
const POINTS_MIN = 20;

const client = await connect({ name: "detector" });
const boxes = await client.advertise("vision/boxes", { encoding: "cbor" });
const heat = await client.advertise("vision/heat", { encoding: "tensor" });
await client.subscribe("camera/+", {}, (message) => detect(message));
const forget = client.onClose((why) => {
  process.stderr.write(`detector: ${why}\n`);
  process.exitCode = 1;
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    forget();
    void client.close();
  });
}

function detect(message: Message): void {
  const { width, height, data } = message.value as VideoFrame;
  const [columns, rows] = [Math.ceil(width / CELL), Math.ceil(height / CELL)];
  const shares = new Float32Array(2 * rows * columns);
  const reach = [0, 1].map(() => ({ points: 0, left: width, top: height, right: 0, bottom: 0 }));
  for (let y = 0; y < height; y += STEP) {
    for (let x = 0; x < width; x += STEP) {
      const at = 3 * (y * width + x);
      const difference = data[at]! - data[at + 1]!;
      if (Math.abs(difference) < 100) continue;
      const colour = difference > 0 ? 0 : 1;
      shares[(colour * rows + Math.floor(y / CELL)) * columns + Math.floor(x / CELL)]! += (STEP / CELL) ** 2;
      const found = reach[colour]!;
      found.points += 1;
      found.left = Math.min(found.left, x);
      found.right = Math.max(found.right, x + STEP);
      found.top = Math.min(found.top, y);
      found.bottom = Math.max(found.bottom, y + STEP);
    }
  }
  const found = reach.flatMap(({ points, left, top, right, bottom }, i): Box[] => (points < POINTS_MIN ? [] : [{ label: i === 0 ? "red" : "green", x: left, y: top, width: right - left, height: bottom - top }]));
  // The pictures' own time goes along, so that whoever comes later knows how old it all is.
  boxes.publish({ boxes: found, pictureTimeUs: message.timeUs, lost: message.lostBefore }, { lineage: [message] });
  heat.publish({ shape: [2, rows, columns], data: shares }, { lineage: [message] });
}
