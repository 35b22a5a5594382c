#include "memfd.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

int ipcnet_memfd_make(const char *name, uint64_t bytes) {
  struct rlimit most;
  if (getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur != RLIM_INFINITY && bytes > most.rlim_cur) return -EFBIG;
  /* Linux 6.3 can also promise that it will never be executed; older ones say EINVAL. */
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd >= 0) return fd;
  return errno == ENOSYS || errno == EINVAL ? -ENOTSUP : -errno;
}
