/*
 * ipcnet_media: payloads of tensors, video, audio, points, haptics and files for C99 and C++, header-only. docs/specs/media.md has the bytes and the bounds.
 *
 *   struct ipcnet_media_tensor tensor;
 *   if (ipcnet_media_tensor_decode(message->payload, message->payload_bytes, &tensor) == 0) use(tensor.data, tensor.shape, ...);
 *
 *   struct ipcnet_media_tensor out = { .code = IPCNET_MEDIA_FLOAT, .bits = 32, .lanes = 1, .dimensions = 1, .shape = { 6 }, .strides = { 1 }, .data_bytes = 24 };
 *   ipcnet_media_tensor_encode(&out, payload);            writes the header, IPCNET_MEDIA_TENSOR_BYTES; the data goes behind it
 *
 * decode: 0 or enum ipcnet_media_fault; whatever the bytes, it reads the header alone, and nothing that the result names lies beyond the payload. `data` points into the payload, which
 * must neither change nor go meanwhile: in shared memory that others write, decode a copy. encode: 0 or why the values are refused; `header` has room for the header.
 * No allocation, no state, no calls but memcpy, memset and memcmp. Any alignment, any byte order.
 */
#ifndef IPCNET_MEDIA_H
#define IPCNET_MEDIA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define IPCNET_MEDIA_TENSOR_BYTES 192u
#define IPCNET_MEDIA_VIDEO_BYTES 128u
#define IPCNET_MEDIA_AUDIO_BYTES 64u
#define IPCNET_MEDIA_POINTS_BYTES 576u
#define IPCNET_MEDIA_HAPTIC_BYTES 64u
#define IPCNET_MEDIA_FILE_BYTES 448u

#define IPCNET_MEDIA_DIMENSIONS_MAX 8u
#define IPCNET_MEDIA_LANES_MAX 256u
#define IPCNET_MEDIA_EXTENT_MAX ((uint64_t)1 << 40)
#define IPCNET_MEDIA_PLANES_MAX 4u
#define IPCNET_MEDIA_SIDE_MAX 65535u
#define IPCNET_MEDIA_FIELDS_MAX 16u
#define IPCNET_MEDIA_FIELD_NAME_MAX 24u
#define IPCNET_MEDIA_FILE_NAME_MAX 255u
#define IPCNET_MEDIA_FILE_TYPE_MAX 127u

enum ipcnet_media_fault {
  IPCNET_MEDIA_OK = 0,
  IPCNET_MEDIA_TOO_SHORT = 1,
  IPCNET_MEDIA_BAD_MAGIC = 2,
  IPCNET_MEDIA_BAD_VERSION = 3,
  IPCNET_MEDIA_BAD_LENGTH = 4,
  IPCNET_MEDIA_NOT_ZERO = 5,
  IPCNET_MEDIA_BAD_TYPE = 6,
  IPCNET_MEDIA_BAD_SHAPE = 7,
  IPCNET_MEDIA_OUT_OF_BOUNDS = 8,
  IPCNET_MEDIA_BAD_NAME = 9
};

/* DLPack's type codes. */
enum ipcnet_media_code { IPCNET_MEDIA_INT = 0, IPCNET_MEDIA_UINT = 1, IPCNET_MEDIA_FLOAT = 2, IPCNET_MEDIA_BFLOAT = 4, IPCNET_MEDIA_COMPLEX = 5, IPCNET_MEDIA_BOOL = 6 };

struct ipcnet_media_tensor {
  uint8_t code; /* enum ipcnet_media_code, or 7 … 14: the eight-bit floats */
  uint8_t bits;
  uint16_t lanes;
  uint32_t dimensions;
  uint64_t shape[IPCNET_MEDIA_DIMENSIONS_MAX];
  uint64_t strides[IPCNET_MEDIA_DIMENSIONS_MAX]; /* elements */
  const uint8_t *data;
  uint64_t data_bytes;
};

struct ipcnet_media_plane {
  uint32_t offset_bytes;
  uint32_t stride_bytes;
  uint32_t row_bytes;
  uint32_t rows;
};

struct ipcnet_media_video {
  char fourcc[4]; /* not terminated */
  uint8_t encoded;
  uint8_t key_frame;
  uint16_t plane_count;
  uint32_t width, height;
  int64_t pts_ns;
  struct ipcnet_media_plane planes[IPCNET_MEDIA_PLANES_MAX];
  const uint8_t *data;
  uint64_t data_bytes;
};

enum ipcnet_media_audio_format { IPCNET_MEDIA_U8 = 1, IPCNET_MEDIA_S16 = 2, IPCNET_MEDIA_S32 = 3, IPCNET_MEDIA_F32 = 4, IPCNET_MEDIA_F64 = 5 };

struct ipcnet_media_audio {
  uint8_t format; /* enum ipcnet_media_audio_format */
  uint8_t planar;
  uint16_t channels;
  uint32_t rate_hz;
  uint32_t frames;
  int64_t pts_ns;
  const uint8_t *data;
  uint64_t data_bytes;
};

enum ipcnet_media_point_type {
  IPCNET_MEDIA_POINT_I8 = 1, IPCNET_MEDIA_POINT_U8 = 2, IPCNET_MEDIA_POINT_I16 = 3, IPCNET_MEDIA_POINT_U16 = 4, IPCNET_MEDIA_POINT_I32 = 5, IPCNET_MEDIA_POINT_U32 = 6,
  IPCNET_MEDIA_POINT_F32 = 7, IPCNET_MEDIA_POINT_F64 = 8, IPCNET_MEDIA_POINT_I64 = 9, IPCNET_MEDIA_POINT_U64 = 10
};

struct ipcnet_media_field {
  char name[IPCNET_MEDIA_FIELD_NAME_MAX + 1]; /* terminated */
  uint8_t type;  /* enum ipcnet_media_point_type */
  uint8_t count; /* numbers side by side */
  uint32_t offset_bytes;
};

struct ipcnet_media_points {
  uint32_t count;
  uint32_t stride_bytes;
  uint32_t columns; /* of an organised cloud; 0 = in no order */
  uint16_t field_count;
  uint16_t dense; /* 1: no NaN */
  int64_t time_ns;
  struct ipcnet_media_field fields[IPCNET_MEDIA_FIELDS_MAX];
  const uint8_t *data;
  uint64_t data_bytes;
};

enum ipcnet_media_quantity {
  IPCNET_MEDIA_DRIVE = 1, IPCNET_MEDIA_FORCE = 2, IPCNET_MEDIA_TORQUE = 3, IPCNET_MEDIA_PRESSURE = 4, IPCNET_MEDIA_ACCELERATION = 5, IPCNET_MEDIA_TEMPERATURE = 6, IPCNET_MEDIA_POSITION = 7
};

struct ipcnet_media_haptic {
  uint8_t quantity; /* enum ipcnet_media_quantity */
  uint8_t reserved;
  uint16_t channels;
  uint32_t rate_hz; /* 0: a state, not a signal */
  uint32_t frames;
  int64_t pts_ns;
  const uint8_t *data; /* float, little-endian, frame by frame */
  uint64_t data_bytes;
};

struct ipcnet_media_file {
  uint64_t size_bytes;
  uint8_t in_descriptor; /* 1: the content is in the sealed descriptor that came along; data_bytes is 0 */
  uint8_t sha256[32];    /* of the content; nobody has compared it yet */
  char name[IPCNET_MEDIA_FILE_NAME_MAX + 1]; /* terminated; one path component */
  char type[IPCNET_MEDIA_FILE_TYPE_MAX + 1]; /* terminated; "" = unknown */
  const uint8_t *data;
  uint64_t data_bytes;
};

/* ------------------------------------------------------- bytes and words -- */

static inline uint32_t ipcnet_media_get16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t ipcnet_media_get32(const uint8_t *p) { return ipcnet_media_get16(p) | ipcnet_media_get16(p + 2) << 16; }
static inline uint64_t ipcnet_media_get64(const uint8_t *p) { return (uint64_t)ipcnet_media_get32(p) | (uint64_t)ipcnet_media_get32(p + 4) << 32; }

static inline int64_t ipcnet_media_get_time(const uint8_t *p) {
  const uint64_t value = ipcnet_media_get64(p);
  int64_t time;
  memcpy(&time, &value, sizeof time);
  return time;
}

static inline void ipcnet_media_put(uint8_t *p, uint64_t value, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i++) p[i] = (uint8_t)(value >> (8 * i) & 0xff);
}

static inline int ipcnet_media_is_zero(const uint8_t *header, uint32_t from, uint32_t to) {
  uint8_t any = 0;
  for (uint32_t at = from; at < to; at++) any |= header[at];
  return any == 0;
}

/* The part that all headers share; `data` and `data_bytes` are what stands behind it. */
static inline int ipcnet_media_open(const void *payload, size_t payload_bytes, const char *magic, uint32_t header_bytes, const uint8_t **data, uint64_t *data_bytes) {
  const uint8_t *header = (const uint8_t *)payload;
  if (payload_bytes < header_bytes) return IPCNET_MEDIA_TOO_SHORT;
  if (memcmp(header, magic, 4) != 0) return IPCNET_MEDIA_BAD_MAGIC;
  if (ipcnet_media_get16(header + 4) != 1) return IPCNET_MEDIA_BAD_VERSION;
  *data = header + header_bytes;
  *data_bytes = (uint64_t)(payload_bytes - header_bytes);
  return ipcnet_media_get16(header + 6) == header_bytes && ipcnet_media_get64(header + 8) == *data_bytes ? IPCNET_MEDIA_OK : IPCNET_MEDIA_BAD_LENGTH;
}

static inline void ipcnet_media_begin(uint8_t *header, const char *magic, uint32_t header_bytes, uint64_t data_bytes) {
  memset(header, 0, header_bytes);
  memcpy(header, magic, 4);
  ipcnet_media_put(header + 4, 1, 2);
  ipcnet_media_put(header + 6, header_bytes, 2);
  ipcnet_media_put(header + 8, data_bytes, 8);
}

/* ---------------------------------------------------------------- tensor -- */

/* Bytes of an element, 0 when there is no such type. */
static inline uint32_t ipcnet_media_item_bytes(uint32_t code, uint32_t bits, uint32_t lanes) {
  const int small = bits == 8, half = bits == 16, wide = bits == 32 || bits == 64;
  int exists = 0;
  if (code == IPCNET_MEDIA_INT || code == IPCNET_MEDIA_UINT) exists = small || half || wide;
  else if (code == IPCNET_MEDIA_FLOAT) exists = half || wide;
  else if (code == IPCNET_MEDIA_BFLOAT) exists = half;
  else if (code == IPCNET_MEDIA_COMPLEX) exists = bits == 64 || bits == 128;
  else if (code >= IPCNET_MEDIA_BOOL && code <= 14) exists = small;
  return exists && lanes >= 1 && lanes <= IPCNET_MEDIA_LANES_MAX ? bits / 8 * lanes : 0;
}

static inline int ipcnet_media_tensor_check(const struct ipcnet_media_tensor *tensor) {
  const uint32_t item = ipcnet_media_item_bytes(tensor->code, tensor->bits, tensor->lanes);
  uint64_t product = 1, last = 0;
  int empty = 0;
  if (item == 0) return IPCNET_MEDIA_BAD_TYPE;
  if (tensor->dimensions > IPCNET_MEDIA_DIMENSIONS_MAX) return IPCNET_MEDIA_BAD_SHAPE;
  for (uint32_t i = 0; i < tensor->dimensions; i++) {
    const uint64_t side = tensor->shape[i];
    if (side > IPCNET_MEDIA_EXTENT_MAX || tensor->strides[i] > IPCNET_MEDIA_EXTENT_MAX) return IPCNET_MEDIA_BAD_SHAPE;
    if (side == 0) empty = 1;
    /* Both factors are at most 2^40: their product would pass 64 bits, so it is divided instead. */
    else if (side > IPCNET_MEDIA_EXTENT_MAX / product) return IPCNET_MEDIA_BAD_SHAPE;
    else product *= side;
  }
  if (empty) return IPCNET_MEDIA_OK;
  const uint64_t room = tensor->data_bytes / item;
  if (product > room) return IPCNET_MEDIA_OUT_OF_BOUNDS;
  for (uint32_t i = 0; i < tensor->dimensions; i++) {
    const uint64_t steps = tensor->shape[i] - 1;
    if (steps != 0 && tensor->strides[i] > (room - 1 - last) / steps) return IPCNET_MEDIA_OUT_OF_BOUNDS;
    last += steps * tensor->strides[i];
  }
  return IPCNET_MEDIA_OK;
}

static inline int ipcnet_media_tensor_decode(const void *payload, size_t payload_bytes, struct ipcnet_media_tensor *tensor) {
  const uint8_t *header = (const uint8_t *)payload;
  memset(tensor, 0, sizeof *tensor);
  const int fault = ipcnet_media_open(payload, payload_bytes, "IPTE", IPCNET_MEDIA_TENSOR_BYTES, &tensor->data, &tensor->data_bytes);
  if (fault != 0) return fault;
  tensor->code = header[16];
  tensor->bits = header[17];
  tensor->lanes = (uint16_t)ipcnet_media_get16(header + 18);
  tensor->dimensions = header[20];
  const uint32_t used = tensor->dimensions < IPCNET_MEDIA_DIMENSIONS_MAX ? tensor->dimensions : IPCNET_MEDIA_DIMENSIONS_MAX;
  if (!ipcnet_media_is_zero(header, 21, 32) || !ipcnet_media_is_zero(header, 32 + 8 * used, 96) || !ipcnet_media_is_zero(header, 96 + 8 * used, IPCNET_MEDIA_TENSOR_BYTES)) return IPCNET_MEDIA_NOT_ZERO;
  for (uint32_t i = 0; i < used; i++) {
    tensor->shape[i] = ipcnet_media_get64(header + 32 + 8 * i);
    tensor->strides[i] = ipcnet_media_get64(header + 96 + 8 * i);
  }
  return ipcnet_media_tensor_check(tensor);
}

/* Row-major strides without gaps, for the shape that is set. */
static inline void ipcnet_media_tensor_dense(struct ipcnet_media_tensor *tensor) {
  uint64_t stride = 1;
  for (uint32_t i = tensor->dimensions; i-- > 0;) {
    tensor->strides[i] = stride;
    stride *= tensor->shape[i] == 0 ? 1 : tensor->shape[i];
  }
}

static inline int ipcnet_media_tensor_encode(const struct ipcnet_media_tensor *tensor, void *header) {
  uint8_t *out = (uint8_t *)header;
  const int fault = ipcnet_media_tensor_check(tensor);
  if (fault != 0) return fault;
  ipcnet_media_begin(out, "IPTE", IPCNET_MEDIA_TENSOR_BYTES, tensor->data_bytes);
  out[16] = tensor->code;
  out[17] = tensor->bits;
  ipcnet_media_put(out + 18, tensor->lanes, 2);
  out[20] = (uint8_t)tensor->dimensions;
  for (uint32_t i = 0; i < tensor->dimensions; i++) {
    ipcnet_media_put(out + 32 + 8 * i, tensor->shape[i], 8);
    ipcnet_media_put(out + 96 + 8 * i, tensor->strides[i], 8);
  }
  return IPCNET_MEDIA_OK;
}

/* ----------------------------------------------------------------- video -- */

struct ipcnet_media_raw_format {
  char fourcc[5];
  uint8_t plane_count;
  uint8_t rules[3][3]; /* bytes, across, down of each plane */
};

/* What is known of a raw format, NULL when it is not known here. */
static inline const struct ipcnet_media_raw_format *ipcnet_media_find_raw_format(const char fourcc[4]) {
  static const struct ipcnet_media_raw_format formats[] = {
    { "GREY", 1, { { 1, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "BA81", 1, { { 1, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "GBRG", 1, { { 1, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } },
    { "GRBG", 1, { { 1, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "RGGB", 1, { { 1, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "Y10 ", 1, { { 2, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } },
    { "Y12 ", 1, { { 2, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "Y16 ", 1, { { 2, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "Z16 ", 1, { { 2, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } },
    { "RGB3", 1, { { 3, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "BGR3", 1, { { 3, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "AB24", 1, { { 4, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } },
    { "AR24", 1, { { 4, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "YUYV", 1, { { 4, 2, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } }, { "UYVY", 1, { { 4, 2, 1 }, { 0, 0, 0 }, { 0, 0, 0 } } },
    { "NV12", 2, { { 1, 1, 1 }, { 2, 2, 2 }, { 0, 0, 0 } } }, { "NV21", 2, { { 1, 1, 1 }, { 2, 2, 2 }, { 0, 0, 0 } } }, { "NV16", 2, { { 1, 1, 1 }, { 2, 2, 1 }, { 0, 0, 0 } } },
    { "YU12", 3, { { 1, 1, 1 }, { 1, 2, 2 }, { 1, 2, 2 } } },
  };
  for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
    if (memcmp(formats[i].fourcc, fourcc, 4) == 0) return &formats[i];
  }
  return NULL;
}

static inline int ipcnet_media_video_check(const struct ipcnet_media_video *video) {
  for (int i = 0; i < 4; i++) {
    if (video->fourcc[i] < ' ' || video->fourcc[i] > '~') return IPCNET_MEDIA_BAD_TYPE;
  }
  if (video->encoded > 1 || video->key_frame > 1) return IPCNET_MEDIA_BAD_TYPE;
  if (video->plane_count > IPCNET_MEDIA_PLANES_MAX) return IPCNET_MEDIA_BAD_SHAPE;
  if (!video->encoded && !video->key_frame) return IPCNET_MEDIA_BAD_TYPE;
  if (video->width > IPCNET_MEDIA_SIDE_MAX || video->height > IPCNET_MEDIA_SIDE_MAX) return IPCNET_MEDIA_BAD_SHAPE;
  if (video->encoded) return video->plane_count == 0 ? IPCNET_MEDIA_OK : IPCNET_MEDIA_BAD_SHAPE;
  if (video->width == 0 || video->height == 0 || video->plane_count == 0) return IPCNET_MEDIA_BAD_SHAPE;
  const struct ipcnet_media_raw_format *format = ipcnet_media_find_raw_format(video->fourcc);
  if (format != NULL && format->plane_count != video->plane_count) return IPCNET_MEDIA_BAD_SHAPE;
  for (uint32_t i = 0; i < video->plane_count; i++) {
    const struct ipcnet_media_plane *plane = &video->planes[i];
    if (plane->row_bytes == 0 || plane->rows == 0 || plane->stride_bytes < plane->row_bytes) return IPCNET_MEDIA_BAD_SHAPE;
    if (format != NULL) {
      const uint32_t bytes = format->rules[i][0], across = format->rules[i][1], down = format->rules[i][2];
      if (plane->row_bytes != (video->width + across - 1) / across * bytes || plane->rows != (video->height + down - 1) / down) return IPCNET_MEDIA_BAD_SHAPE;
    }
    /* 32-bit factors: less than 2^64 - 2^33 + 2^33. */
    const uint64_t behind = (uint64_t)(plane->rows - 1) * plane->stride_bytes;
    if (behind > video->data_bytes || (uint64_t)plane->offset_bytes + plane->row_bytes > video->data_bytes - behind) return IPCNET_MEDIA_OUT_OF_BOUNDS;
  }
  return IPCNET_MEDIA_OK;
}

static inline int ipcnet_media_video_decode(const void *payload, size_t payload_bytes, struct ipcnet_media_video *video) {
  const uint8_t *header = (const uint8_t *)payload;
  memset(video, 0, sizeof *video);
  const int fault = ipcnet_media_open(payload, payload_bytes, "IPVI", IPCNET_MEDIA_VIDEO_BYTES, &video->data, &video->data_bytes);
  if (fault != 0) return fault;
  const uint32_t flags = ipcnet_media_get16(header + 20);
  const uint32_t used = header[22] < IPCNET_MEDIA_PLANES_MAX ? header[22] : IPCNET_MEDIA_PLANES_MAX;
  if (header[23] != 0 || !ipcnet_media_is_zero(header, 40, 48) || !ipcnet_media_is_zero(header, 48 + 16 * used, IPCNET_MEDIA_VIDEO_BYTES)) return IPCNET_MEDIA_NOT_ZERO;
  if (flags > 3) return IPCNET_MEDIA_BAD_TYPE;
  memcpy(video->fourcc, header + 16, 4);
  video->encoded = flags & 1;
  video->key_frame = flags >> 1 & 1;
  video->plane_count = header[22];
  video->width = ipcnet_media_get32(header + 24);
  video->height = ipcnet_media_get32(header + 28);
  video->pts_ns = ipcnet_media_get_time(header + 32);
  for (uint32_t i = 0; i < used; i++) {
    const uint8_t *at = header + 48 + 16 * i;
    struct ipcnet_media_plane *plane = &video->planes[i];
    plane->offset_bytes = ipcnet_media_get32(at);
    plane->stride_bytes = ipcnet_media_get32(at + 4);
    plane->row_bytes = ipcnet_media_get32(at + 8);
    plane->rows = ipcnet_media_get32(at + 12);
  }
  return ipcnet_media_video_check(video);
}

/* Planes of a known raw format without gaps, for the fourcc, width and height that are set, and the data bytes they take; 0, or BAD_TYPE when the format is not known. */
static inline int ipcnet_media_video_dense(struct ipcnet_media_video *video) {
  const struct ipcnet_media_raw_format *format = ipcnet_media_find_raw_format(video->fourcc);
  if (format == NULL) return IPCNET_MEDIA_BAD_TYPE;
  if (video->width > IPCNET_MEDIA_SIDE_MAX || video->height > IPCNET_MEDIA_SIDE_MAX) return IPCNET_MEDIA_BAD_SHAPE;
  uint64_t offset = 0;
  video->plane_count = format->plane_count;
  for (uint32_t i = 0; i < format->plane_count; i++) {
    const uint32_t bytes = format->rules[i][0], across = format->rules[i][1], down = format->rules[i][2];
    struct ipcnet_media_plane *plane = &video->planes[i];
    plane->offset_bytes = (uint32_t)offset;
    plane->row_bytes = plane->stride_bytes = (video->width + across - 1) / across * bytes;
    plane->rows = (video->height + down - 1) / down;
    offset += (uint64_t)plane->row_bytes * plane->rows;
    if (offset > UINT32_MAX) return IPCNET_MEDIA_BAD_SHAPE;
  }
  video->data_bytes = offset;
  return IPCNET_MEDIA_OK;
}

static inline int ipcnet_media_video_encode(const struct ipcnet_media_video *video, void *header) {
  uint8_t *out = (uint8_t *)header;
  const int fault = ipcnet_media_video_check(video);
  if (fault != 0) return fault;
  ipcnet_media_begin(out, "IPVI", IPCNET_MEDIA_VIDEO_BYTES, video->data_bytes);
  memcpy(out + 16, video->fourcc, 4);
  ipcnet_media_put(out + 20, (uint64_t)video->encoded | (uint64_t)video->key_frame << 1, 2);
  out[22] = (uint8_t)video->plane_count;
  ipcnet_media_put(out + 24, video->width, 4);
  ipcnet_media_put(out + 28, video->height, 4);
  ipcnet_media_put(out + 32, (uint64_t)video->pts_ns, 8);
  for (uint32_t i = 0; i < video->plane_count; i++) {
    uint8_t *at = out + 48 + 16 * i;
    ipcnet_media_put(at, video->planes[i].offset_bytes, 4);
    ipcnet_media_put(at + 4, video->planes[i].stride_bytes, 4);
    ipcnet_media_put(at + 8, video->planes[i].row_bytes, 4);
    ipcnet_media_put(at + 12, video->planes[i].rows, 4);
  }
  return IPCNET_MEDIA_OK;
}

/* ---------------------------------------------------- audio and haptics -- */

static inline int ipcnet_media_audio_check(const struct ipcnet_media_audio *audio) {
  static const uint8_t sample_bytes[] = { 0, 1, 2, 4, 4, 8 };
  if (audio->format < IPCNET_MEDIA_U8 || audio->format > IPCNET_MEDIA_F64 || audio->planar > 1) return IPCNET_MEDIA_BAD_TYPE;
  if (audio->channels < 1 || audio->channels > 256 || audio->rate_hz < 1 || audio->rate_hz > 100000000u) return IPCNET_MEDIA_BAD_SHAPE;
  return (uint64_t)audio->frames * audio->channels * sample_bytes[audio->format] == audio->data_bytes ? IPCNET_MEDIA_OK : IPCNET_MEDIA_OUT_OF_BOUNDS;
}

static inline int ipcnet_media_audio_decode(const void *payload, size_t payload_bytes, struct ipcnet_media_audio *audio) {
  const uint8_t *header = (const uint8_t *)payload;
  memset(audio, 0, sizeof *audio);
  const int fault = ipcnet_media_open(payload, payload_bytes, "IPAU", IPCNET_MEDIA_AUDIO_BYTES, &audio->data, &audio->data_bytes);
  if (fault != 0) return fault;
  if (!ipcnet_media_is_zero(header, 28, 32) || !ipcnet_media_is_zero(header, 40, IPCNET_MEDIA_AUDIO_BYTES)) return IPCNET_MEDIA_NOT_ZERO;
  audio->format = header[16];
  audio->planar = header[17];
  audio->channels = (uint16_t)ipcnet_media_get16(header + 18);
  audio->rate_hz = ipcnet_media_get32(header + 20);
  audio->frames = ipcnet_media_get32(header + 24);
  audio->pts_ns = ipcnet_media_get_time(header + 32);
  return ipcnet_media_audio_check(audio);
}

static inline int ipcnet_media_audio_encode(const struct ipcnet_media_audio *audio, void *header) {
  uint8_t *out = (uint8_t *)header;
  const int fault = ipcnet_media_audio_check(audio);
  if (fault != 0) return fault;
  ipcnet_media_begin(out, "IPAU", IPCNET_MEDIA_AUDIO_BYTES, audio->data_bytes);
  out[16] = audio->format;
  out[17] = audio->planar;
  ipcnet_media_put(out + 18, audio->channels, 2);
  ipcnet_media_put(out + 20, audio->rate_hz, 4);
  ipcnet_media_put(out + 24, audio->frames, 4);
  ipcnet_media_put(out + 32, (uint64_t)audio->pts_ns, 8);
  return IPCNET_MEDIA_OK;
}

static inline int ipcnet_media_haptic_check(const struct ipcnet_media_haptic *haptic) {
  if (haptic->quantity < IPCNET_MEDIA_DRIVE || haptic->quantity > IPCNET_MEDIA_POSITION) return IPCNET_MEDIA_BAD_TYPE;
  if (haptic->channels < 1 || haptic->channels > 1024 || haptic->rate_hz > 1000000u) return IPCNET_MEDIA_BAD_SHAPE;
  return (uint64_t)haptic->frames * haptic->channels * 4 == haptic->data_bytes ? IPCNET_MEDIA_OK : IPCNET_MEDIA_OUT_OF_BOUNDS;
}

static inline int ipcnet_media_haptic_decode(const void *payload, size_t payload_bytes, struct ipcnet_media_haptic *haptic) {
  const uint8_t *header = (const uint8_t *)payload;
  memset(haptic, 0, sizeof *haptic);
  const int fault = ipcnet_media_open(payload, payload_bytes, "IPHA", IPCNET_MEDIA_HAPTIC_BYTES, &haptic->data, &haptic->data_bytes);
  if (fault != 0) return fault;
  if (header[17] != 0 || !ipcnet_media_is_zero(header, 28, 32) || !ipcnet_media_is_zero(header, 40, IPCNET_MEDIA_HAPTIC_BYTES)) return IPCNET_MEDIA_NOT_ZERO;
  haptic->quantity = header[16];
  haptic->channels = (uint16_t)ipcnet_media_get16(header + 18);
  haptic->rate_hz = ipcnet_media_get32(header + 20);
  haptic->frames = ipcnet_media_get32(header + 24);
  haptic->pts_ns = ipcnet_media_get_time(header + 32);
  return ipcnet_media_haptic_check(haptic);
}

static inline int ipcnet_media_haptic_encode(const struct ipcnet_media_haptic *haptic, void *header) {
  uint8_t *out = (uint8_t *)header;
  const int fault = ipcnet_media_haptic_check(haptic);
  if (fault != 0) return fault;
  ipcnet_media_begin(out, "IPHA", IPCNET_MEDIA_HAPTIC_BYTES, haptic->data_bytes);
  out[16] = haptic->quantity;
  ipcnet_media_put(out + 18, haptic->channels, 2);
  ipcnet_media_put(out + 20, haptic->rate_hz, 4);
  ipcnet_media_put(out + 24, haptic->frames, 4);
  ipcnet_media_put(out + 32, (uint64_t)haptic->pts_ns, 8);
  return IPCNET_MEDIA_OK;
}

/* ---------------------------------------------------------------- points -- */

/* Bytes of a number, 0 when there is no such type. */
static inline uint32_t ipcnet_media_point_bytes(uint32_t type) {
  static const uint8_t bytes[] = { 0, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8 };
  return type < sizeof bytes ? bytes[type] : 0;
}

static inline int ipcnet_media_is_field_name(const char *name) {
  uint32_t i = 0;
  for (; i <= IPCNET_MEDIA_FIELD_NAME_MAX && name[i] != 0; i++) {
    const char c = name[i];
    if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9' && i > 0))) return 0;
  }
  return i >= 1 && i <= IPCNET_MEDIA_FIELD_NAME_MAX;
}

static inline int ipcnet_media_points_check(const struct ipcnet_media_points *points) {
  const uint32_t used = points->field_count < IPCNET_MEDIA_FIELDS_MAX ? points->field_count : IPCNET_MEDIA_FIELDS_MAX;
  for (uint32_t i = 0; i < used; i++) {
    if (ipcnet_media_point_bytes(points->fields[i].type) == 0) return IPCNET_MEDIA_BAD_TYPE;
  }
  if (points->dense > 1) return IPCNET_MEDIA_BAD_TYPE;
  if (points->field_count < 1 || points->field_count > IPCNET_MEDIA_FIELDS_MAX || points->stride_bytes < 1 || points->stride_bytes > 65535) return IPCNET_MEDIA_BAD_SHAPE;
  if (points->columns > 0 && points->count % points->columns != 0) return IPCNET_MEDIA_BAD_SHAPE;
  for (uint32_t i = 0; i < used; i++) {
    if (points->fields[i].count < 1) return IPCNET_MEDIA_BAD_SHAPE;
  }
  if ((uint64_t)points->count * points->stride_bytes != points->data_bytes) return IPCNET_MEDIA_OUT_OF_BOUNDS;
  for (uint32_t i = 0; i < used; i++) {
    const struct ipcnet_media_field *field = &points->fields[i];
    if ((uint64_t)field->offset_bytes + field->count * ipcnet_media_point_bytes(field->type) > points->stride_bytes) return IPCNET_MEDIA_OUT_OF_BOUNDS;
  }
  for (uint32_t i = 0; i < used; i++) {
    if (!ipcnet_media_is_field_name(points->fields[i].name)) return IPCNET_MEDIA_BAD_NAME;
    for (uint32_t j = 0; j < i; j++) {
      if (strcmp(points->fields[i].name, points->fields[j].name) == 0) return IPCNET_MEDIA_BAD_NAME;
    }
  }
  return IPCNET_MEDIA_OK;
}

static inline int ipcnet_media_points_decode(const void *payload, size_t payload_bytes, struct ipcnet_media_points *points) {
  const uint8_t *header = (const uint8_t *)payload;
  memset(points, 0, sizeof *points);
  const int fault = ipcnet_media_open(payload, payload_bytes, "IPPT", IPCNET_MEDIA_POINTS_BYTES, &points->data, &points->data_bytes);
  if (fault != 0) return fault;
  points->count = ipcnet_media_get32(header + 16);
  points->stride_bytes = ipcnet_media_get32(header + 20);
  points->columns = ipcnet_media_get32(header + 24);
  points->field_count = (uint16_t)ipcnet_media_get16(header + 28);
  points->dense = (uint16_t)ipcnet_media_get16(header + 30);
  points->time_ns = ipcnet_media_get_time(header + 32);
  const uint32_t used = points->field_count < IPCNET_MEDIA_FIELDS_MAX ? points->field_count : IPCNET_MEDIA_FIELDS_MAX;
  if (!ipcnet_media_is_zero(header, 40, 64) || !ipcnet_media_is_zero(header, 64 + 32 * used, IPCNET_MEDIA_POINTS_BYTES)) return IPCNET_MEDIA_NOT_ZERO;
  for (uint32_t i = 0; i < used; i++) {
    const uint8_t *at = header + 64 + 32 * i;
    struct ipcnet_media_field *field = &points->fields[i];
    if (at[26] != 0 || at[27] != 0) return IPCNET_MEDIA_NOT_ZERO;
    memcpy(field->name, at, IPCNET_MEDIA_FIELD_NAME_MAX);
    /* Bytes behind the end of a name make it none. */
    const uint32_t length = (uint32_t)strlen(field->name);
    if (!ipcnet_media_is_zero(at, length, IPCNET_MEDIA_FIELD_NAME_MAX)) field->name[0] = 0;
    field->type = at[24];
    field->count = at[25];
    field->offset_bytes = ipcnet_media_get32(at + 28);
  }
  return ipcnet_media_points_check(points);
}

static inline int ipcnet_media_points_encode(const struct ipcnet_media_points *points, void *header) {
  uint8_t *out = (uint8_t *)header;
  const int fault = ipcnet_media_points_check(points);
  if (fault != 0) return fault;
  ipcnet_media_begin(out, "IPPT", IPCNET_MEDIA_POINTS_BYTES, points->data_bytes);
  ipcnet_media_put(out + 16, points->count, 4);
  ipcnet_media_put(out + 20, points->stride_bytes, 4);
  ipcnet_media_put(out + 24, points->columns, 4);
  ipcnet_media_put(out + 28, points->field_count, 2);
  ipcnet_media_put(out + 30, points->dense, 2);
  ipcnet_media_put(out + 32, (uint64_t)points->time_ns, 8);
  for (uint32_t i = 0; i < points->field_count; i++) {
    uint8_t *at = out + 64 + 32 * i;
    memcpy(at, points->fields[i].name, strlen(points->fields[i].name));
    at[24] = points->fields[i].type;
    at[25] = points->fields[i].count;
    ipcnet_media_put(at + 28, points->fields[i].offset_bytes, 4);
  }
  return IPCNET_MEDIA_OK;
}

/* ------------------------------------------------------------------ file -- */

/* Bytes of the UTF-8 character at `text` (of `length` >= 1 bytes), 0 when it is none (RFC 3629: no overlong forms, surrogates, or beyond U+10FFFF). */
static inline uint32_t ipcnet_media_utf8(const uint8_t *text, uint32_t length) {
  const uint8_t first = text[0];
  uint32_t bytes = first < 0x80 ? 1 : first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (bytes > length) return 0;
  for (uint32_t i = 1; i < bytes; i++) {
    if ((text[i] & 0xc0) != 0x80) return 0;
  }
  if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) || (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f)) return 0;
  return bytes;
}

/* Whether `name` is one path component that may be used as it is. */
static inline int ipcnet_media_is_file_name(const char *name, uint32_t length) {
  const uint8_t *bytes = (const uint8_t *)name;
  if (length < 1 || length > IPCNET_MEDIA_FILE_NAME_MAX || (length == 1 && bytes[0] == '.') || (length == 2 && bytes[0] == '.' && bytes[1] == '.')) return 0;
  for (uint32_t at = 0; at < length;) {
    const uint32_t step = ipcnet_media_utf8(bytes + at, length - at);
    if (step == 0 || bytes[at] < 0x20 || bytes[at] == 0x7f || bytes[at] == '/' || bytes[at] == '\\') return 0;
    at += step;
  }
  return 1;
}

static inline int ipcnet_media_is_mime_type(const char *type, uint32_t length) {
  uint32_t slashes = 0;
  for (uint32_t i = 0; i < length; i++) {
    const char c = type[i];
    if (c == '/' && i > 0 && i + 1 < length) slashes++;
    else if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != 0 && strchr("!#$&^_.+-", c) != NULL))) return 0;
  }
  return length == 0 || slashes == 1;
}

static inline int ipcnet_media_file_check(const struct ipcnet_media_file *file, uint32_t name_bytes, uint32_t type_bytes) {
  if (file->in_descriptor > 1) return IPCNET_MEDIA_BAD_TYPE;
  if (type_bytes > IPCNET_MEDIA_FILE_TYPE_MAX || file->size_bytes >= (uint64_t)1 << 53) return IPCNET_MEDIA_BAD_SHAPE;
  if (file->data_bytes != (file->in_descriptor ? 0 : file->size_bytes)) return IPCNET_MEDIA_OUT_OF_BOUNDS;
  return ipcnet_media_is_file_name(file->name, name_bytes) && ipcnet_media_is_mime_type(file->type, type_bytes) ? IPCNET_MEDIA_OK : IPCNET_MEDIA_BAD_NAME;
}

static inline int ipcnet_media_file_decode(const void *payload, size_t payload_bytes, struct ipcnet_media_file *file) {
  const uint8_t *header = (const uint8_t *)payload;
  memset(file, 0, sizeof *file);
  const int fault = ipcnet_media_open(payload, payload_bytes, "IPFI", IPCNET_MEDIA_FILE_BYTES, &file->data, &file->data_bytes);
  if (fault != 0) return fault;
  const uint32_t name_bytes = header[25], type_bytes = header[26];
  const uint32_t type_kept = type_bytes < IPCNET_MEDIA_FILE_TYPE_MAX ? type_bytes : IPCNET_MEDIA_FILE_TYPE_MAX;
  if (!ipcnet_media_is_zero(header, 27, 32) || !ipcnet_media_is_zero(header, 64 + name_bytes, 320) || !ipcnet_media_is_zero(header, 320 + type_kept, IPCNET_MEDIA_FILE_BYTES)) return IPCNET_MEDIA_NOT_ZERO;
  file->size_bytes = ipcnet_media_get64(header + 16);
  file->in_descriptor = header[24];
  memcpy(file->sha256, header + 32, 32);
  memcpy(file->name, header + 64, name_bytes);
  memcpy(file->type, header + 320, type_kept);
  return ipcnet_media_file_check(file, name_bytes, type_bytes);
}

static inline int ipcnet_media_file_encode(const struct ipcnet_media_file *file, void *header) {
  uint8_t *out = (uint8_t *)header;
  const void *name_end = memchr(file->name, 0, sizeof file->name), *type_end = memchr(file->type, 0, sizeof file->type);
  if (name_end == NULL || type_end == NULL) return IPCNET_MEDIA_BAD_NAME;
  const uint32_t name_bytes = (uint32_t)((const char *)name_end - file->name), type_bytes = (uint32_t)((const char *)type_end - file->type);
  const int fault = ipcnet_media_file_check(file, name_bytes, type_bytes);
  if (fault != 0) return fault;
  ipcnet_media_begin(out, "IPFI", IPCNET_MEDIA_FILE_BYTES, file->data_bytes);
  ipcnet_media_put(out + 16, file->size_bytes, 8);
  out[24] = file->in_descriptor;
  out[25] = (uint8_t)name_bytes;
  out[26] = (uint8_t)type_bytes;
  memcpy(out + 32, file->sha256, 32);
  memcpy(out + 64, file->name, name_bytes);
  memcpy(out + 320, file->type, type_bytes);
  return IPCNET_MEDIA_OK;
}

#endif
