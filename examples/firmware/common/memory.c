/* The four functions that a compiler may call although nobody wrote them (copies of structures). There is no C library in these examples. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

void *memcpy(void *to, const void *from, size_t bytes) {
  uint8_t *out = to;
  const uint8_t *in = from;
  while (bytes-- > 0) *out++ = *in++;
  return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
  uint8_t *out = to;
  const uint8_t *in = from;
  if (out < in) return memcpy(to, from, bytes);
  while (bytes-- > 0) out[bytes] = in[bytes];
  return to;
}

void *memset(void *to, int value, size_t bytes) {
  uint8_t *out = to;
  while (bytes-- > 0) *out++ = (uint8_t)value;
  return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
  const uint8_t *left = a, *right = b;
  for (; bytes > 0; bytes--, left++, right++) if (*left != *right) return *left - *right;
  return 0;
}
