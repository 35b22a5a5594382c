/** npm package "ipcnet": the client of the gateway. */
export type * from "./api.ts";
export { IpcnetError, isSuccess, Status, statusText } from "../../schemas/status.ts";
export { connect } from "./connect.ts";
export type { CanFrameValue } from "./decode.ts";
export { Descriptor, SeqpacketConnection } from "../sockets/index.ts";
