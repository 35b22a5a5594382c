/** Payload formats for tensors, video, audio, point clouds, haptics and files. See README.md. */
export { decodeAudio, encodeAudioInto, type Audio, type AudioFormat, type AudioInput } from "./audio.ts";
export {
  isMediaEncoding, mediaCodec, mediaEncodings, mediaSchemaHash, unmetConstraint,
  type MediaCodec, type MediaConstraints, type MediaEncoding,
} from "./codec.ts";
export { decodeFile, encodeFileInto, isFileContent, isFileName, type FileInput, type FilePayload } from "./file.ts";
export { decodeHaptic, encodeHapticInto, type Haptic, type HapticInput, type HapticQuantity } from "./haptic.ts";
export { mediaFaultCodes, type MediaFault, type MediaFaultCode, type MediaResult } from "./header.ts";
export { decodePoints, encodePointsInto, pointValue, type PointField, type Points, type PointsInput, type PointType } from "./points.ts";
export { decodeTensor, denseStrides, encodeTensorInto, itemBytes, type Tensor, type TensorInput } from "./tensor.ts";
export { tensorTypeName, tensorTypeNames, tensorTypeOf, type TensorArray, type TensorType } from "./tensorType.ts";
export { decodeVideo, densePlanes, encodeVideoInto, type VideoFrame, type VideoInput, type VideoPlane } from "./video.ts";
