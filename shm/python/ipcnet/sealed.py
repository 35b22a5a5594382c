"""Bytes in a sealed memfd, that nobody can change any more: how files travel between processes (shm/core/sealed_file.h)."""

from __future__ import annotations

import mmap
import os
from typing import Any, Optional

from .library import library
from .media import File
from .status import IpcnetError, Status
from .tensor import Memory


def seal_bytes(data: Any, name: Optional[str] = None) -> int:
    """A new read-only descriptor of a sealed copy of ``data`` (bytes-like), the caller's to close."""
    memory = Memory(data)
    fd: int = library().sealed_file_make(None if name is None else os.fsencode(name), memory.address, memory.size)
    if fd < 0:
        raise IpcnetError(Status.INSUFFICIENT_STORAGE, f"cannot seal {memory.size} bytes: {os.strerror(-fd)}")
    return fd


def sealed_size(fd: int) -> int:
    """The size of a sealed file; IpcnetError 209 when ``fd`` is none: then its bytes may change at any time."""
    size: int = library().sealed_file_check(fd)
    if size < 0:
        raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"descriptor {fd} is not a sealed file: {os.strerror(-size)}")
    return size


def open_sealed(fd: int) -> memoryview:
    """Checks ``fd`` and maps it, read-only. The mapping lives as long as the view and what was made from it; ``fd`` stays the caller's and may be closed."""
    size = sealed_size(fd)
    # Private: before Linux 6.7 a shared mapping of a sealed file that was opened for writing is refused.
    return memoryview(mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)) if size else memoryview(b"")


def file_of(payload: File, fd: int) -> File:
    """A received ``File`` without content, and the descriptor that came with it: the same with its content, checked for seals, size and SHA-256 (IpcnetError 307)."""
    content = open_sealed(fd)
    if not payload.is_content(content):
        raise IpcnetError(Status.INTEGRITY_FAILURE, f"{payload.name}: the descriptor has other bytes than the header says")
    return File(payload.name, content, payload.type, payload.size_bytes, payload.sha256)
