import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkConfig, startsHere } from "./checkConfig.ts";
import type { CheckResult, FileAnswer, MachineProbe } from "./checkConfig.ts";
import { checkConfigFile, thisMachine } from "./configFile.ts";
import { renderFault } from "./fault.ts";
import { sourceFolder } from "./generate.ts";

const examples = join(sourceFolder(), "../../examples/config");
const example = (name: string) => readFileSync(join(examples, name), "utf8");
const utf8 = (text: string) => new TextEncoder().encode(text);

/** Files beside the configuration: the shipped examples and a few bad ones. */
const files: Readonly<Record<string, FileAnswer>> = {
  ...Object.fromEntries(readdirSync(examples).map((name) => [name, { bytes: utf8(example(name)), mode: 0o644 }])),
  "quirky.dbc": { bytes: utf8(example("arm.dbc").replace(" SG_ velocity : 32|16@1-", " SG_ velocity : 28|16@1-")), mode: 0o644 },
  "empty.dbc": { bytes: utf8("hello"), mode: 0o644 },
  "other.dbc": { bytes: utf8('VERSION ""\nBU_: A\nBO_ 33 Other: 8 A\n SG_ x : 0|8@1+ (1,0) [0|0] "" A\n'), mode: 0o644 },
  "multiplexed.dbc": { bytes: utf8('VERSION ""\nBU_: A\nBO_ 33 Set: 8 A\n SG_ kind M : 24|8@1+ (1,0) [0|1] "" A\n SG_ speed m0 : 32|8@1+ (1,0) [0|100] "" A\n SG_ angle m1 : 32|8@1+ (1,0) [0|100] "" A\n'), mode: 0o644 },
  "long.dbc": { bytes: utf8('VERSION ""\nBU_: A\nBO_ 33 Long: 100 A\n SG_ x : 32|8@1+ (1,0) [0|100] "" A\nBA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";\nBA_ "VFrameFormat" BO_ 33 3;\n'), mode: 0o644 },
  "bad.checks.yaml": { bytes: utf8("version: 1\nmessages:\n  Stat: { profile: P05, dataId: 1 }\n"), mode: 0o644 },
  "link.checks.yaml": { bytes: utf8('version: 1\nmessages: { "*": { integrity: link } }\n'), mode: 0o644 },
  "secret": { bytes: utf8("change me\n"), mode: 0o600 },
  "open-secret": { bytes: utf8("change me\n"), mode: 0o644 },
  "empty-secret": { bytes: utf8("\n"), mode: 0o600 },
  "broken.json": { bytes: utf8('{\n  "type": "object",\n}'), mode: 0o644 },
  "nonsense.json": { bytes: utf8('{ "type": "elephant" }'), mode: 0o644 },
};

function check(text: string, machine?: MachineProbe): CheckResult {
  return checkConfig({ text, file: "robot.yaml", readFile: (path) => files[path] ?? { fault: "it does not exist" }, ...(machine ? { machine } : {}) });
}

/** The shipped arm with something changed; `from` must be there. */
function arm(...changes: readonly (readonly [from: string, to: string])[]): string {
  let text = example("arm-can0.yaml");
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), from);
    text = text.replace(from, to);
  }
  return text;
}

const head = "version: 1\nrobot: r\n";
const buses = "buses:\n  - { name: a, interface: can0 }\n  - { name: b, interface: can1 }\n";
const broker = (user: string) => `${head}mqtt:\n  broker:\n    users:\n      - ${user}\n`;

/** Every wrong configuration: name, text, and the faults as "code line:column", all of them, in order. */
const wrong: readonly (readonly [name: string, text: string, faults: readonly string[]])[] = [
  // The text
  ["empty", "", ["emptyFile 1:1"]],
  ["only comments", "# nothing\n", ["emptyFile 1:1"]],
  ["tab", `${head}buses:\n\t- x\n`, ["tab 4:1"]],
  ["unclosed quote", `${head}nodes: "x\n`, ["yamlSyntax 4:1"]],
  ["two documents", `${head}---\nversion: 1\n`, ["severalDocuments 3:1"]],
  ["duplicate key", `${head}robot: s\n`, ["duplicateKey 3:1"]],
  ["merge key", `${head}arming: { <<: { autoDisarmAfterSilentMs: 1 } }\n`, ["mergeKey 3:11"]],
  ["tag", `version: !!int "1"\nrobot: r\n`, ["tag 1:16"]],
  ["unknown alias", `${head}nodes: *there\n`, ["unknownAlias 3:8", "wrongType 3:8"]],
  ["list as key", `${head}? [a]\n: 1\n`, ["badKey 3:3"]],
  ["second colon", `${head}socket: path: /x\n`, ["yamlSyntax 3:9"]],
  // Redundancy
  ["nothing for the reflex", `${head}redundancy: { reflex: pair }\n`, ["nothingForReflex 3:23"]],
  ["a plan, and nobody who runs it", `${head}safePose: { plan: a.plan.yaml }\n`, ["reflexNeeded 3:13", "fileUnreadable 3:19"]],
  ["a power-fail line, and nobody who reads it", `${head}safePose: { powerFail: { line: 17 } }\n`, ["reflexNeeded 3:13"]],
  ["resuming without a reflex", `${head}redundancy: { resumeArmed: true }\n`, ["reflexNeeded 3:28"]],
  ["a bus that the reflex does not have", `${head}redundancy: { reflex: single }\nbuses:\n  - { name: a, interface: can0 }\n  - { name: b, driver: socketcand, interface: "h:1/b" }\nroutes:\n  - { from: can/b/raw, to: can/a/raw, ids: ["0x1"] }\n`, ["notThroughReflex 8:28"]],
  ["a claim id without room for owners", `${head}buses: [ { name: a, interface: can0, claimId: 17 } ]\n`, ["outOfRange 3:47"]],
  ["another host, and no claims", `${head}buses: [ { name: a, interface: can0, selfFenceMs: 12 } ]\n`, ["keyNeeded 3:38"]],
  ["a claim id in use", `${head}buses: [ { name: a, interface: can0, claimId: 0x20, databases: [ { dbc: other.dbc } ] } ]\nnodes: [ { name: n, link: a, heartbeat: { canopen: 1 }, timeoutMs: 100 } ]\n`, ["duplicateName 3:47"]],
  ["the second host", `${head}buses: [ { name: a, interface: can0, claimId: 0x10, host: 1 } ]\n`, ["keyNeeded 3:59"]],
  ["plan and steps", arm(["safePose:\n", "redundancy: { reflex: pair }\nsafePose:\n  plan: arm.plan.yaml\n"]), ["noClaims 8:5", "conflictingKeys 62:3"]],
  ["a pose that waits for what cannot be", arm(["safePose:\n", "redundancy: { reflex: pair }\nsafePose:\n"], ["signal: velocity, absMax: 0.02", "signal: velocity, minimum: 0.001, maximum: 0.009"]), ["noClaims 8:5", "neverTrue 69:11"]],
  // The shape
  ["no keys", "{}\n", ["missingKey 1:1", "missingKey 1:1"]],
  ["a list", "- a\n", ["wrongType 1:1"]],
  ["misspelt section", `${head}busses: []\n`, ["unknownKey 3:1"]],
  ["unit in key", `${head}arming: { auto_disarm_after_silent_s: 1 }\n`, ["unknownKey 3:11"]],
  ["unit in value", `${head}buses: [ { name: a, interface: can0, bitrateBps: 500k } ]\n`, ["wrongType 3:50"]],
  ["yes", `${head}buses: [ { name: a, interface: can0, fd: yes } ]\n`, ["wrongType 3:42"]],
  ["mode without quotes", `${head}socket: { mode: 0660 }\n`, ["wrongType 3:17"]],
  ["bad mode", `${head}socket: { mode: "660" }\n`, ["badFormat 3:17"]],
  ["bad version", "version: 2\nrobot: r\n", ["notInList 1:10"]],
  ["bad robot", "version: 1\nrobot: Arm_1\n", ["badFormat 2:8"]],
  ["unknown driver", `${head}buses: [ { name: a, interface: can0, driver: socketCan } ]\n`, ["notInList 3:46"]],
  ["null list", `${head}buses:\n`, ["wrongType 3:7"]],
  ["table for list", `${head}buses: { name: a }\n`, ["wrongType 3:8"]],
  ["not finite", `${head}commands: [ { bus: a, message: M, ttlMsMax: 100, rateHzMax: .inf, writers: [] } ]\n`, ["wrongType 3:61"]],
  ["two kinds of command", `${head}commands: [ { bus: a, serial: b } ]\n`, ["conflictingKeys 3:23"]],
  ["no kind of heartbeat", `${head}nodes: [ { name: n, link: a, heartbeat: { canOpen: 1 }, timeoutMs: 1 } ]\n`, ["unknownKey 3:43"]],
  // Names
  ["same name twice", `${head}buses:\n  - { name: a, interface: can0 }\n  - { name: a, interface: can1 }\n`, ["duplicateName 5:13"]],
  ["bus and serial of one name", `${head}buses: [ { name: a, interface: can0 } ]\nserial: [ { name: a, port: /dev/x } ]\n`, ["duplicateName 4:19"]],
  ["node of an unknown link", `${head}${buses}nodes:\n  - { name: n, link: c, heartbeat: { canopen: 1 }, timeoutMs: 100 }\n`, ["unknownLink 7:22"]],
  ["two nodes of one CANopen number", `${head}${buses}nodes:\n  - { name: m, link: a, heartbeat: { canopen: 1 }, timeoutMs: 100 }\n  - { name: n, link: a, heartbeat: { canopen: 1 }, timeoutMs: 100 }\n`, ["duplicateName 8:47"]],
  // Care of nodes
  ["who a node is, of one that does not speak CANopen", `${head}${buses}nodes:\n  - { name: n, link: a, heartbeat: { topic: can/a/raw }, timeoutMs: 100, identity: {}, update: true }\n`, ["keyNeeded 7:74", "keyNeeded 7:88"]],
  ["firmware over a line without messages that say it works", `${head}serial:\n  - { name: s, port: /dev/x, messages: [ { id: 1, name: M, direction: in, fields: [ { name: v, type: u8 } ] } ] }\nnodes:\n  - { name: n, link: s, heartbeat: { topic: serial/s/M }, timeoutMs: 100, update: true }\n`, ["keyNeeded 6:75"]],
  ["firmware over a line: the service is the gateway's, the device one", `${head}serial:\n  - { name: s, port: /dev/x, services: [ update ], messages: [ { id: 1, name: M, direction: in, fields: [ { name: v, type: u8 } ] } ] }\nnodes:\n  - { name: m, link: s, heartbeat: { message: M }, timeoutMs: 100, update: true }\n  - { name: n, link: s, heartbeat: { message: M }, timeoutMs: 100, update: true }\n`, ["duplicateName 6:76", "duplicateName 7:76"]],
  ["care on a bus that listens", `${head}buses: [ { name: a, interface: can0, listenOnly: true } ]\nnodes: [ { name: n, link: a, heartbeat: { canopen: 1 }, timeoutMs: 100, identity: {} } ]\n`, ["listenOnlyBus 4:83"]],
  ["an SDO channel in use", `${head}buses: [ { name: a, interface: can0, databases: [ { dbc: other.dbc, template: { id: "message_id + 0x5E0", nodes: { x: 0 } } } ] } ]\nnodes: [ { name: n, link: a, heartbeat: { canopen: 1 }, timeoutMs: 100, update: true } ]\n`, ["duplicateName 4:81"]],
  ["time on a bus that only listens, by a driver that dates nothing", `${head}buses: [ { name: a, driver: socketcand, interface: "h:1/b", listenOnly: true, time: {} } ]\n`, ["listenOnlyBus 3:85", "timeUnsupported 3:85"]],
  ["time with a claim's id", `${head}buses: [ { name: a, interface: can0, claimId: 0x10, time: { id: 0x12 } } ]\n`, ["duplicateName 3:65"]],
  ["time with a heartbeat's id", `${head}buses: [ { name: a, interface: can0, time: { id: 0x701 } } ]\nnodes: [ { name: n, link: a, heartbeat: { canopen: 1 }, timeoutMs: 100 } ]\n`, ["duplicateName 3:50"]],
  ["time with a message's id", `${head}buses: [ { name: a, interface: can0, time: { id: 0x21 }, databases: [ { dbc: other.dbc } ] } ]\n`, ["duplicateName 3:50"]],
  // Links
  ["one interface twice", `${head}buses:\n  - { name: a, interface: can0 }\n  - { name: b, interface: can0 }\n`, ["sameInterface 5:27"]],
  ["slcan and serial on one device", `${head}buses: [ { name: a, driver: slcan, interface: /dev/x, bitrateBps: 500000 } ]\nserial: [ { name: s, port: /dev//x } ]\n`, ["sameInterface 4:28"]],
  ["slcan without bit rate", `${head}buses: [ { name: a, driver: slcan, interface: /dev/x } ]\n`, ["bitrateNeeded 3:10"]],
  ["slcan with an odd bit rate", `${head}buses: [ { name: a, driver: slcan, interface: /dev/x, bitrateBps: 333333 } ]\n`, ["bitrateUnsupported 3:67"]],
  ["slcan with FD", `${head}buses: [ { name: a, driver: slcan, interface: /dev/x, bitrateBps: 500000, fd: true } ]\n`, ["fdUnsupported 3:79"]],
  ["P08 without schema or number", `${head}mqtt: { broker: { allowAnonymous: true }, inputs: [ { name: i, via: broker, topic: t, encoding: cbor, integrity: P08 } ] }\n`, ["schemaNeeded 3:53"]],
  ["socketcand without port", `${head}buses: [ { name: a, driver: socketcand, interface: pi/can0 } ]\n`, ["badInterface 3:52"]],
  ["data bit rate without FD", `${head}buses: [ { name: a, interface: can0, dataBitrateBps: 2000000 } ]\n`, ["fdNeeded 3:38"]],
  ["data sample point without FD", `${head}buses: [ { name: a, interface: can0, dataSamplePointPercent: 75 } ]\n`, ["fdNeeded 3:38"]],
  ["restarts the wrong way round", `${head}buses: [ { name: a, interface: can0, busOff: { restartMinMs: 900, restartMaxMs: 100 } } ]\n`, ["minAboveMax 3:62"]],
  ["impatient", `${head}buses: [ { name: a, interface: can0, bitrateBps: 125000, deadAfterMs: 5 } ]\n`, ["deadAfterTooShort 3:71"]],
  ["socket path too long", `${head}socket: { path: /${"x".repeat(107)} }\n`, ["socketPathTooLong 3:17"]],
  ["relative socket path", `${head}socket: { path: run/x }\n`, ["notAbsolute 3:17"]],
  ["factor 0", arm(["{ name: x, type: i16, factor: 0.001, minimum: -1, maximum: 1 }", "{ name: x, type: i16, factor: 0 }"]), ["factorZero 27:43"]],
  ["serial message number twice", arm(["direction: out", "direction: in"], ["id: 2", "id: 1"]), ["duplicateName 30:13", "wrongDirection 56:30"]],
  // Databases
  ["no such file", arm(["dbc: arm.dbc", "dbc: leg.dbc"]), ["fileUnreadable 12:14"]],
  ["not a database", arm(["dbc: arm.dbc", "dbc: empty.dbc"]), ["badDatabase 12:14"]],
  ["lint errors where lint is required", arm(["dbc: arm.dbc", "dbc: quirky.dbc"]), ["databaseFault 21:2"]],
  ["lint errors in what is sent", arm(["dbc: arm.dbc", "dbc: quirky.dbc"], ["lint: required", "lint: lenient"]), ["databaseQuirks 12:14", "notLintClean 54:26", "notLintClean 55:26"]],
  ["two databases with one id", arm(["    databases:\n", "    databases:\n      - { dbc: other.dbc }\n"]), ["duplicateMessage 13:14"]],
  ["checks for an unknown message", arm(["arm.checks.yaml", "bad.checks.yaml"]), ["badChecks 3:3"]],
  ["template that collides", arm(["node_id << 5 | message_id", "message_id"]), ["badTemplate 15:19", "badTemplate 15:19"]],
  ["template expression", arm(["node_id << 5 | message_id", "node << 5"]), ["badTemplate 15:25"]],
  // Commands
  ["command of an unknown message", arm(["message: shoulder_Command, ttlMsMax", "message: sholder_Command, ttlMsMax"]), ["unknownMessage 54:26"]],
  ["command on an unknown bus", arm(["- { bus: arm, message: elbow_Command, ttlMsMax", "- { bus: amr, message: elbow_Command, ttlMsMax"]), ["unknownBus 55:12"]],
  ["command without protection", arm(["arm.checks.yaml", "link.checks.yaml"]), ["notProtected 54:26", "notProtected 55:26"]],
  ["command on a bus that listens", arm(["bitrateBps: 500000", "bitrateBps: 500000\n    listenOnly: true"]), ["listenOnlyBus 55:26", "listenOnlyBus 56:26"]],
  ["command listed twice", arm(["message: elbow_Command, ttlMsMax", "message: shoulder_Command, ttlMsMax"]), ["duplicateName 55:26"]],
  ["more commands than the bus carries", arm(["ttlMsMax: 100, rateHzMax: 100", "ttlMsMax: 100, rateHzMax: 5000"]), ["overBudget 8:5"]],
  ["nothing brings it to rest", arm().replace(/safePose:[\s\S]*?routes:/, "routes:"), ["noSafePose 53:1"]],
  // Safe pose
  ["value out of range", arm(["velocity: 0, torqueLimit: 10", "velocity: 4, torqueLimit: 10"]), ["outOfRange 65:82"]],
  ["value that another value excludes", `${head}buses: [ { name: a, interface: can0, databases: [ { dbc: multiplexed.dbc, checks: arm.checks.yaml } ] } ]\nsafePose:\n  steps:\n    - { name: s, deadlineMs: 10, send: [ { bus: a, message: Set, values: { kind: 1, speed: 1 } } ] }\n`, ["badValues 6:92"]],
  ["unknown value name", arm(["values: { mode: Hold", "values: { mode: Holt"]), ["unknownValue 65:66"]],
  ["unknown signal", arm(["velocity: 0, torqueLimit: 10", "velocity: 0, torqueLimt: 10"]), ["unknownSignal 65:97"]],
  ["signal left out", arm(["velocity: 0, torqueLimit: 10", "velocity: 0"]), ["valueMissing 65:58"]],
  ["counter given", arm(["velocity: 0, torqueLimit: 10", "velocity: 0, torqueLimit: 10, counter: 1"]), ["managedSignal 65:102"]],
  ["condition on an unknown topic", arm(["topic: can/arm/shoulder_State, signal: velocity", "topic: can/arm/shoulder_Stat, signal: velocity"]), ["unknownTopic 68:20"]],
  ["condition on an unknown signal", arm(["signal: velocity", "signal: speed"]), ["unknownSignal 68:52"]],
  ["condition that asks for nothing", arm(["absMax: 0.02, ", ""]), ["conditionEmpty 68:11"]],
  ["condition that holds too long", arm(["holdMs: 50", "holdMs: 1000"]), ["holdTooLong 68:84"]],
  ["budget too short", arm(["budgetMs: 2000", "budgetMs: 1400"]), ["budgetTooShort 61:13"]],
  // MQTT
  ["user without password", broker("{ name: u }"), ["passwordMissing 6:9"]],
  ["password file that is missing", broker("{ name: u, passwordFile: nowhere }"), ["fileUnreadable 6:34"]],
  ["password file for everybody", broker("{ name: u, passwordFile: open-secret }"), ["worldReadable 6:34"]],
  ["empty password", broker("{ name: u, passwordFile: empty-secret }"), ["passwordMissing 6:34"]],
  ["may speak for the gateway", broker('{ name: u, passwordFile: secret, publish: ["#"] }'), ["mayImpersonate 6:52"]],
  ["broker for everybody to hear", `${head}mqtt: { broker: { listen: { host: 0.0.0.0 }, users: [ { name: u, passwordFile: secret } ] } }\n`, ["plainText 3:35"]],
  ["unknown broker", `${head}mqtt: { publish: [ { topics: ["ipcnet/#"], via: broker } ] }\n`, ["unknownBroker 3:49"]],
  ["commands mirrored", `${head}mqtt: { broker: { allowAnonymous: true }, publish: [ { topics: ["cmd/#"], via: broker } ] }\n`, ["notMirrored 3:65"]],
  ["client of the own broker", `${head}mqtt: { broker: { allowAnonymous: true }, clients: [ { name: c, url: "mqtt://localhost" } ] }\n`, ["clientOfOwnBroker 3:70"]],
  ["url with a path", `${head}mqtt: { clients: [ { name: c, url: "mqtts://h/x" } ] }\n`, ["badFormat 3:36"]],
  ["password without user", `${head}mqtt: { clients: [ { name: c, url: "mqtts://h", passwordFile: secret } ] }\n`, ["keyNeeded 3:49"]],
  ["schema that is no JSON", arm(["schema: imu.schema.json", "schema: broken.json"]), ["badSchema 3:1"]],
  ["schema that is no schema", arm(["schema: imu.schema.json", "schema: nonsense.json"]), ["badSchema 1:1"]],
  ["pattern that fits nothing", arm(['"mqtt/broker/imu"]', '"mqtt/broker/imv"]']), ["matchesNothing 46:31"]],
  // Topics and routes
  ["reserved topic", `${head}topics: [ { name: can/x, writers: [] } ]\n`, ["reservedTopic 3:19"]],
  ["route from nowhere", arm(["from: can/arm/shoulder_State, to", "from: can/arm/sholder_State, to"]), ["unknownTopic 82:13"]],
  ["condition with an unknown signal", arm(["abs(velocity) > 0.1", "abs(velocty) > 0.1"]), ["badExpression 82:81"]],
  ["condition with an unknown value", arm(['mode != "Fault"', 'mode != "Falt"']), ["badExpression 82:108"]],
  ["condition that is no expression", arm(["&& mode", "and mode"]), ["badExpression 82:97"]],
  ["rename of an unknown signal", arm(["rename: { velocity: speed }", "rename: { velocty: speed }"]), ["unknownSignal 82:137"]],
  ["rename onto another signal", arm(["rename: { velocity: speed }", "rename: { velocity: position }"]), ["duplicateName 82:138"]],
  ["route into what is no command", arm(["to: app/shoulder", "to: cmd/arm/shoulder_State"]), ["notACommand 82:41"]],
  ["route into a measurement", arm(["to: app/shoulder", "to: can/arm/elbow_State"]), ["notWritable 82:41"]],
  ["route with too few signals", arm(["to: app/shoulder", "to: cmd/arm/elbow_Command"]), ["signalMissing 82:41"]],
  ["raw route without ids", `${head}${buses}routes:\n  - { from: can/a/raw, to: can/b/raw }\n`, ["idsNeeded 7:5"]],
  ["raw route to a topic", `${head}${buses}routes:\n  - { from: can/a/raw, to: app/x, ids: ["0x1"] }\n`, ["rawOnlyToRaw 7:28"]],
  ["bad ids", `${head}${buses}routes:\n  - { from: can/a/raw, to: can/b/raw, ids: ["0x800"] }\n`, ["badIds 7:45"]],
  ["raw route by the commands", arm(["serial:\n", "  - { name: b, interface: can1 }\nserial:\n"], ["routes:\n", 'routes:\n  - { from: can/b/raw, to: can/arm/raw, ids: ["0x20-0x22"] }\n']), ["bypassesCommands 82:46"]],
  ["raw route that loops", `${head}${buses}routes:\n  - { from: can/a/raw, to: can/b/raw, ids: ["0x100-0x1FF"] }\n  - { from: can/b/raw, to: can/a/raw, ids: ["0x180/0x780"] }\n`, ["loop 8:5"]],
  ["loop of three", `${head}topics: [ { name: a, writers: [] } ]\nroutes:\n  - { from: a, to: b }\n  - { from: b, to: c }\n  - { from: c, to: a }\n`, ["loop 7:5"]],
  ["loop of one", `${head}topics: [ { name: a, writers: [] } ]\nroutes: [ { from: a, to: a } ]\n`, ["loop 4:11"]],
  ["loop by MQTT", `${head}mqtt:\n  broker: { allowAnonymous: true }\n  inputs: [ { name: in, via: broker, topic: "ipcnet/+/app/x", encoding: json, integrity: none } ]\n  publish: [ { topics: ["app/#"], via: broker } ]\nroutes: [ { from: mqtt/broker/in, to: app/x } ]\n`, ["loop 7:11"]],
  ["message sent because it was received", arm(["routes:\n", "routes:\n  - { from: can/arm/shoulder_Command, to: cmd/arm/shoulder_Command }\n"]), ["loop 81:5"]],
  // One each of the rest
  ["url that is no url", `${head}mqtt: { clients: [ { name: c, url: "mqtts://host:99999" } ] }\n`, ["badUrl 3:36"]],
  ["ids for a decoded message", arm(["rename: { velocity: speed } }", 'rename: { velocity: speed }, ids: ["0x1"] }']), ["idsOnlyForRaw 82:147"]],
  ["broker that lets nobody in", `${head}mqtt: { broker: {} }\n`, ["nobodyMayConnect 3:9"]],
  ["CANopen heartbeat by MQTT", `${head}mqtt: { broker: { allowAnonymous: true } }\nnodes: [ { name: n, link: broker, heartbeat: { canopen: 1 }, timeoutMs: 1 } ]\n`, ["notABus 4:57"]],
  ["condition on raw frames", `${head}${buses}routes:\n  - { from: can/a/raw, to: can/b/raw, ids: ["0x1"], when: x > 1 }\n`, ["notForRaw 7:53"]],
  ["condition on a command", arm(["topic: can/arm/elbow_State, signal: mode", "topic: cmd/arm/elbow_Command, signal: mode"]), ["notMeasured 77:20"]],
  ["route from a command", arm(["from: can/arm/shoulder_State, to", "from: cmd/arm/shoulder_Command, to"], ['abs(velocity) > 0.1 && mode != "Fault"', "velocity > 0"]), ["notMeasured 82:13"]],
  ["heartbeat by a command", arm(["{ topic: mqtt/broker/imu }, timeoutMs", "{ topic: cmd/hand/Haptic }, timeoutMs"]), ["notMeasured 51:52"]],
  ["certificate that is none", `${head}mqtt: { clients: [ { name: c, url: "mqtts://h", ca: secret } ] }\n`, ["notPem 3:53"]],
  ["range that the type cannot reach", arm(["factor: 0.001, minimum: -1, maximum: 1", "factor: 0.00001, minimum: -1, maximum: 0.1"]), ["rangeNotRepresentable 27:61"]],
  ["route with a wider range than its target", arm(["routes:\n", "routes:\n  - { from: serial/hand/Joystick, to: serial/hand/Haptic, rename: { x: strength } }\n"]), ["rangeWider 81:39"]],
  ["raw frames that are not published", arm(["bitrateBps: 500000", "bitrateBps: 500000\n    publishRaw: false"], ["heartbeat: { message: elbow_State }", "heartbeat: { topic: can/arm/raw }"]), ["rawNotPublished 51:51"]],
  ["timeout shorter than two cycles", arm(["heartbeat: { message: elbow_State }, timeoutMs: 100", "heartbeat: { message: elbow_State }, timeoutMs: 15"]), ["timeoutTooShort 50:79"]],
  ["message too long for a frame", `${head}buses: [ { name: a, interface: can0, bitrateBps: 500000, databases: [ { dbc: long.dbc, checks: arm.checks.yaml } ] } ]\nsafePose: { steps: [ { name: s, deadlineMs: 10, send: [ { bus: a, message: Long, values: { x: 1 } } ] } ] }\n`, ["fdNeeded 3:78", "fdNeeded 4:76", "tooLongToSend 4:76"]],
  ["command on an unknown serial link", arm(["- { serial: hand, message: Haptic", "- { serial: hnd, message: Haptic"]), ["unknownSerial 56:15"]],
  ["grant to an unknown user", `${head}mqtt:\n  broker: { users: [ { name: pendant, passwordFile: secret } ] }\n  commands: { via: [broker], allow: [ { user: pendent, topics: ["cmd/#"] } ] }\n`, ["unknownUser 5:47", "matchesNothing 5:65"]],
  ["a list without entries", `${head}mqtt: { broker: { allowAnonymous: true }, publish: [ { topics: [], via: broker } ] }\n`, ["wrongCount 3:64"]],
  ["text where a number is needed", arm(["routes:\n", "routes:\n  - { from: mqtt/broker/imu, to: cmd/hand/Haptic, rename: { ready: strength } }\n"]), ["wrongSignalType 81:34"]],
];

for (const [name, text, expected] of wrong) {
  test(`refused or warned of: ${name}`, () => {
    const { faults, texts } = check(text);
    assert.deepEqual(faults.map(({ code, line, column }) => `${code} ${line}:${column}`), expected, faults.map((fault) => renderFault(fault, (file) => texts.get(file))).join("\n"));
  });
}

test("the table above is not short of rows, and shows every kind of refusal that the specification lists", () => {
  assert.ok(wrong.length >= 100, String(wrong.length));
  const listed = new Set([...readFileSync(join(sourceFolder(), "../../docs/specs/configuration.md"), "utf8").matchAll(/^\| `([a-zA-Z]+)` \|/gm)].map((match) => match[1]!));
  const shown = new Set([...wrong.flatMap(([, , faults]) => faults.map((fault) => fault.split(" ")[0]!)), ...shownElsewhere]);
  assert.deepEqual([...shown].filter((code) => !listed.has(code)), [], "not in the specification");
  assert.deepEqual([...listed].filter((code) => !shown.has(code)), [], "never shown");
});

/** Codes that loadConfig.test.ts, gateway/build/reflex and the tests below show. */
const shownElsewhere = ["fileTooLong", "tooDeep", "tooMuch", "unknownHere", "notTried", "notCompared", "bitrateDiffers", "interfaceDown", "noFdHere", "loadUnknown", "whenUnchecked", "signalUnchecked", "notForReflex"];

for (const name of readdirSync(examples).filter((file) => file.endsWith(".yaml") && !/\.(checks|plan|policy)\.yaml$/.test(file))) {
  test(`example ${name} is accepted without a warning, read from disk as the command line does`, () => {
    const read = checkConfigFile(join(examples, name), { machine: false });
    assert.ok(read.readable);
    assert.deepEqual(read.result.faults, []);
    assert.deepEqual(read.result.notes.filter((note) => note.blocksStart), []);
    assert.match(read.result.hash!, /^[0-9a-f]{64}$/);
    assert.match(example(name), /^# yaml-language-server: \$schema=\.\.\/\.\.\/schemas\/messages\/config\.schema\.json\n/);
  });
}

test("faults of shape and of meaning are reported in one run, without follow-ups of what was dropped", () => {
  const text = arm(["bitrateBps: 500000", "bitrateBps: 500k"], ["message: elbow_Command, ttlMsMax", "message: elbw_Command, ttlMsMax"], ["link: arm, heartbeat: { message: elbow_State }", "link: amr, heartbeat: { message: elbow_State }"]);
  assert.deepEqual(check(text).faults.map(({ code, line, hint }) => [code, line, hint]), [["wrongType", 10, "write 500000"], ["unknownLink", 50, "did you mean arm?"], ["unknownMessage", 55, "did you mean elbow_Command?"]]);
  // The bus itself cannot be saved: nothing is said about what refers to it.
  assert.deepEqual(check(arm(["interface: can0", "interfase: can0"])).faults.map(({ code, line }) => [code, line]), [["unknownKey", 9]]);
});

test("the loop is printed", () => {
  const text = `${head}topics: [ { name: a, writers: [] } ]\nroutes:\n  - { from: a, to: b }\n  - { from: b, to: c }\n  - { from: c, to: a }\n`;
  assert.equal(check(text).faults[0]?.message, "a loop: a → b; b → c; c → a; and so on for ever");
});

test("raw routes in opposite directions are no loop while their ids differ", () => {
  assert.deepEqual(check(`${head}${buses}routes:\n  - { from: can/a/raw, to: can/b/raw, ids: ["0x100-0x17F"] }\n  - { from: can/b/raw, to: can/a/raw, ids: ["0x180/0x780"] }\n`).faults, []);
});

test("the hash is that of the meaning: comments, order and spelled-out defaults do not change it, values and files do, secrets do not", () => {
  const { hash } = check(arm());
  assert.equal(check(`${arm()}\n# a comment\n`).hash, hash);
  assert.equal(check(arm(["bitrateBps: 500000", "bitrateBps: 0x7A120\n    fd: false"])).hash, hash);
  assert.equal(check(arm(["name: shoulder, link: arm", "link: arm, name: shoulder"])).hash, hash);
  assert.notEqual(check(arm(["bitrateBps: 500000", "bitrateBps: 250000"])).hash, hash);
  const withFiles = (extra: Readonly<Record<string, FileAnswer>>, text = arm()) => checkConfig({ text, file: "robot.yaml", readFile: (path) => extra[path] ?? files[path] ?? { fault: "it does not exist" } }).hash;
  assert.notEqual(withFiles({ "arm.dbc": { bytes: utf8(example("arm.dbc").replace("[-3|3]", "[-2|2]")) } }), hash);
  const secret = broker("{ name: u, passwordFile: secret }");
  assert.equal(withFiles({ secret: { bytes: utf8("another"), mode: 0o600 } }, secret), check(secret).hash);
  assert.equal(check(arm(["bitrateBps: 500000", "bitrateBps: 5"])).hash, undefined);
});

test("what only the machine can say is said as a note, and whether it would keep the gateway from starting", () => {
  const probe: MachineProbe = {
    canInterface: (name) => (name === "can0" ? { present: true, bitrateBps: 250_000 } : name === "can1" ? { present: false } : undefined),
    pathExists: () => false,
    userExists: () => false,
    groupExists: (name) => name === "operators",
  };
  const result = check(arm(), probe);
  assert.deepEqual(result.notes.map(({ code, line, blocksStart }) => [code, line, blocksStart]), [["unknownHere", 5, true], ["bitrateDiffers", 9, true], ["unknownHere", 19, false], ["unknownHere", 57, false]]);
  assert.equal(result.faults.length, 0);
  assert.equal(startsHere(result), false);
  const other = check(`${head}buses:\n  - { name: a, interface: can1, optional: true }\n  - { name: b, interface: can2 }\n  - { name: c, interface: can0, bitrateBps: 250000, fd: true, dataBitrateBps: 1000000 }\n  - { name: d, driver: socketcand, interface: "pi:29536/can0" }\nmqtt: { clients: [ { name: f, url: mqtts://fleet.example } ] }\n`, probe);
  assert.deepEqual(other.notes.map(({ code, line, blocksStart }) => [code, line, blocksStart]), [["unknownHere", 4, false], ["unknownHere", 5, false], ["notCompared", 6, false], ["notTried", 7, false], ["notTried", 8, false]]);
  assert.equal(startsHere(other), true);
});

test("an interface that is there may still not be fit: no CAN, down, without FD", () => {
  const answers: Record<string, ReturnType<MachineProbe["canInterface"]>> = {
    lo: { present: true, can: false, up: true, fd: true }, can0: { present: true, can: true, up: false, fd: false }, vcan0: { present: true, can: true, up: true, fd: true },
  };
  const probe: MachineProbe = { canInterface: (name) => answers[name], pathExists: () => true, userExists: () => true, groupExists: () => true };
  const notes = (bus: string) => check(`${head}buses:\n  - { name: a, ${bus} }\n`, probe).notes.map(({ code, blocksStart }) => [code, blocksStart]);
  assert.deepEqual(notes("interface: lo"), [["unknownHere", true]]);
  assert.deepEqual(notes("interface: can0"), [["interfaceDown", false]]);
  assert.deepEqual(notes("interface: can0, fd: true"), [["interfaceDown", false], ["noFdHere", true]]);
  assert.deepEqual(notes("interface: can0, optional: true"), [["interfaceDown", false]]);
  assert.deepEqual(notes("interface: vcan0, fd: true"), []);
});

test("this machine's loopback is seen, and that it is no CAN interface", { skip: existsSync("/sys/class/net/lo/type") ? false : "no /sys/class/net here" }, () => {
  assert.equal(thisMachine().canInterface("lo")?.can, false);
  assert.deepEqual(thisMachine().canInterface("no-such-interface"), { present: false });
});

test("what cannot be known without a schema or a bit rate is said", () => {
  const text = arm(["schema: imu.schema.json, ", ""], ["bitrateBps: 500000\n", "\n"], ["{ topic: can/arm/elbow_State, signal: velocity", "{ topic: mqtt/broker/imu, signal: velocity"], ["routes:\n", "routes:\n  - { from: mqtt/broker/imu, to: app/imu, when: ready }\n"]);
  assert.deepEqual(check(text).faults, []);
  assert.deepEqual(check(text).notes.map((note) => note.code), ["loadUnknown", "signalUnchecked", "whenUnchecked"]);
});

test("too many routes to look for loops are refused, quickly", () => {
  const patterns = Array.from({ length: 250 }, (_, index) => `"app/${index}"`).join(", ");
  const publish = Array.from({ length: 9 }, () => `    - { topics: [${patterns}], via: broker }\n`).join("");
  assert.ok(check(`${head}mqtt:\n  broker: { allowAnonymous: true }\n  publish:\n${publish}`).faults.some((fault) => fault.code === "tooMuch"));
});

test("lines taken out, doubled or cut in half: a verdict with places inside the files, never an exception", () => {
  const lines = arm().split("\n");
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const instead = [[], [line, line], [line.slice(0, line.length / 2)], [line.replace(/[a-z]+_/, "")], [line.replace(/\d+/, "-1")]][at % 5]!;
    const { faults, config, hash, texts } = check(lines.toSpliced(at, 1, ...instead).join("\n"));
    assert.equal(config === undefined, faults.some((fault) => fault.severity === "error"));
    assert.equal(hash === undefined, config === undefined);
    for (const fault of faults) assert.ok(fault.line <= (texts.get(fault.file) ?? "").split("\n").length, JSON.stringify(fault));
  }
});

test("resources: names once, ports that exist, exactly one kind", () => {
  const codes = (resources: string): string[] => check(`version: 1\nrobot: r\nresources:\n${resources}`).faults.map(({ code }) => code);
  assert.deepEqual(codes("  - { name: a, connect: tcp://localhost:80 }\n  - { name: b, directory: /srv }\n  - { name: c, device: /dev/null, modes: [read] }\n"), []);
  assert.deepEqual(codes("  - { name: a, directory: /srv }\n  - { name: a, directory: /var }\n"), ["duplicateName"]);
  assert.deepEqual(codes("  - { name: a, connect: tcp://localhost:65536 }\n"), ["outOfRange"]);
  assert.deepEqual(codes("  - { name: a, connect: http://localhost:80 }\n"), ["badFormat"]);
  assert.deepEqual(codes("  - { name: a, directory: srv }\n"), ["badFormat"]);
  assert.deepEqual(codes("  - { name: a, device: /dev/null }\n"), ["missingKey"]);
  assert.deepEqual(codes("  - { name: a, device: /dev/null, modes: [execute] }\n"), ["notInList"]);
  assert.notDeepEqual(codes("  - { name: a, device: /dev/null, modes: [read], file: /x }\n"), []);
});
