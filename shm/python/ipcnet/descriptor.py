"""Descriptors that came from elsewhere, or are to go there."""

from __future__ import annotations

import os
from typing import Any, Union

from .status import IpcnetError, Status


class Descriptor:
    """A descriptor with an owner. Closed with ``close``, at the end of a ``with`` block, or when it is forgotten."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        if self._fd < 0:
            raise IpcnetError(Status.CONFLICT, "the descriptor is closed, or was handed on")
        return self._fd

    def detach(self) -> int:
        """The number, from now on the caller's to close."""
        fd, self._fd = self.fileno(), -1
        return fd

    def open(self, mode: str = "rb", **options: Any) -> Any:
        """A file object, which closes it: ``client.grant("dev/lidar").open("r+b", buffering=0)``."""
        return os.fdopen(self.detach(), mode, **options)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self.detach())

    def __enter__(self) -> "Descriptor":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


#: What is taken wherever a descriptor goes in: its number, or anything with ``fileno()``. It stays the caller's.
AnyFd = Union[int, Any]


def number_of(fd: AnyFd) -> int:
    return fd if isinstance(fd, int) else int(fd.fileno())
