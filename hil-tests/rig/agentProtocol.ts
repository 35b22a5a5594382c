/**
 * What the rig and the agent in the machine (guest/agent.py) say to each other: one JSON object a line.
 *
 * To the agent: {do:"run", id, script, timeoutMs?, input?} · {do:"input", id, text} · {do:"close", id} · {do:"signal", id, signal} · {do:"quit"}.
 * From it, each with `at`, the machine's wall clock in seconds: {hello, uptimeS, kernel, processor, bootId} at its start, so that a reset is seen · {id, out} · {id, err} · {id, code, signal, timedOut} · {id, trouble}.
 */

export type AgentOrder =
  | { do: "run"; id: number; script: string; timeoutMs?: number; input?: boolean }
  | { do: "input"; id: number; text: string }
  | { do: "close"; id: number }
  | { do: "signal"; id: number; signal: string }
  | { do: "quit" };

export type AgentMessage =
  | { kind: "hello"; atS: number; uptimeS: number; kernel: string; processor: string; bootId: string }
  | { kind: "out" | "err"; atS: number; id: number; text: string }
  | { kind: "ended"; atS: number; id: number; code: number | null; signal: string | null; timedOut: boolean }
  | { kind: "trouble"; atS: number; id: number | undefined; text: string }
  /** A line that is none of these: what a reset cut off, for instance. */
  | { kind: "garbage"; line: string };

export const orderLine = (order: AgentOrder): string => `${JSON.stringify(order)}\n`;

/** Bytes in, messages out, however they are cut. */
export class AgentReader {
  readonly #decoder = new TextDecoder();
  #rest = "";

  push(bytes: Uint8Array): AgentMessage[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop()!;
    return lines.filter((line) => line.trim() !== "").map(messageOf);
  }
}

function messageOf(line: string): AgentMessage {
  const value = parsed(line);
  if (value === undefined || typeof value["at"] !== "number") return { kind: "garbage", line };
  const { at: atS, id } = value;
  if (value["hello"] !== undefined) return { kind: "hello", atS, uptimeS: Number(value["uptimeS"]), kernel: String(value["kernel"]), processor: String(value["processor"]), bootId: String(value["bootId"]) };
  if (typeof value["trouble"] === "string") return { kind: "trouble", atS, id: typeof id === "number" ? id : undefined, text: value["trouble"] };
  if (typeof id !== "number") return { kind: "garbage", line };
  for (const kind of ["out", "err"] as const) if (typeof value[kind] === "string") return { kind, atS, id, text: value[kind] };
  if (!("code" in value)) return { kind: "garbage", line };
  return { kind: "ended", atS, id, code: typeof value["code"] === "number" ? value["code"] : null, signal: typeof value["signal"] === "string" ? value["signal"] : null, timedOut: value["timedOut"] === true };
}

function parsed(line: string): Record<string, unknown> & { at?: number } | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown> & { at?: number }) : undefined;
  } catch {
    return undefined;
  }
}
