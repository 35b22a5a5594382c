/**
 * IPCNet status codes: on every reply and in every client's error type. The hundreds say who has to act: 1xx nobody (it worked),
 * 2xx the caller, 3xx the gateway or something behind it; ≥ 1000 belong to applications. The words are HTTP's where HTTP has one.
 */
export const Status = {
  ok: 100,
  created: 101,
  accepted: 102,
  noContent: 103,
  partialContent: 104,
  notModified: 105,

  badRequest: 200,
  unauthorized: 201,
  forbidden: 202,
  notFound: 203,
  requestTimeout: 204,
  conflict: 205,
  /** The two ends name different schemas or protocol versions. */
  upgradeRequired: 206,
  preconditionFailed: 207,
  payloadTooLarge: 208,
  /** Well-formed, but a value is out of range, of the wrong type or unknown to the schema. */
  unprocessableContent: 209,
  tooManyRequests: 210,
  /** Its time to live had passed. */
  gone: 211,

  internalError: 300,
  notImplemented: 301,
  badGateway: 302,
  serviceUnavailable: 303,
  gatewayTimeout: 304,
  insufficientStorage: 305,
  loopDetected: 306,
  integrityFailure: 307,
  versionNotSupported: 308,
  networkAuthenticationRequired: 309,
} as const;

export type StatusCode = number;

const sentences = new Map<number, string>(
  Object.entries(Status).map(([name, code]) => [code, name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)]),
);

/** The code's name in words; "application status" from 1000 up. */
export function statusText(code: StatusCode): string {
  return sentences.get(code) ?? (code >= 1000 ? "application status" : "unknown status");
}

/** Whether the code says that it worked. Application codes (≥ 1000) are not judged here: false. */
export function isSuccess(code: StatusCode): boolean {
  return code >= 100 && code < 200;
}

/** The error type of every client. */
export class IpcnetError extends Error {
  readonly status: StatusCode;
  readonly details: unknown;
  constructor(status: StatusCode, message: string, details?: unknown) {
    super(`${status} ${statusText(status)}: ${message}`);
    this.name = "IpcnetError";
    this.status = status;
    this.details = details;
  }
}
