/*
 * The MQTT kit as a process, for its test: reads lines, writes the payload of each in hexadecimal, "failed" where there is none.
 *   state CAPACITY DATA_ID COUNTER KIND:VALUE …      a map with the keys a, b, c …; KIND u, i, f (a float's bits), b, t, or s for an array of that many 1
 *   command CAPACITY NAME ID TTL_MS SEQ FLOAT_BITS   values {"velocity": …, "mode": "Hold"}
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_mqtt.h"

static uint8_t *memory;

static float float_of(const char *bits) {
  const uint32_t word = (uint32_t)strtoul(bits, NULL, 10);
  float value;
  memcpy(&value, &word, sizeof value);
  return value;
}

static void value(struct ipcnet_mqtt_payload *out, const char *word) {
  const char *rest = word + 2;
  switch (word[0]) {
    case 'u': ipcnet_mqtt_unsigned(out, (uint32_t)strtoul(rest, NULL, 10)); break;
    case 'i': ipcnet_mqtt_signed(out, (int32_t)strtol(rest, NULL, 10)); break;
    case 'f': ipcnet_mqtt_float(out, float_of(rest)); break;
    case 'b': ipcnet_mqtt_bool(out, rest[0] == '1'); break;
    case 's': {
      const uint32_t items = (uint32_t)strtoul(rest, NULL, 10);
      ipcnet_mqtt_array(out, items);
      for (uint32_t i = 0; i < items; i++) ipcnet_mqtt_unsigned(out, 1);
      break;
    }
    default: ipcnet_mqtt_text(out, rest);
  }
}

static void show(size_t length) {
  if (length == 0) printf("failed");
  for (size_t i = 0; i < length; i++) printf("%02x", memory[i]);
  printf("\n");
}

int main(void) {
  static char line[8192];
  while (fgets(line, sizeof line, stdin) != NULL) {
    char *words[64];
    int count = 0;
    for (char *word = strtok(line, " \n"); word != NULL && count < 64; word = strtok(NULL, " \n")) words[count++] = word;
    if (count < 4) return EXIT_FAILURE;
    struct ipcnet_mqtt_payload out;
    const size_t capacity = strtoul(words[1], NULL, 10);
    /* Exactly so long, that the sanitizer sees one byte more. */
    memory = malloc(capacity > 0 ? capacity : 1);
    if (strcmp(words[0], "state") == 0) {
      ipcnet_mqtt_begin(&out, memory, capacity);
      ipcnet_mqtt_map(&out, (uint32_t)(count - 4));
      for (int i = 4; i < count; i++) {
        const char key[2] = { (char)('a' + i - 4), '\0' };
        ipcnet_mqtt_text(&out, key);
        value(&out, words[i]);
      }
      show(ipcnet_mqtt_end(&out, (uint32_t)strtoul(words[2], NULL, 10), (uint32_t)strtoul(words[3], NULL, 10)));
    } else {
      const uint32_t seq = (uint32_t)strtoul(words[5], NULL, 10);
      ipcnet_mqtt_begin_command(&out, memory, capacity, words[3], (uint32_t)strtoul(words[4], NULL, 10), seq);
      ipcnet_mqtt_map(&out, 2);
      ipcnet_mqtt_text(&out, "velocity");
      ipcnet_mqtt_float(&out, float_of(words[6]));
      ipcnet_mqtt_text(&out, "mode");
      ipcnet_mqtt_text(&out, "Hold");
      show(ipcnet_mqtt_end_command(&out, words[2], seq));
    }
    free(memory);
  }
  return EXIT_SUCCESS;
}
