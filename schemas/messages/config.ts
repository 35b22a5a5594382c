// Generated from configSchema.ts by generate.ts: change that file, then run `npm run build && node dist/ts/schemas/messages/generate.js`.

/** The configuration of an IPCNet gateway. */
export interface Config {
  /** Version of this format. */
  version: 1;
  /** Name of the robot; part of MQTT topics. */
  robot: string;
  socket: Socket;
  /** CAN buses. */
  buses: readonly Bus[];
  /** Serial links. */
  serial: readonly SerialPort[];
  mqtt: Mqtt;
  /** Nodes whose presence is watched. */
  nodes: readonly Node[];
  /** Application topics that local clients may publish. */
  topics: readonly Topic[];
  /** What may move something; everything else is refused. */
  commands: readonly Command[];
  /** Who may subscribe; absent: the gateway's own user and root. */
  readers?: readonly Principal[];
  /** Who may arm, disarm and start the safe pose; absent: the gateway's own user and root. */
  operators?: readonly Principal[];
  /** Policy file: who may read, write, execute and offer what; absent: what the lists of this file say. */
  policy?: string;
  /** What programs may be granted as a descriptor, if the policy lets them. */
  resources: readonly Resource[];
  arming: Arming;
  safePose: SafePose;
  redundancy: Redundancy;
  /** What is passed from topic to topic. */
  routes: readonly Route[];
}

/** The Unix socket on which local clients connect. */
export interface Socket {
  /** Where the socket is made. Absent: /run/ipcnet/ipcnet.sock if that folder exists, else $XDG_RUNTIME_DIR/ipcnet/ipcnet.sock. */
  path?: string;
  /** Permissions of the socket. Default: "0660". */
  mode: string;
  /** Group that owns the socket; absent: the gateway's own. */
  group?: string;
}

/** Recovery after bus-off: the gateway restarts the controller itself, waiting longer each time, and gives up when the budget is spent. */
export interface BusOff {
  /** First pause before a restart. Default: 100. */
  restartMinMs: number;
  /** Longest pause: pauses double up to this. Default: 5000. */
  restartMaxMs: number;
  /** Restarts allowed until the bus has been healthy again; 0 never restarts. Default: 10. */
  restartBudget: number;
}

/** Multiplies messages of a database for several nodes, which DBC cannot express. Messages and topics are named <node>_<Message>. */
export interface Template {
  /** How the CAN id is made, for example of the node's number and the id in the file. */
  id: string;
  /** Node name to node number. */
  nodes: Readonly<Record<string, number>>;
  /** Whether the ids made have 29 bits; absent: as in the file. */
  extended?: boolean;
  /** Which messages are multiplied; absent: all. */
  messages?: readonly string[];
}

/** A DBC file and what is known beside it. */
export interface DatabaseFile {
  /** The DBC file. */
  dbc: string;
  /** Side file with the end-to-end protection of each message (*.checks.yaml). */
  checks?: string;
  /** required: any error in the file refuses the configuration. lenient: faulty parts are left out or mended, with a warning; messages that are commanded must be free of errors all the same. Default: "lenient". */
  lint: "required" | "lenient";
  template?: Template;
}

/** A CAN bus. */
export interface Bus {
  /** Name of the bus; part of topic names: can/<name>/<Message>. */
  name: string;
  /** How the bus is reached. Default: "socketcan". */
  driver: "socketcan" | "emulator" | "slcan" | "socketcand" | "npm-socketcan";
  /** socketcan, npm-socketcan: network interface (can0). emulator: path of its socket. slcan: serial device. socketcand: host:port/bus. */
  interface: string;
  /** Nominal bit rate; compared with the interface where that can be read. slcan needs it. */
  bitrateBps?: number;
  /** Bit rate of the data phase (CAN FD); compared with the interface where that can be read. Absent: ipcnet-can sets the nominal one. */
  dataBitrateBps?: number;
  /** Where in a bit the controller looks, for nodes that insist. Absent: the kernel's choice (CiA 301: 87.5 up to 500 kbit/s, 80 up to 800, above it 75). Set by ipcnet-can, not compared. */
  samplePointPercent?: number;
  /** The same in the data phase (CAN FD): all nodes of the bus should have the same. */
  dataSamplePointPercent?: number;
  /** Send and receive CAN FD frames. Default: false. */
  fd: boolean;
  /** Never send, not even an acknowledgement where the driver can do that. Default: false. */
  listenOnly: boolean;
  /** Start although the interface is missing; it is opened when it appears. Default: false. */
  optional: boolean;
  /** Frames that may wait for the wire. A long queue is a queue of stale commands. Default: 16. */
  txQueueFrames: number;
  /** Commands that would load the bus beyond this are refused. Default: 70. */
  busLoadMaxPercent: number;
  /** A frame that nobody has acknowledged for so long means: the bus is dead. Default: 20. */
  deadAfterMs: number;
  busOff: BusOff;
  /** CAN id of the frames by which the reflex says who commands the bus (CLAIM, docs/specs/claim.md); the owner's number, 0 to 3, is added. Above 0x7FF: 29 bits. Absent: none are sent. */
  claimId?: number;
  /** Of two hosts on this bus, which one this is; the lower one claims first. Default: 0. */
  host: number;
  /** There is another host on this bus: silent after so long without a node that follows us. Absent: this is the only host. */
  selfFenceMs?: number;
  time?: BusTime;
  /** Also publish each frame as it came, on can/<name>/raw. Default: true. */
  publishRaw: boolean;
  /** What the frames mean. */
  databases: readonly DatabaseFile[];
}

/** The gateway's time, told to the nodes of a bus (docs/specs/node-time.md). Absent: it is not. */
export interface BusTime {
  /** Between two of them. Default: 100. */
  periodMs: number;
  /** Identifier of both frames; above 0x7FF: 29 bits. Default: 20. */
  id: number;
}

/** Who the node on this number has to be (CANopen objects 0x1018, 0x100A, 0x2F00). Read by SDO when it appears, while the robot is disarmed; what is absent is read and shown, not compared. */
export interface NodeIdentity {
  /** Vendor (0x1018, 1). */
  vendor?: number;
  /** Product (0x1018, 2). */
  product?: number;
  /** Revision (0x1018, 3). */
  revision?: number;
  /** Serial number (0x1018, 4). */
  serial?: number;
  /** Version of its firmware, as ipcnet nodes shows it. */
  firmware?: string;
  /** refuseArming: nothing is armed while another node answers, or while a required one has not said who it is. tell: only an event and the status say so. Default: "refuseArming". */
  onMismatch: "refuseArming" | "tell";
}

/** What shows that a node is alive; exactly one of the keys. */
export type Heartbeat = {
  /** Node number 1…127: heartbeat on id 0x700 + number. */
  canopen: number;
} | {
  /** Message whose reception counts. */
  message: string;
} | {
  /** Topic whose samples count. */
  topic: string;
};

/** A node whose presence is watched. */
export interface Node {
  /** Name of the node. */
  name: string;
  /** Bus, serial port, broker or MQTT client that it is reached by. */
  link: string;
  heartbeat: Heartbeat;
  /** Silent for so long: lost. */
  timeoutMs: number;
  /** Arming is refused without it, and losing it starts the safe pose. Default: true. */
  required: boolean;
  identity?: NodeIdentity;
  /** Its firmware may be replaced over the bus or the serial line (ipcnet node update), while the robot is disarmed. Default: false. */
  update: boolean;
}

/** A field of a serial message; fields follow each other without gaps, little-endian. */
export interface SerialField {
  /** Name of the field. */
  name: string;
  /** How it is transmitted. */
  type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "u64" | "i64" | "f32" | "f64";
  /** Physical value = transmitted value × factor + offset. Default: 1. */
  factor: number;
  /** See factor. Default: 0. */
  offset: number;
  /** Smallest permitted physical value. */
  minimum?: number;
  /** Largest permitted physical value. */
  maximum?: number;
  /** Unit of the physical value. Default: "". */
  unit: string;
  /** Names for transmitted values. */
  values?: Readonly<Record<string, number>>;
}

/** A message on a serial link. */
export interface SerialMessage {
  /** Number of the message on the wire. */
  id: number;
  /** Name of the message; part of topic names: serial/<port>/<name>. */
  name: string;
  /** in: from the device. out: to the device (a command). */
  direction: "in" | "out";
  /** Its fields, in order. */
  fields: readonly SerialField[];
  /** Older values are stale; absent: never. */
  timeoutMs?: number;
}

/** A serial link: COBS frames protected by E2E profile 8. */
export interface SerialPort {
  /** Name of the port. */
  name: string;
  /** Device; prefer the stable names in /dev/serial/by-id. */
  port: string;
  /** Speed. Default: 115200. */
  baudBps: number;
  /** Start although the device is missing; it is opened when it appears. Default: false. */
  optional: boolean;
  /** Nothing valid received for so long: the link is dead. Default: 500. */
  silenceTimeoutMs: number;
  /** Base of the E2E data id; "schema": derived from the messages below, so that two ends with different definitions refuse each other. Default: "schema". */
  dataId: number | "schema";
  /** What the frames mean. */
  messages: readonly SerialMessage[];
  /** What the device serves over circuits: local programs that the policy lets request serial/<port>/<name>. Absent: there are no circuits on this link. */
  services?: readonly string[];
}

/** Where the broker listens. */
export interface Listen {
  /** Address to listen on; 127.0.0.1 keeps it on this machine. Default: "127.0.0.1". */
  host: string;
  /** TCP port; 0 takes a free one. Default: 1883. */
  port: number;
}

/** Somebody who may connect to the broker. */
export interface BrokerUser {
  /** User name in the MQTT connection. */
  name: string;
  /** File with the password (its first line); readable for the gateway only. */
  passwordFile?: string;
  /** The password's scrypt hash (RFC 7914): scrypt$<log2 N>$<r>$<p>$<salt in base64>$<hash in base64>. */
  passwordScrypt?: string;
  /** MQTT topics it may publish to. */
  publish: readonly string[];
  /** MQTT topics it may subscribe to. */
  subscribe: readonly string[];
}

/** The embedded MQTT broker; absent: none. */
export interface Broker {
  /** Name by which the rest of the file refers to it. Default: "broker". */
  name: string;
  listen: Listen;
  /** Who may connect. */
  users: readonly BrokerUser[];
  /** Let clients in without a name; they may read ipcnet/# and publish nothing. Default: false. */
  allowAnonymous: boolean;
}

/** A connection to an external MQTT broker. */
export interface MqttClient {
  /** Name by which the rest of the file refers to it. */
  name: string;
  /** Where the broker is. */
  url: string;
  /** User name. */
  username?: string;
  /** File with the password (its first line); readable for the gateway only. */
  passwordFile?: string;
  /** Certificate authority in PEM form, if not one of the system's. */
  ca?: string;
  /** Client certificate in PEM form; needs key. */
  certificate?: string;
  /** Key of the client certificate in PEM form; readable for the gateway only. */
  key?: string;
  /** Messages kept while the connection is away; beyond that the oldest are dropped and counted. Commands are never queued. Default: 1000. */
  queueMessages: number;
  /** MQTT protocol version; 4 is MQTT 3.1.1. Default: 5. */
  protocolVersion: 4 | 5;
}

/** An MQTT topic that becomes the IPCNet topic mqtt/<via>/<name>. */
export interface MqttInput {
  /** Last part of the IPCNet topic. */
  name: string;
  /** Broker or client. */
  via: string;
  /** MQTT topic or pattern to subscribe to. */
  topic: string;
  /** How the payload is encoded. */
  encoding: "json" | "cbor";
  /** JSON Schema of the payload; what does not fit is rejected. */
  schema?: string;
  /** P08: the payload is protected by E2E profile 8. none: only MQTT's own transport is trusted. */
  integrity: "P08" | "none";
  /** E2E data id; "schema": derived from the schema file. Default: "schema". */
  dataId: number | "schema";
  /** Older values are stale; absent: never. */
  timeoutMs?: number;
}

/** IPCNet topics mirrored to MQTT as ipcnet/<robot>/<topic>. */
export interface MqttPublish {
  /** Which topics. */
  topics: readonly string[];
  /** Broker or client. */
  via: string;
  /** At most so many messages a second and topic; the latest value wins. Absent: each one. */
  rateHzMax?: number;
  /** The broker keeps the last value for whoever subscribes later. Default: false. */
  retain: boolean;
}

/** What one MQTT user may command. */
export interface MqttCommandGrant {
  /** Who. */
  user: string;
  /** Which commands, for example cmd/arm/#. */
  topics: readonly string[];
}

/** Commands by MQTT, on ipcnet/<robot>/cmd/…/set. They obey arming, time to live, rate and range like any other. */
export interface MqttCommands {
  /** By which brokers. */
  via: readonly string[];
  /** Who may command what; everything else is refused. */
  allow: readonly MqttCommandGrant[];
}

/** MQTT. */
export interface Mqtt {
  broker?: Broker;
  /** Connections to external brokers. */
  clients: readonly MqttClient[];
  /** MQTT topics that become IPCNet topics. */
  inputs: readonly MqttInput[];
  /** IPCNet topics mirrored to MQTT. */
  publish: readonly MqttPublish[];
  commands?: MqttCommands;
}

/** A user or a group of this machine; exactly one of the keys. */
export type Principal = {
  /** User name; a number goes in quotes. */
  user: string;
} | {
  /** Group name; a number goes in quotes. */
  group: string;
};

/** An application topic that local clients may publish. */
export interface Topic {
  /** Name of the topic. */
  name: string;
  /** How samples are encoded. Default: "cbor". */
  encoding: "json" | "cbor" | "bytes";
  /** At most one program at a time writes it by a lane of its own. Default: false. */
  exclusive: boolean;
  /** JSON Schema of the values; what does not fit is rejected. */
  schema?: string;
  /** Who may publish. */
  writers: readonly Principal[];
}

/** Something that may move something. Whatever is not listed is refused. */
export type Command = CanCommand | SerialCommand;

/** A CAN message. */
export interface CanCommand {
  /** The bus. */
  bus: string;
  /** The message; topic cmd/<bus>/<message>. */
  message: string;
  /** Longest time to live a sender may ask for; afterwards the command is dropped, never sent late. */
  ttlMsMax: number;
  /** More often is refused. */
  rateHzMax: number;
  /** Local clients that may send it; [] leaves it to routes and the safe pose. */
  writers: readonly Principal[];
}

/** A message on a serial link. */
export interface SerialCommand {
  /** The serial link. */
  serial: string;
  /** The message (direction: out); topic cmd/<port>/<message>. */
  message: string;
  /** Longest time to live a sender may ask for; afterwards the command is dropped, never sent late. */
  ttlMsMax: number;
  /** More often is refused. */
  rateHzMax: number;
  /** Local clients that may send it; [] leaves it to routes and the safe pose. */
  writers: readonly Principal[];
}

/** When commands are let through. */
export interface Arming {
  /** Armed, but no command from anybody for so long: disarmed again; 0 never. Default: 1000. */
  autoDisarmAfterSilentMs: number;
}

/** A message of the plan with all its values; nothing about what goes to a motor is guessed. */
export type PlanSend = CanPlanSend | SerialPlanSend;

/** Physical value, or the name of a value. */
export type PlanValue = number | string;

/** On a CAN bus. */
export interface CanPlanSend {
  /** The bus. */
  bus: string;
  /** The message. */
  message: string;
  /** Signal to physical value or value name; counters and checksums are filled in. */
  values: Readonly<Record<string, PlanValue>>;
}

/** On a serial link. */
export interface SerialPlanSend {
  /** The serial link. */
  serial: string;
  /** The message (direction: out). */
  message: string;
  /** Field to physical value or value name. */
  values: Readonly<Record<string, PlanValue>>;
}

/** A measured condition. */
export interface PlanCondition {
  /** Where it is measured. */
  topic: string;
  /** Which signal. */
  signal: string;
  /** Magnitude at most this. */
  absMax?: number;
  /** At least this. */
  minimum?: number;
  /** At most this. */
  maximum?: number;
  equals?: PlanValue;
  /** It must hold for so long without interruption. Default: 0. */
  holdMs: number;
  /** Older samples do not count. Default: 100. */
  ageMsMax: number;
}

/** A step of the safe pose: what is sent together, and what is waited for. */
export interface PlanStep {
  /** Name of the step. */
  name: string;
  /** Messages sent at the start of the step. */
  send: readonly PlanSend[];
  /** The step is done when all of these hold; []: as soon as everything was sent. */
  until: readonly PlanCondition[];
  /** Not done by then: see onTimeout. */
  deadlineMs: number;
  /** continue: go on with the next step. fail: the verdict is failed; the remaining steps are still sent. Default: "continue". */
  onTimeout: "continue" | "fail";
}

/** What is done when the gateway stops or something is lost. */
export interface SafePose {
  /** A plan file with several plans, fallbacks and triggers (docs/specs/plan.md), instead of steps; needs redundancy.reflex. */
  plan?: string;
  /** The whole plan ends within this. Default: 3000. */
  budgetMs: number;
  /** Stopped in order while armed: programs are told, and have so long before the pose begins; who asks for more gets at most 10 s. 0: it begins at once. Default: 0. */
  prepareMs: number;
  /** In order. */
  steps: readonly PlanStep[];
  powerFail?: PowerFail;
  /** What counts as a compromise, beside a forged frame of ours and an operator's word, which always do (docs/specs/plan.md). */
  compromise: readonly ("secondMaster" | "deniedAccess" | "tamperedTable")[];
}

/** The line that says that power fails while what is stored still lasts, read by the reflex itself; needs redundancy.reflex. Nothing is armed while it cannot be read. */
export interface PowerFail {
  /** Device of the GPIO chip. Default: "/dev/gpiochip0". */
  chip: string;
  /** Number on the chip, or name as gpioinfo prints it. */
  line: number | string;
  /** The line is low when power fails, as that of most supervisors (POWER_OK, PG). Default: false. */
  activeLow: boolean;
  /** Shorter pulses are none. Where the chip cannot do it, the kernel rounds it up to its timer's ticks, 1 to 4 ms; it delays the pose by as much. Default: 0. */
  debounceUs: number;
}

/** What goes on when a part of the gateway dies. */
export interface Redundancy {
  /** Processes of their own (ipcnet-reflex) that own the CAN buses, send commands and run the safe pose whatever becomes of the gateway. none: the gateway does it. pair: two, one of which stands by and takes over within milliseconds. Default: "none". */
  reflex: "none" | "single" | "pair";
  /** How many gateways (ipcnetd) there are; of a pair (docs/specs/pair.md) one stands by that has everything open already, every client's connection too. Default: "single". */
  brains: "single" | "pair";
  /** A gateway whose event loop makes no progress for so long is killed, and its twin takes over. Default: 500. */
  progressMs: number;
  /** After a takeover of the reflex: go on armed, under a new epoch. false: the plan for takeovers runs, or the robot is disarmed. Default: false. */
  resumeArmed: boolean;
  /** A reflex whose beat stands still for so long is killed and replaced by its twin. Default: 10. */
  twinDeadlineMs: number;
  /** How often the owner says so on buses with a claimId. Default: 20. */
  beatPeriodMs: number;
  /** Armed and nothing heard from a gateway for so long: the safe pose begins without it; 0 never. Default: 1000. */
  brainTimeoutMs: number;
  /** Let operators kill a reflex or a gateway on purpose (ipcnet kill --test). Default: false. */
  drills: boolean;
  /** Where control sockets and the lock are. Absent: beside the client socket. */
  runFolder?: string;
  /** Where epoch, table and journal are kept over restarts. Absent: /var/lib/ipcnet if that folder exists, else $XDG_STATE_HOME/ipcnet. */
  stateFolder?: string;
}

/** Something that programs may be granted as a descriptor; exactly one of the keys device, directory, file and connect. */
export type Resource = DeviceResource | DirectoryResource | FileResource | ConnectResource;

/** A character or block device; opened anew, without blocking, for each grant. */
export interface DeviceResource {
  /** The device; symbolic links (/dev/serial/by-id/…) are followed. */
  device: string;
  /** Name of the resource. */
  name: string;
  /** What may be asked for; the first one is given when nothing is said. */
  modes: readonly ("read" | "write" | "readWrite")[];
  /** For people. Default: "". */
  description: string;
}

/** A folder, to be read and to open what is in it, as far as the program's own user may. */
export interface DirectoryResource {
  /** The folder; its last part must be no symbolic link. */
  directory: string;
  /** Name of the resource. */
  name: string;
  /** For people. Default: "". */
  description: string;
}

/** A file that exists. */
export interface FileResource {
  /** The file; its last part must be no symbolic link. */
  file: string;
  /** Name of the resource. */
  name: string;
  /** What may be asked for; the first one is given when nothing is said. */
  modes: readonly ("read" | "write" | "readWrite")[];
  /** For people. Default: "". */
  description: string;
}

/** A connection that the gateway opens. */
export interface ConnectResource {
  /** Where to. */
  connect: string;
  /** Name of the resource. */
  name: string;
  /** Not connected by then: refused. Default: 2000. */
  timeoutMs: number;
  /** For people. Default: "". */
  description: string;
}

/** Samples of one topic are passed on to another. */
export interface Route {
  /** Source topic. */
  from: string;
  /** Target topic; cmd/… are commands and obey arming, time to live, rate and range. */
  to: string;
  /** At most so many samples a second; the latest wins. Absent: each one. */
  rateHzMax?: number;
  /** Only samples for which this is true are passed on. */
  when?: string;
  /** Source signal to target signal; signals not named keep their name. */
  rename: Readonly<Record<string, string>>;
  /** For routes between can/<bus>/raw topics, which need it: the ids that are passed on. */
  ids?: readonly string[];
}
