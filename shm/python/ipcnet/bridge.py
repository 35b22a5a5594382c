"""How C calls Python: callbacks that only note, who they are for, and the small conversions on the way."""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
import weakref
from typing import Any, Callable, Dict, List, Optional

from . import cbor
from .library import FDS_MAX

_fork_count = 0


def _after_fork() -> None:
    global _fork_count
    _fork_count += 1


os.register_at_fork(after_in_child=_after_fork)


def fork_count() -> int:
    """How many forks lie between the first process and this one: what was made at another count belongs to the parent."""
    return _fork_count


_keys = itertools.count(1)
#: Who a callback is for, by the number that C has as its context.
_live: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()
#: What a callback raised: C cannot pass it on, so whoever called C raises it. (What a signal's handler raises is not among it: signals.py.)
raised: Dict[int, BaseException] = {}


def enlist(target: Any) -> int:
    key = next(_keys)
    _live[key] = target
    return key


def callback(prototype: Any) -> Callable[[Callable[..., None]], Any]:
    def decorate(function: Callable[..., None]) -> Any:
        def call(context: int, *arguments: Any) -> None:
            try:
                target = _live.get(context)
                if target is not None:
                    function(target, *arguments)
            except BaseException as error:  # noqa: BLE001 -- raised again by the caller of C
                raised[threading.get_ident()] = error

        return prototype(call)

    return decorate


def text_of(raw: Optional[bytes]) -> str:
    return (raw or b"").decode("utf-8", "replace")


def bytes_of(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else os.fsencode(text)


def milliseconds(seconds: float) -> int:
    return max(0, min(0xFFFFFFFF, int(seconds * 1000 + 0.5)))


class Answer:
    """What a reply or an item holds, copied out of it: status, text, body (CBOR) and descriptors, which are whoever's who takes them."""

    __slots__ = ("status", "text", "raw", "fds")

    def __init__(self, reply: Any) -> None:
        self.status = int(reply.status)
        self.text = text_of(reply.text)
        self.raw: Optional[bytes] = ctypes.string_at(reply.body, reply.body_bytes) if reply.body else None
        self.fds: List[int] = []
        for i in range(min(reply.fd_count, FDS_MAX)):
            self.fds.append(reply.fds[i])
            reply.fds[i] = -1

    def body(self) -> Any:
        return None if self.raw is None else cbor.loads(self.raw)

    def close(self) -> None:
        for fd in self.fds:
            if fd >= 0:
                os.close(fd)
        self.fds = []
