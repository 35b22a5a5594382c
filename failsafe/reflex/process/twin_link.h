/*
 * twin_link: the other twin as a process: found by its control socket, known by its pidfd, seen through its page. It opens and maps; what that means is judged elsewhere (reflex_twin.h).
 *
 * The page of a dead twin stays mapped until the next one is found: whoever takes over reads it.
 */
#ifndef IPCNET_REFLEX_TWIN_LINK_H
#define IPCNET_REFLEX_TWIN_LINK_H

#include "detector.h"
#include "packet.h"

struct ipcnet_twin_link {
  char path[108];
  uint8_t instance;         /* ours */
  int socket, pidfd;        /* -1: none */
  const struct ipcnet_reflex_page *page; /* NULL: never seen */
  const struct ipcnet_reflex_page *old;  /* to be unmapped when the detector has left it */
  bool alive;               /* page and pidfd belong to a process that is not known to be dead */
  uint32_t sent, received;  /* packets */
  uint64_t retry_us;
  bool is_silent;
  struct ipcnet_twin_watch silence; /* of somebody who was greeted and does not answer */
  int given_fd;             /* the power-fail line that it has given us, until somebody takes it; -1 none */
  struct ipcnet_powerfail_want given;
  struct ipcnet_detector *detector;
};

enum ipcnet_twin_news {
  IPCNET_TWIN_NEWS_NONE,
  IPCNET_TWIN_NEWS_FOUND, /* a new process: pidfd and page are there */
  IPCNET_TWIN_NEWS_LOOK,  /* it says that its page should be looked at now */
};

void ipcnet_twin_link_init(struct ipcnet_twin_link *self, const char *path, uint8_t instance, struct ipcnet_detector *detector);
/* Whether the process behind the socket was greeted and has said nothing for a second of our own turns: it hangs, or it has nothing to do with us. */
bool ipcnet_twin_link_is_silent(const struct ipcnet_twin_link *self);
/* SIGKILL to it, if it is of our user; hangs up. What it held comes free when it is dead. */
void ipcnet_twin_link_kill_silent(struct ipcnet_twin_link *self);
/* Once in a while: connects while there is nobody. True: `socket` is new and wants to be polled. */
bool ipcnet_twin_link_tick(struct ipcnet_twin_link *self, const struct ipcnet_packet_hello *hello, uint64_t now_us);
/* `socket` is readable. It may be closed (-1) afterwards. */
enum ipcnet_twin_news ipcnet_twin_link_read(struct ipcnet_twin_link *self);
/* `pidfd` is readable: it is dead. Closes both descriptors; the page stays. */
void ipcnet_twin_link_died(struct ipcnet_twin_link *self);

#endif
