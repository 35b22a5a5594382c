/** Bounds of the services' core, with the arithmetic. */
export interface ServiceLimits {
  /** Offers of one connection: a program with a service per joint and mode has tens. Each costs ≈ 1 KB here. */
  offersPerClient: number;
  /** Calls of one service that wait for a free provider, divided as gateway/broker/quota says: one user alone may have half. At 10 ms of work each and one provider, the last of 256 begins after 2.6 s, and few wait longer. */
  waitingPerService: number;
  /** Requests of one connection that wait for their answer. */
  requestsPerClient: number;
  /** Providers that may die with one call before it is given up: a body that kills its worker shall not kill all of them. */
  deathsPerCall: number;
  /** Callers with a rate or usage of their own that an offer remembers before it looks which of them can be forgotten. */
  callersPerOffer: number;
  /** For requests that name no time of their own, ms. Nothing waits for ever. */
  timeoutMsDefault: number;
  /** After the start of a gateway a request whose service nobody offers waits so long for a provider that comes back, ms: the longest pause of a client that reconnects is 2 s. */
  returnMs: number;
  /** Resources that one connection may have being opened at once: each may keep one of Node's four threads for files. */
  grantsPerClient: number;
  /** What a component may say about itself. */
  announceBytesMax: number;
  /** How much longer than announced a program may take when the gateway stops, ms. systemd's patience (90 s) is longer than this and the longest safe pose together. */
  farewellMoreMsMax: number;
}

export const serviceLimits: ServiceLimits = {
  offersPerClient: 128,
  waitingPerService: 256,
  requestsPerClient: 64,
  deathsPerCall: 2,
  callersPerOffer: 64,
  timeoutMsDefault: 600_000,
  returnMs: 2_500,
  grantsPerClient: 2,
  announceBytesMax: 4_096,
  farewellMoreMsMax: 10_000,
};
