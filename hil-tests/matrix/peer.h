/* What the matrix in C and in C++ share: the cases as CBOR, patterns (cases.ts), hashes, the end of the input. */
#ifndef MATRIX_PEER_H
#define MATRIX_PEER_H

#include <ipcnet.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "sha256.h"
#ifdef __cplusplus
}
#endif

/* Every failure that no case asks for ends the program with a sentence. */
static inline void peer_fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

/* The file of cases; the bytes stay until the program ends. */
static inline struct ipcnet_cbor peer_cases(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) peer_fail(path, "cannot be opened");
  char *text = (char *)malloc(1 << 20);
  const size_t length = text == NULL ? 0 : fread(text, 1, 1 << 20, file);
  fclose(file);
  struct ipcnet_cbor_writer writer;
  struct ipcnet_cbor cases;
  ipcnet_cbor_begin(&writer, NULL, 1 << 20);
  if (ipcnet_cbor_from_json(&writer, text, length) < 0) peer_fail(path, "is no JSON");
  const int bytes = ipcnet_cbor_finish(&writer);
  if (bytes < 0 || ipcnet_cbor_open(writer.bytes, (size_t)bytes, &cases) < 0) peer_fail(path, "is no value");
  free(text);
  return cases;
}

static inline struct ipcnet_cbor peer_get(struct ipcnet_cbor map, const char *key) {
  struct ipcnet_cbor found;
  ipcnet_cbor_get(map, key, &found);
  return found;
}

static inline int peer_has(struct ipcnet_cbor map, const char *key) { return peer_get(map, key).length > 0; }

static inline int64_t peer_integer(struct ipcnet_cbor map, const char *key, int64_t otherwise) {
  ipcnet_cbor_get_integer(map, key, &otherwise);
  return otherwise;
}

/* Index of an array. */
static inline int64_t peer_at(struct ipcnet_cbor array, uint64_t index) {
  struct ipcnet_cbor item = { NULL, 0 };
  size_t position = 0;
  int64_t value = 0;
  for (uint64_t i = 0; i <= index && ipcnet_cbor_next(array, &position, NULL, &item); i++) {}
  ipcnet_cbor_to_integer(item, &value);
  return value;
}

/* "" when there is none. */
static inline const char *peer_text(struct ipcnet_cbor map, const char *key, char *buffer, size_t capacity) {
  if (ipcnet_cbor_to_text(peer_get(map, key), buffer, capacity) < 0) buffer[0] = 0;
  return buffer;
}

static inline int64_t peer_messages(struct ipcnet_cbor topic) {
  static const char *const lists[] = { "values", "patterns", "tensors", "frames" };
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
    if (peer_has(topic, lists[i])) return (int64_t)ipcnet_cbor_count(peer_get(topic, lists[i]));
  }
  return peer_has(topic, "inputs") ? peer_integer(topic, "inputs", 0) : peer_integer(peer_get(topic, "burst"), "count", 0);
}

enum { PEER_BLOCK_BYTES = 4093 };

static inline void peer_pattern(uint32_t seed, uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (i < PEER_BLOCK_BYTES) {
      seed = seed * 1664525u + 1013904223u;
      bytes[i] = (uint8_t)(seed >> 24);
    } else {
      bytes[i] = bytes[i - PEER_BLOCK_BYTES];
    }
  }
}

struct peer_hash {
  char text[65];
};

static inline struct peer_hash peer_sha(const void *bytes, size_t length) {
  uint8_t digest[32];
  struct peer_hash hash;
  ipcnet_sha256(bytes, length, digest);
  for (int i = 0; i < 32; i++) snprintf(hash.text + 2 * i, 3, "%02x", digest[i]);
  return hash;
}

static inline int64_t peer_clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Waits until the client has something to do, or the time has passed. Whoever started this program may end it by closing its input. */
static inline void peer_wait(struct ipcnet_client *client, int timeout_ms) {
  struct pollfd fds[2] = { { ipcnet_fd(client), POLLIN, 0 }, { 0, POLLIN, 0 } };
  if (poll(fds, 2, timeout_ms) > 0 && fds[1].revents != 0) exit(0);
}

#endif
