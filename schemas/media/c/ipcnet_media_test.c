/*
 * Runs rows "ENCODING HEX SPELLED" (vectors.txt, or "-" for standard input): the payload, in memory of exactly its size, must give the value or fault as it is spelled, and a
 * value must encode to the same header. Then mutates the good rows: whatever comes out must lie within the payload.
 */
#include "ipcnet_media.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES (1u << 17)
#define MUTATIONS 200u

static const char *const fault_names[] = { "ok", "tooShort", "badMagic", "badVersion", "badLength", "notZero", "badType", "badShape", "outOfBounds", "badName" };
static const char *const encodings[] = { "tensor", "video", "audio", "points", "haptic", "file" };

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "%s: %s\n", what, detail);
  exit(1);
}

struct text {
  char bytes[4096];
  size_t length;
};

#define SAY(text, ...) ((text)->length += (size_t)snprintf((text)->bytes + (text)->length, sizeof(text)->bytes - (text)->length, __VA_ARGS__))

/* Reads the ends of what a value names: beyond the payload the sanitizer objects. */
static void touch(const uint8_t *data, uint64_t from, uint64_t bytes) {
  const volatile uint8_t *at = data + from;
  if (bytes > 0 && at[0] + at[bytes - 1] < 0) fail("touch", "impossible");
}

static void spell_type(struct text *text, const struct ipcnet_media_tensor *tensor) {
  static const char *const small[] = { "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu" };
  static const char *const wide[] = { "int", "uint", "float", "", "bfloat", "complex" };
  if (tensor->code >= 7) SAY(text, "%s", small[tensor->code - 7]);
  else if (tensor->code == IPCNET_MEDIA_BOOL) SAY(text, "bool");
  else SAY(text, "%s%u", wide[tensor->code], tensor->bits);
  if (tensor->lanes > 1) SAY(text, "x%u", tensor->lanes);
}

static int tensor(const uint8_t *payload, size_t bytes, uint8_t *header, struct text *text) {
  struct ipcnet_media_tensor value;
  int fault = ipcnet_media_tensor_decode(payload, bytes, &value);
  if (fault != 0) return fault;
  uint64_t last = 0;
  int empty = 0;
  spell_type(text, &value);
  SAY(text, " [");
  for (uint32_t i = 0; i < value.dimensions; i++) SAY(text, i ? ",%" PRIu64 : "%" PRIu64, value.shape[i]);
  SAY(text, "] [");
  for (uint32_t i = 0; i < value.dimensions; i++) {
    SAY(text, i ? ",%" PRIu64 : "%" PRIu64, value.strides[i]);
    if (value.shape[i] == 0) empty = 1;
    else last += (value.shape[i] - 1) * value.strides[i];
  }
  SAY(text, "] %" PRIu64, value.data_bytes);
  const uint32_t item = ipcnet_media_item_bytes(value.code, value.bits, value.lanes);
  if (!empty) touch(value.data, last * item, item);
  if (ipcnet_media_tensor_encode(&value, header) != 0) fail("tensor", "does not encode again");
  return 0;
}

static int video(const uint8_t *payload, size_t bytes, uint8_t *header, struct text *text) {
  struct ipcnet_media_video value;
  int fault = ipcnet_media_video_decode(payload, bytes, &value);
  if (fault != 0) return fault;
  SAY(text, "%s %.4s %s %" PRIu32 "x%" PRIu32 " %" PRId64 " [", value.encoded ? "encoded" : "raw", value.fourcc, value.key_frame ? "key" : "delta", value.width, value.height, value.pts_ns);
  for (uint32_t i = 0; i < value.plane_count; i++) {
    const struct ipcnet_media_plane *plane = &value.planes[i];
    SAY(text, "%s%" PRIu32 "/%" PRIu32 "/%" PRIu32 "/%" PRIu32, i ? "," : "", plane->offset_bytes, plane->stride_bytes, plane->row_bytes, plane->rows);
    touch(value.data, plane->offset_bytes + (uint64_t)(plane->rows - 1) * plane->stride_bytes, plane->row_bytes);
  }
  SAY(text, "] %" PRIu64, value.data_bytes);
  if (ipcnet_media_video_encode(&value, header) != 0) fail("video", "does not encode again");
  return 0;
}

static int audio(const uint8_t *payload, size_t bytes, uint8_t *header, struct text *text) {
  static const char *const formats[] = { "", "u8", "s16", "s32", "f32", "f64" };
  struct ipcnet_media_audio value;
  int fault = ipcnet_media_audio_decode(payload, bytes, &value);
  if (fault != 0) return fault;
  SAY(text, "%s %s %ux%" PRIu32 " %" PRIu32 " %" PRId64 " %" PRIu64, formats[value.format], value.planar ? "planar" : "interleaved", value.channels, value.frames, value.rate_hz, value.pts_ns, value.data_bytes);
  touch(value.data, 0, value.data_bytes);
  if (ipcnet_media_audio_encode(&value, header) != 0) fail("audio", "does not encode again");
  return 0;
}

static int points(const uint8_t *payload, size_t bytes, uint8_t *header, struct text *text) {
  static const char *const types[] = { "", "i8", "u8", "i16", "u16", "i32", "u32", "f32", "f64", "i64", "u64" };
  struct ipcnet_media_points value;
  int fault = ipcnet_media_points_decode(payload, bytes, &value);
  if (fault != 0) return fault;
  SAY(text, "%" PRIu32 "x%" PRIu32 " %" PRIu32 " %s %" PRId64 " [", value.count, value.stride_bytes, value.columns, value.dense ? "dense" : "sparse", value.time_ns);
  for (uint32_t i = 0; i < value.field_count; i++) {
    const struct ipcnet_media_field *field = &value.fields[i];
    SAY(text, "%s%s %s %u %" PRIu32, i ? "," : "", field->name, types[field->type], field->count, field->offset_bytes);
    if (value.count > 0) touch(value.data, (uint64_t)(value.count - 1) * value.stride_bytes + field->offset_bytes, field->count * ipcnet_media_point_bytes(field->type));
  }
  SAY(text, "] %" PRIu64, value.data_bytes);
  if (ipcnet_media_points_encode(&value, header) != 0) fail("points", "does not encode again");
  return 0;
}

static int haptic(const uint8_t *payload, size_t bytes, uint8_t *header, struct text *text) {
  static const char *const quantities[] = { "", "drive", "force", "torque", "pressure", "acceleration", "temperature", "position" };
  struct ipcnet_media_haptic value;
  int fault = ipcnet_media_haptic_decode(payload, bytes, &value);
  if (fault != 0) return fault;
  SAY(text, "%s %ux%" PRIu32 " %" PRIu32 " %" PRId64 " %" PRIu64, quantities[value.quantity], value.channels, value.frames, value.rate_hz, value.pts_ns, value.data_bytes);
  touch(value.data, 0, value.data_bytes);
  if (ipcnet_media_haptic_encode(&value, header) != 0) fail("haptic", "does not encode again");
  return 0;
}

static int file(const uint8_t *payload, size_t bytes, uint8_t *header, struct text *text) {
  struct ipcnet_media_file value;
  int fault = ipcnet_media_file_decode(payload, bytes, &value);
  if (fault != 0) return fault;
  SAY(text, "%s %s %s %" PRIu64 " ", value.in_descriptor ? "descriptor" : "inline", value.name, value.type[0] ? value.type : "-", value.size_bytes);
  for (int i = 0; i < 32; i++) SAY(text, "%02x", value.sha256[i]);
  SAY(text, " %" PRIu64, value.data_bytes);
  touch(value.data, 0, value.data_bytes);
  if (ipcnet_media_file_encode(&value, header) != 0) fail("file", "does not encode again");
  return 0;
}

static int decode(int encoding, const uint8_t *payload, size_t bytes, struct text *text) {
  static int (*const decoders[])(const uint8_t *, size_t, uint8_t *, struct text *) = { tensor, video, audio, points, haptic, file };
  static const uint32_t header_bytes[] = { IPCNET_MEDIA_TENSOR_BYTES, IPCNET_MEDIA_VIDEO_BYTES, IPCNET_MEDIA_AUDIO_BYTES, IPCNET_MEDIA_POINTS_BYTES, IPCNET_MEDIA_HAPTIC_BYTES, IPCNET_MEDIA_FILE_BYTES };
  uint8_t header[IPCNET_MEDIA_POINTS_BYTES];
  memset(header, 0xa5, sizeof header);
  text->length = 0;
  text->bytes[0] = 0;
  int fault = decoders[encoding](payload, bytes, header, text);
  if (fault == 0 && memcmp(header, payload, header_bytes[encoding]) != 0) fail(text->bytes, "encodes to another header");
  return fault;
}

static uint32_t next_random(uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

static void mutate(int encoding, const uint8_t *payload, size_t bytes, uint32_t *random) {
  struct text text;
  uint8_t *copy = malloc(bytes ? bytes : 1);
  if (copy == NULL) fail("malloc", "no memory");
  for (uint32_t n = 0; n < MUTATIONS; n++) {
    memcpy(copy, payload, bytes);
    for (uint32_t edits = 1 + next_random(random) % 4; edits > 0 && bytes > 0; edits--) {
      static const uint8_t likely[] = { 0, 1, 0x7f, 0x80, 0xff };
      size_t at = next_random(random) % (next_random(random) % 3 && bytes > 160 ? 160 : bytes);
      copy[at] = next_random(random) % 2 ? likely[next_random(random) % 5] : (uint8_t)next_random(random);
    }
    decode(encoding, copy, bytes, &text);
  }
  free(copy);
}

static int nibble(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void row(char *line, uint32_t *random) {
  char *hex = strchr(line, ' ');
  char *spelled = hex ? strchr(hex + 1, ' ') : NULL;
  int encoding = -1;
  if (spelled == NULL) fail("not a row", line);
  *hex++ = 0;
  *spelled++ = 0;
  for (int i = 0; i < 6; i++) {
    if (strcmp(encodings[i], line) == 0) encoding = i;
  }
  if (encoding < 0) fail("no encoding", line);
  size_t bytes = hex[0] == '-' ? 0 : strlen(hex) / 2;
  uint8_t *payload = malloc(bytes ? bytes : 1);
  if (payload == NULL) fail("malloc", "no memory");
  for (size_t i = 0; i < bytes; i++) payload[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
  struct text text;
  int fault = decode(encoding, payload, bytes, &text);
  const char *given = fault == 0 ? text.bytes : fault_names[fault];
  if (strcmp(given, spelled) != 0) {
    fprintf(stderr, "%s\n  expected %s\n  got      %s\n", hex, spelled, given);
    exit(1);
  }
  mutate(encoding, payload, bytes, random);
  free(payload);
}

/* What a program that writes does: dense strides and planes, and refusals. */
static void writing(void) {
  uint8_t header[IPCNET_MEDIA_POINTS_BYTES];
  struct ipcnet_media_tensor t = { .code = IPCNET_MEDIA_FLOAT, .bits = 32, .lanes = 1, .dimensions = 3, .shape = { 2, 3, 4 }, .data_bytes = 96 };
  ipcnet_media_tensor_dense(&t);
  if (t.strides[0] != 12 || t.strides[1] != 4 || t.strides[2] != 1 || ipcnet_media_tensor_encode(&t, header) != 0) fail("tensor", "dense strides");
  t.data_bytes = 95;
  if (ipcnet_media_tensor_encode(&t, header) != IPCNET_MEDIA_OUT_OF_BOUNDS) fail("tensor", "a byte is missing");
  t.dimensions = 9;
  if (ipcnet_media_tensor_encode(&t, header) != IPCNET_MEDIA_BAD_SHAPE) fail("tensor", "nine dimensions");
  struct ipcnet_media_video v = { .fourcc = { 'N', 'V', '1', '2' }, .key_frame = 1, .width = 641, .height = 481 };
  if (ipcnet_media_video_dense(&v) != 0 || v.data_bytes != 641u * 481u + 642u * 241u || ipcnet_media_video_encode(&v, header) != 0) fail("video", "dense planes");
  v.data_bytes--;
  if (ipcnet_media_video_encode(&v, header) != IPCNET_MEDIA_OUT_OF_BOUNDS) fail("video", "a byte is missing");
  struct ipcnet_media_file f = { .size_bytes = 1, .in_descriptor = 1, .name = "a/b" };
  if (ipcnet_media_file_encode(&f, header) != IPCNET_MEDIA_BAD_NAME) fail("file", "a path");
  memset(f.name, 'a', sizeof f.name);
  if (ipcnet_media_file_encode(&f, header) != IPCNET_MEDIA_BAD_NAME) fail("file", "a name without end");
}

int main(int argc, char **argv) {
  static char line[LINE_MAX_BYTES];
  uint32_t rows = 0, random = 20261122;
  if (argc != 2) fail("usage", "ipcnet_media FILE or -");
  FILE *in = strcmp(argv[1], "-") == 0 ? stdin : fopen(argv[1], "r");
  if (in == NULL) fail("cannot open", argv[1]);
  writing();
  while (fgets(line, sizeof line, in) != NULL) {
    line[strcspn(line, "\n")] = 0;
    if (line[0] == '#' || line[0] == 0) continue;
    row(line, &random);
    rows++;
  }
  if (in != stdin) fclose(in);
  printf("%" PRIu32 " rows passed, each also with %u mutations\n", rows, MUTATIONS);
  return rows > 0 ? 0 : 1;
}
