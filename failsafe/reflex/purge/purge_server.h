/*
 * purge_server: what ipcnet-purge answers. Bytes in, bytes out; what it does it does through a can_os.
 *
 * It knows its interfaces by name. Whoever asks for another one, or for one that is no CAN interface, is refused; one that somebody has taken down stays down.
 */
#ifndef IPCNET_PURGE_SERVER_H
#define IPCNET_PURGE_SERVER_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "can_os.h"
#include "purge_protocol.h"

#define IPCNET_PURGE_INTERFACES_MAX 32u

struct ipcnet_purge_server {
  const struct ipcnet_can_os *os;
  char names[IPCNET_PURGE_INTERFACES_MAX][IF_NAMESIZE];
  unsigned count;
};

void ipcnet_purge_server_init(struct ipcnet_purge_server *self, const struct ipcnet_can_os *os);
/* False: no name of an interface, or one too many. */
bool ipcnet_purge_server_allow(struct ipcnet_purge_server *self, const char *name);
/* Does what a packet asks; takes as long as that takes. True: `answer` is to be sent. False: nobody who keeps to the protocol says this, and its connection ends; nothing was done. */
bool ipcnet_purge_server_take(struct ipcnet_purge_server *self, const uint8_t *bytes, size_t length, struct ipcnet_purge_packet *answer);

#endif
