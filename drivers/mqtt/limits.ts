/** The bounds of the MQTT side, with the arithmetic behind them. */
export const MQTT_LIMITS = {
  /** A robot has tens of MQTT nodes; 128 connections × `clientQueueBytes` is the most the broker's send queues can hold: 128 MiB. */
  connections: 128,
  /** The largest packet taken in, header included. States and commands are below 4 KiB; pictures do not travel by MQTT. */
  packetBytes: 256 * 1024,
  /** `/`-separated levels of a topic; our own tree needs eight. */
  topicLevels: 16,
  topicBytes: 512,
  subscriptionsPerClient: 64,
  /** What may wait for one subscriber: at 10,000 messages/s of 100 B on the wire this is one second. */
  clientQueueBytes: 1024 * 1024,
  /** A subscriber that took nothing for so long while bytes wait for it is frozen: it is disconnected. */
  drainTimeoutMs: 1000,
  /** Between the TCP connection and its CONNECT packet. */
  connectTimeoutMs: 5000,
  retainedMessages: 4096,
  retainedBytes: 8 * 1024 * 1024,
  /** QoS 2 messages of one client between PUBLISH and PUBREL. */
  incomingQos2: 64,
  /** Messages of our own that the broker has accepted and not yet handed to all subscribers. */
  publishInFlight: 4096,
} as const;

/** What an untrusted payload may cost to decode. */
export interface PayloadLimits {
  bytesMax: number;
  /** Nesting of arrays and maps. */
  depthMax: number;
  /** Values in all: each costs memory whatever its size on the wire. */
  itemsMax: number;
}

/** 64 KiB is 16 times the largest message of the demonstration robot; 16 levels and 4096 values likewise. */
export const PAYLOAD_LIMITS: PayloadLimits = { bytesMax: 64 * 1024, depthMax: 16, itemsMax: 4096 };

/** How far a sender's wall clock may run ahead of ours before `sentAt` is taken for wrong. */
export const CLOCK_AHEAD_MS_MAX = 1000;
/** The longest life a command may ask for; each command's own bound in the configuration is tighter. */
export const COMMAND_TTL_MS_MAX = 60_000;
