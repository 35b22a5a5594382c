"""Bytes in a sealed memfd, that nobody can change any more: how files travel between processes (shm/core/sealed_file.h)."""

from __future__ import annotations

import mmap
import os
from typing import Any, Optional

from .descriptor import AnyFd, Descriptor, number_of
from .library import library
from .media import File
from .status import IpcnetError, Status
from .tensor import Memory


def seal_bytes(data: Any, name: Optional[str] = None) -> Descriptor:
    """A read-only descriptor of a sealed copy of ``data`` (bytes-like), to be sent along: ``client.request(service, body, fds=[seal_bytes(data)])``."""
    memory = Memory(data)
    fd: int = library().sealed_file_make(None if name is None else os.fsencode(name), memory.address, memory.size)
    if fd < 0:
        raise IpcnetError(Status.INSUFFICIENT_STORAGE, f"cannot seal {memory.size} bytes: {os.strerror(-fd)}")
    return Descriptor(fd)


def sealed_size(fd: AnyFd) -> int:
    """The size of a sealed file; IpcnetError 209 when ``fd`` is none: then its bytes may change at any time."""
    size: int = library().sealed_file_check(number_of(fd))
    if size < 0:
        raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"descriptor {number_of(fd)} is not a sealed file: {os.strerror(-size)}")
    return size


def open_sealed(fd: AnyFd) -> memoryview:
    """Checks ``fd`` and maps it, read-only. The mapping lives as long as the view and what was made from it; ``fd`` stays the caller's and may be closed."""
    size = sealed_size(fd)
    # Private: before Linux 6.7 a shared mapping of a sealed file that was opened for writing is refused.
    return memoryview(mmap.mmap(number_of(fd), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)) if size else memoryview(b"")


def file_of(payload: File, fd: AnyFd) -> File:
    """A received ``File`` without content, and the descriptor that came with it: the same with its content, checked for seals, size and SHA-256 (IpcnetError 307)."""
    content = open_sealed(fd)
    if not payload.is_content(content):
        raise IpcnetError(Status.INTEGRITY_FAILURE, f"{payload.name}: the descriptor has other bytes than the header says")
    return File(payload.name, content, payload.type, payload.size_bytes, payload.sha256)
