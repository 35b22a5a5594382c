/* memfd: memory with a descriptor that can be sealed; what lanes (lane_memory.c) and sealed files are made of. */
#ifndef IPCNET_MEMFD_H
#define IPCNET_MEMFD_H

#include <stdint.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

/*
 * An empty one, close-on-exec, that is to get `bytes`. `name` is for /proc/<pid>/maps alone.
 * -EFBIG: more than RLIMIT_FSIZE lets this process write (said here, because growing it would end the process with SIGXFSZ); -ENOTSUP the kernel cannot seal; -EMFILE, -ENOMEM.
 */
int ipcnet_memfd_make(const char *name, uint64_t bytes);

#endif
