/** Gateway, camera, detector and display, until Ctrl-C (or for so many seconds): see README.md. */
import { join } from "node:path";
import { compiledC, root, Stage, untilStopped } from "../stage.ts";

const seconds = process.argv[2] === undefined ? undefined : Number(process.argv[2]);
const camera = compiledC("vision/camera.c");
const stage = await Stage.open("eyes");
process.stdout.write(`in another terminal: npx ipcnet --socket ${stage.socketPath} trace display/shown\n`);
try {
  stage.start("camera", [camera]);
  stage.start("detector", [process.execPath, join(root, "dist/ts/examples/vision/detector.js")]);
  const display = stage.start("display", ["python3", "-u", join(root, "examples/vision/display.py")]);
  await Promise.race([untilStopped(seconds), new Promise((resolve) => display.on("close", resolve))]);
} finally {
  await stage.close();
}
process.exit();
