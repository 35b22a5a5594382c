export { Circuits, DISCOVERY_PROTOCOL } from "./circuits.ts";
export type { Answer, AskOptions, CircuitsOptions, Down, Handler, Reply } from "./circuits.ts";
export { Conversation } from "./conversation.ts";
export type { CircuitMessage, Ending } from "./conversation.ts";
export { CIRCUIT_LIMITS, SMALL_CIRCUIT_LIMITS } from "./limits.ts";
export type { CircuitLimits } from "./limits.ts";
export { memoryTransports } from "./memoryTransport.ts";
export { seqpacketTransport } from "./seqpacketTransport.ts";
export type { CircuitDescriptor, FrameTransport, TransportListeners } from "./transport.ts";
