/**
 * The brain's end of the reflexes: one or two connections that come back by themselves, one lane of commands that all of them read, and the frames of the one that owns the buses.
 *
 * Both reflexes hear every frame; only the owner's are handed out. What the standby has told lately is kept, so that a takeover loses nothing: when the other becomes the source, it
 * goes on with what came after the last frame that was handed out. In the same way a brain that follows another one (`follow`) keeps what both tell, hands nothing out and says nothing, until
 * it is the one that goes on.
 */
import { join } from "node:path";
import { canKey, CanFlag, CanFrameBatch, FRAME_STRIDE_BYTES } from "../../../drivers/can/frame.ts";
import type { SendVerdict } from "../../../drivers/driver.ts";
import { Listeners } from "../../../drivers/listeners.ts";
import type { Clock } from "../../../schemas/clock.ts";
import { type LaneBatch, LaneWriter } from "../../../shm/lanes/index.ts";
import { shortHash, type CompiledTable } from "../table/compile.ts";
import { tableText } from "../table/read.ts";
import { ReflexEnd, type ReflexInstance, type Reply } from "./end.ts";
import { ANSWER_TIMEOUT_MS, BEAT_MS_DEFAULT, BEAT_MS_MIN, COMMAND_LANE_SLOTS, COMMAND_SLOT_BYTES, FOLLOW_MS, OWNER_WAIT_MS, SHADOW_MESSAGES_MAX, STATUS_PERIOD_MS, TAKEOVER_MS_MAX } from "./limits.ts";
import type { Order, SwitchTo } from "./packets.ts";
import { busOfRecord, decodeReport, encodeCommand, isReport, recordCount, type Report } from "./records.ts";

export interface ReflexClientOptions {
  runFolder: string;
  instances: readonly ReflexInstance[];
  clock: Clock;
  /** Of the pair of brains: an older one's commands are refused. Only rises. */
  brainEpoch(): number;
  /** Whether this brain is the one that commands: the other one's beats would lie. */
  isActive(): boolean;
  /** A reflex has obeyed a brain of a newer epoch than ours before it ever obeyed us. Whoever that was is dead before this one begins: so ours has to rise above it. */
  outdated?(epoch: number): void;
  bootId: Uint8Array;
  table: CompiledTable;
  brainTimeoutMs: number;
  event(event: ReflexClientEvent): void;
}

export interface ReflexClientEvent {
  severity: "info" | "warning" | "error";
  code: string;
  /** reflex-a, reflex-b. */
  source: string;
  text: string;
}

export interface ReflexCommand {
  /** Row of the table. */
  message: number;
  /** Not protected. */
  data: Uint8Array;
  deadlineUs: number;
  /** Comes back with the echo or the refusal. */
  token: number;
}

/** After a change of owner: frames of ours that the one before had sent may still arrive, and are nobody else's. */
const OWN_FRAMES_LATE_US = 1e6;
const BUS_BATCH_FRAMES = 64;

export class ReflexClient {
  readonly ends: readonly ReflexEnd[];
  readonly table: CompiledTable;
  readonly #options: ReflexClientOptions;
  readonly #commandLane: LaneWriter;
  readonly #batches: readonly CanFrameBatch[];
  readonly #frameListeners: readonly Listeners<CanFrameBatch>[];
  readonly #reports = new Listeners<{ end: ReflexEnd; report: Report }>();
  readonly #changes = new Listeners<void>();
  readonly #losses = new Listeners<void>();
  /** A reflex has obeyed this brain. */
  #wasObeyed = false;
  readonly #shadows = new Map<ReflexEnd, { message: Uint8Array; heardUs: number }[]>();
  readonly #lastUs: number[];
  /** Newest payloads of what the table watches, by bus and id. */
  readonly #latest = new Map<string, Uint8Array>();
  readonly #commandIds: ReadonlySet<string>;
  readonly #timers: (() => void)[] = [];
  readonly #hash: bigint;
  readonly #padded = new Uint8Array(64);
  #source: ReflexEnd | undefined;
  #owner: ReflexEnd | undefined;
  #ownerSinceUs = Number.NEGATIVE_INFINITY;
  /** Who owned the buses last. */
  #last: { end: ReflexEnd; epoch: number } | undefined;
  /** The owner is gone, and whether its twin goes on is not known yet. */
  #cancelGone: (() => void) | undefined;
  #sequence: number;
  #running = false;
  #users = 0;
  /** Buses that follow another brain's; 0: this one goes on by itself. */
  #followers = 0;

  /** Makes the lane of commands; connects at `start`. */
  static async create(options: ReflexClientOptions): Promise<ReflexClient> {
    const lane = await LaneWriter.create({ schemaHash: 0n, policy: "queue", slots: COMMAND_LANE_SLOTS, inlineBytes: COMMAND_SLOT_BYTES, largeBytes: 0 });
    return new ReflexClient(options, lane);
  }

  private constructor(options: ReflexClientOptions, commandLane: LaneWriter) {
    this.#options = options;
    this.table = options.table;
    this.#commandLane = commandLane;
    const { rows } = options.table;
    this.#hash = shortHash(options.table.hash);
    this.#sequence = 0;
    this.#batches = rows.buses.map(() => new CanFrameBatch(BUS_BATCH_FRAMES));
    this.#frameListeners = rows.buses.map(() => new Listeners<CanFrameBatch>());
    this.#lastUs = rows.buses.map(() => Number.NEGATIVE_INFINITY);
    this.#commandIds = new Set(rows.messages.map(({ bus, canId, canFlags }) => idKey(bus, canKey(canId, (canFlags & CanFlag.extended) !== 0))));
    for (const { bus, canId, canFlags } of rows.watches) this.#latest.set(idKey(bus, canKey(canId, (canFlags & CanFlag.extended) !== 0)), new Uint8Array(0));
    this.ends = options.instances.map((instance) => new ReflexEnd({
      instance, path: join(options.runFolder, `reflex-${instance}.sock`), clock: options.clock, brainEpoch: options.brainEpoch, isActive: options.isActive, bootId: options.bootId, table: () => options.table, commandLane,
      ports: {
        connectionChanged: (end, text) => this.#connectionChanged(end, text),
        records: (end, batch) => this.#records(end, batch),
        statusChanged: (end) => {
          if (end.lostRecords) this.#catchUp(end);
          this.#compareEpochs(end);
          this.#judgeOwner();
          this.#changes.call();
        },
        trouble: (end, code, text) => options.event({ severity: "warning", code, source: `reflex-${end.instance}`, text }),
      },
    }));
  }

  /** Each bus starts and stops it; it runs while one of them does. */
  start(): void {
    this.#users += 1;
    // All of them listen before anything is handed out.
    if (this.#followers > 0 && this.#users < this.#followers) return;
    if (this.#running && this.#followers === 0) return;
    // Whoever took over from another brain must not look as if he repeated it.
    this.#sequence = Math.max(this.#sequence, Math.floor(this.#options.clock.nowUs()));
    if (this.#followers > 0) this.#goOn();
    else this.#run();
  }

  /** Connects and listens while another brain commands: each bus calls it once, and `start` when that brain is dead. */
  follow(): void {
    this.#followers += 1;
    if (!this.#running) this.#run();
  }

  /** What came after this time, on one bus, is what the brain that was followed has not handed out. To be called before `start`. */
  goOnAfter(bus: number, timeUs: number): void {
    this.#lastUs[bus] = timeUs;
  }

  #goOn(): void {
    this.#followers = 0;
    const nowUs = this.#options.clock.nowUs();
    // Nobody said what was handed out: then nothing old is.
    for (const [bus, lastUs] of this.#lastUs.entries()) if (lastUs === Number.NEGATIVE_INFINITY) this.#lastUs[bus] = nowUs;
    this.#beat();
    for (const end of this.ends) end.offerTable();
    const source = this.#owner ?? this.ends.find((end) => end.isReady);
    if (source) this.#takeFrom(source);
    this.#changes.call();
  }

  #run(): void {
    this.#running = true;
    for (const end of this.ends) end.start();
    const { brainTimeoutMs } = this.#options;
    this.#every(STATUS_PERIOD_MS, () => this.ends.forEach((end) => end.askStatus()));
    // Four in each time-out: the table asks for three.
    this.#every(brainTimeoutMs === 0 ? BEAT_MS_DEFAULT : Math.max(BEAT_MS_MIN, brainTimeoutMs / 4), () => this.#beat());
  }

  stop(): void {
    this.#users -= 1;
    if (!this.#running || this.#users > 0) return;
    this.#running = false;
    for (const cancel of this.#timers.splice(0)) cancel();
    this.#cancelGone?.();
    for (const end of this.ends) end.stop();
    this.#commandLane.close();
  }

  /** The reflex that owns the buses, as far as they say. */
  get owner(): ReflexEnd | undefined {
    return this.#owner;
  }

  /** How long it has been so. */
  ownerSinceMs(): number {
    return (this.#options.clock.nowUs() - this.#ownerSinceUs) / 1e3;
  }

  /** Whether the owner reads the commands; while there is none, whether anybody does. */
  get takesCommands(): boolean {
    return this.#owner ? this.#owner.takesCommands : this.ends.some((end) => end.takesCommands);
  }

  /** Frames of one bus (row), echoes and error frames included; the batch is borrowed. */
  onFrames(bus: number, listener: (batch: CanFrameBatch) => void): () => void {
    return this.#frameListeners[bus]!.add(listener);
  }

  onReport(listener: (told: { end: ReflexEnd; report: Report }) => void): () => void {
    return this.#reports.add(listener);
  }

  /** A reflex came or went, or another one owns the buses. */
  onChange(listener: () => void): () => void {
    return this.#changes.add(listener);
  }

  /** Records of the owner were lost: what they said is not known, and will not be told again. */
  onLoss(listener: () => void): () => void {
    return this.#losses.add(listener);
  }

  /** Hands a command over; what becomes of it comes back with its token. */
  send({ message, data, deadlineUs, token }: ReflexCommand): SendVerdict {
    const { clock, brainEpoch } = this.#options;
    if (!this.#running || this.#followers > 0) return "notStarted";
    if (clock.nowUs() >= deadlineUs) return "expired";
    if (!this.takesCommands) return "linkDown";
    this.#padded.fill(0);
    this.#padded.set(data);
    this.#sequence += 1;
    const record = encodeCommand({ deadlineUs: Math.floor(deadlineUs), sequence: this.#sequence, brainEpoch: brainEpoch(), token, tableHash: this.#hash, message, lengthBytes: data.length, data: this.#padded });
    return this.#commandLane.publish(record) === "published" ? "queued" : "queueFull";
  }

  /** Gives an order to the owner; waits a moment for one while they change over. Never rejects. */
  async order(order: Order, timeoutMs = ANSWER_TIMEOUT_MS): Promise<Reply> {
    const owner = this.#owner ?? (await this.#awaitOwner());
    if (!owner) return { code: "away", count: 0, lacks: [], text: this.describeAbsence() };
    return owner.order(order, timeoutMs);
  }

  /** Planned hand-over to the twin, or to the other host on the bus. Refused, nothing has changed. Never rejects. */
  switchOver(to: SwitchTo = "twin"): Promise<Reply> {
    return this.#owner?.switchOver(to) ?? Promise.resolve({ code: "away", count: 0, lacks: [], text: this.describeAbsence() });
  }

  /** One sentence on why nobody owns the buses. */
  describeAbsence(): string {
    const there = this.ends.filter((end) => end.isReady);
    if (there.length === 0) return `no reflex answers (${this.ends.map((end) => `${end.instance}: ${end.why}`).join("; ")})`;
    return `no reflex owns the buses (${there.map((end) => `${end.instance} is ${end.role}`).join(", ")})`;
  }

  /** The newest payload of a watched message; undefined before the first. */
  latest(bus: number, key: number): Uint8Array | undefined {
    const payload = this.#latest.get(idKey(bus, key));
    return payload && payload.length > 0 ? payload : undefined;
  }

  #every(ms: number, act: () => void): void {
    const { clock } = this.#options;
    const place = this.#timers.length;
    const again = (): void => {
      act();
      if (this.#running) this.#timers[place] = clock.at(clock.nowUs() + ms * 1e3, again);
    };
    this.#timers.push(clock.at(clock.nowUs() + ms * 1e3, again));
  }

  #beat(): void {
    if (!this.#options.isActive()) return;
    for (const end of this.ends) end.tell({ order: "brainBeat", a: this.#options.brainEpoch() });
  }

  async #awaitOwner(): Promise<ReflexEnd | undefined> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        stopListening();
        resolve(this.#owner);
      };
      const cancel = clock.at(clock.nowUs() + OWNER_WAIT_MS * 1e3, finish);
      const stopListening = this.#changes.add(() => {
        if (this.#owner) finish();
      });
    });
  }

  #connectionChanged(end: ReflexEnd, text: string): void {
    if (!end.isReady) this.#shadows.delete(end);
    // Nothing is armed for a brain that was not heard of.
    else if (this.#options.isActive()) end.tell({ order: "brainBeat", a: this.#options.brainEpoch() });
    if (end.isReady) this.#tell("info", "reflexConnected", end, `reflex ${end.instance}: ${text}`);
    else this.#goneTold(end, text);
    this.#judgeOwner();
    this.#changes.call();
  }

  /** That an owner is gone is told together with who took over; alone only if nobody does. */
  #goneTold(end: ReflexEnd, why: string): void {
    const tell = (more = ""): void => this.#tell(more === "" ? "warning" : "error", "reflexGone", end, `reflex ${end.instance}: ${why}${more}`);
    if (this.#last?.end !== end) {
      // Whoever was followed by its twin before it went has been told of.
      if (!end.wasReplaced) tell();
      return;
    }
    const { clock } = this.#options;
    if (!this.ends.some((other) => other.isReady)) return tell();
    this.#cancelGone?.();
    this.#cancelGone = clock.at(clock.nowUs() + TAKEOVER_MS_MAX * 1e3, () => tell(`, and nobody has taken over: ${this.describeAbsence()}`));
  }

  #tell(severity: ReflexClientEvent["severity"], code: string, end: ReflexEnd, text: string): void {
    this.#options.event({ severity, code, source: `reflex-${end.instance}`, text });
  }

  #judgeOwner(): void {
    let owner: ReflexEnd | undefined;
    for (const end of this.ends) if (end.isReady && end.role === "owner" && (!owner || newer(end.epoch, owner.epoch))) owner = end;
    if (owner === this.#owner) return;
    this.#owner = owner;
    this.#ownerSinceUs = this.#options.clock.nowUs();
    if (owner) {
      this.#ownerTold(owner);
      this.#takeFrom(owner);
    }
    this.#changes.call();
  }

  /** One event for a takeover: who, from whom, why, and how long nobody was heard. */
  #ownerTold(owner: ReflexEnd): void {
    const last = this.#last;
    this.#cancelGone?.();
    this.#cancelGone = undefined;
    this.#last = { end: owner, epoch: owner.epoch };
    owner.wasReplaced = false;
    if (!last || last.end === owner) return this.#tell("info", "reflexOwner", owner, `reflex ${owner.instance} owns the buses, epoch ${owner.epoch}`);
    last.end.wasReplaced = true;
    const silentMs = (this.#options.clock.nowUs() - last.end.heardUs) / 1e3;
    const why = last.end.isReady ? (last.end.role === "owner" ? "" : ` (now ${last.end.role})`) : ` (${last.end.why})`;
    this.#tell("warning", "reflexTookOver", owner, `reflex ${owner.instance} owns the buses, epoch ${owner.epoch}: it took over from ${last.end.instance}${why}, epoch ${last.epoch}, ${silentMs.toFixed(1)} ms after that was last heard`);
  }

  #records(end: ReflexEnd, batch: LaneBatch): void {
    end.heardUs = this.#options.clock.nowUs();
    for (let i = 0; i < batch.count; i++) {
      if (batch.lostBefore(i) > 0) this.#lost(end, batch.lostBefore(i));
      const at = batch.payloadAt(i);
      const lengthBytes = batch.payloadBytes(i);
      const count = recordCount(lengthBytes);
      if (count === undefined) continue;
      for (let record = 0; record < count; record++) if (isReport(batch.bytes, at + record * FRAME_STRIDE_BYTES)) this.#report(end, decodeReport(batch.bytes, at + record * FRAME_STRIDE_BYTES));
      if (this.#followers > 0) {
        this.#remember(end, batch.bytes.slice(at, at + lengthBytes));
        continue;
      }
      // Whoever is the only one there is heard, owner or not.
      if (this.#source === undefined || (!this.#source.isReady && this.#owner === undefined)) this.#source = end;
      if (end === this.#source) this.#deliver(batch.bytes, at, count, false);
      else this.#remember(end, batch.bytes.slice(at, at + lengthBytes));
    }
  }

  /** This process stood still for longer than the lane holds. */
  #lost(end: ReflexEnd, count: number): void {
    this.#tell("warning", "recordsLost", end, `reflex ${end.instance}: ${count} messages of its lane were not read in time`);
    end.lostRecords = true;
    end.askStatus();
    if (end === this.#owner) this.#losses.call();
  }

  /** Where our epoch was lost, the reflex and its disk know which was used. A newer one after ours was obeyed is another brain's, who lives: two that rise above each other would both command in turn. */
  #compareEpochs(end: ReflexEnd): void {
    const { isActive, brainEpoch, outdated } = this.#options;
    const known = end.status?.brainEpoch ?? 0;
    if (!isActive() || known === 0) return;
    if (known === brainEpoch()) this.#wasObeyed = true;
    if (known <= brainEpoch() || this.#wasObeyed) return;
    outdated?.(known);
    this.#beat();
  }

  /** How its buses are was perhaps among what was lost: its status says it as well. */
  #catchUp(end: ReflexEnd): void {
    end.lostRecords = false;
    end.buses.clear();
  }

  #report(end: ReflexEnd, report: Report | undefined): void {
    if (!report) return;
    if (report.kind === "state") {
      end.state = report.state;
      end.roleTold(report.state.role, report.state.epoch, report.timeUs);
    } else if (report.kind === "role") end.roleTold(report.role, report.epoch, report.timeUs);
    else if (report.kind === "bus") end.buses.set(report.bus, report);
    if (report.kind === "state" || report.kind === "role") this.#judgeOwner();
    // What the reflex asks of a brain is the other one's to do.
    if (this.#followers === 0 || report.kind !== "call") this.#reports.call({ end, report });
  }

  #remember(end: ReflexEnd, message: Uint8Array): void {
    const shadow = this.#shadows.get(end) ?? [];
    this.#shadows.set(end, shadow);
    const heardUs = this.#options.clock.nowUs();
    shadow.push({ message, heardUs });
    if (this.#followers === 0 ? shadow.length > SHADOW_MESSAGES_MAX : heardUs - shadow[0]!.heardUs > FOLLOW_MS * 1e3) shadow.shift();
  }

  /** From now on this one's frames are handed out: first those that the one before has not lived to tell. */
  #takeFrom(end: ReflexEnd): void {
    if (this.#source === end || this.#followers > 0) return;
    this.#source = end;
    const shadow = this.#shadows.get(end) ?? [];
    this.#shadows.delete(end);
    for (const { message } of shadow) this.#deliver(message, 0, message.length / FRAME_STRIDE_BYTES, true);
  }

  #deliver(bytes: Uint8Array, at: number, count: number, onlyNew: boolean): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const afterChange = this.#options.clock.nowUs() - this.#ownerSinceUs < OWN_FRAMES_LATE_US;
    for (let record = 0; record < count; record++) {
      const from = at + record * FRAME_STRIDE_BYTES;
      if (isReport(bytes, from)) continue;
      const bus = busOfRecord(bytes, from);
      const batch = this.#batches[bus];
      if (!batch) continue;
      const timeUs = view.getFloat64(from, true);
      if (onlyNew && timeUs <= this.#lastUs[bus]!) continue;
      this.#lastUs[bus] = Math.max(this.#lastUs[bus]!, timeUs);
      const flags = bytes[from + 12]!;
      const key = idKey(bus, canKey(view.getUint32(from + 8, true), (flags & CanFlag.extended) !== 0));
      if (afterChange && (flags & CanFlag.echo) === 0 && this.#commandIds.has(key)) continue;
      if (this.#latest.has(key) && (flags & (CanFlag.error | CanFlag.remote | CanFlag.echo)) === 0) this.#latest.set(key, bytes.slice(from + 24, from + 24 + Math.min(bytes[from + 13]!, 64)));
      if (batch.count === batch.capacityFrames) this.#flush(bus);
      batch.bytes.set(bytes.subarray(from, from + FRAME_STRIDE_BYTES), batch.count * FRAME_STRIDE_BYTES);
      batch.count += 1;
    }
    for (let bus = 0; bus < this.#batches.length; bus++) this.#flush(bus);
  }

  #flush(bus: number): void {
    const batch = this.#batches[bus]!;
    if (batch.count === 0) return;
    this.#frameListeners[bus]!.call(batch, () => this.#running);
    batch.clear();
  }

  /** A name of the table. */
  text(at: number): string {
    return tableText(this.table.rows, at);
  }
}

function idKey(bus: number, key: number): string {
  return `${bus}/${key}`;
}

/** RFC 1982, 16 bits: whether `a` is newer than `b`; 0 is unknown. */
export function newer(a: number, b: number): boolean {
  return b === 0 ? a !== 0 : a !== b && ((a - b) & 0xffff) < 0x8000;
}
