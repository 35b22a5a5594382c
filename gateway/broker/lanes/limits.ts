/** Quotas of lanes, with the arithmetic. All can be overridden where the broker is made. */
export interface LaneLimits {
  /** Topics that one connection writes by lanes. A robot's driver has tens of joints, each with a state; doubled twice. Each costs the gateway one descriptor. */
  advertsPerClient: number;
  /** Lanes handed to one connection: a recorder of everything reads all of them. Each costs the gateway one descriptor until it is attached, and ≈ 300 bytes. */
  lanesPerReader: number;
  /** Views of one lane: as many readers as a lane's header has room for. */
  readersPerLane: number;
  /** Memory of all lanes of one user: it is the writer's own (counted by the kernel where it was made), but readers' mappings keep it alive after the writer. Eight lanes of the largest size. */
  laneBytesPerUid: number;
  /** How long a lossless reader may keep a writer waiting that did not say: longer than a garbage collection (70 ms), shorter than what stalls a control loop for good. */
  losslessDeadlineMs: number;
  /** For the new lane after `rekey`: making a lane of 1 GiB takes 0.6 s. */
  rekeyMs: number;
  /** New lanes per second of one client, and how many at once: each makes the gateway talk to all readers. All its topics may change together, twice. */
  changesPerSecond: number;
  changeBurst: number;
  /** Payload bytes of one answer to a query for several messages. */
  queryBytes: number;
  /** Lanes with larger payloads are not read by the gateway, neither along nor for queries: none of their messages would fit a packet, and reading needs that much memory. */
  readPayloadBytesMax: number;
}

export const defaultLaneLimits: LaneLimits = {
  advertsPerClient: 256,
  lanesPerReader: 4_096,
  readersPerLane: 256,
  laneBytesPerUid: 8 * 2 ** 30,
  losslessDeadlineMs: 1_000,
  rekeyMs: 1_000,
  changesPerSecond: 50,
  changeBurst: 512,
  queryBytes: 3 * 2 ** 20,
  readPayloadBytesMax: 4 * 2 ** 20,
};
