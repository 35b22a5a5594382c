/*
 * seqpacket: Unix SEQPACKET sockets as the client socket needs them. No state, no allocation, no thread; each function is one step
 * that never waits (but for `listen`, which may wait up to half a second for another starter of the same socket).
 *
 * Results: a count or a file descriptor (>= 0), or a negative errno value. All descriptors are CLOEXEC and non-blocking.
 *
 * Facts about Linux that shape the interface:
 * - Each direction takes at most SO_SNDBUF bytes and net.unix.max_dgram_qlen + 1 packets (11 on a stock kernel, 513 under systemd) until the
 *   peer reads; then sending says EAGAIN, and EPOLLOUT comes when the peer has read. So few large packets beat many small ones.
 * - A zero-length packet cannot be told from the end of the connection: it is taken for the end.
 * - What a dead peer had sent can still be read; then comes the end.
 */
#ifndef IPCNET_SEQPACKET_H
#define IPCNET_SEQPACKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Longest path of a socket, without the final zero: sun_path has 108, and the temporary name next to it takes up to 8 more. */
#define IPCNET_SEQPACKET_PATH_MAX 99
/* Packets per call of receive and send: 16 of 64 KiB are 1 MiB of buffer. */
#define IPCNET_SEQPACKET_BATCH_MAX 16
/* Descriptors with one packet: a lane message takes 2; the kernel's own limit is 253. */
#define IPCNET_SEQPACKET_FDS_MAX 4
/* Supplementary groups that are looked at; NGROUPS_MAX is 65536, people have twenty. */
#define IPCNET_SEQPACKET_GROUPS_MAX 256

/* Who is at the other end, as the kernel saw it at connect() time: not what the peer says, and not changed by what it does later. */
struct ipcnet_seqpacket_peer {
  pid_t pid;
  uid_t uid;
  gid_t gid;
  /* pidfd of that very process, or -1: not asked for, the process is gone, or its number may have passed to another one. The caller closes it. */
  int pidfd;
  /* When that process started, in clock ticks since boot: with the pid it names a process for good. 0 without a pidfd. */
  uint64_t start_ticks;
  uint32_t group_count;
  gid_t groups[IPCNET_SEQPACKET_GROUPS_MAX];
};

struct ipcnet_seqpacket_bound {
  /* Identity of the socket file, so that close removes its own and nobody else's. */
  uint64_t device;
  uint64_t inode;
};

/*
 * Creates a listening socket at `path` (0-terminated), with file mode `mode` and, unless it is (gid_t)-1, group `group`.
 * It appears at `path` by rename() when it already listens and has its mode: no client ever sees it half made. A socket file left by a dead process is
 * replaced; a live one is not (-EADDRINUSE), nor anything that is not a socket (-ENOTSOCK). Two starters are put in order by a lock on
 * `<path>.lock`, which stays (mode 0600, empty). -ENAMETOOLONG beyond IPCNET_SEQPACKET_PATH_MAX, -EAGAIN when the lock stays taken for 500 ms.
 */
int ipcnet_seqpacket_listen(const char *path, mode_t mode, gid_t group, int backlog, struct ipcnet_seqpacket_bound *bound);

/* Removes the socket file if it still is the one `listen` made; returns 0, or -ESTALE when it is another one or gone. Close the descriptor before. */
int ipcnet_seqpacket_unlink(const char *path, const struct ipcnet_seqpacket_bound *bound);

/* A connected socket. -EAGAIN: the listener's backlog is full, try again later; -ENOENT, -ECONNREFUSED: nobody listens; -EACCES: not permitted. */
int ipcnet_seqpacket_connect(const char *path);

/* The next waiting connection, or -EAGAIN. -EMFILE, -ENFILE, -ENOMEM leave it waiting; -ECONNABORTED means that one was lost, try the next. */
int ipcnet_seqpacket_accept(int listener);

/* Both ends of a connection that has no name. */
int ipcnet_seqpacket_pair(int fds[2]);

enum ipcnet_seqpacket_pidfd {
  IPCNET_SEQPACKET_PIDFD_NONE = 0,
  /* By SO_PEERPIDFD (Linux 6.5), else as below. */
  IPCNET_SEQPACKET_PIDFD_WANTED = 1,
  /* As on older kernels: pidfd_open of the pid, and then /proc must say that this process has the user of the connection and started before this call. Where /proc hides it (hidepid=,
     as in units with ProtectProc=) and it is of our own user, its end of the connection must still be open instead; start_ticks is 0 then. */
  IPCNET_SEQPACKET_PIDFD_BY_NUMBER = 2,
};

/*
 * Fills `peer`. Returns 0 or a negative errno. To be called right after accept: what is left open on older kernels is a process that connects, hands its socket to a child
 * and dies, whose number passes to another program of the same user before this call.
 */
int ipcnet_seqpacket_peer_of(int fd, enum ipcnet_seqpacket_pidfd pidfd, struct ipcnet_seqpacket_peer *peer);

/* 1 while the process behind `pidfd` lives, 0 once it has died, negative errno if it is no pidfd. */
int ipcnet_seqpacket_is_alive(int pidfd);

/* Asks for room for `bytes` in the sending direction; the kernel gives what net.core.wmem_max allows. Returns what it gave. */
int ipcnet_seqpacket_set_send_buffer(int fd, int bytes);

enum ipcnet_seqpacket_state {
  /* There may be more: call again. */
  IPCNET_SEQPACKET_MORE = 0,
  /* Nothing more for now: wait until the socket is readable. */
  IPCNET_SEQPACKET_DRAINED = 1,
  /* The peer has closed (or sent an empty packet). */
  IPCNET_SEQPACKET_END = 2,
  /* A packet was larger than `stride`: the peer breaks the protocol. The packets before it are delivered, it is not. */
  IPCNET_SEQPACKET_TRUNCATED = 3,
  /* A packet came with more than IPCNET_SEQPACKET_FDS_MAX descriptors: the peer breaks the protocol. All of them are closed; the packets before it are delivered. */
  IPCNET_SEQPACKET_TOO_MANY_FDS = 4,
  /* This process had no room for the descriptors of a packet (RLIMIT_NOFILE), so they are lost and the packet with them: no fault of the peer, but the end all the same. */
  IPCNET_SEQPACKET_FDS_LOST = 5,
};

/* Descriptors that travel with a packet. */
struct ipcnet_seqpacket_fds {
  uint32_t count;
  int fds[IPCNET_SEQPACKET_FDS_MAX];
};

/*
 * Receives up to `capacity` (<= IPCNET_SEQPACKET_BATCH_MAX) packets, packet i at buffer + i * stride with lengths[i] bytes. Returns how many, and in `state`
 * what comes after them. Descriptors that a peer attaches are closed by the kernel, never installed. -ECONNRESET and the like end the connection.
 */
int ipcnet_seqpacket_receive(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, enum ipcnet_seqpacket_state *state);

/* The same, with the descriptors that came with packet i in fds[i]: close-on-exec, and the caller's to close. Those of a packet that is not delivered are closed here. */
int ipcnet_seqpacket_receive_fds(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, struct ipcnet_seqpacket_fds *fds, enum ipcnet_seqpacket_state *state);

/* The same for who must not wait for a close: the descriptors of packets that are not delivered stay open, in fds[count] to fds[capacity - 1], and are the caller's to close. */
int ipcnet_seqpacket_receive_all(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, struct ipcnet_seqpacket_fds *fds, enum ipcnet_seqpacket_state *state);

/*
 * The same as receive_all, but the packets stay where they are: commit, then consume. Of a socket that was given to `ipcnet_seqpacket_peek_from_start` each call goes on behind the last;
 * what is peeked is the next time installed again, descriptors included, until it is consumed.
 */
int ipcnet_seqpacket_peek_all(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, struct ipcnet_seqpacket_fds *fds, enum ipcnet_seqpacket_state *state);

/* From now on peeking begins with the oldest packet, and goes on from there. The place belongs to the connection, not to the descriptor: copies share it. Returns 0 or a negative errno. */
int ipcnet_seqpacket_peek_from_start(int fd);

/* Takes the `count` oldest packets away, with the descriptors that came with them. Returns how many there were. */
int ipcnet_seqpacket_consume(int fd, uint32_t count);

/* One packet of a batch to send. */
struct ipcnet_seqpacket_packet {
  const uint8_t *bytes;
  size_t length;
};

/* Sends up to IPCNET_SEQPACKET_BATCH_MAX packets in order, each whole or not at all. Returns how many were taken (at least one), -EAGAIN when there is
 * no room for the first, -EPIPE or -ECONNRESET when the peer is gone, -EMSGSIZE when the first can never be sent. Never raises SIGPIPE. */
int ipcnet_seqpacket_send(int fd, const struct ipcnet_seqpacket_packet *packets, uint32_t count);

/*
 * The same, with copies of the descriptors fds[i] attached to packet i; the caller's own stay open. `fds` may be NULL. Besides the above: -EBADF a descriptor that is not
 * open, -EINVAL more than IPCNET_SEQPACKET_FDS_MAX, -ETOOMANYREFS this user has as many descriptors on their way, unread, as it may open files: try again later.
 */
int ipcnet_seqpacket_send_fds(int fd, const struct ipcnet_seqpacket_packet *packets, const struct ipcnet_seqpacket_fds *fds, uint32_t count);

struct mmsghdr;

/* The same with the message headers at `headers` (`count` of them), in memory of the caller's: the kernel writes msg_len of each packet that it has taken there before the call returns (handover.h). */
int ipcnet_seqpacket_send_marked(int fd, const struct ipcnet_seqpacket_packet *packets, const struct ipcnet_seqpacket_fds *fds, uint32_t count, struct mmsghdr *headers);

#endif
