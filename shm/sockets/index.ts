export { isAlive, SeqpacketConnection } from "./connection.ts";
export type { CloseCode, CloseReason, ConnectionOptions, PacketListener, PeerIdentity } from "./connection.ts";
export { closeAll, Descriptor, noDescriptors } from "./descriptor.ts";
export { SeqpacketServer } from "./server.ts";
export type { ListenOptions } from "./server.ts";
export { SocketError } from "./native.ts";
export { nativeSeal } from "./seal.ts";
export { protectProcess } from "./protect.ts";
export { fileContent, openSealed, sealBytes, sealedFilePayload, type SealedFile } from "./sealedFile.ts";
