/** Why a circuit or a transport ended. The code is stable; the status goes to the peer and to programs. */
import { Status } from "../../schemas/status.ts";

/** What a peer did against the rules of one circuit; it ends that conversation. */
export const CIRCUIT_BREACHES = {
  /** Data, accept or end on an idle circuit. */
  notBegun: Status.badRequest,
  /** A begin on an id of ours, or beyond what was agreed. */
  notTheirs: Status.badRequest,
  /** Of another conversation than the one that is on. */
  otherGeneration: Status.badRequest,
  /** A frame that this state does not have: data after the end, a second begin or accept. */
  outOfTurn: Status.badRequest,
  malformed: Status.badRequest,
  /** More than it had credit for, or granted more than its window. */
  creditExceeded: Status.tooManyRequests,
  messageTooLarge: Status.payloadTooLarge,
  /** All circuits together hold too much that our program has not read. */
  poolExceeded: Status.insufficientStorage,
  /** Other descriptors came than the frame says: the kernel dropped some, or the peer lies. */
  descriptorCount: Status.badRequest,
} as const;

export type CircuitBreach = keyof typeof CIRCUIT_BREACHES;

/** Why a transport ended. */
export const TRANSPORT_ENDS = {
  /** `close()` was called here. */
  closed: Status.gone,
  /** The peer said goodbye. */
  peerLeft: Status.gone,
  /** The connection or line below is gone. */
  lost: Status.badGateway,
  silent: Status.gatewayTimeout,
  noHello: Status.gatewayTimeout,
  /** A circuit that we aborted was not given back. */
  abortUnanswered: Status.gatewayTimeout,
  frameTooShort: Status.integrityFailure,
  frameTooLong: Status.integrityFailure,
  crcMismatch: Status.integrityFailure,
  framesLost: Status.integrityFailure,
  /** The frame names no circuit, or a reserved one's fields are wrong. */
  malformed: Status.badRequest,
  reservedCircuit: Status.badRequest,
  helloExpected: Status.preconditionFailed,
  helloTwice: Status.badRequest,
  badHello: Status.badRequest,
  /** Both ends are the initiator, or both the acceptor: perhaps our own echo. */
  sameRole: Status.conflict,
  otherVersion: Status.versionNotSupported,
  tooManyBreaches: Status.tooManyRequests,
} as const;

export type TransportEnd = keyof typeof TRANSPORT_ENDS;
