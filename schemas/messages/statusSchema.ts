/** `status.schema.json` is generated from this: what `ipcnet status --json` prints and `gateway/status` answers. The type is `StatusReport`; a test compares the two. */
import { list, object, ref } from "./schema.ts";
import type { RootSchema, Schema } from "./schema.ts";

const text = (description: string): Schema => ({ type: "string", description });
const number = (description: string): Schema => ({ type: "number", description, minimum: 0 });
const whole = (description: string): Schema => ({ type: "integer", description, minimum: 0 });
const counters = (description: string): Schema => ({ type: "object", description, additionalProperties: { type: "number" } });

const definitions: Record<string, Schema> = {
  Link: object("A bus, serial link or MQTT connection.", {
    kind: { type: "string", enum: ["can", "serial", "mqtt"], description: "Kind of link." },
    name: text("Its name in the configuration."),
    driver: text("How it is reached."),
    state: text("stopped, starting, up, degraded, dead, busOff or down."),
    reason: text("Why, for people; empty when up."),
    "loadPercent?": { type: "number", description: "Share of the bit rate in use over the last second; absent where the link has no bit rate.", minimum: 0 },
    receivedRateHz: number("Frames or messages received a second."),
    sentRateHz: number("Frames or messages sent a second."),
    counters: counters("Counters that only rise."),
  }),
  Node: object("A node whose presence is watched.", {
    name: text("Its name in the configuration."),
    link: text("The link that it is reached by."),
    state: { type: "string", enum: ["unknown", "bootUp", "preOperational", "operational", "stopped", "lost"], description: "State as in CiA 301, or lost." },
    required: { type: "boolean", description: "Arming is refused without it." },
    "lastSeenMsAgo?": number("Age of its last sign of life; absent before the first."),
    rateHz: number("Signs of life a second."),
    "identity?": object("Who it says it is, where the configuration asks.", {
      state: { type: "string", enum: ["unread", "noAnswer", "known", "mismatch"], description: "Known and as configured, known and not as configured, or not known." },
      "vendor?": whole("Object 0x1018, 1."), "product?": whole("Object 0x1018, 2."), "revision?": whole("Object 0x1018, 3."), "serial?": whole("Object 0x1018, 4."),
      "name?": text("What it calls itself (0x1008)."), "firmware?": text("Version of what runs on it."),
      "slot?": whole("Which of its two slots runs."), "onProbation?": { type: "boolean", description: "What runs has still to be confirmed." },
      "mismatch?": list({ type: "string" }, { description: "What is not as configured." }),
    }),
    "errors?": list(object("An error that it has told of and that is not over.", {
      code: whole("Error code of CiA 301."), text: text("What it means."), msAgo: number("How long ago it was told first."), count: whole("How often."),
    }), { description: "Errors by EMCY; absent: none." }),
    "errorRegister?": list({ type: "string" }, { description: "Bits of object 0x1001 that are set, in words; absent: none." }),
    "updateProgress?": { type: "number", description: "Its firmware is being replaced: share of the image that it has.", minimum: 0, maximum: 1 },
  }),
  Reject: object("Frames or messages refused for one reason.", {
    link: text("Where they came from."),
    reason: text("Stable code."),
    count: whole("How many so far."),
    "lastSample?": object("The latest of them.", { atMsAgo: number("Its age."), source: text("Its identifier or topic."), hex: text("Its bytes.") }),
  }),
  Client: object("A local client.", {
    name: text("What it calls itself."),
    pid: whole("Process."),
    uid: whole("User."),
    component: text("Which component of the policy it is, else uid:N."),
    "leaving?": text("What it said when it announced that it goes."),
    subscriptions: whole("Patterns subscribed."),
    sentMessages: whole("Messages sent to it."),
    droppedMessages: whole("Messages it was too slow for."),
    pendingBytes: whole("Bytes that wait for it."),
  }),
  Reflex: object("A process that owns the CAN buses, or stands by to.", {
    instance: { type: "string", enum: ["a", "b"], description: "Which of the twins." },
    there: { type: "boolean", description: "Whether it answers." },
    reason: text("Why not; empty while it answers."),
    role: text("starting, standby, fencing, claiming, owner, yielding, outvoted or stopped; empty while it does not answer, as all numbers are 0."),
    epoch: whole("Under which it commands, or has commanded last."),
    pid: whole("Process."),
    uptimeMs: number("Since its start."),
    tableIsOurs: { type: "boolean", description: "Whether it works by this gateway's table." },
    healthy: { type: "boolean", description: "Whether it may feed a watchdog: it works, or is safely posed." },
    realtime: { type: "boolean", description: "Whether it was granted realtime scheduling." },
    watchdog: { type: "boolean", description: "Whether it feeds a hardware watchdog." },
    "twinSeenMsAgo?": number("Its twin's beat was last seen to change so long ago; absent without a twin."),
    lateTurns: whole("Turns of its loop that came later than half the twin's deadline."),
    turnMsMax: number("The longest gap between two turns."),
    takeovers: whole("How often it took over."),
    plansRun: whole("Plans of the safe pose it ran."),
    plansResumed: whole("Of these, begun by another."),
    sentFrames: whole("Commands and frames of plans sent."),
    refused: counters("Commands that it refused, by reason."),
  }),
};

export const statusSchema: RootSchema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  $id: "https://ipcnet.example/schemas/status.schema.json",
  title: "Status of an IPCNet gateway",
  ...object("One picture of the gateway, its links and nodes.", {
    robot: text("Name of the robot."),
    version: text("Version of the gateway."),
    instance: text("Which of the redundant instances answers."),
    boot: text("Changes with each start of the gateway."),
    pid: whole("Process of the gateway."),
    uptimeMs: number("Since its start."),
    epoch: whole("Under which it commands: rises with each start and each takeover."),
    state: { type: "string", enum: ["starting", "disarmed", "armed", "safePose", "posed", "fault"], description: "State of the gateway." },
    stateReason: text("Why it came into that state; empty at the start."),
    "pose?": object("The safe pose that runs, or that was reached last and not reset; absent: none.", {
      trigger: text("Which trigger began it, or took it over: its kind and what it was about."),
      why: text("Who or what was behind it."),
      msAgo: number("How long ago."),
      latched: { type: "boolean", description: "The trigger is latched: it keeps the say until somebody resets it." },
      reset: text("What has to be done before the gateway can be armed again."),
    }),
    missingForArming: list({ type: "string" }, { description: "Why it cannot be armed now: one sentence each." }),
    links: list(ref("Link"), { description: "Links." }),
    nodes: list(ref("Node"), { description: "Watched nodes." }),
    rejects: list(ref("Reject"), { description: "What was refused, by link and reason." }),
    clients: list(ref("Client"), { description: "Local clients." }),
    lanes: list(object("A topic that a program writes by a lane of its own.", {
      topic: text("Topic."), writer: text("Who writes it: component/version/instance/boot."), pid: whole("Process."), policy: text("The most that readers may ask for: latest, queue or lossless."),
      readers: whole("Attached readers, the gateway included where it reads along."), messages: whole("Messages so far, by its writer's own word."),
    }), { description: "Topics that programs write by lanes." }),
    services: counters("Calls of services so far: requests, calls, failovers, timeouts, cancelled, refused, lateResults, unknownResults, violations."),
    policy: object("The policy in force.", {
      file: text("Its file; empty: the lists of the configuration are all there is."),
      hash: text("Hash of its meaning; empty without a file."),
      rules: whole("Its rules."),
      components: whole("Its components."),
      refused: text("Why the file as it is now was not taken over; empty when it was."),
    }),
    quota: object("What users share on the client socket: connections, descriptors, bytes that wait to be read, lanes, requests that wait for an answer.", {
      capacity: counters("How much there is."),
      users: list(object("What a user has.", { uid: whole("User."), used: counters("How much of each.") }), { description: "Users that have anything." }),
    }),
    reflexes: list(ref("Reflex"), { description: "Processes that own the CAN buses; empty where the gateway opens them itself." }),
    "supervision?": object("What supervises the gateway's own tasks says of them; absent where the gateway runs alone.", {
      state: { type: "string", enum: ["ok", "failed", "expired", "stopped"], description: "Of all tasks together. Stopped: this instance ends, and the other one goes on." },
      faults: list(object("A task that is not ok.", {
        entity: text("Which."), state: { type: "string", enum: ["failed", "expired"], description: "Failed may recover; expired never does." }, checkpoint: text("Where it showed."), why: text("Why, for people."),
      }), { description: "Tasks that are not ok." }),
    }),
    commands: object("Commands so far.", { sent: whole("Sent."), refused: counters("Refused, by reason.") }),
    topics: whole("Topics."),
    process: object("The gateway's process.", {
      rssBytes: whole("Resident memory."),
      heapUsedBytes: whole("JavaScript heap in use."),
      cpuPercent: number("Share of one core over the last second."),
      eventLoopDelayP99Us: number("99th percentile of the event loop's delay, µs."),
    }),
  }),
  definitions,
};
