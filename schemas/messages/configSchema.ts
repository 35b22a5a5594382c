/**
 * The configuration, described once: `config.schema.json` (for editors and `ipcnet config schema`) and the types in `config.ts`
 * are generated from this file by `generate.ts`; a test keeps the three equal. What a schema cannot say is said by `checkConfig.ts`.
 *
 * Every key has a default where a default can be safe: what could move something, open a port to others or weaken a check has none, or the closed one.
 */
import { list, object, ref } from "./schema.ts";
import { planParts } from "./planParts.ts";
import type { RootSchema, Schema } from "./schema.ts";
import { fieldName, flag, hourMs, linkName, messageName, milliseconds, none, number, text, topicName, whole, withText } from "./schemaWords.ts";

const samplePoint = (description: string, examples: number[]): Schema => ({ type: "number", title: "a percentage from 50 to 95", description, minimum: 50, maximum: 95, examples });
const rateHz = (description: string): Schema => ({ type: "number", title: "a rate in hertz, above 0 and up to 10000", description, exclusiveMinimum: 0, maximum: 10_000 });
const topicPattern: Schema = { type: "string", title: "a topic pattern: levels separated by /, + for any one level, # at the end for the rest, at most 16 levels", pattern: "^(([^+#/\\u0000]+|\\+)(/([^+#/\\u0000]+|\\+)){0,14}(/#)?|#)$", maxLength: 200 };
const path = (description: string, more: Schema = {}): Schema => ({ type: "string", title: "a path, absolute or relative to the configuration file", description, minLength: 1, maxLength: 1024, ...more });
const absolutePath: Schema = { type: "string", title: "an absolute path", pattern: "^/[^\\u0000]*$", maxLength: 1024 };
const resourceName: Schema = { type: "string", title: "a name such as arm/camera: levels of letters, digits, . _ and -, separated by /", pattern: "^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,7}$", maxLength: 128 };
const grantMode: Schema = { type: "string", enum: ["read", "write", "readWrite"], title: "one of read, write, readWrite" };
const resourceDescription: Schema = { type: "string", title: "a text", description: "For people.", maxLength: 256, default: "" };

/** As the device knows it, and as the last level of a name here. */
const deviceService: Schema = { type: "string", title: "a name: letters, digits, . _ and -, at most 40", pattern: "^[A-Za-z0-9_][A-Za-z0-9._-]{0,39}$", description: "Name of the service, as the device has it." };

const dataId: Schema = {
  anyOf: [
    { type: "integer", title: "a whole number, 0 to 4294967295 (0x… is welcome)", minimum: 0, maximum: 0xffffffff },
    { const: "schema", title: 'the word "schema"' },
  ],
};

const definitions: Record<string, Schema> = {
  Socket: object("The Unix socket on which local clients connect.", {
    "path?": path("Where the socket is made. Absent: /run/ipcnet/ipcnet.sock if that folder exists, else $XDG_RUNTIME_DIR/ipcnet/ipcnet.sock.", { examples: ["/run/ipcnet/ipcnet.sock"] }),
    mode: { type: "string", title: 'file permissions in quotes, such as "0660"', description: "Permissions of the socket.", pattern: "^0[0-7]{3}$", default: "0660" },
    "group?": text("the name of a group", "Group that owns the socket; absent: the gateway's own."),
  }),

  BusOff: object("Recovery after bus-off: the gateway restarts the controller itself, waiting longer each time, and gives up when the budget is spent.", {
    restartMinMs: milliseconds("First pause before a restart.", 1, hourMs, { default: 100 }),
    restartMaxMs: milliseconds("Longest pause: pauses double up to this.", 1, hourMs, { default: 5000 }),
    restartBudget: whole("a number of restarts", "Restarts allowed until the bus has been healthy again; 0 never restarts.", 0, 1000, { default: 10 }),
  }),

  Template: object("Multiplies messages of a database for several nodes, which DBC cannot express. Messages and topics are named <node>_<Message>.", {
    id: text("an expression of node_id and message_id", "How the CAN id is made, for example of the node's number and the id in the file.", { examples: ["node_id << 5 | message_id"] }),
    nodes: { type: "object", description: "Node name to node number.", title: "a table of names and numbers", propertyNames: withText(fieldName, "Node name."), additionalProperties: whole("a node number", "Number of the node.", 0, 0x1fffffff), minProperties: 1, maxProperties: 256 },
    "extended?": { type: "boolean", title: "true or false", description: "Whether the ids made have 29 bits; absent: as in the file." },
    "messages?": list(withText(messageName, "Message of the file."), { description: "Which messages are multiplied; absent: all.", title: "a list of message names", minItems: 1 }),
  }),

  DatabaseFile: object("A DBC file and what is known beside it.", {
    dbc: path("The DBC file.", { examples: ["arm.dbc"] }),
    "checks?": path("Side file with the end-to-end protection of each message (*.checks.yaml).", { examples: ["arm.checks.yaml"] }),
    lint: { type: "string", enum: ["required", "lenient"], title: "required or lenient", description: "required: any error in the file refuses the configuration. lenient: faulty parts are left out or mended, with a warning; messages that are commanded must be free of errors all the same.", default: "lenient" },
    "template?": ref("Template"),
  }),

  Bus: object("A CAN bus.", {
    name: withText(linkName, "Name of the bus; part of topic names: can/<name>/<Message>."),
    driver: { type: "string", enum: ["socketcan", "emulator", "slcan", "socketcand", "npm-socketcan"], title: "one of socketcan, emulator, slcan, socketcand, npm-socketcan", description: "How the bus is reached.", default: "socketcan" },
    interface: text("what the driver opens", "socketcan, npm-socketcan: network interface (can0). emulator: path of its socket. slcan: serial device. socketcand: host:port/bus.", { examples: ["can0", "/dev/serial/by-id/usb-adapter", "192.0.2.7:29536/can0"] }),
    "bitrateBps?": whole("a bit rate in bit/s", "Nominal bit rate; compared with the interface where that can be read. slcan needs it.", 5_000, 1_000_000, { examples: [500000] }),
    "dataBitrateBps?": whole("a bit rate in bit/s", "Bit rate of the data phase (CAN FD); compared with the interface where that can be read. Absent: ipcnet-can sets the nominal one.", 5_000, 20_000_000, { examples: [2000000] }),
    "samplePointPercent?": samplePoint("Where in a bit the controller looks, for nodes that insist. Absent: the kernel's choice (CiA 301: 87.5 up to 500 kbit/s, 80 up to 800, above it 75). Set by ipcnet-can, not compared.", [87.5]),
    "dataSamplePointPercent?": samplePoint("The same in the data phase (CAN FD): all nodes of the bus should have the same.", [75]),
    fd: flag(false, "Send and receive CAN FD frames."),
    listenOnly: flag(false, "Never send, not even an acknowledgement where the driver can do that."),
    optional: flag(false, "Start although the interface is missing; it is opened when it appears."),
    txQueueFrames: whole("a number of frames", "Frames that may wait for the wire. A long queue is a queue of stale commands.", 1, 1000, { default: 16 }),
    busLoadMaxPercent: { type: "number", title: "a percentage above 0 and up to 100", description: "Commands that would load the bus beyond this are refused.", exclusiveMinimum: 0, maximum: 100, default: 70 },
    deadAfterMs: milliseconds("A frame that nobody has acknowledged for so long means: the bus is dead.", 1, 60_000, { default: 20 }),
    busOff: ref("BusOff", { default: {} }),
    "claimId?": whole("a CAN id, a multiple of 4", "CAN id of the frames by which the reflex says who commands the bus (CLAIM, docs/specs/claim.md); the owner's number, 0 to 3, is added. Above 0x7FF: 29 bits. Absent: none are sent.", 0, 0x1ffffffc, { examples: [0x10] }),
    host: whole("0 or 1", "Of two hosts on this bus, which one this is; the lower one claims first.", 0, 1, { default: 0 }),
    "selfFenceMs?": milliseconds("There is another host on this bus: silent after so long without a node that follows us. Absent: this is the only host.", 1, 1000, { examples: [12] }),
    "time?": ref("BusTime"),
    publishRaw: flag(true, "Also publish each frame as it came, on can/<name>/raw."),
    databases: list(ref("DatabaseFile"), { description: "What the frames mean.", title: "a list of databases", maxItems: 64, default: none }),
  }),

  BusTime: object("The gateway's time, told to the nodes of a bus (docs/specs/node-time.md). Absent: it is not.", {
    periodMs: milliseconds("Between two of them.", 10, 1000, { default: 100 }),
    id: whole("a CAN id", "Identifier of both frames; above 0x7FF: 29 bits.", 0, 0x1fffffff, { default: 0x14 }),
  }),

  NodeIdentity: object("Who the node on this number has to be (CANopen objects 0x1018, 0x100A, 0x2F00). Read by SDO when it appears, while the robot is disarmed; what is absent is read and shown, not compared.", {
    "vendor?": whole("a whole number, 0 to 4294967295 (0x… is welcome)", "Vendor (0x1018, 1).", 0, 0xffffffff),
    "product?": whole("a whole number, 0 to 4294967295 (0x… is welcome)", "Product (0x1018, 2).", 0, 0xffffffff),
    "revision?": whole("a whole number, 0 to 4294967295 (0x… is welcome)", "Revision (0x1018, 3).", 0, 0xffffffff),
    "serial?": whole("a whole number, 0 to 4294967295 (0x… is welcome)", "Serial number (0x1018, 4).", 0, 0xffffffff),
    "firmware?": text("a version", "Version of its firmware, as ipcnet nodes shows it.", { maxLength: 64, examples: ["1.2.3"] }),
    onMismatch: { type: "string", enum: ["refuseArming", "tell"], title: "refuseArming or tell", description: "refuseArming: nothing is armed while another node answers, or while a required one has not said who it is. tell: only an event and the status say so.", default: "refuseArming" },
  }),

  Heartbeat: {
    description: "What shows that a node is alive; exactly one of the keys.",
    oneOf: [
      object("CANopen heartbeat.", { canopen: whole("a CANopen node number", "Node number 1…127: heartbeat on id 0x700 + number.", 1, 127) }),
      object("A message of the link.", { message: withText(messageName, "Message whose reception counts.") }),
      object("A topic.", { topic: withText(topicName, "Topic whose samples count.") }),
    ],
  },
  Node: object("A node whose presence is watched.", {
    name: withText(linkName, "Name of the node."),
    link: withText(linkName, "Bus, serial port, broker or MQTT client that it is reached by."),
    heartbeat: ref("Heartbeat"),
    timeoutMs: milliseconds("Silent for so long: lost.", 1, hourMs),
    required: flag(true, "Arming is refused without it, and losing it starts the safe pose."),
    "identity?": ref("NodeIdentity"),
    update: flag(false, "Its firmware may be replaced over the bus or the serial line (ipcnet node update), while the robot is disarmed."),
  }),

  SerialField: object("A field of a serial message; fields follow each other without gaps, little-endian.", {
    name: withText(fieldName, "Name of the field."),
    type: { type: "string", enum: ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"], title: "one of u8, i8, u16, i16, u32, i32, u64, i64, f32, f64", description: "How it is transmitted." },
    factor: number("Physical value = transmitted value × factor + offset.", { default: 1 }),
    offset: number("See factor.", { default: 0 }),
    "minimum?": number("Smallest permitted physical value."),
    "maximum?": number("Largest permitted physical value."),
    unit: { type: "string", title: "a unit", description: "Unit of the physical value.", maxLength: 32, default: "" },
    "values?": { type: "object", title: "a table of value names and numbers", description: "Names for transmitted values.", propertyNames: withText(fieldName, "Value name."), additionalProperties: { type: "integer", title: "a whole number" }, minProperties: 1, maxProperties: 256 },
  }),
  SerialMessage: object("A message on a serial link.", {
    id: whole("a message number", "Number of the message on the wire.", 0, 65533),
    name: withText(messageName, "Name of the message; part of topic names: serial/<port>/<name>."),
    direction: { type: "string", enum: ["in", "out"], title: "in or out", description: "in: from the device. out: to the device (a command)." },
    fields: list(ref("SerialField"), { description: "Its fields, in order.", title: "a list of fields", maxItems: 64 }),
    "timeoutMs?": milliseconds("Older values are stale; absent: never.", 1, hourMs),
  }),
  SerialPort: object("A serial link: COBS frames protected by E2E profile 8.", {
    name: withText(linkName, "Name of the port."),
    port: text("a serial device", "Device; prefer the stable names in /dev/serial/by-id.", { examples: ["/dev/serial/by-id/usb-hand", "/dev/ttyACM0"] }),
    baudBps: whole("a speed in bit/s", "Speed.", 300, 12_000_000, { default: 115200 }),
    optional: flag(false, "Start although the device is missing; it is opened when it appears."),
    silenceTimeoutMs: milliseconds("Nothing valid received for so long: the link is dead.", 1, hourMs, { default: 500 }),
    dataId: { ...dataId, title: 'a whole number, 0 to 4294967295 (0x… is welcome), or the word "schema"', description: 'Base of the E2E data id; "schema": derived from the messages below, so that two ends with different definitions refuse each other.', default: "schema" },
    messages: list(ref("SerialMessage"), { description: "What the frames mean.", title: "a list of messages", maxItems: 256, default: none }),
    "services?": list(deviceService, { description: "What the device serves over circuits: local programs that the policy lets request serial/<port>/<name>. Absent: there are no circuits on this link.", title: "a list of services", minItems: 1, maxItems: 64 }),
  }),

  Listen: object("Where the broker listens.", {
    host: text("a host name or address", "Address to listen on; 127.0.0.1 keeps it on this machine.", { default: "127.0.0.1" }),
    port: whole("a port number", "TCP port; 0 takes a free one.", 0, 65535, { default: 1883 }),
  }),
  BrokerUser: object("Somebody who may connect to the broker.", {
    name: text("a user name", "User name in the MQTT connection.", { maxLength: 64 }),
    "passwordFile?": path("File with the password (its first line); readable for the gateway only."),
    "passwordScrypt?": { type: "string", title: "scrypt$log2N$r$p$salt$hash", description: "The password's scrypt hash (RFC 7914): scrypt$<log2 N>$<r>$<p>$<salt in base64>$<hash in base64>.", pattern: "^scrypt\\$[0-9]+\\$[0-9]+\\$[0-9]+\\$[A-Za-z0-9+/=_-]+\\$[A-Za-z0-9+/=_-]+$", maxLength: 512 },
    publish: list(withText(topicPattern, "MQTT topic pattern."), { description: "MQTT topics it may publish to.", title: "a list of topic patterns", maxItems: 256, default: none }),
    subscribe: list(withText(topicPattern, "MQTT topic pattern."), { description: "MQTT topics it may subscribe to.", title: "a list of topic patterns", maxItems: 256, default: none }),
  }),
  Broker: object("The embedded MQTT broker; absent: none.", {
    name: withText(linkName, "Name by which the rest of the file refers to it.", { default: "broker" }),
    listen: ref("Listen", { default: {} }),
    users: list(ref("BrokerUser"), { description: "Who may connect.", title: "a list of users", maxItems: 1000, default: none }),
    allowAnonymous: flag(false, "Let clients in without a name; they may read ipcnet/# and publish nothing."),
  }),
  MqttClient: object("A connection to an external MQTT broker.", {
    name: withText(linkName, "Name by which the rest of the file refers to it."),
    url: { type: "string", title: "mqtt://host:port or mqtts://host:port, without user and password", description: "Where the broker is.", pattern: "^(mqtt|mqtts)://[^/@\\s]+$", maxLength: 256, examples: ["mqtts://broker.example:8883"] },
    "username?": text("a user name", "User name."),
    "passwordFile?": path("File with the password (its first line); readable for the gateway only."),
    "ca?": path("Certificate authority in PEM form, if not one of the system's."),
    "certificate?": path("Client certificate in PEM form; needs key."),
    "key?": path("Key of the client certificate in PEM form; readable for the gateway only."),
    queueMessages: whole("a number of messages", "Messages kept while the connection is away; beyond that the oldest are dropped and counted. Commands are never queued.", 0, 1_000_000, { default: 1000 }),
    protocolVersion: { type: "integer", enum: [4, 5], title: "4 (MQTT 3.1.1) or 5", description: "MQTT protocol version; 4 is MQTT 3.1.1.", default: 5 },
  }),
  MqttInput: object("An MQTT topic that becomes the IPCNet topic mqtt/<via>/<name>.", {
    name: withText(topicName, "Last part of the IPCNet topic."),
    via: withText(linkName, "Broker or client."),
    topic: withText(topicPattern, "MQTT topic or pattern to subscribe to."),
    encoding: { type: "string", enum: ["json", "cbor"], title: "json or cbor", description: "How the payload is encoded." },
    "schema?": path("JSON Schema of the payload; what does not fit is rejected.", { examples: ["imu.schema.json"] }),
    integrity: { type: "string", enum: ["P08", "none"], title: "P08 or none", description: "P08: the payload is protected by E2E profile 8. none: only MQTT's own transport is trusted." },
    dataId: { ...dataId, title: 'a whole number, 0 to 4294967295 (0x… is welcome), or the word "schema"', description: 'E2E data id; "schema": derived from the schema file.', default: "schema" },
    "timeoutMs?": milliseconds("Older values are stale; absent: never.", 1, hourMs),
  }),
  MqttPublish: object("IPCNet topics mirrored to MQTT as ipcnet/<robot>/<topic>.", {
    topics: list(withText(topicPattern, "IPCNet topic pattern."), { description: "Which topics.", title: "a list of topic patterns", minItems: 1, maxItems: 256 }),
    via: withText(linkName, "Broker or client."),
    "rateHzMax?": rateHz("At most so many messages a second and topic; the latest value wins. Absent: each one."),
    retain: flag(false, "The broker keeps the last value for whoever subscribes later."),
  }),
  MqttCommandGrant: object("What one MQTT user may command.", {
    user: text("a user name of the broker", "Who."),
    topics: list(withText(topicPattern, "Command topic pattern."), { description: "Which commands, for example cmd/arm/#.", title: "a list of topic patterns", minItems: 1, maxItems: 256 }),
  }),
  MqttCommands: object("Commands by MQTT, on ipcnet/<robot>/cmd/…/set. They obey arming, time to live, rate and range like any other.", {
    via: list(withText(linkName, "Broker or client."), { description: "By which brokers.", title: "a list of broker and client names", minItems: 1, maxItems: 64 }),
    allow: list(ref("MqttCommandGrant"), { description: "Who may command what; everything else is refused.", title: "a list of grants", maxItems: 1000 }),
  }),
  Mqtt: object("MQTT.", {
    "broker?": ref("Broker"),
    clients: list(ref("MqttClient"), { description: "Connections to external brokers.", title: "a list of connections", maxItems: 64, default: none }),
    inputs: list(ref("MqttInput"), { description: "MQTT topics that become IPCNet topics.", title: "a list of inputs", maxItems: 1000, default: none }),
    publish: list(ref("MqttPublish"), { description: "IPCNet topics mirrored to MQTT.", title: "a list of mirrored topics", maxItems: 1000, default: none }),
    "commands?": ref("MqttCommands"),
  }),

  Principal: {
    description: "A user or a group of this machine; exactly one of the keys.",
    oneOf: [
      object("A user.", { user: text("a user name", "User name; a number goes in quotes.", { maxLength: 64 }) }),
      object("A group.", { group: text("a group name", "Group name; a number goes in quotes.", { maxLength: 64 }) }),
    ],
  },
  Topic: object("An application topic that local clients may publish.", {
    name: withText(topicName, "Name of the topic."),
    encoding: { type: "string", enum: ["json", "cbor", "bytes"], title: "one of json, cbor, bytes", description: "How samples are encoded.", default: "cbor" },
    exclusive: flag(false, "At most one program at a time writes it by a lane of its own."),
    "schema?": path("JSON Schema of the values; what does not fit is rejected.", { examples: ["target.schema.json"] }),
    writers: list(ref("Principal"), { description: "Who may publish.", title: "a list of users and groups", maxItems: 256 }),
  }),

  Command: {
    description: "Something that may move something. Whatever is not listed is refused.",
    oneOf: [ref("CanCommand"), ref("SerialCommand")],
  },
  CanCommand: object("A CAN message.", {
    bus: withText(linkName, "The bus."),
    message: withText(messageName, "The message; topic cmd/<bus>/<message>."),
    ttlMsMax: milliseconds("Longest time to live a sender may ask for; afterwards the command is dropped, never sent late.", 1, 60_000),
    rateHzMax: rateHz("More often is refused."),
    writers: list(ref("Principal"), { description: "Local clients that may send it; [] leaves it to routes and the safe pose.", title: "a list of users and groups", maxItems: 256 }),
  }),
  SerialCommand: object("A message on a serial link.", {
    serial: withText(linkName, "The serial link."),
    message: withText(messageName, "The message (direction: out); topic cmd/<port>/<message>."),
    ttlMsMax: milliseconds("Longest time to live a sender may ask for; afterwards the command is dropped, never sent late.", 1, 60_000),
    rateHzMax: rateHz("More often is refused."),
    writers: list(ref("Principal"), { description: "Local clients that may send it; [] leaves it to routes and the safe pose.", title: "a list of users and groups", maxItems: 256 }),
  }),

  Arming: object("When commands are let through.", {
    autoDisarmAfterSilentMs: milliseconds("Armed, but no command from anybody for so long: disarmed again; 0 never.", 0, hourMs, { default: 1000 }),
  }),

  PlanSend: {
    description: "A message of the plan with all its values; nothing about what goes to a motor is guessed.",
    oneOf: [ref("CanPlanSend"), ref("SerialPlanSend")],
  },
  ...planParts,
  PlanStep: object("A step of the safe pose: what is sent together, and what is waited for.", {
    name: withText(linkName, "Name of the step."),
    send: list(ref("PlanSend"), { description: "Messages sent at the start of the step.", title: "a list of messages", maxItems: 64, default: none }),
    until: list(ref("PlanCondition"), { description: "The step is done when all of these hold; []: as soon as everything was sent.", title: "a list of conditions", maxItems: 64, default: none }),
    deadlineMs: milliseconds("Not done by then: see onTimeout.", 1, hourMs),
    onTimeout: { type: "string", enum: ["continue", "fail"], title: "continue or fail", description: "continue: go on with the next step. fail: the verdict is failed; the remaining steps are still sent.", default: "continue" },
  }),
  SafePose: object("What is done when the gateway stops or something is lost.", {
    "plan?": path("A plan file with several plans, fallbacks and triggers (docs/specs/plan.md), instead of steps; needs redundancy.reflex.", { examples: ["arm.plan.yaml"] }),
    budgetMs: milliseconds("The whole plan ends within this.", 1, hourMs, { default: 3000 }),
    prepareMs: milliseconds("Stopped in order while armed: programs are told, and have so long before the pose begins; who asks for more gets at most 10 s. 0: it begins at once.", 0, 60_000, { default: 0 }),
    steps: list(ref("PlanStep"), { description: "In order.", title: "a list of steps", maxItems: 64, default: none }),
    "powerFail?": ref("PowerFail"),
    compromise: list({ type: "string", enum: ["secondMaster", "deniedAccess", "tamperedTable"], title: "one of secondMaster, deniedAccess, tamperedTable", description: "secondMaster: somebody else sends what only this gateway may send, while armed. deniedAccess: a program goes on and on with what it may not do. tamperedTable: the reflex's stored table is not what was stored." }, { description: "What counts as a compromise, beside a forged frame of ours and an operator's word, which always do (docs/specs/plan.md).", title: "a list of reasons", maxItems: 3, default: none }),
  }),
  PowerFail: object("The line that says that power fails while what is stored still lasts, read by the reflex itself; needs redundancy.reflex. Nothing is armed while it cannot be read.", {
    chip: withText(absolutePath, "Device of the GPIO chip.", { maxLength: 63, default: "/dev/gpiochip0" }),
    line: { anyOf: [whole("the number of a line", "Number on the chip.", 0, 65_535), text("the name of a line", "Its name, as gpioinfo prints it.", { maxLength: 31, pattern: "^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$" })], title: "the number or the name of a line", description: "Number on the chip, or name as gpioinfo prints it.", examples: [17, "POWER_OK"] },
    activeLow: flag(false, "The line is low when power fails, as that of most supervisors (POWER_OK, PG)."),
    debounceUs: whole("a whole number of microseconds", "Shorter pulses are none. Where the chip cannot do it, the kernel rounds it up to its timer's ticks, 1 to 4 ms; it delays the pose by as much.", 0, 1_000_000, { default: 0 }),
  }),

  Redundancy: object("What goes on when a part of the gateway dies.", {
    reflex: { type: "string", enum: ["none", "single", "pair"], title: "none, single or pair", description: "Processes of their own (ipcnet-reflex) that own the CAN buses, send commands and run the safe pose whatever becomes of the gateway. none: the gateway does it. pair: two, one of which stands by and takes over within milliseconds.", default: "none" },
    brains: { type: "string", enum: ["single", "pair"], title: "single or pair", description: "How many gateways (ipcnetd) there are; of a pair (docs/specs/pair.md) one stands by that has everything open already, every client's connection too.", default: "single" },
    progressMs: milliseconds("A gateway whose event loop makes no progress for so long is killed, and its twin takes over.", 250, 1000, { default: 500 }),
    resumeArmed: flag(false, "After a takeover of the reflex: go on armed, under a new epoch. false: the plan for takeovers runs, or the robot is disarmed."),
    twinDeadlineMs: milliseconds("A reflex whose beat stands still for so long is killed and replaced by its twin.", 2, 1000, { default: 10 }),
    beatPeriodMs: milliseconds("How often the owner says so on buses with a claimId.", 1, 1000, { default: 20 }),
    brainTimeoutMs: milliseconds("Armed and nothing heard from a gateway for so long: the safe pose begins without it; 0 never.", 0, 60_000, { default: 1000 }),
    drills: flag(false, "Let operators kill a reflex or a gateway on purpose (ipcnet kill --test)."),
    "runFolder?": path("Where control sockets and the lock are. Absent: beside the client socket.", { examples: ["/run/ipcnet"] }),
    "stateFolder?": path("Where epoch, table and journal are kept over restarts. Absent: /var/lib/ipcnet if that folder exists, else $XDG_STATE_HOME/ipcnet.", { examples: ["/var/lib/ipcnet"] }),
  }),

  Resource: {
    description: "Something that programs may be granted as a descriptor; exactly one of the keys device, directory, file and connect.",
    oneOf: [ref("DeviceResource"), ref("DirectoryResource"), ref("FileResource"), ref("ConnectResource")],
  },
  DeviceResource: object("A character or block device; opened anew, without blocking, for each grant.", {
    device: withText(absolutePath, "The device; symbolic links (/dev/serial/by-id/…) are followed.", { examples: ["/dev/video0"] }),
    name: withText(resourceName, "Name of the resource."),
    modes: list(grantMode, { description: "What may be asked for; the first one is given when nothing is said.", title: "a list of modes", minItems: 1, maxItems: 3 }),
    description: resourceDescription,
  }),
  DirectoryResource: object("A folder, to be read and to open what is in it, as far as the program's own user may.", {
    directory: withText(absolutePath, "The folder; its last part must be no symbolic link.", { examples: ["/srv/maps"] }),
    name: withText(resourceName, "Name of the resource."),
    description: resourceDescription,
  }),
  FileResource: object("A file that exists.", {
    file: withText(absolutePath, "The file; its last part must be no symbolic link.", { examples: ["/etc/robot/calibration.yaml"] }),
    name: withText(resourceName, "Name of the resource."),
    modes: list(grantMode, { description: "What may be asked for; the first one is given when nothing is said.", title: "a list of modes", minItems: 1, maxItems: 3 }),
    description: resourceDescription,
  }),
  ConnectResource: object("A connection that the gateway opens.", {
    connect: { type: "string", title: "tcp://host:port or unix:/path", description: "Where to.", pattern: "^(tcp://(\\[[0-9A-Fa-f:.]+\\]|[^\\s:/@\\[\\]]+):[0-9]{1,5}|unix:/[^\\u0000]+)$", maxLength: 256, examples: ["tcp://192.0.2.7:502", "unix:/run/planner.sock"] },
    name: withText(resourceName, "Name of the resource."),
    timeoutMs: milliseconds("Not connected by then: refused.", 1, 9_000, { default: 2000 }),
    description: resourceDescription,
  }),

  Route: object("Samples of one topic are passed on to another.", {
    from: withText(topicName, "Source topic.", { examples: ["can/arm/State", "can/arm/raw"] }),
    to: withText(topicName, "Target topic; cmd/… are commands and obey arming, time to live, rate and range.", { examples: ["app/state", "cmd/hand/Haptic", "can/base/raw"] }),
    "rateHzMax?": rateHz("At most so many samples a second; the latest wins. Absent: each one."),
    "when?": { type: "string", title: "an expression over the source's signals", description: "Only samples for which this is true are passed on.", minLength: 1, maxLength: 1000, examples: ["velocity > 0.1 && temperature < 80"] },
    rename: { type: "object", title: "a table of source and target names", description: "Source signal to target signal; signals not named keep their name.", additionalProperties: withText(fieldName, "Target signal."), maxProperties: 256, default: {} },
    "ids?": list({ type: "string", title: 'a CAN id "0x123", a range "0x100-0x1FF" or id/mask "0x18FF0000/0xFFFF0000x" (x at the end: 29-bit)', description: "CAN ids to pass on.", pattern: "^0x[0-9A-Fa-f]{1,8}([-/]0x[0-9A-Fa-f]{1,8})?x?$" }, { description: "For routes between can/<bus>/raw topics, which need it: the ids that are passed on.", title: "a list of CAN ids", minItems: 1, maxItems: 256 }),
  }),
};

export const configSchema: RootSchema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  $id: "https://ipcnet.example/schemas/config.schema.json",
  title: "IPCNet configuration",
  ...object("The configuration of an IPCNet gateway.", {
    version: { type: "integer", const: 1, title: "1", description: "Version of this format." },
    robot: { type: "string", title: "a name: lower-case letters, digits and -, at most 32 in all", description: "Name of the robot; part of MQTT topics.", pattern: "^[a-z0-9-]{1,32}$", examples: ["demo-arm"] },
    socket: ref("Socket", { default: {} }),
    buses: list(ref("Bus"), { description: "CAN buses.", title: "a list of buses", maxItems: 64, default: none }),
    serial: list(ref("SerialPort"), { description: "Serial links.", title: "a list of serial links", maxItems: 64, default: none }),
    mqtt: ref("Mqtt", { default: {} }),
    nodes: list(ref("Node"), { description: "Nodes whose presence is watched.", title: "a list of nodes", maxItems: 1000, default: none }),
    topics: list(ref("Topic"), { description: "Application topics that local clients may publish.", title: "a list of topics", maxItems: 1000, default: none }),
    commands: list(ref("Command"), { description: "What may move something; everything else is refused.", title: "a list of commands", maxItems: 1000, default: none }),
    "readers?": list(ref("Principal"), { description: "Who may subscribe; absent: the gateway's own user and root.", title: "a list of users and groups", maxItems: 256 }),
    "operators?": list(ref("Principal"), { description: "Who may arm, disarm and start the safe pose; absent: the gateway's own user and root.", title: "a list of users and groups", maxItems: 256 }),
    "policy?": path("Policy file: who may read, write, execute and offer what; absent: what the lists of this file say.", { examples: ["policy.yaml"] }),
    resources: list(ref("Resource"), { description: "What programs may be granted as a descriptor, if the policy lets them.", title: "a list of resources", maxItems: 256, default: none }),
    arming: ref("Arming", { default: {} }),
    safePose: ref("SafePose", { default: {} }),
    redundancy: ref("Redundancy", { default: {} }),
    routes: list(ref("Route"), { description: "What is passed from topic to topic.", title: "a list of routes", maxItems: 1000, default: none }),
  }),
  definitions,
};
