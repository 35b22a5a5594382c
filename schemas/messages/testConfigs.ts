/** Configurations for tests. */
import type { Config } from "./config.ts";

/** Every key of the format at least once; the compiler compares it with the types, the tests with the schema. */
export const everyKey: Config = {
  version: 1,
  robot: "demo-arm",
  socket: { path: "/run/ipcnet/ipcnet.sock", mode: "0660", group: "ipcnet" },
  buses: [
    {
      name: "arm", driver: "emulator", interface: "bus.sock", bitrateBps: 500000, dataBitrateBps: 2000000, fd: true, listenOnly: false, optional: true,
      txQueueFrames: 8, busLoadMaxPercent: 62.5, deadAfterMs: 30, busOff: { restartMinMs: 50, restartMaxMs: 400, restartBudget: 3 }, claimId: 0x10, host: 1, selfFenceMs: 12, time: { periodMs: 50, id: 0x15 }, publishRaw: false,
      databases: [{ dbc: "arm.dbc", checks: "arm.checks.yaml", lint: "required", template: { id: "node_id << 5 | message_id", nodes: { shoulder: 1, elbow: 2 }, extended: false, messages: ["State"] } }],
    },
  ],
  serial: [
    {
      name: "hand", port: "/dev/ttyACM0", baudBps: 921600, optional: true, silenceTimeoutMs: 250, dataId: 0x48414e44,
      messages: [{ id: 1, name: "Joystick", direction: "in", timeoutMs: 100, fields: [{ name: "x", type: "i16", factor: 0.001, offset: 0.5, minimum: -1, maximum: 1, unit: "m", values: { Off: 0, On: -1 } }] }],
    },
  ],
  mqtt: {
    broker: {
      name: "broker", listen: { host: "127.0.0.1", port: 0 }, allowAnonymous: true,
      users: [{ name: "imu", passwordFile: "imu.password", passwordScrypt: "scrypt$14$8$1$c2FsdA==$aGFzaA==", publish: ["imu/#"], subscribe: ["+/x"] }],
    },
    clients: [{ name: "fleet", url: "mqtts://host.example:8883", username: "robot", passwordFile: "fleet.password", ca: "ca.pem", certificate: "cert.pem", key: "key.pem", queueMessages: 10, protocolVersion: 4 }],
    inputs: [{ name: "imu", via: "broker", topic: "imu/torso/state", encoding: "cbor", schema: "imu.schema.json", integrity: "P08", dataId: "schema", timeoutMs: 200 }],
    publish: [{ topics: ["can/arm/+"], via: "broker", rateHzMax: 20, retain: true }],
    commands: { via: ["broker"], allow: [{ user: "pendant", topics: ["cmd/arm/#"] }] },
  },
  nodes: [
    { name: "shoulder", link: "arm", heartbeat: { canopen: 1 }, timeoutMs: 300, required: true, identity: { vendor: 0x1234, product: 7, revision: 1, serial: 99, firmware: "1.2.3", onMismatch: "tell" }, update: true },
    { name: "elbow", link: "arm", heartbeat: { message: "elbow_State" }, timeoutMs: 100, required: true, update: false },
    { name: "imu", link: "broker", heartbeat: { topic: "mqtt/broker/imu" }, timeoutMs: 500, required: false, update: false },
  ],
  topics: [{ name: "app/target", encoding: "json", exclusive: true, schema: "target.schema.json", writers: [{ user: "robot" }] }],
  commands: [
    { bus: "arm", message: "shoulder_Command", ttlMsMax: 100, rateHzMax: 200, writers: [{ user: "robot" }, { group: "operators" }] },
    { serial: "hand", message: "Haptic", ttlMsMax: 200, rateHzMax: 50, writers: [] },
  ],
  readers: [{ group: "ipcnet" }],
  operators: [{ group: "operators" }],
  resources: [
    { name: "arm/camera", device: "/dev/video0", modes: ["readWrite", "read"], description: "the camera at the wrist" },
    { name: "maps", directory: "/srv/maps", description: "" },
    { name: "calibration", file: "/etc/robot/calibration.yaml", modes: ["read"], description: "" },
    { name: "plc", connect: "tcp://192.0.2.7:502", timeoutMs: 500, description: "" },
  ],
  arming: { autoDisarmAfterSilentMs: 0 },
  redundancy: { reflex: "pair", brains: "pair", progressMs: 500, resumeArmed: true, twinDeadlineMs: 20, beatPeriodMs: 10, brainTimeoutMs: 500, drills: true, runFolder: "/run/ipcnet", stateFolder: "/var/lib/ipcnet" },
  safePose: {
    plan: "arm.plan.yaml",
    budgetMs: 2500,
    prepareMs: 300,
    powerFail: { chip: "/dev/gpiochip1", line: "POWER_OK", activeLow: true, debounceUs: 200 },
    compromise: ["secondMaster"],
    steps: [
      {
        name: "hold", deadlineMs: 1000, onTimeout: "fail",
        send: [{ bus: "arm", message: "shoulder_Command", values: { mode: "Hold", velocity: 0 } }, { serial: "hand", message: "Haptic", values: { strength: 0.5 } }],
        until: [{ topic: "can/arm/shoulder_State", signal: "velocity", absMax: 0.02, minimum: -1, maximum: 1, equals: "Hold", holdMs: 50, ageMsMax: 90 }],
      },
    ],
  },
  routes: [
    { from: "can/arm/shoulder_State", to: "app/shoulder", rateHzMax: 50, when: "velocity > 0.1", rename: { velocity: "v" } },
    { from: "can/arm/raw", to: "can/base/raw", rename: {}, ids: ["0x100-0x1FF", "0x18FF0000/0xFFFF0000x"] },
  ],
};
