/** Bounds of the media formats (docs/specs/media.md). The same numbers stand in c/ipcnet_media.h and in the Python package. */
export const VERSION = 1;
/** Every header is a multiple of this, so that the data behind it begins 64-byte aligned: a cache line, and the alignment DLPack's readers hope for. */
export const ALIGNMENT_BYTES = 64;

export const TENSOR_HEADER_BYTES = 192;
/** ROS, ONNX and image batches use up to 5; NumPy allows 64. Eight keeps the header fixed. */
export const TENSOR_DIMENSIONS_MAX = 8;
export const TENSOR_LANES_MAX = 256;
/** Largest dimension, stride and product of the non-zero dimensions: 2^40. Products of two stay exact enough in doubles to be compared with it, and cannot pass 2^80. */
export const TENSOR_EXTENT_MAX = 2 ** 40;

export const VIDEO_HEADER_BYTES = 128;
/** 32K video has 30,720 columns. */
export const VIDEO_SIDE_MAX = 65_535;
export const VIDEO_PLANES_MAX = 4;

export const AUDIO_HEADER_BYTES = 64;
export const AUDIO_CHANNELS_MAX = 256;
/** Ultrasound arrays sample at a few MHz. */
export const AUDIO_RATE_HZ_MAX = 100_000_000;

export const POINTS_FIELDS_MAX = 16;
export const POINTS_FIELD_BYTES = 32;
export const POINTS_NAME_BYTES_MAX = 24;
export const POINTS_HEADER_BYTES = 64 + POINTS_FIELDS_MAX * POINTS_FIELD_BYTES;
/** PointCloud2 has no bound; 64 doubles in each of 16 fields would take 8 KiB. */
export const POINTS_STRIDE_BYTES_MAX = 65_535;

export const HAPTIC_HEADER_BYTES = 64;
export const HAPTIC_CHANNELS_MAX = 1024;
export const HAPTIC_RATE_HZ_MAX = 1_000_000;

export const FILE_HEADER_BYTES = 448;
/** NAME_MAX of Linux. */
export const FILE_NAME_BYTES_MAX = 255;
export const FILE_TYPE_BYTES_MAX = 127;
