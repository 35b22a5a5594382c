/**
 * Requests over MQTT after the manner of zigbee2mqtt: `bridge/request/<service>` with a JSON object whose `transaction` comes back on
 * `bridge/response/<service>`, beside `status` ("ok" or "error"), `code` (IPCNet's status code), and `data` or `error`.
 */
import type { StatusCode } from "../../schemas/status.ts";
import { isSuccess, statusText } from "../../schemas/status.ts";
import type { JsonFault } from "./json.ts";
import { decodeJson } from "./json.ts";

export interface BridgeRequest {
  /** Undefined when the sender does not care to tell answers apart. */
  transaction: string | number | undefined;
  body: Readonly<Record<string, unknown>>;
}

export type RequestResult = { ok: true; request: BridgeRequest } | { ok: false; code: "retained" | "notAnObject" | "badTransaction" | JsonFault; text: string };

const TRANSACTION_MAX = 128;

/** An empty payload is a request without a body. */
export function decodeRequest({ payload, retain }: { payload: Uint8Array; retain: boolean }): RequestResult {
  if (retain) return { ok: false, code: "retained", text: "a request must not be retained" };
  if (payload.length === 0) return { ok: true, request: { transaction: undefined, body: {} } };
  const decoded = decodeJson(payload);
  if (!decoded.ok) return decoded;
  if (typeof decoded.value !== "object" || decoded.value === null || Array.isArray(decoded.value)) return { ok: false, code: "notAnObject", text: "a request is an object" };
  const { transaction, ...body } = decoded.value as Record<string, unknown>;
  const fits = transaction === undefined || typeof transaction === "number" || (typeof transaction === "string" && transaction.length <= TRANSACTION_MAX);
  if (!fits) return { ok: false, code: "badTransaction", text: `transaction is a number or at most ${TRANSACTION_MAX} characters` };
  return { ok: true, request: { transaction, body } };
}

export function encodeResponse({ transaction, code, data, error }: { transaction: string | number | undefined; code: StatusCode; data?: unknown; error?: string }): Uint8Array {
  const good = isSuccess(code);
  return Buffer.from(JSON.stringify({
    status: good ? "ok" : "error",
    code,
    ...(data === undefined ? {} : { data }),
    ...(good ? {} : { error: error ?? statusText(code) }),
    ...(transaction === undefined ? {} : { transaction }),
  }));
}
