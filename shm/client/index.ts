/** npm package "ipcnet": the client of the gateway. */
export type * from "./api.ts";
export { IpcnetError, isSuccess, Status, statusText } from "../../schemas/status.ts";
export { connect } from "./connect.ts";
export type { CanFrameValue } from "./decode.ts";
export { Descriptor, fileContent, openSealed, sealBytes, sealedFilePayload, SeqpacketConnection, type SealedFile } from "../sockets/index.ts";
export { mediaCodec, type Audio, type FilePayload, type Haptic, type MediaEncoding, type Points, type Tensor, type TensorInput, type VideoFrame, type VideoInput } from "../../schemas/media/index.ts";
