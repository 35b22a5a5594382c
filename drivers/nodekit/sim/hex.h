/* Hexadecimal text, as the vectors have it and as frames come from the tests. */
#ifndef IPCNET_SIM_HEX_H
#define IPCNET_SIM_HEX_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The bytes of `hex` up to whatever is none, `max` at most. How many. */
static inline size_t bytes_of(const char *hex, uint8_t *to, size_t max) {
  size_t length = 0;
  unsigned value;
  while (length < max && sscanf(hex + length * 2, "%2x", &value) == 1) to[length++] = (uint8_t)value;
  return length;
}

#endif
