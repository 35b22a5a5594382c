/**
 * A reflex in this process, for tests of the brain's end: a control socket that speaks the protocol, lanes, a state that orders change. It judges commands by the table's own checks and
 * echoes them at once; it owns no bus, has no twin and runs no plan: a trigger is posed when the test says so.
 */
import { join } from "node:path";
import { CanFlag, FRAME_STRIDE_BYTES, writeFrame } from "../../../drivers/can/frame.ts";
import type { Clock } from "../../../schemas/clock.ts";
import { LaneReader, LaneWriter, makeBell } from "../../../shm/lanes/index.ts";
import { closeAll, Descriptor, openSealed, SeqpacketServer, type SeqpacketConnection } from "../../../shm/sockets/index.ts";
import { shortHash } from "../table/compile.ts";
import { checkHolds } from "../table/judge.ts";
import { NONE, type TableRows } from "../table/layout.ts";
import { readTable } from "../table/read.ts";
import { writeStruct } from "../table/struct.ts";
import { PacketCodec, PROTOCOL_MAJOR, PROTOCOL_MINOR, type Order, type Packet, type SwitchTo } from "./packets.ts";
import { decodeCommand, REPORT_FLAG, reportKinds, stateStruct, type CommandRecord } from "./records.ts";
import { armings, missingReasons, refusals, roles, statusStruct, type Lack, type ReflexArming, type ReflexRefusal, type ReflexRole, type ReflexStatus } from "./status.ts";
import { readStruct } from "../table/struct.ts";
import type { ReflexInstance } from "./end.ts";

export class FakeReflex {
  readonly instance: ReflexInstance;
  readonly orders: Required<Order>[] = [];
  readonly commands: CommandRecord[] = [];
  /** Tables that were offered; what it says of each. */
  tables = 0;
  tableAnswer: string | undefined;
  /** To whom it was asked to hand over; what it says of each but done. */
  readonly switches: SwitchTo[] = [];
  switchAnswer: string | undefined;
  lacks: Lack[] = [];
  /** Newest that it obeys, as far as it says. */
  brainEpoch = 0;
  /** Of all buses, by its status. */
  busPhase = 0;
  /** What it sends is never echoed. */
  isMute = false;
  /** The next trigger kills it before it answers. */
  diesOfTrigger = false;
  role: ReflexRole;
  epoch: number;
  rows: TableRows | undefined;
  run = { plan: NONE, trigger: NONE };
  readonly #clock: Clock;
  readonly #server: SeqpacketServer;
  readonly #frames: LaneWriter;
  #hash = new Uint8Array(32);
  #arming: ReflexArming = "disarmed";
  #sinceUs: number;
  #connections: SeqpacketConnection[] = [];
  #readers: LaneReader[] = [];

  static async start(folder: string, { instance, clock, role = "owner", epoch = 1 }: { instance: ReflexInstance; clock: Clock; role?: ReflexRole; epoch?: number }): Promise<FakeReflex> {
    const frames = await LaneWriter.create({ schemaHash: 0n, policy: "queue", slots: 256, inlineBytes: 4032, largeBytes: 0 });
    return new FakeReflex(SeqpacketServer.listen(join(folder, `reflex-${instance}.sock`)), frames, { instance, clock, role, epoch });
  }

  private constructor(server: SeqpacketServer, frames: LaneWriter, { instance, clock, role, epoch }: { instance: ReflexInstance; clock: Clock; role: ReflexRole; epoch: number }) {
    this.#server = server;
    this.#frames = frames;
    this.#clock = clock;
    this.#sinceUs = clock.nowUs();
    this.instance = instance;
    this.role = role;
    this.epoch = epoch;
    server.onConnection((connection) => this.#accept(connection));
  }

  get arming(): ReflexArming {
    return this.#arming;
  }

  set arming(arming: ReflexArming) {
    this.#arming = arming;
    this.#sinceUs = this.#clock.nowUs();
  }

  /** As kill -9. */
  stop(): void {
    this.#server.close();
    for (const connection of this.#connections) connection.close();
    for (const reader of this.#readers) reader.close();
    this.#frames.close();
  }

  /** Publishes records: frames as they are, reports by their kind. */
  frame(canId: number, data: Uint8Array, { flags = 0, token = 0, bus = 0, timeUs = this.#clock.nowUs() } = {}): void {
    const bytes = new Uint8Array(FRAME_STRIDE_BYTES);
    const view = new DataView(bytes.buffer);
    writeFrame(bytes, view, 0, { timeUs, canId, flags, token, data });
    view.setUint16(14, bus, true);
    this.#frames.publish(bytes);
  }

  report(kind: (typeof reportKinds)[number], data: Uint8Array, { token = 0, bus = 0 } = {}): void {
    this.frame(reportKinds.indexOf(kind), data, { flags: REPORT_FLAG, token, bus });
  }

  /** Tells the state as it is now. */
  tellState({ plan = NONE, trigger = NONE }: { plan?: number; trigger?: number } = {}): void {
    this.run = { plan, trigger };
    const data = new Uint8Array(stateStruct.sizeBytes);
    writeStruct(stateStruct, new DataView(data.buffer), 0, {
      arming: armings.indexOf(this.arming), role: roles.indexOf(this.role), triggerLatched: 0, malfunction: 0, epoch: this.epoch, trigger, plan, missingCount: this.lacks.length, generation: 1, sinceUs: Math.floor(this.#sinceUs),
    });
    this.report("state", data);
  }

  /** It owns the buses from now on, or not any more. */
  become(role: ReflexRole, epoch = this.epoch): void {
    this.role = role;
    this.epoch = epoch;
    this.tellState();
  }

  /** state, phase, reason, cause of a bus, as bus_health numbers them. */
  tellBus(state: number, phase: number, reason = 0): void {
    const data = new Uint8Array(16);
    const view = new DataView(data.buffer);
    for (const [index, value] of [state, phase, reason, 0].entries()) view.setUint32(4 * index, value, true);
    this.report("bus", data);
  }

  refuse(token: number, reason: ReflexRefusal): void {
    this.report("refused", Uint8Array.of(refusals.indexOf(reason), 0, 0, 0), { token });
  }

  #accept(connection: SeqpacketConnection): void {
    const codec = new PacketCodec();
    this.#connections.push(connection);
    connection.onPacket((bytes, at, lengthBytes, descriptors) => {
      const read = codec.read(bytes, at, lengthBytes);
      if (read.ok) this.#take(connection, codec, read.packet, descriptors);
      else connection.close();
    });
  }

  #take(connection: SeqpacketConnection, codec: PacketCodec, packet: Packet, descriptors: Descriptor[]): void {
    const answer = (bytes: Uint8Array, given: readonly Descriptor[] = []): void => void connection.send(bytes, 0, bytes.length, given);
    const { request } = packet;
    if (packet.kind === "hello") {
      answer(codec.hello({ major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR, who: 2, instance: this.instance === "a" ? 0 : 1, brainEpoch: 0, bootId: new Uint8Array(16), tableHash: this.#hash.slice(0, 8) }, request));
      answer(codec.bare("frameLane", 0), [this.#frames.descriptor]);
    } else if (packet.kind === "table") answer(this.#takeTable(codec, descriptors[0], request));
    else if (packet.kind === "commandLane" && descriptors[0]) {
      const bell = makeBell();
      const reader = LaneReader.open(descriptors[0], bell.reader, { policy: "queue", start: "next" });
      this.#readers.push(reader);
      reader.onMessages((batch) => {
        for (let i = 0; i < batch.count; i++) this.#command(decodeCommand(batch.payload(i).slice()));
      });
      answer(codec.bare("reader", request), [reader.page, bell.writer]);
      bell.writer.close();
    } else if (packet.kind === "frameReader" && descriptors[0] && descriptors[1]) {
      this.#frames.addReader(descriptors[0], descriptors[1], "queue", 0);
      this.tellState();
      return;
    } else if (packet.kind === "order") this.#order(packet.order, (bytes) => answer(bytes), codec, request);
    else if (packet.kind === "switch") {
      this.switches.push(packet.to);
      answer(codec.answer(this.switchAnswer === undefined ? { code: "done" } : { code: "fault", text: this.switchAnswer }, request));
    } else if (packet.kind === "statusAsked") answer(codec.status(this.#status(), request));
    closeAll(descriptors);
  }

  #takeTable(codec: PacketCodec, sealed: Descriptor | undefined, request: number): Uint8Array {
    this.tables += 1;
    if (this.tableAnswer !== undefined || !sealed) return codec.answer({ code: "fault", text: this.tableAnswer ?? "no descriptor" }, request);
    const read = readTable(openSealed(sealed).read());
    if (!read.ok) return codec.answer({ code: "fault", text: read.code }, request);
    this.rows = read.table.rows;
    this.#hash = Uint8Array.from(read.table.hash);
    return codec.answer({ code: "done" }, request);
  }

  #order(order: Required<Order>, answer: (bytes: Uint8Array) => void, codec: PacketCodec, request: number): void {
    this.orders.push(order);
    if (order.order === "trigger" && this.diesOfTrigger) return this.stop();
    let code: "done" | "refused" = "done";
    if (order.order === "arm" && this.lacks.length > 0) code = "refused";
    else if (order.order === "arm") this.arming = "armed";
    else if (order.order === "disarm" || order.order === "reset") this.arming = "disarmed";
    // One that runs already goes on as it stands, whatever is asked for.
    else if (order.order === "trigger" && this.arming !== "safePose") {
      this.arming = "safePose";
      this.run = { plan: 0, trigger: Math.max(0, this.rows?.triggers.findIndex(({ kind, subject }) => kind === order.a && (subject === NONE || subject === order.b)) ?? 0) };
    }
    if (request !== 0) answer(codec.answer({ code, lacks: code === "refused" ? this.lacks : [] }, request));
    if (code === "done" && order.order !== "brainBeat") this.tellState(order.order === "trigger" ? this.run : {});
  }

  #command(command: CommandRecord | undefined): void {
    if (!command || !this.rows) return;
    this.commands.push(command);
    const message = this.rows.messages[command.message];
    const data = command.data.subarray(0, command.lengthBytes);
    if (this.role !== "owner") return this.refuse(command.token, "notOwner");
    if (this.arming !== "armed") return this.refuse(command.token, "notArmed");
    if (!message) return this.refuse(command.token, "unknownCommand");
    if (command.tableHash !== shortHash(this.#hash)) return this.refuse(command.token, "otherTable");
    if (!this.rows.checks.slice(message.checksFirst, message.checksFirst + message.checksCount).every((check) => checkHolds(check, data))) return this.refuse(command.token, "outOfRange");
    if (!this.isMute) this.frame(message.canId, data, { flags: CanFlag.echo, token: command.token, bus: message.bus });
  }

  #status(): ReflexStatus {
    const empty = readStruct(statusStruct, new DataView(new ArrayBuffer(statusStruct.sizeBytes)), 0);
    const missing = empty.missing.map((none, index) => this.lacks[index] ?? none);
    return {
      ...empty, major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR, instance: this.instance === "a" ? 0 : 1, role: roles.indexOf(this.role), arming: armings.indexOf(this.arming), epoch: this.epoch, healthy: 1, tableHash: this.#hash, ...this.run,
      busPhases: empty.busPhases.map(() => this.busPhase), brainEpoch: this.brainEpoch, nowUs: Math.floor(this.#clock.nowUs()), sinceUs: Math.floor(this.#sinceUs), pid: process.pid, missingCount: this.lacks.length, missing,
    };
  }
}

/** A lack by its word. */
export const lack = (reason: (typeof missingReasons)[number], subject = 0): Lack => ({ reason: missingReasons.indexOf(reason), subject });
