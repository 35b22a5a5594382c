/**
 * The simulated robot in a process of its own: six joints on an emulated CAN bus, a hand controller on a pseudo-terminal, an IMU on MQTT.
 * `node robot.js FOLDER MQTT_PORT [CLAIM_ID]` (the id of the bus's CLAIM frames, for joints that follow them): serves FOLDER/bus.sock and the terminal FOLDER/hand, prints one line when both are there, ends with its standard input.
 */
import { readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { BusHost } from "../../drivers/can/emulator/host.ts";
import { attachInProcess } from "../../drivers/can/emulator/inProcess.ts";
import { serveBuses } from "../../drivers/can/emulator/server.ts";
import { encodeCbor } from "../../drivers/mqtt/cbor.ts";
import { createMqttClientDriver } from "../../drivers/mqtt/clientDriver.ts";
import { EnvelopeWriter } from "../../drivers/mqtt/envelope.ts";
import { openPty } from "../../drivers/pty/index.ts";
import { createSerialDriver } from "../../drivers/serial/driver.ts";
import { streamPort } from "../../drivers/serial/streamPort.ts";
import { systemClock } from "../../schemas/clock.ts";
import { schemaDataId } from "../../gateway/build/mqttLinks.ts";
import { Joint } from "./joint.ts";
import { jointCodecs, NODE_NUMBERS } from "./messages.ts";
import { JOINTS } from "./teleop.ts";

/** As `dataId` of the serial link in ipcnet.template.yaml. */
const HAND_DATA_ID = 0x48414e44;
const JOYSTICK_ID = 1;
const HAND_PERIOD_MS = 20;
const IMU_PERIOD_MS = 20;
const sourceFolder = join(import.meta.dirname, "../../../../examples/arm");

const [folder, mqttPort, claimIdText] = process.argv.slice(2);
const claimId = claimIdText === undefined ? undefined : Number(claimIdText);
if (folder === undefined || mqttPort === undefined || Number.isNaN(claimId)) {
  process.stderr.write("usage: robot.js FOLDER MQTT_PORT [CLAIM_ID]\n");
  process.exit(2);
}

const bus = new BusHost({ name: "arm", bitrateBps: 500_000 });
const server = await serveBuses({ socketPath: join(folder, "bus.sock"), buses: [bus] });
const codecs = jointCodecs(sourceFolder);
for (const joint of JOINTS) runJoint(new Joint({ nodeId: NODE_NUMBERS[joint], codecs: codecs[joint], claimId }));
const hand = await runHand(join(folder, "hand"));
const imu = runImu(Number(mqttPort), readFileSync(join(folder, "imu.password"), "utf8").trim());

const end = (): void => {
  imu.stop();
  hand.stop();
  void server.close().finally(() => process.exit(0));
};
process.on("SIGTERM", end);
process.on("SIGINT", end);
// Whoever started the robot is gone when its end of the pipe is.
process.stdin.on("end", end);
process.stdin.resume();
process.stdout.write(`${JSON.stringify({ bus: server.socketPath, hand: join(folder, "hand") })}\n`);

function runJoint(joint: Joint): void {
  const { port } = attachInProcess(bus, { name: `joint ${joint.nodeId}` });
  port.onFrame((frame) => {
    for (const answer of joint.receive(frame, systemClock.nowUs())) port.send(answer);
  });
  const turn = (): void => {
    const nowUs = systemClock.nowUs();
    for (const frame of joint.tick(nowUs)) port.send(frame);
    systemClock.at(joint.nextDeadlineUs(), turn);
  };
  turn();
}

/** A hand controller whose stick wanders; the deadman switch is pressed most of the time. */
async function runHand(path: string): Promise<{ stop(): void }> {
  const pty = await openPty();
  rmSync(path, { force: true });
  symlinkSync(pty.path, path);
  const driver = createSerialDriver({ name: "hand controller", port: streamPort("hand", pty.stream), role: "device", dataId: HAND_DATA_ID, optional: true });
  // The link opens when the gateway does; until then `send` says so and the value is simply the next one.
  void driver.start();
  const body = new DataView(new ArrayBuffer(6));
  const timer = setInterval(() => {
    const timeS = performance.now() / 1e3;
    body.setInt16(0, Math.round(1000 * 0.6 * Math.sin(timeS / 3)), true);
    body.setInt16(2, Math.round(1000 * 0.6 * Math.cos(timeS / 4.3)), true);
    body.setUint8(4, Math.round(50 + 45 * Math.sin(timeS / 2)));
    body.setUint8(5, Math.sin(timeS / 9) > -0.8 ? 1 : 0);
    driver.send({ id: JOYSTICK_ID, body: new Uint8Array(body.buffer), deadlineUs: systemClock.nowUs() + 2 * HAND_PERIOD_MS * 1e3 });
  }, HAND_PERIOD_MS);
  return { stop: () => {
    clearInterval(timer);
    void driver.stop();
    pty.close();
    rmSync(path, { force: true });
  } };
}

/** An IMU that sways a little; CBOR in an E2E profile 8 envelope. */
function runImu(port: number, password: string): { stop(): void } {
  const schema = JSON.parse(readFileSync(join(sourceFolder, "imu.schema.json"), "utf8")) as object;
  const envelope = new EnvelopeWriter({ dataId: schemaDataId(schema) });
  const driver = createMqttClientDriver({ name: "imu", url: `mqtt://127.0.0.1:${port}`, clientId: "imu", username: "imu", password, backoff: { minMs: 50, maxMs: 1_000 } });
  void driver.start();
  const timer = setInterval(() => {
    const timeS = performance.now() / 1e3;
    const body = encodeCbor({ roll: 0.05 * Math.sin(timeS), pitch: 0.03 * Math.cos(timeS * 1.3), yaw: 0.4 * Math.sin(timeS / 7), az: 9.81 + 0.05 * Math.sin(timeS * 5) });
    driver.send({ topic: "imu/torso/state", payload: envelope.write(body), qos: 0, deadlineUs: systemClock.nowUs() + 2 * IMU_PERIOD_MS * 1e3 });
  }, IMU_PERIOD_MS);
  return { stop: () => {
    clearInterval(timer);
    void driver.stop();
  } };
}
