/**
 * What the reflex asks of a brain in a step of its plan: messages for links that it does not own, conditions that it cannot measure, a service of a component. All of it is done, and then
 * answered; nothing is answered twice, and what is asked again (the reflex repeats itself after a takeover) finds the call on its way.
 */
import type { ReflexClient } from "../../failsafe/reflex/client/client.ts";
import type { ReflexEnd } from "../../failsafe/reflex/client/end.ts";
import { SafePoseSequence, type PoseCondition } from "../../failsafe/safePose/sequence.ts";
import type { BrainCondition, BrainSend, CompiledCall } from "../../failsafe/shutdown/compiled.ts";
import type { Clock } from "../../schemas/clock.ts";
import { readField } from "../../schemas/records/layout.ts";
import type { CommandPath, CommandValues } from "../commands/commandPath.ts";
import type { TopicSource } from "../topics/topicSource.ts";
import { readValue } from "../topics/values.ts";

export interface BrainCallPorts {
  client: Pick<ReflexClient, "onReport" | "order" | "text" | "table"> & { readonly owner: ReflexEnd | undefined };
  clock: Clock;
  topics: TopicSource;
  /** The way of commands by link name. */
  paths: ReadonlyMap<string, CommandPath>;
  /** Publishes on an MQTT connection; false: it is not there, or does not take it. */
  publishMqtt(send: Extract<BrainSend, { mqtt: string }>, nowUs: number): boolean;
  /** Calls a component's service; resolves with whether its answer was OK. Never rejects. */
  callService(name: string, given: Readonly<Record<string, unknown>>, timeoutMs: number): Promise<boolean>;
  trouble(text: string): void;
}

/** Between two looks at conditions: half of the shortest age that a plan asks for. */
const LOOK_MS = 5;
const RESEND_MS_MIN = 5;

export class BrainCalls {
  readonly #ports: BrainCallPorts;
  readonly #running = new Set<string>();

  constructor(ports: BrainCallPorts) {
    this.#ports = ports;
    ports.client.onReport(({ end, report }) => {
      if (report.kind === "call" && (ports.client.owner ?? end) === end) void this.#called(report);
    });
  }

  async #called({ runId, step, call }: { runId: bigint; step: number; call: number }): Promise<void> {
    const { client, trouble } = this.#ports;
    const key = `${runId}/${step}`;
    const asked = client.table.calls[call];
    const row = client.table.rows.steps[step];
    if (this.#running.has(key)) return;
    if (!asked || !row) return trouble(`the reflex asks for call ${call} of step ${step}, which this gateway does not know: it works by another table`);
    this.#running.add(key);
    try {
      const deadlineMs = row.deadlineUs / 1e3;
      const [served, measured] = await Promise.all([this.#serve(asked, deadlineMs), this.#sendAndMeasure(asked, { deadlineMs, resendMs: row.resendUs / 1e3, name: client.text(row.name) })]);
      await client.order({ order: "callDone", a: step, b: served && measured ? 1 : 0, c: runId });
    } finally {
      this.#running.delete(key);
    }
  }

  async #serve({ service }: CompiledCall, timeoutMs: number): Promise<boolean> {
    return service === undefined || this.#ports.callService(service.name, service.arguments, timeoutMs);
  }

  /** One step of the gateway's own safe pose, with what the reflex leaves to it. */
  #sendAndMeasure({ sends, until }: CompiledCall, { deadlineMs, resendMs, name }: { deadlineMs: number; resendMs: number; name: string }): Promise<boolean> {
    const { clock } = this.#ports;
    const step = { name, sendCount: sends.length, until: until.map(asPoseCondition), deadlineMs, onTimeout: "fail" as const, resendMs: resendMs === 0 ? deadlineMs : Math.max(RESEND_MS_MIN, resendMs) };
    const sequence = new SafePoseSequence({ steps: [step], budgetMs: deadlineMs + 1 });
    const read = (nowUs: number) => (_step: number, condition: number) => this.#read(until[condition]!, nowUs);
    return new Promise((resolve) => {
      const turn = (): void => {
        const nowUs = clock.nowUs();
        const effects = sequence.running ? sequence.poll(nowUs, read(nowUs)) : sequence.start("asked for by the reflex", nowUs, read(nowUs));
        for (const effect of effects) {
          if (effect.type === "send") this.#send(sends[effect.sendIndex]!, nowUs, name);
          else return resolve(effect.verdict.steps.every(({ result }) => result === "reached" || result === "sentOnly"));
        }
        clock.at(nowUs + LOOK_MS * 1e3, turn);
      };
      turn();
    });
  }

  #read({ topic, signal }: BrainCondition, nowUs: number): { value: number; ageMs: number } | undefined {
    const entry = this.#ports.topics.get(topic);
    const field = entry?.layout?.fields.find(({ name }) => name === signal);
    if (!entry || entry.sequence === 0 || entry.quality === 2) return undefined;
    const ageMs = (nowUs - entry.timeUs) / 1e3;
    if (field) return { value: Number(readField(field, new DataView(entry.lastBytes.buffer, entry.lastBytes.byteOffset), 0)), ageMs };
    const decoded = readValue(entry, entry.lastBytes, 0, entry.lastLength);
    const value = decoded.ok ? (decoded.value as Readonly<Record<string, unknown>> | null)?.[signal] : undefined;
    return typeof value === "number" ? { value, ageMs } : undefined;
  }

  #send(send: BrainSend, nowUs: number, step: string): void {
    const { paths, publishMqtt, trouble } = this.#ports;
    if ("mqtt" in send) {
      if (!publishMqtt(send, nowUs)) trouble(`step ${step}: ${send.mqtt} does not take the message`);
      return;
    }
    const verdict = paths.get(send.serial)?.sendForSafePose(send.message, send.values as CommandValues, nowUs + 1e6);
    if (!verdict?.ok) trouble(`step ${step}: ${send.serial} ${send.message}: ${verdict ? verdict.text : "there is no such link"}`);
  }
}

function asPoseCondition({ label, minimum, maximum, holdMs, ageMsMax }: BrainCondition): PoseCondition {
  return { label, holds: (value) => value >= minimum && value <= maximum, holdMs, ageMsMax };
}
