/*
 * sealed_file: bytes in a memfd that nobody can change any more, to be handed to another process as a descriptor, and the check for one that was received.
 *
 * Sealed means F_SEAL_WRITE | SHRINK | GROW | SEAL (memfd_create(2), Linux 3.17): no write, no truncation (so no SIGBUS while it is mapped), no writable mapping before or
 * after, and no way back. What was checked once stays so. The descriptor handed out is read-only.
 *
 * No state, no threads. Results: 0, a descriptor or a count, or a negative errno value.
 */
#ifndef IPCNET_SEALED_FILE_H
#define IPCNET_SEALED_FILE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef IPCNET_API
#if defined(__GNUC__)
#define IPCNET_API __attribute__((visibility("default")))
#else
#define IPCNET_API
#endif
#endif

/* Largest sealed file, 4 GiB: the memory belongs to whoever made it, and a receiver that maps it pays for page tables only. */
#define IPCNET_SEALED_FILE_BYTES_MAX (1ull << 32)

/*
 * A new sealed memfd with a copy of `bytes`; close-on-exec, read-only, the caller's. `name` is for /proc/<pid>/maps alone (NULL: "ipcnet-file"; cut to 63 bytes).
 * -EFBIG too large, here or for RLIMIT_FSIZE, -ENOMEM, -EMFILE, -ENOTSUP when the kernel cannot seal.
 */
IPCNET_API int ipcnet_sealed_file_make(const char *name, const void *bytes, size_t length);

/* Whether `fd` is a memfd sealed as above: its size in bytes, or -EPERM it is not (something could still change it), -EFBIG. */
IPCNET_API int64_t ipcnet_sealed_file_check(int fd);

/* Checks and maps it, read-only: 0, *bytes and *length; unmap with munmap(*bytes, *length), whatever happens to `fd`. An empty file gives 0, NULL and 0. */
IPCNET_API int ipcnet_sealed_file_map(int fd, const void **bytes, size_t *length);

/* Checks it and copies up to `capacity` bytes from `offset`: how many; 0 at the end. */
IPCNET_API int64_t ipcnet_sealed_file_read(int fd, uint64_t offset, void *buffer, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
