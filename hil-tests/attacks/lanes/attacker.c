/*
 * lane_attacker [NAME]: every attack on lanes whose name contains NAME, by every kind of attacker that this user can play; one line of JSON each.
 * lane_attacker --packets SOCKET: on a gateway (packet_attacks.c).
 */
#include "scene.h"

#include <string.h>

static void run(const struct attack *attacks, size_t count, const char *only, int each_relation) {
  for (size_t i = 0; i < count; i++) {
    if (only && !strstr(attacks[i].name, only)) continue;
    for (int relation = 0; relation < RELATIONS; relation++) {
      /* Pages and bells are the same whoever owns them: once, by the strangest that can be played. */
      if (!each_relation && relation != (relation_is_possible(OTHER_USER) ? OTHER_USER : SAME_USER)) continue;
      if (relation_is_possible((enum relation)relation)) scene_run(&attacks[i], (enum relation)relation);
    }
  }
}

int main(int count, char **words) {
  const char *only = count > 1 ? words[1] : NULL;
  if (count == 3 && strcmp(words[1], "--packets") == 0) {
    run_packet_attacks(words[2]);
    return 0;
  }
  run(memory_attacks, memory_attack_count, only, 1);
  run(process_attacks, process_attack_count, only, 1);
  run(reader_attacks, reader_attack_count, only, 0);
  run_writer_attacks(only);
  return 0;
}
