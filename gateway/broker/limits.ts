import type { QuotaAmounts } from "./quota/quota.ts";

/** Quotas of local clients, with the arithmetic. All can be overridden where the broker is made; the protocol's own bounds are in shm/protocol/limits.ts. */
export interface BrokerLimits {
  /** What all users share, divided as gateway/broker/quota says: one user alone gets half of it, the k-th at least 1 / (k (k + 1)). */
  shared: QuotaAmounts;
  /** Subscriptions of one connection. */
  subscriptionsPerClient: number;
  /** Topics under all subscriptions of one connection: each costs ≈ 200 bytes here. */
  feedsPerClient: number;
  /** Publishes per second of one user, and how many may come at once. Commands of 20 joints at 500 Hz are 10,000/s; doubled. */
  publishesPerSecondPerUid: number;
  publishBurstPerUid: number;
  /** Requests of one connection that wait for their answer. */
  requestsOutstanding: number;
  /** What is kept for a client that does not read: 4 MiB are 43,000 samples of a 40-byte record, 5 s of a full 1 Mbit/s bus. */
  pendingBytesPerClient: number;
  /** Packets that wait in the connection's queue; the largest message to a client must fit. */
  connectionQueueBytes: number;
  /** With so much in that queue nothing more is read from the client: whoever does not read answers shall not ask on. What is beyond counts into the bytes that users share. A turn of samples stays far below. */
  holdReadingAtBytes: number;
  /** Packets per second read from one connection; beyond, its reading pauses and the client feels back-pressure. A busy loop of requests makes ≈ 20,000/s; doubled. At ≈ 5 µs each, a flood costs a fifth of a core. */
  packetsPerSecond: number;
  packetBurst: number;
  /** Bytes per second read from one connection: at 1.5 GB/s of CRC, 64 MiB/s cost 5 % of a core. */
  bytesPerSecond: number;
  /** Malformed messages (with a correct header) of one connection; beyond, it is closed: that is no typing error any more. */
  malformedMax: number;
  /** For the hello, ms. */
  helloTimeoutMs: number;
  /** A client that has not read for so long is sent off, ms. Long enough for a debugger's short stop, short enough to free 4 MiB. */
  stallDeadlineMs: number;
  /** How long its goodbye may wait to be read before the connection is cut, ms. */
  lingerMs: number;
  /** Pause between notices, ms. */
  noticeIntervalMs: number;
}

const MiB = 1_048_576;

export const defaultLimits: BrokerLimits = {
  shared: {
    // A robot has ten to a hundred programs; each costs two descriptors and ≈ 10 KB. With one hog and 30 users of two connections each, the next may still have 14.
    connections: 1024,
    // Connections (two each), lanes and their readers (up to five each), what is on its way. Node raises the soft limit of open files to the hard one, 524,288 under systemd.
    descriptors: 16_384,
    // One user alone: 16 MiB, four clients that read nothing.
    bytes: 32 * MiB,
    // A lane is some megabytes of its writer's memory and one descriptor here.
    lanes: 2048,
    // Calls that wait for an answer: at ≈ 1 KB each, 4 MiB.
    requests: 4096,
  },
  subscriptionsPerClient: 256,
  feedsPerClient: 16_384,
  publishesPerSecondPerUid: 20_000,
  publishBurstPerUid: 2_000,
  requestsOutstanding: 64,
  pendingBytesPerClient: 4 * MiB,
  connectionQueueBytes: 5 * MiB,
  holdReadingAtBytes: MiB / 4,
  packetsPerSecond: 40_000,
  packetBurst: 4_000,
  bytesPerSecond: 64 * MiB,
  malformedMax: 100,
  helloTimeoutMs: 5_000,
  stallDeadlineMs: 30_000,
  lingerMs: 60_000,
  noticeIntervalMs: 1_000,
};
