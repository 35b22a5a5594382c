#include "purge_server.h"

#include <errno.h>
#include <string.h>

void ipcnet_purge_server_init(struct ipcnet_purge_server *self, const struct ipcnet_can_os *os) {
  *self = (struct ipcnet_purge_server){.os = os};
}

bool ipcnet_purge_server_allow(struct ipcnet_purge_server *self, const char *name) {
  size_t length = strlen(name);
  if (length == 0 || length >= IF_NAMESIZE || self->count >= IPCNET_PURGE_INTERFACES_MAX) return false;
  memcpy(self->names[self->count++], name, length + 1);
  return true;
}

/* By the name that it has now: an index says nothing about whose interface it is. */
static int judge(const struct ipcnet_purge_server *self, int index, struct ipcnet_can_link *link) {
  bool ours = false;
  for (unsigned i = 0; i < self->count && !ours; i++) ours = self->os->interface_index(self->os->context, self->names[i]) == index;
  if (index <= 0 || !ours) return -EPERM;
  int result = self->os->link_query(self->os->context, index, link);
  if (result < 0) return result;
  if (!link->is_can) return -EPERM;
  return self->os->may_purge(self->os->context) ? 0 : -EPERM;
}

static int perform(const struct ipcnet_purge_server *self, uint16_t kind, int index) {
  struct ipcnet_can_link link;
  memset(&link, 0, sizeof link);
  int result = judge(self, index, &link);
  if (result < 0 || kind == IPCNET_PURGE_MAY) return result;
  if (kind == IPCNET_PURGE_RESTART) return self->os->restart(self->os->context, index);
  /* Down, it holds no queue, and who took it down did not mean us to put it up. */
  return link.up ? self->os->purge(self->os->context, index) : -ENETDOWN;
}

bool ipcnet_purge_server_take(struct ipcnet_purge_server *self, const uint8_t *bytes, size_t length, struct ipcnet_purge_packet *answer) {
  struct ipcnet_purge_packet asked;
  if (length != sizeof asked) return false;
  memcpy(&asked, bytes, sizeof asked);
  if (asked.magic != IPCNET_PURGE_MAGIC || asked.zero != 0 || asked.kind < IPCNET_PURGE_MAY || asked.kind > IPCNET_PURGE_RESTART) return false;
  int result = perform(self, asked.kind, asked.value);
  *answer = (struct ipcnet_purge_packet){.magic = IPCNET_PURGE_MAGIC, .kind = IPCNET_PURGE_ANSWER, .number = asked.number, .value = result < 0 ? result : 0};
  return true;
}
